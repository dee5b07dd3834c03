//! A cluster of played nodes as processes of their own, the operator's commands as scripts, and the
//! real gateway as a process in front of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{PATIENCE, Process};

pub const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/procedures");

/// What a test changes before the gateway starts.
pub struct Wish {
    pub nodes: usize,
    /// Names of commands that there are none for: done by hand.
    pub without: &'static [&'static str],
    /// Lines at the end of the section `[procedures]`.
    pub procedures: &'static str,
    /// Time limit of each command.
    pub limit: &'static str,
    /// Are the nodes started before the gateway?
    pub running: bool,
    pub initial_mode: &'static str,
    /// Is there a worker `w1`, without an address?
    pub worker: bool,
    /// Are there commands for groups, in place of those that start and stop one node?
    pub groups: bool,
    /// A command, and the fail points of its supervisor.
    pub supervisor: (&'static str, &'static str),
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            nodes: 2,
            without: &[],
            procedures: "",
            limit: "20s",
            running: true,
            initial_mode: "cluster",
            worker: false,
            groups: false,
            supervisor: ("", ""),
        }
    }
}

pub struct World {
    pub folder: TempDir,
    /// Of n1, n2, ..., and then of the worker, where there is one.
    pub ports: Vec<u16>,
    pub worker: bool,
    pub gateway: Option<Process>,
    environment: Vec<(String, String)>,
}

