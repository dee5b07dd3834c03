//! The gateway killed at every point where a crash matters, at every hit of it, in each procedure.
//!
//! A part of the hits is taken unless `DRAWSPAN_SWEEP=all`; what was taken is printed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hands::job_is;
use crate::plots::Plot;
use crate::world::{Load, World, objects, offers};

/// Worlds at the same time: they wait more than they work.
const WORLDS: usize = 6;
/// Longest life of a gateway; a bound against hanging, never a measure.
const LIFE: Duration = Duration::from_secs(90);

/// Hit about once for each record of the journal.
const OF_RECORDS: [&str; 3] =
    ["procedure.journalled", "procedure.before_journal", "journal.committed"];
/// Hit about once for each command, or each switch.
const OF_EFFECTS: [&str; 15] = [
    "procedure.prepared",
    "procedure.begun",
    "procedure.ended",
    "procedure.switched",
    "engine.before_journal",
    "engine.journalled",
    "engine.published",
    "engine.fenced",
    "engine.drained",
    "engine.finished",
    "drivers.folder_made",
    "drivers.folder_filled",
    "drivers.supervisor_started",
    "drivers.go",
    "drivers.gone",
];
/// The supervisor of a command dies with the gateway.
const OF_SUPERVISORS: [&str; 3] =
    ["supervisor.told=kill", "supervisor.begun=kill", "supervisor.ended=kill"];

/// Kills at one point, at these hits, until it is not reached any more.
#[derive(Clone, Debug)]
struct Task {
    plot: Plot,
    point: &'static str,
    from: usize,
    every: usize,
    /// How often it is hit, where that is known; else until it is not hit any more.
    last: Option<usize>,
    /// A command, the one of the procedure that it is, and where its supervisor dies.
    supervisor: Option<(&'static str, usize, &'static str)>,
}

fn tasks() -> Vec<Task> {
    let all = std::env::var("DRAWSPAN_SWEEP").is_ok_and(|sweep| sweep == "all");
    let mut tasks = Vec::new();
    for plot in Plot::ALL {
        let plain =
            |point, from, every, last| Task { plot, point, from, every, last, supervisor: None };
        for (k, point) in OF_RECORDS.into_iter().enumerate() {
            if all {
                tasks.extend((1..=4).map(|from| plain(point, from, 4, None)));
            } else {
                // Each takes others of the hits, which mean much the same moments.
                tasks.push(plain(point, 2 + 2 * k, 6, None));
            }
        }
        for (k, point) in OF_EFFECTS.into_iter().enumerate() {
            let (commands, switches) = plot.effects();
            let of_switch = point.starts_with("engine.") || point == "procedure.switched";
            let hits = if of_switch { switches } else { commands };
            if all {
                tasks.push(plain(point, 1, 1, None));
            } else {
                tasks.push(plain(point, 1 + k % hits.min(3), 3, Some(hits)));
            }
        }
        for (k, (command, number)) in plot.commands().iter().enumerate() {
            for (p, dies) in OF_SUPERVISORS.into_iter().enumerate() {
                if all || (k + p) % 3 == 0 {
                    let supervisor = Some((*command, *number, dies));
                    let (point, last) = ("procedure.begun", Some(*number));
                    tasks.push(Task { plot, point, from: *number, every: 1, last, supervisor });
                }
            }
        }
    }
    tasks
}

#[test]
fn a_procedure_survives_a_crash_at_any_point() {
    let queue = Mutex::new(tasks());
    let (kills, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                loop {
                    let task = queue.lock().expect("no panic holds it").pop();
                    let Some(task) = task else { return };
                    if let Err(why) = catch_unwind(AssertUnwindSafe(|| sweep(&task, &kills))) {
                        let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                        println!("FAILED {task:?}\n{why}");
                        failures.lock().expect("no panic holds it").push(format!("{task:?}"));
                    }
                }
            });
        }
    });
    let kills = kills.into_inner().expect("no panic holds it");
    print(&kills);
    for plot in Plot::ALL {
        for point in OF_RECORDS.into_iter().chain(OF_EFFECTS) {
            let never = kills.get(&(plot, point.to_owned())).is_none_or(Vec::is_empty);
            assert!(!never, "{plot:?} was never killed at {point}");
        }
    }
    let failures = failures.into_inner().expect("no panic holds it");
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The hits of a point that killed, each with the phase that it was in.
type Kills = BTreeMap<(Plot, String), Vec<(usize, String)>>;

