//! The child process: this test binary again, in a role that the environment names.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use drawspan::journal::Log;
use drawspan::model::Mode;

use crate::full_disk;
use crate::scene::{Scene, at, finished, single, start_in, switch};

const ROLE: &str = "DRAWSPAN_TEST_ROLE";
const DIRECTORY: &str = "DRAWSPAN_TEST_DIRECTORY";
const ACKNOWLEDGED: &str = "acknowledged";

/// Not a test by itself: what a child runs. Without a role there is nothing to do.
#[test]
fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let top = std::env::var(DIRECTORY).expect("the parent names it");
    let top = Path::new(&top);
    match role.as_str() {
        "append" => append(top),
        "start" => drop(start_in(&top.join("state"), 80_000).expect("it starts")),
        "full_disk" => full_disk::child(top),
        #[cfg(feature = "failpoints")]
        "failing_disk" => crate::crash::at_fail_points::failing_disk(top),
        other => panic!("no role {other}"),
    }
}

pub fn command(scene: &Scene, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it has a path"));
    command.args(["--exact", "child::child_process", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DIRECTORY, scene.beside(""));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Switches to and fro for ever. After each append it writes down the record's number, as a
/// gateway would answer its caller.
fn append(top: &Path) {
    let mut run = start_in(&top.join("state"), 80_000).expect("it starts");
    let acknowledged = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(top.join(ACKNOWLEDGED))
        .expect("it opens");
    let say = |seq: u64| acknowledged.write_all_at(&seq.to_le_bytes(), 0).expect("written");
    say(run.opened.journal.last().0);
    loop {
        for to in [single("n1"), Mode::Maintenance, Mode::Cluster] {
            let from = run.state().mode.clone();
            let begun = run.append(81_000, switch(&from, &to, Some("key")));
            say(begun.0);
            let ended = run.opened.journal.append(at(82_000), finished(begun)).expect("written");
            say(ended.0);
        }
    }
}

/// The last number that the child wrote down.
pub fn acknowledged(scene: &Scene) -> u64 {
    let mut bytes = [0; 8];
    let read = File::open(scene.beside(ACKNOWLEDGED))
        .and_then(|file| file.read_exact_at(&mut bytes, 0).map(|()| u64::from_le_bytes(bytes)));
    read.unwrap_or(0)
}

/// Runs a child until it acknowledged record `seq`, and kills it.
pub fn append_until(scene: &Scene, seq: u64) {
    let mut child = command(scene, "append").spawn().expect("it starts");
    wait_for(scene, &mut child, seq);
    child.kill().expect("it is killed");
    child.wait().expect("it ended");
}

fn wait_for(scene: &Scene, child: &mut Child, seq: u64) {
    while acknowledged(scene) < seq {
        if let Some(ended) = child.try_wait().expect("it can be asked") {
            panic!("the child ended by itself: {ended}");
        }
        std::thread::yield_now();
    }
}
