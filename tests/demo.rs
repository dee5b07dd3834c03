//! `drawspan demo`, as a newcomer runs it: the real binary, with its output going to a file.

mod common;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{PATIENCE, binary, eventually};
use drawspan::control::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A demonstration whose folder for temporary files is a folder of the test's own.
struct Demo {
    child: Child,
    directory: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let temporary = directory.path().join("tmp");
        fs::create_dir(&temporary).expect("a folder");
        let file = |name| File::create(directory.path().join(name)).expect("a file");
        let mut command: Command = binary();
        command.arg("demo").args(arguments).env("TMPDIR", temporary);
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("the binary starts");
        Self { child, directory }
    }

    fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    async fn says(&self, words: &str) {
        eventually(words, async || self.said().contains(words)).await;
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        kill_process(pid.expect("not 0"), signal).expect("our child");
    }

    async fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < end, "it never ends: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The processes of the three nodes, by what the demonstration says.
    fn node_pids(&self) -> Vec<u32> {
        let said = self.said();
        let pid = |line: &str| line.split("pid ").nth(1)?.split(' ').next()?.parse().ok();
        said.lines().filter(|line| line.contains("  node n")).filter_map(pid).collect()
    }

    fn left_behind(&self) -> usize {
        fs::read_dir(self.directory.path().join("tmp")).expect("our folder").count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stand-in that still runs; one that has ended and that nobody has asked about does not.
fn runs(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let ours = fs::read(process.join("cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("stand-in"));
    let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
    ours && !matches!(state.rsplit(") ").next().and_then(|rest| rest.chars().next()), Some('Z'))
}

#[tokio::test]
async fn the_tour_moves_the_bridge_through_every_mode_and_fails_no_request() {
    let mut demo = Demo::start(&["--once", "--listen", "127.0.0.1:0"]);
    demo.says("Clients ask without a break").await;
    let pids = demo.node_pids();
    assert_eq!(pids.iter().filter(|pid| runs(**pid)).count(), 3, "{}", demo.said());

    let status = demo.end().await;

    let said = demo.said();
    assert_eq!(status.code(), Some(0), "{said}");
    for acknowledged in ["maintenance: drained after", "single n1: drained", "cluster: done"] {
        assert!(said.contains(acknowledged), "{acknowledged}: {said}");
    }
    assert!(said.contains("n2 0, n3 0, slow") && said.contains("got the notice, 0 failed."));
    assert!(!said.contains("The first failure"), "{said}");
    assert!(!pids.iter().any(|pid| runs(*pid)), "a node is left");
    assert_eq!(demo.left_behind(), 0, "files are left");
}

#[tokio::test]
async fn after_the_tour_it_stays_beside_a_taken_port_until_ctrl_c() {
    // Whoever has the port, this test or somebody else: it is taken.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let mut demo = Demo::start(&[]);
    demo.says("Now it is yours, until ctrl-C").await;
    demo.says("bring it back").await;
    let said = demo.said();
    assert!(!said.contains("http://127.0.0.1:8080"), "{said}");
    let (_, control) = said.split_once("export DRAWSPAN_CONTROL=").expect("it says how to call");
    let control = control.lines().next().expect("a path");
    let status = Client::new(control).status().await.expect("the gateway stays").doc;
    let abandoned = status.nodes.iter().map(|node| node.abandoned).sum::<u64>();
    assert_eq!((status.mode.kind.as_str(), abandoned), ("cluster", 0), "{said}");
    let pids = demo.node_pids();
    assert_eq!(pids.iter().filter(|pid| runs(**pid)).count(), 3);

    demo.signal(Signal::INT);

    assert_eq!(demo.end().await.code(), Some(0), "{}", demo.said());
    assert!(!pids.iter().any(|pid| runs(*pid)), "a node is left");
    assert_eq!(demo.left_behind(), 0, "files are left");
}

#[tokio::test]
async fn a_demonstration_that_is_killed_takes_its_nodes_with_it() {
    let mut demo = Demo::start(&["--once", "--listen", "127.0.0.1:0"]);
    demo.says("Clients ask without a break").await;
    let pids = demo.node_pids();
    assert_eq!(pids.iter().filter(|pid| runs(**pid)).count(), 3, "{}", demo.said());

    demo.signal(Signal::KILL);
    demo.end().await;

    eventually("no node is left", async || !pids.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn an_address_that_is_none_is_wrong_usage() {
    let mut demo = Demo::start(&["--once", "--listen", "bad"]);
    let status = demo.end().await;
    assert_eq!(status.code(), Some(2), "{}", demo.said());
    assert!(demo.said().contains("--listen: \"bad\""), "{}", demo.said());
    assert_eq!(demo.left_behind(), 0, "files are left");
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_said_and_is_no_success() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let mut demo = Demo::start(&["--once", "--listen", &address]);
    let status = demo.end().await;
    assert_eq!(status.code(), Some(1), "{}", demo.said());
    assert!(demo.said().contains(&address), "{}", demo.said());
    assert_eq!(demo.left_behind(), 0, "files are left");
}