fn print(kills: &Kills) {
    let total: usize = kills.values().map(Vec::len).sum();
    println!("{total} kills");
    for ((plot, point), hits) in kills {
        let mut hits = hits.clone();
        hits.sort();
        let each: Vec<String> = hits.iter().map(|(hit, phase)| format!("{hit} {phase}")).collect();
        println!("{plot:?} {point}: {} kills: {}", hits.len(), each.join(", "));
    }
}

fn sweep(task: &Task, kills: &Mutex<Kills>) {
    let mut hit = task.from;
    while task.last.is_none_or(|last| hit <= last) {
        let Some(phase) = killed_at(task, hit) else {
            assert!(task.last.is_none(), "hit {hit} was not reached");
            return;
        };
        let name = match task.supervisor {
            Some((command, _, dies)) => format!("{dies} of {command}"),
            None => task.point.to_owned(),
        };
        let mut kills = kills.lock().expect("no panic holds it");
        kills.entry((task.plot, name)).or_default().push((hit, phase));
        drop(kills);
        hit += task.every;
    }
}

/// What was seen last of a gateway's life.
#[derive(Clone, Debug, Default)]
struct Seen {
    mode: String,
    procedure: Value,
}

/// One world whose gateway is killed at this hit; the phase that it was in, or `None` where it was
/// not killed.
fn killed_at(task: &Task, hit: usize) -> Option<String> {
    let plot = task.plot;
    let mut world = World::new(&plot.wish(task.supervisor.map(|(name, _, dies)| (name, dies))));
    let points = format!("{}=kill@{hit}", task.point);
    plot.prepare(&mut world, &[("DRAWSPAN_FAILPOINTS", &points)]);
    let before = world.commands().len();
    let load = hit.is_multiple_of(4).then(|| world.try_status()).flatten();
    let load = load.map(|_| Load::on(world.public()));
    let (seen, over) = live(&mut world, plot, before);
    drop(load);
    if over {
        check_end(&mut world, plot, before, &[]);
        return None;
    }
    let context = format!("{plot:?} {points} {:?}: last seen {seen:#?}", task.supervisor);
    world.configure(&plot.wish(None));
    world.start_gateway(&[]);
    check_after(&mut world, task, &seen, &context);
    let phase = world.procedure()["phase"].as_str().unwrap_or("not begun").to_owned();
    let mut asked = Vec::new();
    let load = hit.is_multiple_of(4).then(|| Load::on(world.public()));
    live_on(&mut world, plot, before, &mut asked, &context);
    drop(load);
    check_end(&mut world, plot, before, &asked);
    Some(phase)
}