/// An answer of the control socket.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl World {
    pub fn new(wish: &Wish) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("nodes")).expect("made");
        fs::create_dir(folder.path().join("backups")).expect("made");
        let worker = wish.worker;
        let ports = free_ports(wish.nodes + usize::from(worker));
        let world = Self { folder, ports, worker, gateway: None, environment: Vec::new() };
        world.configure(wish);
        if wish.running {
            for k in 1..=world.ports.len() {
                world.start_node(k);
            }
        }
        world
    }

    /// With the gateway running, and every node that runs ready.
    pub fn started(wish: &Wish) -> Self {
        let mut world = Self::new(wish);
        world.start_gateway(&[]);
        if wish.running {
            for k in 1..=wish.nodes {
                world.node_is(&format!("n{k}"), "ready");
            }
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn nodes(&self) -> PathBuf {
        self.path("nodes")
    }

    /// A file that the scripts look for, as `fail.backup` or `n2.trouble`.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.nodes().join(name), text).expect("written");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.nodes().join(name)).expect("it was there");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.nodes().join(name)).unwrap_or_default()
    }

    /// The calls of the operator's commands that change something, in order.
    pub fn commands(&self) -> Vec<String> {
        let all = self.read("commands");
        let asks = |line: &&str| {
            !["node status", "node build", "node logs", "data notify"]
                .iter()
                .any(|ask| line.starts_with(ask))
        };
        all.lines().filter(asks).map(str::to_owned).collect()
    }

    /// Runs one of the scripts as a person would.
    pub fn script(&self, name: &str, words: &[&str]) -> bool {
        let mut command = Command::new(format!("{SCRIPTS}/{name}"));
        command.args(words).env("NODES", self.nodes());
        command.env("DRAWSPAN", env!("CARGO_BIN_EXE_drawspan"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it starts").success()
    }

    /// The name of the k-th node; the worker is the last.
    pub fn id(&self, k: usize) -> String {
        if self.worker && k == self.ports.len() { "w1".to_owned() } else { format!("n{k}") }
    }

    pub fn start_node(&self, k: usize) {
        let (id, port) = (self.id(k), self.ports[k - 1].to_string());
        assert!(self.script("node", &["start", &id, &port]), "{id} starts");
    }

    pub fn stop_node(&self, k: usize) {
        let id = self.id(k);
        assert!(self.script("node", &["stop", &id]), "{id} stops");
    }

    /// Starts the gateway, with fail points as `procedure.journalled=kill@3`.
    pub fn start_gateway(&mut self, environment: &[(&str, &str)]) {
        self.spawn_gateway(environment);
        self.wait_until("the gateway answers", |world| world.try_status().is_some());
    }

    /// Starts the gateway without waiting for it.
    pub fn spawn_gateway(&mut self, environment: &[(&str, &str)]) {
        self.environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = self.path("drawspan.toml").to_str().expect("UTF-8").to_owned();
        let arguments = ["--config".to_owned(), config];
        self.gateway = Some(Process::spawn_with(self.folder.path(), &arguments, environment));
    }

    /// The gateway has ended by itself (a fail point killed it).
    pub fn is_gone(&mut self) -> bool {
        let gateway = self.gateway.as_mut().expect("it was started");
        gateway.child.try_wait().expect("our child").is_some()
    }

    pub fn call(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut stream = UnixStream::connect(self.path("control.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {headers}\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.get(9..12)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
    }

    pub fn try_status(&self) -> Option<Value> {
        let answer = self.call("GET", "/v1/status", "", None)?;
        (answer.status == 200).then_some(answer.body)
    }

    pub fn status(&self) -> Value {
        self.try_status().expect("the gateway answers")
    }

    pub fn procedure(&self) -> Value {
        self.status()["procedure"].clone()
    }

    pub fn mode(&self) -> String {
        let mode = &self.status()["mode"];
        let kind = mode["kind"].as_str().unwrap_or_default();
        match mode["node"].as_str() {
            Some(node) => format!("{kind} {node}"),
            None => kind.to_owned(),
        }
    }

    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + 2 * PATIENCE;
        while !holds(self) {
            if self.is_gone() {
                let stderr = self.gateway.as_ref().map(Process::stderr);
                panic!("the gateway ended while waiting: {what}\n{}", stderr.unwrap_or_default());
            }
            if end < Instant::now() {
                let procedure = self.try_status().map(|status| status["procedure"].clone());
                let log = self.gateway.as_ref().map(Process::stderr).unwrap_or_default();
                panic!("never: {what}\n{:#}\n{log}", procedure.unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn node_is(&mut self, id: &str, state: &str) {
        self.wait_until(&format!("{id} is {state}"), |world| {
            world.try_status().is_some_and(|status| {
                let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
                nodes.iter().any(|node| node["id"] == id && node["state"] == state)
            })
        });
    }

    pub fn begin(&self, body: &Value) -> Answer {
        self.call("POST", "/v1/procedures", "", Some(body)).expect("the gateway answers")
    }

    pub fn begun(&self, body: &Value) -> u64 {
        let answer = self.begin(body);
        assert_eq!(answer.status, 201, "{:#}", answer.body);
        answer.body["id"].as_u64().expect("an id")
    }

    /// Says something in view of the present status.
    pub fn say(&self, choice: &str, more: &Value) -> Answer {
        let procedure = self.procedure();
        self.answer(&procedure, choice, more)
    }

    /// Says something in view of an earlier status.
    pub fn answer(&self, seen: &Value, choice: &str, more: &Value) -> Answer {
        self.try_answer(seen, choice, more).expect("the gateway answers")
    }

    pub fn try_answer(&self, seen: &Value, choice: &str, more: &Value) -> Option<Answer> {
        let (id, revision) = (&seen["id"], &seen["revision"]);
        let mut body = json!({ "phase": seen["phase"] });
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let path = format!("/v1/procedures/{id}/{choice}");
        let headers = format!("If-Match: \"{revision}\"\r\n");
        self.call("POST", &path, &headers, Some(&body))
    }

    /// As [`Self::say`], and it is taken.
    pub fn said(&self, choice: &str, more: &Value) {
        let answer = self.say(choice, more);
        assert_eq!(answer.status, 200, "{choice}: {:#}\n{:#}", answer.body, self.procedure());
    }

    /// Waits until the procedure is in this phase.
    pub fn until(&mut self, phase: &str) {
        self.wait_until(&format!("phase {phase}"), |world| {
            world.try_status().is_some_and(|status| status["procedure"]["phase"] == phase)
        });
    }

    /// Waits until the proof of this phase is complete: `continue` (or `confirm`) is offered.
    pub fn until_offered(&mut self, phase: &str, choice: &str) {
        self.wait_until(&format!("{choice} is offered in {phase}"), |world| {
            world.try_status().is_some_and(|status| {
                let procedure = &status["procedure"];
                procedure["phase"] == phase && offers(procedure, choice)
            })
        });
    }

    /// Goes on, by hand, from phase to phase until `last`, confirming what is to be verified.
    pub fn go_on_to(&mut self, last: &str) {
        loop {
            let mut seen = Value::Null;
            self.wait_until(&format!("something to say before {last}"), |world| {
                seen = world.try_status().map(|s| s["procedure"].clone()).unwrap_or_default();
                seen["phase"] == last
                    || seen["phase"] == "done"
                    || offers(&seen, "continue")
                    || offers(&seen, "confirm")
            });
            if seen["phase"] == last {
                return;
            }
            assert_ne!(seen["phase"], "done", "it never came to {last}");
            let choice = if offers(&seen, "confirm") { "confirm" } else { "continue" };
            // Refused where the facts moved in between: looked at again then.
            self.answer(&seen, choice, &json!({}));
        }
    }

    pub fn outcome(&mut self) -> String {
        self.wait_until("the procedure is over", |world| {
            world.try_status().is_some_and(|status| !status["procedure"]["outcome"].is_null())
        });
        self.procedure()["outcome"].as_str().unwrap_or_default().to_owned()
    }

    pub fn public(&self) -> SocketAddr {
        let status = self.status();
        status["listen"][0].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }
}

pub fn offers(procedure: &Value, choice: &str) -> bool {
    let choices = procedure["choices"].as_array().cloned().unwrap_or_default();
    choices.iter().any(|offer| offer["choice"] == choice && offer["allowed"] == true)
}

pub fn objects(procedure: &Value, id: &str) -> bool {
    let objections = procedure["objections"].as_array().cloned().unwrap_or_default();
    objections.iter().any(|objection| objection["id"] == id)
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.gateway.take());
        for k in 1..=self.ports.len() {
            // One that does not run has nothing to be killed.
            self.script("node", &["kill", &self.id(k)]);
        }
    }
}

/// Ports that stay free while a node is down: below those that the system gives away by itself, and
/// of a block that no other process takes from while this one lives.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = block_of_ports() + 1;
    let bind = |_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % (BLOCK - 1);
        TcpListener::bind(("127.0.0.1", first + next as u16)).ok()
    };
    let held: Vec<TcpListener> = (1..BLOCK).filter_map(bind).take(count).collect();
    assert_eq!(held.len(), count, "free ports");
    held.iter().map(|l| l.local_addr().expect("bound").port()).collect()
}

const BLOCK: usize = 500;

/// The first port of this process's block. Held to its end: whoever holds it has the block.
fn block_of_ports() -> u16 {
    static HELD: OnceLock<TcpListener> = OnceLock::new();
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    let held = HELD.get_or_init(|| {
        let blocks = PORTS.len() / BLOCK;
        let begin = std::process::id() as usize;
        let first = |k| PORTS.start + ((begin + k) % blocks * BLOCK) as u16;
        let bind = |k| TcpListener::bind(("127.0.0.1", first(k))).ok();
        (0..blocks).find_map(bind).expect("a block of ports that nobody has")
    });
    held.local_addr().expect("bound").port()
}

/// Requests all the while.
pub struct Load {
    stop: Arc<AtomicBool>,
    pub served: Arc<AtomicUsize>,
    pub notices: Arc<AtomicUsize>,
    pub failed: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    pub fn on(public: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = || Arc::new(AtomicUsize::new(0));
        let (served, notices, failed) = (count(), count(), count());
        let (halt, s, n, f) = (stop.clone(), served.clone(), notices.clone(), failed.clone());
        let thread = thread::spawn(move || {
            while !halt.load(Ordering::Relaxed) {
                let counter = match get(public) {
                    Some(200) => &s,
                    Some(503) => &n,
                    Some(_) | None => &f,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, served, notices, failed, thread: Some(thread) }
    }

    /// Ends it; requests that were served, told the notice, and failed.
    pub fn end(mut self) -> (usize, usize, usize) {
        self.halt();
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (read(&self.served), read(&self.notices), read(&self.failed))
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load ends");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn get(public: SocketAddr) -> Option<u16> {
    let mut stream = std::net::TcpStream::connect(public).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream
        .write_all(b"GET /api/app:getLang HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Lines of a file.
pub fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
