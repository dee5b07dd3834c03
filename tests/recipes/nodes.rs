//! Plain processes: real ones, with a stand-in node in place of NocoBase.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::scene::{Done, Scene, eventually};

/// A scene with two versions and one node, which is ended with it.
struct Plain {
    scene: Scene,
    address: String,
}

impl Plain {
    /// `yarn` is what becomes the node.
    fn new(yarn: &str) -> Self {
        let mut scene = Scene::new();
        for version in ["2.2.15", "2.3.0"] {
            fs::create_dir(scene.path("srv").join(version)).expect("made");
        }
        symlink("2.2.15", scene.path("srv/current")).expect("linked");
        scene.program("yarn", yarn);
        scene.set("STOP_WAIT", "20");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        Self { scene, address: free.expect("a free port").to_string() }
    }

    fn stand_in() -> Self {
        Self::new(&format!("echo starting; exec {STAND_IN}"))
    }

    fn run(&self, verb: &str) -> Done {
        self.scene.run("plain", verb, &[("{node}", "n1"), ("{address}", &self.address)])
    }

    fn pid(&self) -> Option<String> {
        let text = fs::read_to_string(self.scene.path("state/nodes/n1.pid")).ok()?;
        Some(text.split(' ').next()?.to_owned())
    }

    /// Whether the node answers a request.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let head = "GET /api/__health_check HTTP/1.1\r\nhost: n1\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(head.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    /// Ends the node's whole group, whatever it thinks of that.
    fn kill(&self) {
        if let Some(pid) = self.pid() {
            let group = format!("-{pid}");
            let kill = Command::new("kill").args(["-KILL", "--", &group]).output();
            kill.expect("kill runs");
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // A pid file that a test wrote itself names a process of its own, which is no group's first.
        self.kill();
    }
}

const STAND_IN: &str =
    concat!(env!("CARGO_BIN_EXE_drawspan"), r#" stand-in --id n1 --listen "127.0.0.1:$APP_PORT""#);

#[test]
fn a_node_is_started_seen_and_stopped() {
    let plain = Plain::stand_in();
    plain.run("status").refused(4, "never started by this recipe");
    plain.run("start").well();
    eventually("the node answers", || plain.answers());
    let status = plain.run("status").well().out;
    let since = status.strip_prefix("running\nstarted=").expect("both lines").trim().to_owned();
    assert!(1_700_000_000 < since.parse::<u64>().expect("unix seconds"), "{since}");
    plain.run("start").well();
    assert_eq!(plain.run("status").well().out, status, "a second start changes nothing");
    assert!(plain.run("build").well().out.ends_with("/srv/2.2.15\n"));
    assert!(plain.run("logs").well().out.starts_with("starting\n"));
    plain.run("stop").well();
    assert_eq!(plain.run("status").refused(3, "").out, "stopped\n");
    assert!(!plain.answers());
    plain.run("stop").well();
}

#[test]
fn a_node_belongs_to_no_session_and_no_file_of_the_gateways() {
    let plain = Plain::stand_in();
    // That this returns shows that the node does not hold the command's output.
    plain.run("start").well();
    let pid = plain.pid().expect("it runs");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(fields[2..4], [&pid, &pid], "its own group and session");
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).expect("its input");
    assert_eq!(input.to_str(), Some("/dev/null"));
}

#[test]
fn a_program_in_front_of_the_node_is_stopped_together_with_it() {
    // It does not pass SIGTERM on, and the node does not notice its end.
    let plain = Plain::new(&format!("{STAND_IN} &\nwait"));
    plain.run("start").well();
    eventually("the node answers", || plain.answers());
    plain.run("stop").well();
    eventually("the node is gone", || !plain.answers());
}

#[test]
fn a_node_whose_launcher_alone_died_is_unknown_and_named() {
    let plain = Plain::new(&format!("{STAND_IN} &\nwait"));
    plain.run("start").well();
    eventually("the node answers", || plain.answers());
    let pid = plain.pid().expect("it runs");
    Command::new("kill").args(["-KILL", &pid]).output().expect("kill runs");
    eventually("it is seen", || plain.run("status").code == Some(4));
    plain.run("status").refused(4, "others of it live");
    plain.run("stop").refused(1, "end them by hand");
    plain.run("start").refused(1, "end them first");
}

#[test]
fn a_node_that_stays_after_sigterm_is_an_error_and_is_not_killed() {
    let mut plain = Plain::new("trap '' TERM\nexec sleep 1000");
    plain.scene.set("STOP_WAIT", "1");
    plain.run("start").well();
    plain.run("stop").refused(1, "still there 1 s after SIGTERM");
    assert!(plain.run("status").well().out.starts_with("running\n"));
}

#[test]
fn a_reused_pid_is_neither_taken_for_the_node_nor_killed() {
    let plain = Plain::stand_in();
    let mut other = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("it");
    // The right pid and boot, another start time.
    plain.scene.write("state/nodes/n1.pid", &format!("{} 1 1700000000 {boot}", other.id()));
    plain.run("status").refused(3, "");
    plain.run("stop").well();
    assert!(other.try_wait().expect("asked").is_none(), "it lives");
    other.kill().expect("killed");
    other.wait().expect("reaped");
}

#[test]
fn a_pid_of_before_a_reboot_is_nobodys() {
    let plain = Plain::stand_in();
    plain.run("start").well();
    let file = "state/nodes/n1.pid";
    let line = plain.scene.read(file);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("it");
    plain.scene.write(file, &line.replace(boot.trim(), "another-boot"));
    eventually("the node answers", || plain.answers());
    plain.run("status").refused(4, "something listens on port");
    plain.run("stop").well();
    assert!(plain.answers(), "whose process it is cannot be known, so it is left alone");
}

#[test]
fn a_command_that_ends_at_once_is_told_with_its_last_words() {
    let plain = Plain::new("echo no database >&2; exit 1");
    let said = plain.run("start").refused(1, "ended right after its start").err;
    assert!(said.contains("no database"), "{said}");
    plain.run("status").refused(3, "");
}

#[test]
fn a_port_that_another_holds_proves_no_node_stopped_and_lets_none_start() {
    let plain = Plain::new("exit 0");
    plain.run("start").refused(1, "ended right after");
    let other = TcpListener::bind(&plain.address).expect("the port");
    plain.run("status").refused(4, "something listens on port");
    plain.run("start").refused(1, "something else listens on port");
    drop(other);
    plain.run("status").refused(3, "");
}

#[test]
fn a_release_is_chosen_by_its_link_and_the_way_back_is_the_old_one() {
    let plain = Plain::stand_in();
    let release = |verb, version| plain.scene.run("plain", verb, &[("{version}", version)]);
    let current = || fs::read_link(plain.scene.path("srv/current")).expect("a link");
    release("revert", "2.3.0").refused(1, "the old version is not known");
    release("update", "2.9.9").refused(1, "unpack and install that version");
    release("update", "../etc").refused(2, "not a version's name");
    release("update", "").refused(2, "--to VERSION");
    release("update", "2.3.0").well();
    assert_eq!(current().to_str(), Some("2.3.0"));
    plain.run("start").well();
    assert!(plain.run("build").well().out.ends_with("/srv/2.3.0\n"));
    // A retry does not take the new version for the old one.
    release("update", "2.3.0").well();
    release("revert", "2.3.0").well();
    assert_eq!(current().to_str(), Some("2.2.15"));
    assert!(plain.run("build").well().out.ends_with("/srv/2.3.0\n"), "what runs is still that");
}