/// Says what is to be said until the gateway is killed, or the procedure over (`true`).
fn live(world: &mut World, plot: Plot, before: usize) -> (Seen, bool) {
    let (mut seen, end) = (Seen::default(), Instant::now() + LIFE);
    loop {
        if world.is_gone() {
            return (seen, false);
        }
        assert!(Instant::now() < end, "{plot:?}: neither killed nor done: {seen:#?}");
        if let Some(status) = world.try_status() {
            seen = Seen { mode: mode(&status), procedure: status["procedure"].clone() };
            if plot.is_over(&seen.procedure) {
                return (seen, true);
            }
            plot.say(world, &status, before);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The second life, to the end of the procedure.
fn live_on(world: &mut World, plot: Plot, before: usize, asked: &mut Vec<String>, context: &str) {
    let end = Instant::now() + LIFE;
    loop {
        let status = world.status();
        let procedure = &status["procedure"];
        if plot.is_over(procedure) {
            return;
        }
        assert!(Instant::now() < end, "never over: {procedure:#}\n{context}");
        if objects(procedure, "command_unknown") {
            asked.extend(plot.decide(world, procedure, before));
        } else {
            plot.say(world, &status, before);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn mode(status: &Value) -> String {
    let mode = &status["mode"];
    let (kind, node) = (mode["kind"].as_str().unwrap_or_default(), mode["node"].as_str());
    node.map_or_else(|| kind.to_owned(), |node| format!("{kind} {node}"))
}

fn openness(mode: &str) -> u32 {
    match mode {
        "cluster" => 2,
        "maintenance" => 0,
        _ => 1,
    }
}

/// What the successor of a killed gateway shows, before anybody said anything.
fn check_after(world: &mut World, task: &Task, seen: &Seen, context: &str) {
    let now = world.mode();
    let known = world.call("GET", "/v1/procedures", "", None).expect("it answers").body;
    let known = known["procedures"].as_array().is_some_and(|known| !known.is_empty());
    // Shown as soon as anything is.
    assert_eq!(known, !world.procedure().is_null(), "{context}");
    if known {
        world.wait_until("the procedure is taken up", |world| {
            let procedure = world.procedure();
            !procedure["hold"].is_null() || !procedure["outcome"].is_null()
        });
    }
    let procedure = world.procedure();
    let context = format!("{context}\nnow {now} {procedure:#}");
    assert_eq!(now, world.mode(), "{context}");
    if procedure.is_null() {
        assert!(seen.procedure.is_null(), "the procedure is lost: {context}");
        assert_eq!(now, task.plot.mode_before(), "{context}");
        return;
    }
    let phase = procedure["phase"].as_str().unwrap_or_default();
    assert!(task.plot.modes(phase).contains(&now.as_str()), "{context}");
    let may_have_lowered = ["lower", "done"].contains(&phase);
    if !may_have_lowered && !seen.mode.is_empty() {
        assert!(openness(&now) <= openness(&seen.mode), "{context}");
    }
    let unfinished = task.point.starts_with("engine.") && task.point != "engine.finished";
    assert!(!(unfinished && phase == "lower" && now == "cluster"), "{context}");
    if procedure["outcome"].is_null() {
        assert_eq!(procedure["hold"], "restarted", "{context}");
        assert!(procedure["waiting_for"].to_string().contains("`continue`"), "{context}");
        assert!(offers(&procedure, "continue"), "{context}");
    }
}

/// It ended as it should; nothing ran twice that nobody was asked about.
fn check_end(world: &mut World, plot: Plot, before: usize, asked: &[String]) {
    world.ends(plot.outcome());
    let ran = world.commands().split_off(before);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &ran {
        *times.entry(line).or_default() += 1;
    }
    for (line, times) in times {
        let allowed = 1 + asked.iter().filter(|asked| line.starts_with(*asked)).count();
        assert!(times <= allowed, "{line} ran {times} times: {ran:#?}\n{:#?}", world.past());
    }
    for must in plot.must_run() {
        assert!(ran.iter().any(|line| line.starts_with(must)), "{must}: {ran:#?}");
    }
    assert!(world.read("database").contains(plot.version()), "{}", world.read("database"));
    let new = world.read("database").contains("new_in_2_3_0");
    assert_eq!(new, plot.version() == "2.3.0");
    let mut held = false;
    for past in world.past() {
        match past.what.as_str() {
            "resumed" => held = true,
            "said" => held = false,
            "command_began" if held => {
                let looks = past.detail.starts_with("digest the backup again");
                assert!(looks, "begun before `continue`: {:#?}", world.past());
            }
            _ => {}
        }
    }
    assert!(!job_is(&world.procedure(), "backup", "running"));
}
