//! The real binary among the troubles of a real system: full disks, unread pipes, second gateways,
//! wrong surroundings, stops and kills.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{
    InProcess, Process, Wish, binary, code, command, eventually, get, http, is_ready, nodes, switch,
};
use drawspan::control::client::{Client, Conditions};
use drawspan::control::wire::{StatusDoc, SwitchBody, SwitchDoc};
use drawspan::failpoint::{self, Action, When};
use drawspan::standin::{StandIn, State};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn addresses(nodes: &[StandIn]) -> Vec<SocketAddr> {
    nodes.iter().map(StandIn::addr).collect()
}

fn public(status: &StatusDoc) -> SocketAddr {
    status.listen[0].parse().expect("an address")
}

fn admin(status: &StatusDoc) -> SocketAddr {
    status.admin.as_ref().expect("it was given").parse().expect("an address")
}

async fn switched(client: &Client, mode: &str) -> SwitchDoc {
    switch(client, mode, "0s").await.unwrap_or_else(|error| panic!("{mode}: {error}"))
}

async fn forced(client: &Client, mode: &str, why: &str) -> Result<SwitchDoc, String> {
    let body = SwitchBody {
        force: Some(true),
        why: Some(why.to_owned()),
        drain_timeout: Some("0s".to_owned()),
        ..command(mode)
    };
    let answer = client.switch(&body, &Conditions::default()).await;
    answer.map(|answer| answer.doc).map_err(|error| code(Err(error)))
}

// --- a full disk ---------------------------------------------------------------------------------

/// A small file system of its own, in a mount namespace that lives as long as this.
struct SmallDisk {
    holder: Child,
    top: TempDir,
}

impl SmallDisk {
    /// `None` where this system gives an unprivileged or root process no mount namespace.
    fn mount() -> Option<Self> {
        let top = folder();
        let script =
            format!("mount -t tmpfs -o size=4m none {} && echo up && cat", path(top.path()));
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut up = [0; 3];
        let out = holder.stdout.as_mut().expect("piped");
        match std::io::Read::read_exact(out, &mut up) {
            Ok(()) => Some(Self { holder, top }),
            Err(_) => {
                holder.wait().expect("our child");
                None
            }
        }
    }

