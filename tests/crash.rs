//! The real binary, killed at every point of a switch and between them: what it comes back in.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Process, command, get, http, nodes};
use drawspan::control::client::Conditions;
use drawspan::control::wire::{StatusDoc, SwitchBody};
use drawspan::standin::StandIn;
use tempfile::TempDir;
use tokio::task::JoinSet;

const KILLS: usize = 200;
/// Gateways that are killed side by side, each with its own nodes and state.
const LANES: usize = 4;
/// More than a start makes.
const WRITES_TRIED: usize = 16;
const MODES: [&str; 4] = ["cluster", "single n1", "single n2", "maintenance"];

/// Where a gateway is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kill {
    BeforeJournal,
    Journalled,
    Published,
    Fenced,
    /// With a request in flight that keeps the switch from its end.
    Draining,
    Drained,
    Finished,
    /// Somewhere around a switch, by the clock.
    Around,
    /// While nothing is commanded.
    Idle,
    /// While a start records what the one before left open.
    Recovering,
}

/// More than half of them lie between the journal's write and the acknowledgement.
const KINDS: [Kill; 16] = [
    Kill::BeforeJournal,
    Kill::Journalled,
    Kill::Published,
    Kill::Around,
    Kill::Fenced,
    Kill::Drained,
    Kill::Draining,
    Kill::Finished,
    Kill::Journalled,
    Kill::Recovering,
    Kill::Published,
    Kill::Around,
    Kill::Drained,
    Kill::Draining,
    Kill::Idle,
    Kill::Around,
];

impl Kill {
    fn point(self) -> Option<&'static str> {
        match self {
            Self::BeforeJournal => Some("engine.before_journal"),
            Self::Journalled => Some("engine.journalled"),
            Self::Published => Some("engine.published"),
            Self::Fenced => Some("engine.fenced"),
            Self::Drained => Some("engine.drained"),
            Self::Finished => Some("engine.finished"),
            Self::Recovering => Some("journal.committed"),
            Self::Draining | Self::Around | Self::Idle => None,
        }
    }

    fn is_between_journal_and_acknowledgement(self) -> bool {
        match self {
            Self::Journalled | Self::Published | Self::Fenced | Self::Draining => true,
            Self::Drained | Self::Finished => true,
            Self::BeforeJournal | Self::Around | Self::Idle | Self::Recovering => false,
        }
    }
}

/// The rule of SEMANTICS, written down anew: what a switch without a recorded end comes back as.
fn less_open(a: &str, b: &str) -> String {
    let rank = |mode: &str| match mode {
        "cluster" => 2,
        "maintenance" => 0,
        _ => 1,
    };
    match (rank(a), rank(b)) {
        (1, 1) if a != b => "maintenance".to_owned(),
        (of_a, of_b) if of_a <= of_b => a.to_owned(),
        _ => b.to_owned(),
    }
}

/// One gateway over its lives.
struct Lane {
    directory: TempDir,
    nodes: Vec<StandIn>,
    random: fastrand::Rng,
    /// The modes that the next life may come up in.
    allowed: Vec<String>,
    /// Does the journal hold a switch without an end, as far as it is known?
    unfinished: bool,
    histogram: BTreeMap<String, usize>,
}

