//! The operator's terminal goes away half way.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Wish, World};

/// `drawspan begin upgrade ... --follow`, and what it writes.
fn follow(world: &World) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawspan"));
    command.args(["begin", "upgrade", "--to", "2.3.0", "--auto", "--follow", "--control"]);
    command.arg(world.path("control.sock"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// Reads until it shows a phase.
fn shows(child: &mut Child, what: &str) {
    let stdout = child.stdout.as_mut().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    assert!(lines.any(|line| line.expect("text").contains(what)), "it never showed {what}");
}

#[test]
fn a_terminal_that_hangs_up_ends_the_following_and_not_the_procedure() {
    let mut world = World::started(&Wish::default());
    let mut child = follow(&world);
    shows(&mut child, "stop");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::HUP).expect("our child");
    let status = child.wait().expect("our child");
    assert!(!status.success(), "what it waited for was not there yet");
    assert!(world.procedure()["outcome"].is_null());
    world.ends("completed");
}

#[test]
fn a_screen_that_nobody_reads_any_more_ends_the_following_and_not_the_procedure() {
    let mut world = World::started(&Wish::default());
    let mut child = follow(&world);
    shows(&mut child, "stop");
    drop(child.stdout.take());
    assert!(!child.wait().expect("our child").success());
    world.ends("completed");
}