    /// As seen from outside the namespace.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.top.path().strip_prefix("/").expect("absolute");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside).join(name)
    }

    /// Takes what is free.
    fn fill(&self) {
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("filler"))
            .expect("a name needs no space");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path("filler")).expect("it is there");
    }

    /// The gateway inside; its sockets and output outside.
    fn run(&self, directory: &Path, nodes: &[SocketAddr]) -> Process {
        let file = |name| std::fs::File::create(directory.join(name)).expect("a file");
        let mut command = Command::new("nsenter");
        command.args(["-U", "--preserve-credentials", "-m", "-t", &self.holder.id().to_string()]);
        command.arg(env!("CARGO_BIN_EXE_drawspan")).args(["run", "--listen", "127.0.0.1:0"]);
        for address in nodes {
            command.arg("--node").arg(format!("http://{address}"));
        }
        command.arg("--state-dir").arg(self.top.path().join("state"));
        command.arg("--control").arg(directory.join("control.sock"));
        command.args(["--admin", "127.0.0.1:0", "--workers", "1"]);
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("nsenter starts");
        Process { child, directory: directory.to_owned() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its input ends, and with it the namespace.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn path(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

async fn writes_again(client: &Client) {
    eventually("the journal writes again", async || {
        client.status().await.is_ok_and(|status| status.doc.journal == "ok")
    })
    .await;
}

/// Switches that fit into the space that the journal has, at most.
const SWITCHES_MAX: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_raising_possible_and_heals_by_itself() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tested: this system gives no mount namespace");
        return;
    };
    let (directory, nodes) = (folder(), nodes(2));
    let mut process = disk.run(directory.path(), &addresses(&nodes));
    let address = public(&process.ready().await);
    let client = process.client();
    let why = "x".repeat(900);
    disk.fill();
    let mut refused = None;
    for mode in ["single n1", "cluster"].iter().cycle().take(SWITCHES_MAX) {
        match forced(&client, mode, &why).await {
            Ok(reply) if reply.journal == "ok" => disk.fill(),
            Ok(_) => {}
            Err(code) => {
                refused = Some(code);
                break;
            }
        }
    }
    assert_eq!(refused.as_deref(), Some("journal_degraded"));
    let status = process.status().await;
    assert_eq!(status.journal, "degraded");
    let detail = status.journal_detail.unwrap_or_default();
    assert!(detail.contains("free space"), "{detail}");
    let before = status.revision;

    let raised = switched(&client, "maintenance").await;
    assert_eq!((raised.mode.kind.as_str(), raised.journal.as_str()), ("maintenance", "degraded"));
    assert_eq!(get(address, "/").await.0, 503);
    for mode in ["cluster", "single n1"] {
        assert_eq!(forced(&client, mode, "x").await.unwrap_err(), "journal_degraded", "{mode}");
    }
    assert_eq!(process.status().await.mode.kind, "maintenance");

    process.kill();
    let mut process = disk.run(directory.path(), &addresses(&nodes));
    let status = process.status().await;
    assert_eq!((status.mode.kind.as_str(), status.journal.as_str()), ("maintenance", "degraded"));
    nodes.iter().for_each(StandIn::clear_records);
    assert_eq!(get(public(&status), "/").await.0, 503);
    assert!(nodes.iter().all(|node| node.hits() == 0));

    disk.free();
    writes_again(&process.client()).await;
    let status = process.status().await;
    assert_eq!(status.mode.kind, "maintenance");
    assert!(before < status.revision, "the raise has a number now");
    let lowered = forced(&client, "cluster", "it is over").await.expect("nothing is in the way");
    assert_eq!(lowered.journal, "ok");
    process.kill();
    let mut process = disk.run(directory.path(), &addresses(&nodes));
    let status = process.status().await;
    assert_eq!((status.mode.kind.as_str(), status.revision), ("cluster", lowered.revision));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_frees_up_while_the_gateway_runs_is_told_once_what_it_missed() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tested: this system gives no mount namespace");
        return;
    };
    let (directory, nodes) = (folder(), nodes(2));
    let mut process = disk.run(directory.path(), &addresses(&nodes));
    process.ready().await;
    let client = process.client();
    let why = "x".repeat(900);
    disk.fill();
    for mode in ["single n1", "cluster"].iter().cycle().take(SWITCHES_MAX) {
        match forced(&client, mode, &why).await {
            Ok(_) => disk.fill(),
            Err(_) => break,
        }
    }
    let key = Conditions { idempotency_key: Some("raise-1".into()), ..Conditions::default() };
    let raise = SwitchBody { drain_timeout: Some("0s".into()), ..command("maintenance") };
    let raised = client.switch(&raise, &key).await.expect("raising needs no space").doc;
    assert!(raised.changed);
    disk.free();
    writes_again(&process.client()).await;
    let status = process.status().await;
    let history = client.history(5).await.expect("it answers").doc.history;
    let raises = history.iter().take_while(|past| past.to.kind == "maintenance").count();
    assert_eq!(raises, 1, "{history:?}");
    assert_eq!((history[0].revision, history[0].finished), (status.revision, true));
    // The key is remembered, so that the repetition is no second raise.
    assert!(forced(&client, "cluster", "it is over").await.is_ok());
    let again = client.switch(&raise, &key).await.expect("it was done").doc;
    assert!(!again.changed);
    assert_eq!(process.status().await.mode.kind, "cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_the_journal_could_not_take_is_written_when_it_can() {
    let nodes = nodes(2);
    let gateway = InProcess::start(&nodes, Wish::default()).await;
    for node in ["n1", "n2"] {
        gateway.node_is(node, "ready").await;
    }
    switched(&gateway.client, "single n1").await;
    let mut held = JoinSet::new();
    held.spawn(http_to_its_end(gateway.address));
    eventually("n1 holds it", async || nodes[0].held() == 1).await;
    let client = gateway.client.clone();
    let mut asked = JoinSet::new();
    asked.spawn(async move { switch(&client, "single n2", "60s").await });
    eventually("it drains", async || {
        gateway.status().await.switch.is_some_and(|switch| switch.fenced)
    })
    .await;
    // The other gateways of this file are processes of their own: no journal but this one fails.
    failpoint::set("journal.write", Action::Error, When::Always);
    nodes[0].release();
    let reply =
        asked.join_next().await.expect("one").expect("no panic").expect("it is carried out");
    assert_eq!((reply.acknowledged.as_str(), reply.journal.as_str()), ("drained", "degraded"));
    failpoint::unset("journal.write");
    writes_again(&gateway.client).await;
    let gateway = InProcess::start_in(gateway.stop(), &nodes, Wish::default()).await;
    let status = gateway.status().await;
    assert_eq!(status.mode.to_string(), "single n2", "what was acknowledged");
    assert_eq!(status.revision, reply.revision);
}

// --- pipes that nobody reads -----------------------------------------------------------------------

const REQUESTS: u64 = 10_000;
/// Requests that are refused, each of which is an event on stderr: more than its queue and a pipe
/// hold.
const REFUSED: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_and_a_switch_pass_while_nobody_reads_stdout_and_stderr() {
    let (directory, nodes) = (folder(), nodes(2));
    let mut child = binary();
    child.args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "2"]);
    for address in addresses(&nodes) {
        child.arg("--node").arg(format!("http://{address}"));
    }
    child.arg("--state-dir").arg(directory.path().join("state"));
    child.arg("--control").arg(directory.path().join("control.sock"));
    child.env("DRAWSPAN_LOG", "debug");
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().expect("the binary starts");
    let mut process = Process { child, directory: directory.path().to_owned() };
    let address = public(&process.ready().await);
    let served = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let served = served.clone();
        clients.spawn(async move {
            // A long path makes long lines: the pipes are full early.
            let target = format!("/__test/whoami/../{}", "p".repeat(200));
            let asked = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut stream = TcpStream::connect(address).await.expect("it accepts");
            let mut buffer = vec![0; 65536];
            for _ in 0..REQUESTS / 10 {
                stream.write_all(asked.as_bytes()).await.expect("the connection lives");
                let count = stream.read(&mut buffer).await.expect("the connection lives");
                assert!(buffer[..count].starts_with(b"HTTP/1.1 "), "{count}");
                served.fetch_add(1, Ordering::Relaxed);
            }
            for _ in 0..REFUSED / 10 {
                let refused = http(address, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert!(refused.expect("an answer").starts_with("HTTP/1.1 405"));
            }
        });
    }
    let client = process.client();
    eventually("half of them passed", async || REQUESTS / 2 < served.load(Ordering::Relaxed)).await;
    assert!(switched(&client, "single n1").await.changed);
    while let Some(client) = clients.join_next().await {
        client.expect("no client failed");
    }
    assert_eq!(served.load(Ordering::Relaxed), REQUESTS);
    assert!(switched(&client, "maintenance").await.changed);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}