impl Lane {
    fn new(seed: u64) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a folder"),
            nodes: nodes(2),
            random: fastrand::Rng::with_seed(seed),
            allowed: vec!["cluster".to_owned()],
            unfinished: false,
            histogram: BTreeMap::new(),
        }
    }

    fn spawn(&self, point: Option<&str>) -> Process {
        let addresses: Vec<_> = self.nodes.iter().map(StandIn::addr).collect();
        let points = point.map(|point| format!("{point}=kill@1")).unwrap_or_default();
        let environment = [("DRAWSPAN_FAILPOINTS", points.as_str())];
        Process::spawn(self.directory.path(), "127.0.0.1:0", &addresses, &environment)
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.histogram.entry(what.into()).or_default() += 1;
    }

    /// One life, from the start to the kill.
    async fn live(&mut self, kill: Kill) {
        if kill == Kill::Recovering && self.unfinished {
            let mut process = self.spawn(kill.point());
            process.ended().await;
            // It died while it recorded the recovery: nothing may have changed by that.
            self.count("recovering");
        }
        self.nodes.iter().for_each(StandIn::clear_records);
        let point = if kill == Kill::Recovering { None } else { kill.point() };
        let mut process = self.spawn(point);
        let status = process.status().await;
        let mode = status.mode.to_string();
        assert!(self.allowed.contains(&mode), "{mode}, not {:?} ({kill:?})", self.allowed);
        assert_eq!(status.doubt, None, "{kill:?}");
        self.nothing_crosses(&mode, &status).await;
        self.unfinished = false;
        match kill {
            Kill::Idle | Kill::Recovering => {
                process.kill();
                self.allowed = vec![mode];
                self.count("idle");
            }
            Kill::Draining => self.kill_draining(process, &mode, &status).await,
            Kill::Around => self.kill_around(process, &mode).await,
            Kill::BeforeJournal
            | Kill::Journalled
            | Kill::Published
            | Kill::Fenced
            | Kill::Drained
            | Kill::Finished => self.kill_at(process, &mode, kill).await,
        }
    }

    /// No command was given yet: whoever asks is served by the mode it came up in.
    async fn nothing_crosses(&mut self, mode: &str, status: &StatusDoc) {
        let address = status.listen[0].parse().expect("an address");
        let (code, body) = get(address, "/__test/whoami").await;
        let kept = mode.strip_prefix("single ");
        match (mode, kept) {
            ("maintenance", _) => assert_eq!(code, 503, "{body}"),
            (_, Some(kept)) => assert!(body.contains(&format!("\"{kept}\"")), "{code} {body}"),
            (_, None) => assert_eq!(code, 200, "{body}"),
        }
        for node in &self.nodes {
            if mode == "maintenance" || kept.is_some_and(|kept| kept != node.id()) {
                assert_eq!(node.hits(), 0, "{} in {mode}", node.id());
            }
        }
    }

    fn other(&mut self, mode: &str) -> &'static str {
        let others: Vec<_> = MODES.into_iter().filter(|other| *other != mode).collect();
        others[self.random.usize(..others.len())]
    }

    async fn kill_at(&mut self, mut process: Process, mode: &str, kill: Kill) {
        let to = self.other(mode);
        let answered = switch(&process, to, "0s").await;
        assert!(!answered, "{kill:?}: it was killed before it could answer");
        process.ended().await;
        self.unfinished = kill != Kill::BeforeJournal && kill != Kill::Finished;
        self.allowed = vec![match kill {
            Kill::BeforeJournal => mode.to_owned(),
            Kill::Finished => to.to_owned(),
            _ => less_open(mode, to),
        }];
        self.count(format!("{kill:?}"));
    }

    async fn kill_draining(&mut self, mut process: Process, mode: &str, status: &StatusDoc) {
        let address = status.listen[0].parse().expect("an address");
        let mut client = JoinSet::new();
        let mode = match mode {
            "maintenance" => {
                // Nothing is in flight there.
                assert!(switch(&process, "cluster", "0s").await);
                "cluster"
            }
            other => other,
        };
        let to = match mode {
            "single n1" => "single n2",
            "single n2" => "single n1",
            _ => "maintenance",
        };
        let hold = "GET /__test/hold HTTP/1.1\r\nHost: a\r\n\r\n";
        client.spawn(async move { http(address, hold).await.is_ok() });
        common::eventually("a node holds the request", async || {
            self.nodes.iter().any(|node| 0 < node.held())
        })
        .await;
        let asked = process.client();
        let mut asking = JoinSet::new();
        asking.spawn(async move { common::switch(&asked, to, "60s").await.is_ok() });
        common::eventually("the switch drains", async || {
            let status = process.client().status().await;
            status.is_ok_and(|status| status.doc.switch.is_some_and(|switch| switch.fenced))
        })
        .await;
        process.kill();
        let acknowledged = asking.join_next().await.expect("one").expect("no panic");
        assert!(!acknowledged);
        self.nodes.iter().for_each(StandIn::release);
        self.unfinished = true;
        self.allowed = vec![less_open(mode, to)];
        self.count("Draining");
    }

    /// The kill comes by the clock, so only the answer tells how far the switch came.
    async fn kill_around(&mut self, mut process: Process, mode: &str) {
        let to = self.other(mode);
        let after = Duration::from_micros(self.random.u64(..20_000));
        let client = process.client();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            let body = SwitchBody { drain_timeout: Some("0s".into()), ..forced(to) };
            client.switch(&body, &Conditions::default()).await.is_ok()
        });
        tokio::time::sleep(after).await;
        process.kill();
        if asking.join_next().await.expect("one").expect("no panic") {
            self.allowed = vec![to.to_owned()];
            self.count("by the clock, acknowledged");
        } else {
            self.allowed = vec![mode.to_owned(), less_open(mode, to), to.to_owned()];
            self.count("by the clock, unacknowledged");
        }
    }
}

