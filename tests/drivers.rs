//! The operator's commands as real processes: what outlives the gateway, what is known afterwards,
//! what is ended and what is not.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::eventually;
use drawspan::drivers::{
    DriverError, Ending, Found, NodeStatus, Order, Outcome, Prepared, Runner, Ticket, Until,
    parse_status,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The test's own binary has no verb `supervise`; the real one does.
fn runner(top: &Path) -> Runner {
    Runner::with_supervisor(top.join("commands"), env!("CARGO_BIN_EXE_drawspan"))
}

fn order(argv: &[&str]) -> Order {
    let argv = argv.iter().map(|text| (*text).to_owned()).collect();
    let (pass_env, env) = (Vec::new(), std::collections::BTreeMap::new());
    Order { argv, limit: LONG, pass_env, env, until: Until::Itself }
}

/// A script that finds this test's folder in `$0`.
fn script(top: &Path, text: &str) -> Order {
    order(&["sh", "-c", text, top.to_str().expect("UTF-8")])
}

fn begin(runner: &Runner, number: u64, order: &Order) -> Ticket {
    let prepared: Prepared = runner.prepare(number, order).expect("prepared");
    let ticket = prepared.ticket.clone();
    prepared.go().expect("it begins");
    ticket
}

async fn run(runner: &Runner, number: u64, order: &Order) -> Outcome {
    let ticket = begin(runner, number, order);
    runner.watch(number, &ticket).await
}

fn exited(code: i32) -> Outcome {
    Outcome::Ended(Ending::Exited { code })
}

fn output(runner: &Runner, number: u64) -> Vec<u8> {
    runner.output_after(number, 0, usize::MAX).0
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("it is there");
}

/// The process whose number a script wrote down.
async fn noted(path: PathBuf) -> Ticket {
    let read = || {
        let text = fs::read_to_string(&path).ok()?;
        text.ends_with('\n').then(|| text.trim().parse::<u32>().expect("a number"))
    };
    eventually("the number is written", async || read().is_some()).await;
    identity(read().expect("it is there"))
}

/// As the product reads it, so that a later process of that number is not mistaken for it.
fn identity(pid: u32) -> Ticket {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let started = fields.split_whitespace().nth(19).expect("field 22").parse().expect("a number");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("readable");
    Ticket { number: 0, pid, started, boot: boot.trim().to_owned() }
}

fn runs(process: &Ticket) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", process.pid)) else { return false };
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[0] != "Z" && fields[19].parse() == Ok(process.started)
}

// --- this binary again, as a small gateway -------------------------------------------------------

const ROLE: &str = "DRAWSPAN_TEST_ROLE";
const FOLDER: &str = "DRAWSPAN_TEST_FOLDER";

/// Not a test by itself: what a child runs. Without a role there is nothing to do.
#[test]
fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let top = PathBuf::from(std::env::var(FOLDER).expect("the parent names it"));
    match role.as_str() {
        "prepare" | "go" => small_gateway(&top, role == "go"),
        "full_disk" => on_a_full_disk(&top),
        other => panic!("no role {other}"),
    }
}

/// Not a test by itself: what `supervise .` means to this binary, where it is started as a
/// supervisor. Elsewhere there is nothing to do.
#[test]
fn supervise() {
    if Path::new("order").exists() && Path::new("waiting").exists() {
        drawspan::drivers::supervisor::run(Path::new(".")).expect("the folder of a command");
    }
}