// --- second gateways and wrong surroundings --------------------------------------------------------

/// Starts a gateway that should refuse, with exit code 2, saying `words` on stderr.
async fn refuses(directory: &Path, arguments: &[String], words: &[&str]) {
    let mut process = Process::spawn_with(directory, arguments, &[]);
    let status = process.ended().await;
    let said = process.stderr();
    assert_eq!(status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` in: {said}");
    }
}

fn arguments(listen: &str, node: &str, state: &Path, control: &Path, admin: &str) -> Vec<String> {
    let (state, control) = (path(state), path(control));
    ["--listen", listen, "--node", node, "--state-dir", &state, "--control", &control]
        .into_iter()
        .chain(["--admin", admin, "--workers", "1"])
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_that_shares_anything_is_refused_and_the_first_is_unharmed() {
    let (one, two, nodes) = (folder(), folder(), nodes(1));
    let node = format!("http://{}", nodes[0].addr());
    let mut first = Process::spawn(one.path(), "127.0.0.1:0", &addresses(&nodes), &[]);
    let status = first.ready().await;
    let (address, admin) = (public(&status).to_string(), admin(&status).to_string());
    let free = "127.0.0.1:0";
    let (state, control) = (two.path().join("state"), two.path().join("control.sock"));
    let (its_state, its_control) = (one.path().join("state"), one.path().join("control.sock"));
    let pid = format!("pid {}", status.pid);

    let shares_port = arguments(&address, &node, &state, &control, free);
    refuses(two.path(), &shares_port, &[&address, "in use"]).await;
    // Refused before any bind: the port is free, and another gateway's socket is not touched.
    let shares_state = arguments(&address, &node, &its_state, &its_control, free);
    refuses(two.path(), &shares_state, &["state directory", &pid]).await;
    let shares_control = arguments(free, &node, &state, &its_control, free);
    refuses(two.path(), &shares_control, &["already serves", &pid]).await;
    let shares_admin = arguments(free, &node, &state, &control, &admin);
    refuses(two.path(), &shares_admin, &[&admin, "in use"]).await;

    assert_eq!(first.status().await.pid, status.pid);
    assert_eq!(get(public(&status), "/__test/whoami").await.0, 200);
    assert!(is_ready(admin.parse().expect("an address")).await);
    // What was refused left nothing behind that hinders a right start.
    let right = arguments(free, &node, &state, &control, free);
    Process::spawn_with(two.path(), &right, &[]).ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_once_on_one_port_exactly_one_serves() {
    let (one, two, nodes) = (folder(), folder(), nodes(1));
    for _ in 0..5 {
        let free = StdListener::bind("127.9.9.8:0").expect("a free port");
        let listen = free.local_addr().expect("bound").to_string();
        drop(free);
        let start = |top: &TempDir| Process::spawn(top.path(), &listen, &addresses(&nodes), &[]);
        let mut both = [start(&one), start(&two)];
        eventually("one gave up", || {
            let mut ended = both.iter_mut().map(|it| it.child.try_wait().expect("our child"));
            std::future::ready(ended.any(|status| status.is_some()))
        })
        .await;
        let [first, second] = &mut both;
        let first_runs = first.child.try_wait().expect("our child").is_none();
        let (winner, loser) = if first_runs { (first, second) } else { (second, first) };
        assert_eq!(loser.ended().await.code(), Some(2), "{}", loser.stderr());
        assert_eq!(get(public(&winner.ready().await), "/__test/whoami").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_surroundings_are_refused_with_what_to_do() {
    let (directory, nodes) = (folder(), nodes(1));
    let node = format!("http://{}", nodes[0].addr());
    let (state, control) = (directory.path().join("state"), directory.path().join("control.sock"));
    let free = "127.0.0.1:0";
    let holder = StdListener::bind(free).expect("a port");
    let taken = holder.local_addr().expect("bound").to_string();
    refuses(directory.path(), &arguments(&taken, &node, &state, &control, free), &[&taken]).await;
    refuses(directory.path(), &arguments(free, &node, &state, &control, &taken), &[&taken]).await;
    let nowhere = directory.path().join("missing/control.sock");
    let missing = arguments(free, &node, &state, &nowhere, free);
    refuses(directory.path(), &missing, &["does not exist", "install -d"]).await;
    let file = directory.path().join("file");
    std::fs::write(&file, b"precious").expect("written");
    refuses(directory.path(), &arguments(free, &node, &state, &file, free), &["no socket"]).await;
    refuses(
        directory.path(),
        &arguments(free, &node, &file, &control, free),
        &["is not a directory", "name a folder"],
    )
    .await;
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
    let proc = arguments(free, &node, Path::new("/proc/foo"), &control, free);
    refuses(directory.path(), &proc, &["/proc/foo", "--state-dir"]).await;
}

// --- nodes -----------------------------------------------------------------------------------------

/// `drawspan --control ... ARGUMENTS`: exit code and what it said.
async fn verb(process: &Process, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.arg("--control").arg(process.directory.join("control.sock")).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_a_node_that_is_down_and_no_reason_not_to_start() {
    let (directory, nodes) = (folder(), nodes(1));
    let mut arguments = arguments(
        "127.0.0.1:0",
        &format!("here=http://localhost:{}", nodes[0].addr().port()),
        &directory.path().join("state"),
        &directory.path().join("control.sock"),
        "127.0.0.1:0",
    );
    arguments.extend(["--node".to_owned(), "gone=http://nosuch.invalid:13000".to_owned()]);
    let mut process = Process::spawn_with(directory.path(), &arguments, &[]);
    let address = public(&process.ready().await);
    let client = process.client();
    common::node_is(&client, "here", "ready").await;
    common::node_is(&client, "gone", "down").await;
    for _ in 0..4 {
        assert_eq!(get(address, "/__test/whoami").await.0, 200);
    }
    let (exit, said) = verb(&process, &["mode", "single", "gone"]).await;
    assert_eq!(exit, Some(3), "{said}");
    let (exit, said) = verb(&process, &["mode", "single", "nobody"]).await;
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("here") && said.contains("gone"), "it names those there are: {said}");
    assert_eq!(process.status().await.mode.kind, "cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_node_is_passed_over_in_cluster_and_speaks_for_itself_in_single() {
    let (directory, nodes) = (folder(), nodes(2));
    let mut process = Process::spawn(directory.path(), "127.0.0.1:0", &addresses(&nodes), &[]);
    let address = public(&process.ready().await);
    let client = process.client();
    for node in ["n1", "n2"] {
        common::node_is(&client, node, "ready").await;
    }
    let busy = || State::Commanding { name: "pm.enable".into(), message: "enabling now".into() };
    nodes[0].set_state(busy());
    common::node_is(&client, "n1", "busy").await;
    nodes.iter().for_each(StandIn::clear_records);
    for _ in 0..6 {
        assert_eq!(get(address, "/__test/whoami").await.0, 200);
    }
    assert_eq!(nodes[0].hits(), 0);
    let (exit, said) = verb(&process, &["status"]).await;
    assert!(exit == Some(0) && said.contains("busy"), "{said}");

    nodes[0].set_state(State::Running);
    common::node_is(&client, "n1", "ready").await;
    switched(&client, "single n1").await;
    nodes[0].set_state(busy());
    common::node_is(&client, "n1", "busy").await;
    let (code, body) = get(address, "/api/app:getInfo").await;
    assert_eq!(code, 503);
    assert!(body.contains("enabling now"), "the node's own words: {body}");
    let (exit, said) = verb(&process, &["status"]).await;
    assert!(exit == Some(0) && said.contains("busy"), "{said}");
}

// --- stops and kills -------------------------------------------------------------------------------

/// Asks on a connection of its own each time, until it is refused.
async fn knock(address: SocketAddr, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut answered, mut lost) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address).await else { break };
        let asked = b"GET /__test/slow?ms=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        let whole = stream.write_all(asked).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200");
        if whole { answered += 1 } else { lost += 1 }
    }
    (answered, lost)
}

/// Asks on one connection until it is told that it closes.
async fn keep_asking(address: SocketAddr, stop: Arc<AtomicBool>) -> (u64, u64) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let mut answered = 0;
    let mut buffer = vec![0; 65536];
    while !stop.load(Ordering::Relaxed) {
        let asked = b"GET /__test/slow?ms=3 HTTP/1.1\r\nHost: a\r\n\r\n";
        if stream.write_all(asked).await.is_err() {
            return (answered, 1);
        }
        match stream.read(&mut buffer).await {
            Ok(count) if 0 < count => {
                answered += 1;
                let text = String::from_utf8_lossy(&buffer[..count]).to_ascii_lowercase();
                assert!(text.starts_with("http/1.1 200"), "{text}");
                if text.contains("connection: close") {
                    return (answered, 0);
                }
            }
            _ => return (answered, 1),
        }
    }
    (answered, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_request_withdraws_and_ends_with_success() {
    let (directory, nodes) = (folder(), nodes(2));
    let mut process = Process::spawn(directory.path(), "127.0.0.1:0", &addresses(&nodes), &[]);
    let status = process.ready().await;
    let (address, admin) = (public(&status), admin(&status));
    for node in ["n1", "n2"] {
        common::node_is(&process.client(), node, "ready").await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..24 {
        load.spawn(knock(address, stop.clone()));
        load.spawn(keep_asking(address, stop.clone()));
    }
    let mut held = JoinSet::new();
    held.spawn(get(address, "/__test/hold"));
    eventually("a node holds it", async || nodes.iter().any(|node| 0 < node.held())).await;
    eventually("the load runs", async || 200 < nodes.iter().map(StandIn::hits).sum::<u64>()).await;

    process.terminate();
    eventually("it withdraws", async || !is_ready(admin).await).await;
    assert!(held.try_join_next().is_none(), "it withdraws while requests are in flight");
    let (mut answered, mut lost) = (0, 0);
    while let Some(client) = load.join_next().await {
        let (more, fewer) = client.expect("no panic");
        answered += more;
        lost += fewer;
    }
    println!("{answered} answered, {lost} lost");
    assert_eq!(lost, 0);
    assert!(process.child.try_wait().expect("our child").is_none(), "a request is in flight");
    nodes.iter().for_each(StandIn::release);
    assert_eq!(held.join_next().await.expect("one").expect("no panic").0, 200);
    assert_eq!(process.ended().await.code(), Some(0));
    assert!(process.stderr().contains("ending=\"clean\""), "{}", process.stderr());
    assert!(!directory.path().join("control.sock").exists(), "an orderly stop leaves no socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_request_is_cut_after_the_grace_time() {
    let (directory, nodes) = (folder(), nodes(1));
    let file = directory.path().join("drawspan.toml");
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nstate_dir = \"{}\"\n\
         [control]\npath = \"{}\"\n[timeouts]\ngrace = \"300ms\"\n\
         [[nodes]]\naddress = \"http://{}\"\n",
        path(&directory.path().join("state")),
        path(&directory.path().join("control.sock")),
        nodes[0].addr(),
    );
    std::fs::write(&file, text).expect("written");
    let arguments = ["--config".to_owned(), path(&file)];
    let mut process = Process::spawn_with(directory.path(), &arguments, &[]);
    let address = public(&process.ready().await);
    let mut stuck = JoinSet::new();
    stuck.spawn(http_to_its_end(address));
    eventually("the node holds it", async || nodes[0].held() == 1).await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
    let said = process.stderr();
    assert!(said.contains("the grace time is over") && said.contains("ending=\"cut\""), "{said}");
    let answer = stuck.join_next().await.expect("one").expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // It came back from an orderly stop: nothing is in doubt.
    let mut process = Process::spawn_with(directory.path(), &arguments, &[]);
    let status = process.ready().await;
    assert_eq!((status.mode.kind.as_str(), status.doubt), ("cluster", None));
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
    assert!(process.stderr().contains("ending=\"clean\""), "{}", process.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_daemons_are_sent_out_of_habit_end_nothing() {
    let (directory, nodes) = (folder(), nodes(1));
    let (file, log) = (directory.path().join("drawspan.toml"), directory.path().join("access.log"));
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nstate_dir = \"{}\"\n\
         [control]\npath = \"{}\"\n[log]\naccess = \"{}\"\n[[nodes]]\naddress = \"http://{}\"\n",
        path(&directory.path().join("state")),
        path(&directory.path().join("control.sock")),
        path(&log),
        nodes[0].addr(),
    );
    std::fs::write(&file, text).expect("written");
    let arguments = ["--config".to_owned(), path(&file)];
    let mut process = Process::spawn_with(directory.path(), &arguments, &[]);
    let address = public(&process.ready().await);
    let moved = directory.path().join("access.log.1");
    std::fs::rename(&log, &moved).expect("it moves");
    use rustix::process::Signal;
    for (signal, words) in
        [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")]
    {
        process.signal(signal);
        eventually(words, async || process.stderr().contains(words)).await;
        process.status().await;
    }
    // What is asked now stands in a new file by the old name.
    assert_eq!(get(address, "/__test/whoami").await.0, 200);
    let written = || std::fs::read_to_string(&log).unwrap_or_default().contains("whoami");
    eventually("the log is reopened", async || written()).await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}

async fn http_to_its_end(address: SocketAddr) -> String {
    http(address, "GET /__test/hold HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_leaves_nothing_that_hinders_its_successor() {
    let (directory, nodes) = (folder(), nodes(1));
    // The address that the first one was given is asked for again, with its connections lingering.
    let mut process = Process::spawn(directory.path(), "127.0.0.1:0", &addresses(&nodes), &[]);
    let address = public(&process.ready().await);
    for _ in 0..3 {
        let mut idle = TcpStream::connect(address).await.expect("it accepts");
        let asked = b"GET /__test/whoami HTTP/1.1\r\nHost: a\r\n\r\n";
        idle.write_all(asked).await.expect("written");
        assert_ne!(idle.read(&mut [0; 1024]).await.expect("an answer"), 0);
        let mut stuck = JoinSet::new();
        stuck.spawn(http_to_its_end(address));
        eventually("the node holds it", async || 0 < nodes[0].held()).await;
        process.kill();
        assert!(directory.path().join("control.sock").exists(), "a dead socket's file");
        nodes[0].release();
        let listen = address.to_string();
        process = Process::spawn(directory.path(), &listen, &addresses(&nodes), &[]);
        process.ready().await;
        assert_eq!(get(address, "/__test/whoami").await.0, 200);
    }
}