fn forced(mode: &str) -> SwitchBody {
    SwitchBody { force: Some(true), why: Some("a test".into()), ..command(mode) }
}

/// Was it acknowledged?
async fn switch(process: &Process, to: &str, drain: &str) -> bool {
    let body = SwitchBody { drain_timeout: Some(drain.to_owned()), ..forced(to) };
    process.client().switch(&body, &Conditions::default()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_leave_the_mode_that_the_rules_say() {
    let seed = std::env::var("DRAWSPAN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("DRAWSPAN_SEED={seed}");
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(async move {
            let mut lane = Lane::new(seed.wrapping_add(lane as u64));
            loop {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                if KILLS <= number {
                    // The last one's mode is looked at, too.
                    lane.live(Kill::Idle).await;
                    return lane.histogram;
                }
                lane.live(KINDS[number % KINDS.len()]).await;
            }
        });
    }
    let mut histogram: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(lane) = lanes.join_next().await {
        for (kind, count) in lane.expect("no lane failed") {
            *histogram.entry(kind).or_default() += count;
        }
    }
    let between = KINDS.iter().filter(|kind| kind.is_between_journal_and_acknowledgement());
    let between: Vec<String> = between.map(|kind| format!("{kind:?}")).collect();
    for (kind, count) in &histogram {
        println!("{count:>5}  {kind}");
    }
    let all: usize = histogram.values().sum();
    let inside: usize = between
        .iter()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter_map(|kind| histogram.get(kind))
        .sum();
    println!("{inside} of {all} between the journal's write and the acknowledgement");
    assert!(KILLS <= all && all <= 2 * inside, "{inside} of {all}");
}

/// A gateway that ran in `mode` and was killed; its folder, and its nodes.
async fn killed_in(mode: &str) -> (TempDir, Vec<StandIn>) {
    let directory = tempfile::tempdir().expect("a folder");
    let nodes = nodes(2);
    let mut process = start(&directory, &nodes, None);
    process.ready().await;
    assert!(mode == "cluster" || switch(&process, mode, "0s").await);
    process.kill();
    nodes.iter().for_each(StandIn::clear_records);
    (directory, nodes)
}

fn start(directory: &TempDir, nodes: &[StandIn], point: Option<&str>) -> Process {
    let addresses: Vec<_> = nodes.iter().map(StandIn::addr).collect();
    let points = point.map(|point| format!("{point}=kill@1")).unwrap_or_default();
    let environment = [("DRAWSPAN_FAILPOINTS", points.as_str())];
    Process::spawn(directory.path(), "127.0.0.1:0", &addresses, &environment)
}

/// Comes up raised and in doubt, serves the notice, and shows no node to anybody.
async fn comes_up_in_doubt(process: &mut Process, nodes: &[StandIn], what: &str) -> StatusDoc {
    let status = process.status().await;
    assert_eq!(status.mode.kind, "maintenance", "{what}");
    assert!(status.doubt.is_some(), "{what}");
    let address = status.listen[0].parse().expect("an address");
    assert_eq!(get(address, "/").await.0, 503, "{what}");
    assert!(nodes.iter().all(|node| node.hits() == 0), "{what}");
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_was_cut_or_lost_raises_and_the_next_start_remembers_why() {
    let (directory, nodes) = killed_in("cluster").await;
    let journal = directory.path().join("state/journal.redb");
    let whole = std::fs::read(&journal).expect("it is there");
    let mut wrong: Vec<(String, Option<Vec<u8>>)> = [0, 1, 4096, whole.len() / 2, whole.len() - 1]
        .map(|length| (format!("{length} bytes"), Some(whole[..length].to_vec())))
        .into();
    wrong.push(("none".into(), None));
    wrong.push(("zeros".into(), Some(vec![0; whole.len()])));
    for (what, bytes) in wrong {
        match bytes {
            Some(bytes) => std::fs::write(&journal, bytes).expect("written"),
            None => std::fs::remove_file(&journal).expect("removed"),
        }
        let mut process = start(&directory, &nodes, None);
        let doubt = comes_up_in_doubt(&mut process, &nodes, &what).await.doubt;
        process.kill();
        let mut process = start(&directory, &nodes, None);
        let again = comes_up_in_doubt(&mut process, &nodes, &what).await.doubt;
        assert_eq!(doubt, again, "{what}");
        // Only a command ends it.
        assert!(switch(&process, "cluster", "0s").await, "{what}");
        assert_eq!(process.status().await.doubt, None);
        process.kill();
        nodes.iter().for_each(StandIn::clear_records);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_a_lost_journal_is_replaced_does_not_look_like_a_first_start() {
    let points = [
        "start.raised",
        "start.moved_aside",
        "start.journal_made",
        "start.journal_placed",
        "start.raise_recorded",
    ];
    for point in points {
        let (directory, nodes) = killed_in("cluster").await;
        std::fs::write(directory.path().join("state/journal.redb"), b"").expect("written");
        let mut process = start(&directory, &nodes, Some(point));
        process.ended().await;
        let mut process = start(&directory, &nodes, None);
        let doubt = comes_up_in_doubt(&mut process, &nodes, point).await.doubt.unwrap_or_default();
        assert!(!doubt.contains("missing"), "{point}: not what was found at first: {doubt}");
    }
}

/// Runs with a configuration file of these nodes, and more lines before them.
fn start_with(directory: &Path, more: &str, nodes: &[(&str, &str, String)]) -> Process {
    start_in(directory, more, nodes, &[])
}

fn start_in(
    directory: &Path,
    more: &str,
    nodes: &[(&str, &str, String)],
    environment: &[(&str, &str)],
) -> Process {
    let path = |name: &str| directory.join(name).to_str().expect("a plain path").to_owned();
    let mut text = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\nstate_dir = \"{}\"\n{more}\n\
         [control]\npath = \"{}\"\n",
        path("state"),
        path("control.sock"),
    );
    for (id, role, address) in nodes {
        text.push_str(&format!(
            "[[nodes]]\nid = \"{id}\"\nrole = \"{role}\"\naddress = \"{address}\"\n"
        ));
    }
    std::fs::write(directory.join("drawspan.toml"), text).expect("written");
    let arguments = ["--config".to_owned(), path("drawspan.toml")];
    Process::spawn_with(directory, &arguments, environment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_raises_where_its_kept_node_is_gone_has_moved_or_is_a_worker() {
    let address = |node: &StandIn| format!("http://{}", node.addr());
    for (what, role, moved) in
        [("gone", None, false), ("moved", Some("request"), true), ("worker", Some("worker"), false)]
    {
        let directory = tempfile::tempdir().expect("a folder");
        let nodes = nodes(3);
        let (a, b, c) = (address(&nodes[0]), address(&nodes[1]), address(&nodes[2]));
        let before = [("a", "request", a.clone()), ("b", "request", b.clone())];
        let mut process = start_with(directory.path(), "", &before);
        process.ready().await;
        assert!(switch(&process, "single a", "0s").await);
        process.kill();
        // Unchanged, it goes on.
        let mut process = start_with(directory.path(), "", &before);
        assert_eq!(process.status().await.mode.to_string(), "single a");
        process.kill();
        nodes.iter().for_each(StandIn::clear_records);

        let mut after = vec![("b", "request", b)];
        after.extend(role.map(|role| ("a", role, if moved { c } else { a })));
        let mut process = start_with(directory.path(), "", &after);
        comes_up_in_doubt(&mut process, &nodes, what).await;
        process.kill();
        // Put right again, the doubt stays until somebody decides.
        let mut process = start_with(directory.path(), "", &before);
        comes_up_in_doubt(&mut process, &nodes, what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_very_first_start_takes_the_configured_mode_and_later_ones_do_not() {
    let nodes = nodes(1);
    let list = [("a", "request", format!("http://{}", nodes[0].addr()))];
    for (line, mode) in [("", "cluster"), ("initial_mode = \"maintenance\"", "maintenance")] {
        let directory = tempfile::tempdir().expect("a folder");
        let mut process = start_with(directory.path(), line, &list);
        let status = process.status().await;
        assert_eq!((status.mode.kind.as_str(), status.revision), (mode, 1));
        assert_eq!((status.doubt, status.by.as_str()), (None, "initial_mode"));
        process.kill();
        let mut process = start_with(directory.path(), "initial_mode = \"maintenance\"", &list);
        let status = process.status().await;
        assert_eq!((status.mode.kind.as_str(), status.revision), (mode, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_fails_decides_nothing() {
    let nodes = nodes(1);
    let list = [("a", "request", format!("http://{}", nodes[0].addr()))];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let wrong = [
        format!("listen = [\"{address}\"]"),
        format!("admin = \"{address}\""),
        "[notice]\npage = \"/nonexistent/page.html\"".to_owned(),
        "[log]\naccess = \"/nonexistent/access.log\"".to_owned(),
    ];
    for wrong in wrong {
        let directory = tempfile::tempdir().expect("a folder");
        let mut process = start_changed(directory.path(), &wrong, &list);
        assert_eq!(process.ended().await.code(), Some(2), "{wrong}: {}", process.stderr());
        let mut process = start_with(directory.path(), "initial_mode = \"maintenance\"", &list);
        let status = process.status().await;
        assert_eq!((status.mode.kind.as_str(), status.revision), ("maintenance", 1), "{wrong}");
    }
}

/// As [`start_with`], with a line in place of the one of the same key, or a table more.
fn start_changed(directory: &Path, line: &str, nodes: &[(&str, &str, String)]) -> Process {
    let mut process = start_with(directory, "", nodes);
    process.kill();
    // It may not have come so far.
    let _ = std::fs::remove_dir_all(directory.join("state"));
    let file = directory.join("drawspan.toml");
    let text = std::fs::read_to_string(&file).expect("just written");
    let key = line.split(" = ").next().unwrap_or(line);
    let lines = text.lines().map(|old| if old.starts_with(key) { line } else { old });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if line.starts_with('[') {
        text.push_str(&format!("\n{line}\n"));
    }
    std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("a plain path").to_owned();
    Process::spawn_with(directory, &["--config".to_owned(), path], &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_tells_what_a_kill_interrupted_and_who_set_the_mode_is_still_known() {
    let (directory, nodes) = killed_in("single n1").await;
    let mut process = start(&directory, &nodes, Some("engine.published"));
    let before = process.ready().await;
    assert!(!switch(&process, "cluster", "0s").await);
    process.ended().await;

    let mut process = start(&directory, &nodes, None);
    let status = process.ready().await;
    assert_eq!(status.mode.to_string(), "single n1");
    assert_eq!((&status.by, &status.since), (&before.by, &before.since));
    let history = process.client().history(3).await.expect("answered").doc.history;
    let told: Vec<_> = history
        .iter()
        .map(|past| (past.from.to_string(), past.to.to_string(), past.ending.as_str()))
        .collect();
    let entry = |from: &str, to: &str, ending| (from.to_owned(), to.to_owned(), ending);
    assert_eq!(told[0], entry("cluster", "single n1", "at_start"));
    assert_eq!(told[1], entry("single n1", "cluster", "interrupted"));
    assert_eq!(told[2], entry("cluster", "single n1", "drained"));
    assert_eq!(history.iter().map(|p| p.finished).collect::<Vec<_>>(), [true, false, true]);
    process.kill();

    std::fs::write(directory.path().join("state/journal.redb"), b"x").expect("written");
    let mut process = start(&directory, &nodes, None);
    process.status().await;
    let history = process.client().history(3).await.expect("answered").doc.history;
    assert_eq!(history.len(), 1);
    let (from, to) = (history[0].from.to_string(), history[0].to.to_string());
    assert_eq!((from.as_str(), to.as_str()), ("unknown", "maintenance"));
    assert_eq!(history[0].by, "doubt");
}

async fn metrics(status: &StatusDoc) -> String {
    let admin = status.admin.as_ref().and_then(|admin| admin.parse().ok());
    get(admin.expect("an admin address"), "/metrics").await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_says_what_is_lost_where_the_rest_lies_and_how_it_ends() {
    let (directory, nodes) = killed_in("single n1").await;
    std::fs::write(directory.path().join("state/journal.redb"), b"damaged").expect("written");
    let mut process = start(&directory, &nodes, None);
    process.ready().await;
    process.kill();
    // Over one more start, too.
    let mut process = start(&directory, &nodes, None);
    let status = process.ready().await;
    let kept = status.damaged_journal.as_ref().expect("it was moved aside");
    assert_eq!(std::fs::read(kept).expect("it is there"), b"damaged");
    assert_eq!(status.mode_before.as_ref().map(|mode| mode.kind.as_str()), Some("unknown"));
    assert!(status.doubt_remedy.as_ref().is_some_and(|r| r.contains("drawspan mode")));
    assert!(metrics(&status).await.contains("\ndrawspan_doubt 1\n"));

    let mut show = common::binary();
    show.args(["status", "--control"]).arg(directory.path().join("control.sock"));
    let shown = shown_by(&mut show);
    for word in [kept.as_str(), "remedy", "unknown"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let reply =
        common::switch(&process.client(), "cluster", "0s").await.expect("a command ends it");
    assert!(reply.warnings.iter().any(|warning| warning.contains("is not known")), "{reply:?}");
    let status = process.status().await;
    assert_eq!((&status.doubt, &status.damaged_journal), (&None, &None));
    assert!(status.mode_before.is_none() && status.doubt_remedy.is_none());
    assert!(metrics(&status).await.contains("\ndrawspan_doubt 0\n"));
}

fn shown_by(command: &mut std::process::Command) -> String {
    String::from_utf8(command.output().expect("it runs").stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_write_of_a_start_in_doubt_fails_it_comes_up_raised() {
    let address = |node: &StandIn| format!("http://{}", node.addr());
    let nodes = nodes(2);
    let before = [("a", "request", address(&nodes[0])), ("b", "request", address(&nodes[1]))];
    let after = [("b", "request", address(&nodes[1]))];
    for write in 1..=WRITES_TRIED {
        let directory = tempfile::tempdir().expect("a folder");
        let mut process = start_with(directory.path(), "", &before);
        process.status().await;
        assert!(switch(&process, "single a", "0s").await);
        process.kill();
        nodes.iter().for_each(StandIn::clear_records);
        let points = format!("journal.write=error@{write}+");
        let environment = [("DRAWSPAN_FAILPOINTS", points.as_str())];
        let mut process = start_in(directory.path(), "", &after, &environment);
        comes_up_in_doubt(&mut process, &nodes, &points).await;
        process.kill();
        // The configuration is right again: only what was recorded can tell of the doubt.
        let mut process = start_with(directory.path(), "", &before);
        comes_up_in_doubt(&mut process, &nodes, "the next start").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_changes_what_runs_and_is_under_way_at_a_kill_is_not_forgotten() {
    use tokio::io::AsyncWriteExt;
    let directory = tempfile::tempdir().expect("a folder");
    let nodes = nodes(2);
    let mut process = start(&directory, &nodes, None);
    let status = process.ready().await;
    assert!(switch(&process, "single n1", "0s").await);
    let mut call = tokio::net::TcpStream::connect(&status.listen[0]).await.expect("accepted");
    // Without the last byte of its body, so that no answer can come.
    let head = "POST /api/pm:enable HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    call.write_all(head.as_bytes()).await.expect("taken");
    common::eventually("it is noted", async || {
        let status = process.client().status().await;
        status.is_ok_and(|status| !status.doc.must_restart.is_empty())
    })
    .await;
    process.kill();
    let mut process = start(&directory, &nodes, None);
    let status = process.ready().await;
    let must = status.must_restart.first().expect("the other node");
    assert_eq!((must.node.as_str(), must.kept.as_str()), ("n2", "n1"));
    let refused = common::code(common::switch(&process.client(), "cluster", "0s").await);
    assert_eq!(refused, "refused");
}