fn child(role: &str, top: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it has a path"));
    command.args(["--exact", "child_process", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FOLDER, top).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Prepares a command, writes its ticket down, lets it go or not, and waits to be killed.
fn small_gateway(top: &Path, goes: bool) {
    let text = "echo begun; until [ -e \"$0/release\" ]; do sleep 0.02; done; echo done; exit 5";
    let prepared = runner(top).prepare(1, &script(top, text)).expect("prepared");
    let ticket = serde_json::to_vec(&prepared.ticket).expect("plain data");
    fs::write(top.join("ticket.new"), ticket).expect("written");
    fs::rename(top.join("ticket.new"), top.join("ticket")).expect("renamed");
    let _kept = if goes {
        prepared.go().expect("it begins");
        fs::write(top.join("gone"), "").expect("written");
        None
    } else {
        Some(prepared)
    };
    loop {
        std::thread::park();
    }
}

/// Starts the small gateway, and kills it when it has written the ticket.
async fn killed_gateway(top: &Path, role: &str) -> Ticket {
    let mut gateway: Child = child(role, top).spawn().expect("it starts");
    let last = if role == "go" { "gone" } else { "ticket" };
    eventually("it is so far", async || top.join(last).exists()).await;
    gateway.kill().expect("our child");
    let status = gateway.wait().expect("our child");
    assert_eq!(status.signal(), Some(9), "it ended by itself");
    let ticket = fs::read(top.join("ticket")).expect("it is there");
    serde_json::from_slice(&ticket).expect("a ticket")
}

#[tokio::test]
async fn a_command_outlives_the_gateway_and_the_next_one_learns_how_it_ended() {
    let top = folder();
    let ticket = killed_gateway(top.path(), "go").await;
    let runner = runner(top.path());
    eventually("its output comes", async || output(&runner, 1) == b"begun\n").await;
    assert_eq!(runner.find(1, Some(&ticket)), Found::Running);
    let again = runner.prepare(1, &order(&["true"])).expect_err("it runs");
    assert!(matches!(again, DriverError::Begun { number: 1, .. }), "{again}");

    fs::write(top.path().join("release"), "").expect("written");
    assert_eq!(runner.watch(1, &ticket).await, exited(5));
    assert_eq!(runner.find(1, Some(&ticket)), Found::Ended(Ending::Exited { code: 5 }));
    // Known without the ticket, too.
    assert_eq!(runner.find(1, None), Found::Ended(Ending::Exited { code: 5 }));
    assert_eq!(runner.tail(1, 1, 100), ["done"]);
}

#[tokio::test]
async fn a_command_that_was_not_let_go_never_runs_once_its_gateway_has_died() {
    let top = folder();
    let ticket = killed_gateway(top.path(), "prepare").await;
    let runner = runner(top.path());
    assert_eq!(runner.watch(1, &ticket).await, Outcome::NeverRan);
    assert_eq!(runner.find(1, None), Found::NeverRan);
    assert_eq!(output(&runner, 1), b"");
    eventually("its supervisor has ended", async || !runs(&ticket)).await;
    // Its number may be used again.
    assert_eq!(run(&runner, 1, &order(&["true"])).await, exited(0));
}

#[tokio::test]
async fn a_command_that_was_dropped_before_it_was_let_go_never_runs() {
    let top = folder();
    let runner = runner(top.path());
    let prepared = runner.prepare(3, &script(top.path(), "touch $0/ran")).expect("prepared");
    let ticket = prepared.ticket.clone();
    assert_eq!(runner.find(3, Some(&ticket)), Found::Running);
    drop(prepared);
    assert_eq!(runner.watch(3, &ticket).await, Outcome::NeverRan);
    assert!(!top.path().join("ran").exists());
    assert_eq!(runner.find(4, None), Found::NeverRan);
}

#[tokio::test]
async fn a_runner_starts_the_program_that_it_is_in() {
    let top = folder();
    let runner = Runner::new(top.path().join("commands"));
    assert_eq!(run(&runner, 1, &script(top.path(), "touch $0/ran; exit 4")).await, exited(4));
    assert!(top.path().join("ran").exists());
}

#[tokio::test]
async fn each_end_is_told_as_it_was() {
    let top = folder();
    let runner = runner(top.path());
    for (number, text, ending) in [
        (1, "exit 0", Ending::Exited { code: 0 }),
        (2, "exit 255", Ending::Exited { code: 255 }),
        (3, "kill -9 $$", Ending::Signalled { signal: 9 }),
    ] {
        let outcome = run(&runner, number, &script(top.path(), text)).await;
        assert_eq!(outcome, Outcome::Ended(ending), "{text}");
    }
    let missing = run(&runner, 4, &order(&["/nonexistent/program"])).await;
    let Outcome::Ended(Ending::CouldNotStart { reason }) = missing else { panic!("{missing:?}") };
    assert!(reason.contains("/nonexistent/program: No such file"), "{reason}");
}

#[tokio::test]
async fn arguments_pass_untouched_and_nothing_of_our_environment_but_what_is_named() {
    let top = folder();
    let runner = runner(top.path());
    let strange = ["a b", "\"", "'", "$HOME", "*", "", "\n", "\\", "-n", "é\u{1}\u{7f}", "{{}}"];
    let print = ["sh", "-c", "for a; do printf '%s\\0' \"$a\"; done", "x"];
    assert_eq!(run(&runner, 1, &order(&[&print[..], &strange].concat())).await, exited(0));
    let expected: String = strange.iter().map(|text| format!("{text}\0")).collect();
    assert_eq!(output(&runner, 1), expected.as_bytes());

    let mut order = order(&["env"]);
    order.pass_env = vec!["CARGO_MANIFEST_DIR".to_owned(), "NOT_SET_ANYWHERE".to_owned()];
    order.env = [("PGHOST".to_owned(), "$HOME {node}".to_owned())].into();
    assert_eq!(run(&runner, 2, &order).await, exited(0));
    let env = String::from_utf8(output(&runner, 2)).expect("UTF-8");
    let names = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let known = ["PATH", "LANG", "HOME", "TZ", "PGHOST", "CARGO_MANIFEST_DIR"];
    assert_eq!(names.clone().find(|name| !known.contains(name)), None, "{env}");
    assert!(names.clone().any(|name| name == "CARGO_MANIFEST_DIR"), "{env}");
    assert!(env.contains("PGHOST=$HOME {node}\n"), "{env}");
    // A value that was passed on lies nowhere on the disk but in what the command wrote.
    let order = fs::read_to_string(runner.path_of(2).join("order")).expect("it is there");
    assert!(!order.contains(env!("CARGO_MANIFEST_DIR")), "{order}");
    let quick = runner.quick(&self::order(&["env"])).await.expect("it starts");
    assert!(!quick.output.contains("CARGO"), "{}", quick.output);
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group_and_spares_what_has_left_it() {
    let top = folder();
    let runner = runner(top.path());
    let text = "setsid sh -c 'echo $$ > $0/left; exec sleep 600' \"$0\" &
        sh -c 'echo $$ > $0/member; exec sleep 600' \"$0\" & wait";
    let order = Order { limit: Duration::from_secs(2), ..script(top.path(), text) };
    let ticket = begin(&runner, 1, &order);
    let left = noted(top.path().join("left")).await;
    let member = noted(top.path().join("member")).await;
    assert!(runs(&left) && runs(&member));
    assert_eq!(runner.watch(1, &ticket).await, Outcome::Ended(Ending::TimedOut));
    assert!(!runs(&member), "a member of the group lives on");
    assert!(runs(&left), "what left the group was ended");
    signal(left.pid, Signal::KILL);
}

#[tokio::test]
async fn a_member_that_ignores_the_polite_signal_is_killed_even_where_its_leader_is_not_there() {
    let top = folder();
    let runner = runner(top.path());
    let text = "sh -c 'trap \"\" TERM; echo $$ > $0/member; while :; do sleep 600; done' \"$0\" &
        wait";
    let order = Order { limit: Duration::from_secs(2), ..script(top.path(), text) };
    let ticket = begin(&runner, 1, &order);
    let member = noted(top.path().join("member")).await;
    assert_eq!(runner.watch(1, &ticket).await, Outcome::Ended(Ending::TimedOut));
    eventually("it is gone", async || !runs(&member)).await;
}

#[tokio::test]
async fn the_operator_may_end_a_command() {
    let top = folder();
    let runner = runner(top.path());
    let ticket = begin(&runner, 1, &script(top.path(), "echo $$ > $0/pid; sleep 600"));
    let process = noted(top.path().join("pid")).await;
    runner.kill(1, &ticket).expect("it is ours");
    assert_eq!(runner.watch(1, &ticket).await, Outcome::Ended(Ending::ByOperator));
    assert!(!runs(&process));
    runner.kill(1, &ticket).expect("nothing is left to end");
}

#[tokio::test]
async fn the_signals_of_a_stop_do_not_end_a_command() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo $$ > $0/pid; until [ -e \"$0/release\" ]; do sleep 0.02; done";
    let ticket = begin(&runner, 1, &script(top.path(), text));
    noted(top.path().join("pid")).await;
    for stop in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR2] {
        signal(ticket.pid, stop);
    }
    assert_eq!(runner.find(1, Some(&ticket)), Found::Running);
    fs::write(top.path().join("release"), "").expect("written");
    assert_eq!(runner.watch(1, &ticket).await, exited(0));
}

#[tokio::test]
async fn a_command_whose_supervisor_was_killed_runs_on_and_its_end_is_unknown() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo $$ > $0/pid; until [ -e \"$0/release\" ]; do sleep 0.02; done";
    let ticket = begin(&runner, 1, &script(top.path(), text));
    noted(top.path().join("pid")).await;
    eventually("it is noted", async || runner.path_of(1).join("child").exists()).await;
    signal(ticket.pid, Signal::KILL);
    eventually("it is gone", async || !runs(&ticket)).await;
    assert_eq!(runner.find(1, Some(&ticket)), Found::Running);
    fs::write(top.path().join("release"), "").expect("written");
    assert_eq!(runner.watch(1, &ticket).await, Outcome::Gone);
    assert!(matches!(runner.prepare(1, &order(&["true"])), Err(DriverError::Begun { .. })));

    let ticket = begin(&runner, 2, &script(top.path(), "echo $$ > $0/pid2; sleep 600"));
    let command = noted(top.path().join("pid2")).await;
    eventually("it is noted", async || runner.path_of(2).join("child").exists()).await;
    signal(ticket.pid, Signal::KILL);
    eventually("it is gone", async || !runs(&ticket)).await;
    runner.kill(2, &ticket).expect("it is ours");
    assert_eq!(runner.watch(2, &ticket).await, Outcome::Gone);
    assert!(!runs(&command));
}

#[tokio::test]
async fn another_process_with_the_number_of_a_supervisor_is_not_taken_for_it() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo $$ > $0/pid; exec sleep 600";
    let ticket = begin(&runner, 1, &script(top.path(), text));
    let command = noted(top.path().join("pid")).await;
    eventually("it is noted", async || runner.path_of(1).join("child").exists()).await;
    signal(ticket.pid, Signal::KILL);
    signal(command.pid, Signal::KILL);
    eventually("both are gone", async || !runs(&ticket) && !runs(&command)).await;

    // This very process has that number now, in the words of the ticket.
    let own = identity(std::process::id());
    for other in [
        Ticket { pid: own.pid, ..ticket.clone() },
        Ticket { number: 1, boot: "another".to_owned(), ..own.clone() },
    ] {
        assert_eq!(runner.find(1, Some(&other)), Found::Gone, "{other:?}");
        // USR1 would end this test.
        runner.kill(1, &other).expect("nobody is signalled");
    }
    assert_eq!(runner.find(1, Some(&own)), Found::Running);
    assert_eq!(runner.watch(1, &ticket).await, Outcome::Gone);
}

#[tokio::test]
async fn output_is_kept_bounded_with_its_start_and_its_end() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo first; head -c 60000000 /dev/zero | tr '\\0' '\\n'; echo last; echo err >&2";
    assert_eq!(run(&runner, 1, &script(top.path(), text)).await, exited(0));
    let bytes = fs::metadata(runner.path_of(1).join("output")).expect("it is there").len();
    assert!(bytes <= 16 << 20, "{bytes}");
    assert_eq!(runner.output_after(1, 0, 6), (b"first\n".to_vec(), 6));
    assert_eq!(runner.tail(1, 2, 1_000), ["last", "err"]);
    let text = String::from_utf8(output(&runner, 1)).expect("UTF-8");
    assert!(text.contains("\n[drawspan: more than 16 MiB; "), "nothing says so");
}

