//! The stand-in node: it answers as NocoBase does, and it remembers what it was asked.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use drawspan::standin::build_of;
use drawspan::standin::{Database, Options, Outcome, Record, StandIn, StandInError, State};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(20);

fn start() -> StandIn {
    StandIn::start(Options { id: "n1".into(), ..Options::default() }).unwrap()
}

/// Waits on a condition; the time is only there to end a test that failed.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WITHIN, "never {what}");
        sleep(Duration::from_millis(2));
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream
}

/// Sends a request that asks to close, and reads to the end.
fn ask(addr: SocketAddr, request_line: &str, headers: &str) -> String {
    let mut stream = connect(addr);
    let head = format!("{request_line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn only(node: &StandIn) -> Record {
    let mut records = node.records();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// Opens a WebSocket; the next byte read is of its first frame.
fn websocket(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = format!("GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n{key}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// The payload of a short text frame.
fn frame(stream: &mut TcpStream) -> String {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = if head[1] == 126 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        usize::from(u16::from_be_bytes(length))
    } else {
        usize::from(head[1])
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

/// A short text frame, masked with zeros.
fn say(stream: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).unwrap();
    let head = [0x81, 0x80 | length, 0, 0, 0, 0];
    stream.write_all(&[&head[..], text.as_bytes()].concat()).unwrap();
}

#[test]
fn it_passes_the_checks_that_a_real_node_passes() {
    let node = start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nocobase/conformance.py");
    let url = format!("http://{}", node.addr());
    let arguments = [script, &url, "--kind", "standin", "--destructive"];
    let output = Command::new("python3").args(arguments).output().expect("python3 is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let failures: Vec<_> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_request_is_recorded_with_everything_that_its_head_said() {
    let node = start();
    ask(node.addr(), "GET /api/app:getInfo?a=b", "x-ONE: 1\r\nX-One: 2\r\n");
    until("answered", || node.records().iter().any(|record| record.ended.is_some()));
    let record = only(&node);
    assert_eq!((record.method.as_str(), record.target.as_str()), ("GET", "/api/app:getInfo?a=b"));
    let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("x-one");
    let headers: Vec<_> = record.headers.iter().filter(named).cloned().collect();
    assert_eq!(headers, [("x-ONE".into(), "1".into()), ("X-One".into(), "2".into())]);
    assert_eq!((record.status, record.outcome), (Some(200), Outcome::Answered));
    assert!(record.begun <= record.ended.unwrap());
    assert_eq!(record.vanished, None);
}

#[test]
fn requests_of_one_connection_share_its_number() {
    let node = start();
    let mut stream = connect(node.addr());
    let head = "GET /api/__health_check HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(head.repeat(2).as_bytes()).unwrap();
    until("recorded", || node.records().len() == 2);
    ask(node.addr(), "GET /", "");
    let connections: Vec<_> = node.records().iter().map(|record| record.connection).collect();
    assert_eq!(connections[0], connections[1]);
    assert_ne!(connections[1], connections[2]);
    assert_eq!(node.records()[0].remote, stream.local_addr().unwrap());
}

#[test]
fn probes_of_the_gateway_are_not_hits() {
    let node = start();
    ask(node.addr(), "GET /api/__health_check", "User-Agent: drawspan-probe\r\n");
    ask(node.addr(), "GET /", "User-Agent: curl\r\n");
    assert_eq!((node.hits(), node.probes(), node.records().len()), (1, 1, 2));
    assert!(node.records()[0].is_probe());
    node.clear_records();
    assert_eq!((node.hits(), node.probes(), node.records().len()), (0, 0, 0));
}

#[test]
fn a_held_request_is_answered_when_it_is_released() {
    let node = start();
    let mut stream = connect(node.addr());
    stream.write_all(b"GET /__test/hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    until("held", || node.held() == 1);
    assert_eq!(only(&node).outcome, Outcome::Open);
    node.release();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("released\n"), "{answer}");
    assert_eq!(node.held(), 0);
}

#[test]
fn a_node_works_on_for_a_client_that_left() {
    let node = start();
    let mut stream = connect(node.addr());
    stream.write_all(b"GET /__test/hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("held", || node.held() == 1);
    stream.shutdown(Shutdown::Both).unwrap();
    until("seen to vanish", || only(&node).vanished.is_some());
    assert_eq!((only(&node).ended, node.held()), (None, 1));
    node.release();
    until("through", || only(&node).ended.is_some());
    assert_eq!(only(&node).outcome, Outcome::Vanished);
}

#[test]
fn a_stop_cuts_what_is_in_flight_and_frees_the_port() {
    let node = start();
    let addr = node.addr();
    let mut stream = connect(addr);
    stream.write_all(b"GET /__test/hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("held", || node.held() == 1);
    node.stop();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(addr).is_err());
    let again = StandIn::start(Options { listen: addr, ..Options::default() }).unwrap();
    assert!(ask(again.addr(), "GET /api/__health_check", "").ends_with("ok"));
}

#[test]
fn a_port_that_is_closed_opens_again() {
    let node = start();
    let mut kept = connect(node.addr());
    until("accepted", || node.open_connections() == 1);
    node.set_state(State::PortClosed);
    until("closed", || TcpStream::connect(node.addr()).is_err());
    kept.write_all(b"GET /__test/whoami HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_ne!(kept.read(&mut [0; 64]).unwrap(), 0);
    node.set_state(State::Running);
    until("open", || TcpStream::connect(node.addr()).is_ok());
}

#[test]
fn each_state_shows_where_nocobase_shows_it() {
    let node = start();
    let status = |target: &str| -> u16 {
        let answer = ask(node.addr(), &format!("GET {target}"), "");
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let starting = State::Starting { message: "load plugin [ai], 49/77".into() };
    for (state, expected) in [
        (State::Running, [200, 200, 200]),
        (starting, [503, 503, 200]),
        (State::DatabaseDown, [200, 500, 200]),
        (State::ApiBroken(404), [200, 404, 200]),
        (State::RefusingFront(502), [502, 502, 502]),
    ] {
        node.set_state(state.clone());
        let seen = ["/api/__health_check", "/api/app:getInfo", "/"].map(status);
        assert_eq!(seen, expected, "{state:?}");
    }
}

#[test]
fn a_plugin_enabled_on_one_node_is_only_listed_by_the_other_until_it_restarts() {
    let (one, database) = {
        let options = Options::default();
        let database = options.database.clone();
        (StandIn::start(options).unwrap(), database)
    };
    let two = StandIn::start(Options { database, ..Options::default() }).unwrap();
    let serves = |node: &StandIn| ask(node.addr(), "GET /api/embed:list", "").contains(" 200 OK");

    ask(one.addr(), "POST /api/pm:enable?filterByTk=embed", "Content-Length: 0\r\n");
    until("enabled", || one.state() == State::Running);

    assert!(serves(&one) && !serves(&two));
    assert!(ask(two.addr(), "GET /api/pm:listEnabled", "").contains("\"embed\""));
    ask(two.addr(), "GET /api/app:restart", "");
    until("restarted", || two.state() == State::Running);
    assert!(serves(&two));
}

#[test]
fn a_node_that_is_stopped_like_nocobase_keeps_its_websockets() {
    let node = start();
    let mut socket = websocket(node.addr());
    let mut waiting = connect(node.addr());
    waiting.write_all(b"GET /__test/slow?ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("waiting", || node.records().len() == 2);

    node.stop_like_nocobase();

    let codes = [(); 3].map(|()| frame(&mut socket));
    assert!(codes[0].contains("APP_RUNNING") && codes[1].contains("APP_RUNNING"), "{codes:?}");
    assert!(codes[2].contains("APP_STOPPED"), "{codes:?}");
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    until("closed", || TcpStream::connect(node.addr()).is_err());
    until("alone", || node.open_connections() == 1);
    assert!(!node.has_left() && node.open_websockets() == 1);
    drop(socket);
    until("gone", || node.has_left());
}

#[test]
fn a_node_that_is_stopped_in_its_start_never_opens() {
    let refused_time = Duration::from_millis(100);
    let starting_time = Duration::from_millis(100);
    let stop_delay = Duration::ZERO;
    let node =
        StandIn::start(Options { refused_time, starting_time, stop_delay, ..Options::default() })
            .unwrap();
    node.stop_like_nocobase();
    until("gone", || node.has_left());
    // Its start would be over by then.
    std::thread::sleep(3 * (refused_time + starting_time));
    assert_eq!(node.state(), State::Stopping);
    assert!(node.has_left() && TcpStream::connect(node.addr()).is_err());
}

#[test]
fn the_websocket_misbehaves_on_demand() {
    let node = start();
    let mut socket = websocket(node.addr());
    let echo = r#"{"type":"echo","n":1}"#;
    say(&mut socket, echo);
    assert_eq!(frame(&mut socket), echo);

    say(&mut socket, r#"{"type":"test:fragments","parts":2}"#);
    assert_eq!([(); 3].map(|()| frame(&mut socket)), ["part 0;", "between", "part 1;"]);

    say(&mut socket, r#"{"type":"test:stall","promise":100,"send":3}"#);
    let mut stalled = [0; 5];
    socket.read_exact(&mut stalled).unwrap();
    assert_eq!(&stalled, b"\x81\x64xxx");
    node.broadcast("unheard");
    socket.write_all(b"\x88\x80\0\0\0\0").unwrap();
    socket.set_nonblocking(true).unwrap();
    assert!(socket.read(&mut stalled).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
    drop(socket);

    let mut socket = websocket(node.addr());
    say(&mut socket, r#"{"type":"test:cut"}"#);
    assert!(
        socket.read(&mut stalled).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
    );
}

#[test]
fn every_fault_does_what_it_says() {
    let node = start();
    let addr = node.addr();
    let get = |fault: &str| ask(addr, &format!("GET /__test/{fault}"), "");

    assert!(get("bytes?n=100000").len() > 100_000);
    assert!(get("bytes?n=9&framing=close").ends_with("\r\n\r\nxxxxxxxxx"));
    assert!(get("stream?n=2&ms=1").ends_with("7\r\nline 0\n\r\n7\r\nline 1\n\r\n0\r\n\r\n"));
    assert!(get("events?n=1").contains("text/event-stream"));
    assert!(get("trailers").ends_with("0\r\nX-Sum: 5\r\n\r\n"));
    assert!(get("hints").starts_with("HTTP/1.1 103 Early Hints\r\n"));
    assert!(get("hints").contains("HTTP/1.1 200 OK\r\n"));
    assert!(get("cut?n=3&of=9").ends_with("\r\n\r\nxxx"));
    assert!(get("status?code=418").starts_with("HTTP/1.1 418 "));
    assert!(get("large-head?n=5000").len() > 5_000);
    assert_eq!(get("drop"), "");
    assert_eq!(get("reset"), "");
    assert!(get("nonsense").contains("no HTTP"));
    assert!(get("unheard-of").starts_with("HTTP/1.1 404 "));

    let sent = "Content-Length: 5\r\n\r\nhello";
    assert!(ask(addr, "POST /__test/mirror", sent).contains("5\r\nhello"));
    assert!(ask(addr, "PUT /__test/echo", sent).contains(r#""body":"hello""#));
    let early = ask(addr, "POST /__test/early", "Content-Length: 999999999\r\n");
    assert!(early.starts_with("HTTP/1.1 413 "));
}

#[test]
fn a_response_that_was_cut_is_recorded_as_cut() {
    let node = start();
    for fault in ["drop", "reset", "cut", "cut?how=reset"] {
        ask(node.addr(), &format!("GET /__test/{fault}"), "");
    }
    until("over", || node.records().iter().all(|record| record.ended.is_some()));
    assert_eq!(node.records().len(), 4);
    assert!(node.records().iter().all(|record| record.outcome == Outcome::Cut));
}

#[test]
fn a_start_is_refused_then_503_and_then_runs() {
    let refused_time = Duration::from_millis(100);
    let starting_time = Duration::from_millis(200);
    let options = Options { refused_time, starting_time, ..Options::default() };
    let node = StandIn::start(options).unwrap();
    assert!(TcpStream::connect(node.addr()).is_err());
    until("listening", || node.is_listening());
    let during = ask(node.addr(), "GET /api/__health_check", "");
    assert!(during.contains(r#""command":{"name":"start"},"code":"APP_COMMANDING""#), "{during}");
    until("running", || ask(node.addr(), "GET /api/__health_check", "").ends_with("ok"));
}

#[test]
fn a_node_older_than_its_data_does_not_start() {
    let database = std::sync::Arc::new(Database::default());
    let options = |version: &str| {
        let database = database.clone();
        Options { version: version.into(), database, ..Options::default() }
    };
    let newer = StandIn::start(options("2.10.0")).unwrap();
    let refused = StandIn::start(options("2.9.0")).err();
    assert!(matches!(refused, Some(StandInError::Downgrade(_))), "{refused:?}");
    // Whoever runs already is not touched.
    assert!(ask(newer.addr(), "GET /api/app:getInfo", "").contains("2.10.0"));
}

#[test]
fn versions_differ_in_the_build_that_their_pages_name() {
    let builds = ["2.2.15", "2.2.16", "2.3.0"].map(build_of);
    assert_eq!(builds[0], Options::default().build);
    assert!(builds[0] != builds[1] && builds[1] != builds[2] && builds[0] != builds[2]);
}

/// Played nodes as processes, started and stopped by the scripts that a procedure's test runs.
struct Processes {
    folder: TempDir,
    ports: Vec<u16>,
}

impl Processes {
    fn new(nodes: usize) -> Self {
        // Below the ports that the system gives to connections, so that none is taken meanwhile.
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
        let ports = ports.filter(free).take(nodes).collect();
        Self { folder: tempfile::tempdir().unwrap(), ports }
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command =
            Command::new(format!("{}/tests/procedures/{name}", env!("CARGO_MANIFEST_DIR")));
        command.args(arguments).env("NODES", self.folder.path()).env("STOP_TRIES", "200");
        command.env("DRAWSPAN", env!("CARGO_BIN_EXE_drawspan")).output().unwrap()
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.script(name, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn id(node: usize) -> String {
        format!("n{}", node + 1)
    }

    fn node(&self, verb: &str, node: usize) -> String {
        let port = self.ports[node].to_string();
        let arguments: &[&str] = if verb == "start" {
            &[verb, &Self::id(node), &port]
        } else {
            &[verb, &Self::id(node)]
        };
        self.run("node", arguments)
    }

    fn is_running(&self, node: usize) -> bool {
        let output = self.script("node", &["status", &Self::id(node)]);
        match output.status.code() {
            Some(0) => true,
            Some(3) => false,
            _ => panic!("{output:?}"),
        }
    }

    fn get(&self, node: usize, target: &str) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[node]));
        match TcpStream::connect(address) {
            Ok(_) => ask(address, &format!("GET {target}"), ""),
            Err(_) => "refused".to_owned(),
        }
    }

    fn is_ready(&self, node: usize) -> bool {
        self.get(node, "/api/app:getInfo").starts_with("HTTP/1.1 200 ")
    }

    fn start(&self, node: usize) {
        self.node("start", node);
        until("ready", || self.is_ready(node));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in 0..self.ports.len() {
            self.script("node", &["kill", &Self::id(node)]);
        }
    }
}

#[test]
fn an_upgrade_and_the_way_back_are_played_by_processes_and_a_file() {
    let nodes = Processes::new(2);
    nodes.start(0);
    assert!(nodes.get(0, "/api/app:getInfo").contains(r#""version":"2.2.15""#));
    assert!(nodes.get(0, "/").contains("index-93181bbb.js"));
    let backup = nodes.path("backup");
    nodes.run("data", &["backup", &backup]);
    nodes.run("data", &["verify", &backup]);
    nodes.node("stop", 0);
    assert!(!nodes.is_running(0) && nodes.get(0, "/") == "refused");

    nodes.run("data", &["update", "2.3.0"]);
    nodes.start(0);
    assert!(nodes.get(0, "/api/app:getInfo").contains(r#""version":"2.3.0""#));
    assert!(nodes.get(0, "/").contains(&format!("index-{}.js", build_of("2.3.0"))));
    assert!(nodes.read("database").contains("new_in_2_3_0"));
    assert_eq!(nodes.node("build", 0), "2.3.0\n");

    nodes.write("n2.version", "2.2.15");
    nodes.node("start", 1);
    until("ended", || !nodes.is_running(1));
    assert!(nodes.node("logs", 1).contains("there is no downgrade"), "{}", nodes.node("logs", 1));

    nodes.node("stop", 0);
    nodes.run("data", &["restore", &backup]);
    nodes.run("data", &["update", "2.2.15"]);
    nodes.start(1);
    assert!(!nodes.read("database").contains("new_in_2_3_0"));
    assert!(nodes.get(1, "/api/app:getInfo").contains(r#""version":"2.2.15""#));
}

#[test]
fn a_plugin_enabled_in_one_process_is_served_by_the_other_only_after_its_restart() {
    let nodes = Processes::new(2);
    nodes.start(0);
    nodes.start(1);
    let serves = |node| nodes.get(node, "/api/embed:list").starts_with("HTTP/1.1 200 ");
    nodes.get(0, "/api/pm:enable?filterByTk=embed");
    until("enabled", || serves(0));
    assert!(!serves(1));
    assert!(nodes.get(1, "/api/pm:listEnabled").contains(r#""name":"embed""#));
    nodes.node("stop", 1);
    nodes.start(1);
    assert!(serves(1));
}

#[test]
fn what_reached_a_process_can_be_counted_after_it_ended() {
    let nodes = Processes::new(1);
    nodes.start(0);
    nodes.get(0, "/counted");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, nodes.ports[0]));
    ask(address, "GET /probe", "User-Agent: drawspan-probe\r\n");
    nodes.node("stop", 0);
    let requests = nodes.read("n1.requests");
    let last: Vec<_> = requests.lines().last().unwrap().split(' ').collect();
    assert_eq!(last[1..], ["GET", "/counted"]);
    assert!(last[0].parse::<u64>().is_ok() && !requests.contains("/probe"), "{requests}");
}

#[test]
fn a_process_that_got_sigterm_stays_for_its_websocket() {
    let nodes = Processes::new(1);
    nodes.start(0);
    let mut socket = websocket(SocketAddr::from((Ipv4Addr::LOCALHOST, nodes.ports[0])));
    let (pid, began) = (nodes.read("n1.pid"), Instant::now());
    let pid = pid.split(' ').next().unwrap();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let codes = [(); 3].map(|()| frame(&mut socket));
    assert!(codes[2].contains("APP_STOPPED"), "{codes:?}");
    until("closed", || nodes.get(0, "/") == "refused");
    assert!(nodes.is_running(0), "after {:?}", began.elapsed());
    drop(socket);
    until("gone", || !nodes.is_running(0));
}

#[test]
fn a_file_brings_trouble_to_a_process_and_takes_it_away_again() {
    let nodes = Processes::new(1);
    let status = |target| nodes.get(0, target).split(' ').nth(1).unwrap_or("refused").to_owned();
    let health = "/api/__health_check";

    nodes.write("n1.trouble", "never-ready");
    nodes.node("start", 0);
    until("503 for good", || status(health) == "503" && nodes.get(0, health).contains("1/12"));
    nodes.write("n1.trouble", "database-down");
    until("without a database", || status(health) == "200" && status("/api/app:getInfo") == "500");
    nodes.write("n1.trouble", "");
    until("ready", || nodes.is_ready(0));

    nodes.write("n1.trouble", "port-closed");
    until("refused", || status(health) == "refused");
    assert!(nodes.is_running(0));
    nodes.write("n1.trouble", "crash-loop");
    until("503", || status(health) == "503");
    until("refused again", || status(health) == "refused");
    until("503 again", || status(health) == "503");
    assert!(!nodes.is_ready(0));

    nodes.write("n1.trouble", "crash");
    until("gone", || !nodes.is_running(0));
    nodes.node("start", 0);
    until("gone again", || !nodes.is_running(0));
}

#[test]
fn a_process_hangs_or_ignores_sigterm_when_a_file_says_so() {
    let nodes = Processes::new(1);
    nodes.start(0);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, nodes.ports[0]));
    nodes.write("n1.trouble", "hang");
    let is_silent = || {
        let mut stream = connect(address);
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    until("silent", is_silent);

    nodes.write("n1.trouble", "stubborn");
    until("ready", || nodes.is_ready(0));
    let pid = nodes.read("n1.pid");
    for _ in 0..3 {
        Command::new("kill").arg(pid.split(' ').next().unwrap()).status().unwrap();
        assert!(nodes.is_ready(0));
    }
    nodes.write("n1.trouble", "");
    nodes.node("stop", 0);
    assert!(!nodes.is_running(0));
}

#[test]
fn a_command_on_the_data_fails_when_a_file_says_so_and_leaves_nothing_under_its_name() {
    let nodes = Processes::new(1);
    nodes.start(0);
    let backup = nodes.path("backup");
    nodes.write("fail.backup", "");
    assert_eq!(nodes.script("data", &["backup", &backup]).status.code(), Some(1));
    assert_eq!(nodes.read("backup"), "");
    assert_eq!(nodes.script("data", &["restore", &backup]).status.code(), Some(1));
    assert!(nodes.read("database").contains("2.2.15"));
    nodes.write("half", r#"{"version":"2.2.15","enab"#);
    assert_eq!(nodes.script("data", &["verify", &nodes.path("half")]).status.code(), Some(1));
}