#[tokio::test]
async fn only_the_last_folders_are_kept_and_those_that_are_needed() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo $$ > $0/pid; until [ -e \"$0/release\" ]; do sleep 0.02; done";
    let ticket = begin(&runner, 2, &script(top.path(), text));
    noted(top.path().join("pid")).await;
    for number in (1..=205).filter(|number| *number != 2) {
        fs::create_dir(runner.path_of(number)).expect("made");
    }
    fs::create_dir(top.path().join("commands/x")).expect("made");
    runner.prune(&[4]).expect("removed");
    let there = |number| runner.path_of(number).exists();
    assert_eq!([1, 2, 3, 4, 5, 6, 205].map(there), [false, true, false, true, false, true, true]);
    assert!(top.path().join("commands/x").exists());
    fs::write(top.path().join("release"), "").expect("written");
    assert_eq!(runner.watch(2, &ticket).await, exited(0));
    runner.prune(&[]).expect("removed");
    assert!(!there(2));
}

// --- killed at each step -------------------------------------------------------------------------

/// Where a gateway may be killed, and whether its command begins all the same.
#[cfg(feature = "failpoints")]
const STEPS: [(&str, bool); 5] = [
    ("drivers.folder_made", false),
    ("drivers.folder_filled", false),
    ("drivers.supervisor_started", false),
    ("drivers.go", false),
    ("drivers.gone", true),
];

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_gateway_killed_at_any_step_leaves_a_command_that_ran_once_or_never() {
    for (step, begins) in STEPS {
        let top = folder();
        let mut gateway = child("go", top.path());
        gateway.env("DRAWSPAN_FAILPOINTS", format!("{step}=kill"));
        let status = gateway.status().expect("it starts");
        assert_eq!(status.signal(), Some(9), "{step}");
        fs::write(top.path().join("release"), "").expect("written");
        let ticket = fs::read(top.path().join("ticket"));
        let ticket: Option<Ticket> =
            ticket.ok().map(|ticket| serde_json::from_slice(&ticket).expect("a ticket"));
        let runner = runner(top.path());
        if begins {
            let ticket = ticket.expect("it is written before the command is let go");
            assert_eq!(runner.watch(1, &ticket).await, exited(5), "{step}");
            continue;
        }
        eventually(step, async || runner.find(1, ticket.as_ref()) == Found::NeverRan).await;
        let again = script(top.path(), "echo again");
        assert_eq!(run(&runner, 1, &again).await, exited(0), "{step}");
        assert_eq!(output(&runner, 1), b"again\n", "{step}");
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_supervisor_killed_before_it_noted_the_beginning_has_surely_run_nothing() {
    for (step, ran, outcome) in [
        ("supervisor.told", false, Outcome::NeverRan),
        ("supervisor.begun", false, Outcome::Gone),
        ("supervisor.ended", true, Outcome::Gone),
    ] {
        let top = folder();
        let runner = runner(top.path());
        let mut order = script(top.path(), "touch $0/ran");
        order.env.insert("DRAWSPAN_FAILPOINTS".to_owned(), format!("{step}=kill"));
        assert_eq!(run(&runner, 1, &order).await, outcome, "{step}");
        assert_eq!(top.path().join("ran").exists(), ran, "{step}");
    }
}

// --- a full disk ---------------------------------------------------------------------------------

#[test]
fn a_full_disk_lets_nothing_begin_and_hides_no_end() {
    let top = folder();
    fs::create_dir(top.path().join("disk")).expect("made");
    let child = child("full_disk", top.path());
    let mut shell = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=1m none \"$0/disk\" || exit 77; exec \"$@\"";
    shell.args(["-rm", "sh", "-c", mount]).arg(top.path());
    shell.arg(child.get_program()).args(child.get_args());
    shell.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = shell.output().expect("it ran");
    if ended.status.code() == Some(77) {
        eprintln!("left out: no file system of its own can be mounted here");
        return;
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(top.path().join("went_well").exists(), "{said}");
}

fn on_a_full_disk(top: &Path) {
    use std::io::Write;
    let disk = top.join("disk");
    let runner = Runner::with_supervisor(disk.join("c"), env!("CARGO_BIN_EXE_drawspan"));
    let fill = |name: &str| {
        let mut file = fs::File::create(disk.join(name)).expect("a name needs no space");
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    fill("filler");
    let text = "touch $0/ran; until [ -e \"$0/release\" ]; do sleep 0.02; done; exit 6";
    let refused = runner.prepare(1, &script(top, text)).expect_err("the disk is full");
    assert!(refused.to_string().ends_with("; free space there"), "{refused}");
    assert_eq!(runner.find(1, None), Found::NeverRan);

    fs::remove_file(disk.join("filler")).expect("it is there");
    let prepared = runner.prepare(1, &script(top, text)).expect("there is space");
    fill("filler");
    let ticket = prepared.ticket.clone();
    assert!(!top.join("ran").exists());
    prepared.go().expect("it begins");
    fs::write(top.join("release"), "").expect("elsewhere");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    assert_eq!(runtime.block_on(runner.watch(1, &ticket)), exited(6));
    assert!(top.join("ran").exists());
    fs::write(top.join("went_well"), "").expect("elsewhere");
}

// --- quick commands ------------------------------------------------------------------------------

#[tokio::test]
async fn a_quick_command_answers_with_its_end_and_what_it_wrote() {
    let top = folder();
    let runner = runner(top.path());
    let text = "echo running; echo started=1763800000; echo hint >&2; exit 1";
    let quick = runner.quick(&script(top.path(), text)).await.expect("it starts");
    assert_eq!(quick.ending, Ending::Exited { code: 1 });
    assert_eq!(quick.errors, "hint\n");
    assert!(matches!(parse_status(&quick), NodeStatus::Running { started: Some(_) }));
    assert_eq!(quick.last_lines(2), ["started=1763800000", "hint"]);
    assert!(!top.path().join("commands").exists(), "it leaves nothing on the disk");

    let text = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last";
    let quick = runner.quick(&script(top.path(), text)).await.expect("it starts");
    assert_eq!(quick.output.len(), 64 << 10);
    assert!(quick.output.ends_with("x\nlast\n"));
    let missing = runner.quick(&order(&["/nonexistent"])).await.expect_err("nothing is there");
    assert!(missing.to_string().starts_with("cannot start /nonexistent: "), "{missing}");
}

#[tokio::test]
async fn a_quick_command_is_killed_with_its_group_at_its_limit_and_when_nobody_waits() {
    let top = folder();
    let runner = runner(top.path());
    let text = "trap '' TERM; sh -c 'echo $$ > $0/member; exec sleep 600' \"$0\" & echo said; wait";
    let late = Order { limit: Duration::from_millis(500), ..script(top.path(), text) };
    let quick = runner.quick(&late).await.expect("it starts");
    assert_eq!((quick.ending, quick.output.as_str()), (Ending::TimedOut, "said\n"));
    let member = fs::read_to_string(top.path().join("member")).expect("it was there");
    let gone = || fs::read_to_string(format!("/proc/{}/cmdline", member.trim()));
    eventually("it is gone", async || gone().unwrap_or_default().is_empty()).await;

    fs::remove_file(top.path().join("member")).expect("it is there");
    let patient = script(top.path(), text);
    let member = tokio::select! {
        quick = runner.quick(&patient) => panic!("{quick:?}"),
        member = noted(top.path().join("member")) => member,
    };
    eventually("it is gone", async || !runs(&member)).await;
}

#[tokio::test]
async fn a_process_that_a_quick_command_leaves_behind_holds_up_nobody() {
    let top = folder();
    let runner = runner(top.path());
    let text = "setsid sh -c 'echo $$ > $0/left; exec sleep 600' \"$0\" & echo said";
    let quick = runner.quick(&script(top.path(), text)).await.expect("it starts");
    assert_eq!((quick.ending, quick.output.as_str()), (Ending::Exited { code: 0 }, "said\n"));
    let left = noted(top.path().join("left")).await;
    assert!(runs(&left));
    signal(left.pid, Signal::KILL);
}

#[tokio::test]
async fn what_is_over_with_its_group_waits_for_a_writer_that_it_left_behind() {
    let top = folder();
    let runner = runner(top.path());
    let writer = script(top.path(), "(sleep 1; echo late > \"$0/late\") & exit 0");
    let whole = Order { until: Until::Group, ..writer };
    assert_eq!(run(&runner, 1, &whole).await, exited(0));
    assert!(top.path().join("late").exists(), "it was waited for");
}

#[tokio::test]
async fn what_a_failed_command_left_of_its_group_is_ended_before_another_may_begin() {
    let top = folder();
    let runner = runner(top.path());
    let text = "sleep 300 & echo $! > \"$0/left\"; exit 7";
    let whole = Order { until: Until::Group, ..script(top.path(), text) };
    assert_eq!(run(&runner, 1, &whole).await, exited(7));
    let left = fs::read_to_string(top.path().join("left")).expect("its number");
    let left = format!("/proc/{}/stat", left.trim());
    let runs = || fs::read_to_string(&left).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!runs(), "it was ended");
}
