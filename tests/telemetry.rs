//! The admin address over a real socket, and logs that nobody reads.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drawspan::dashboard::{self, Vitals};
use drawspan::model::limits::ADMIN_CONNECTIONS_MAX;
use drawspan::model::{ModeKind, NodeRole, Timestamp, Weight};
use drawspan::nocobase::RequestClass;
use drawspan::routing::{Node, NodeIndex};
use drawspan::telemetry::{
    AccessLog, AccessTarget, Entry, Liveness, Log, Metrics, Query, Readiness, RequestRecord,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LINES: usize = 100_000;

fn entry() -> Entry<'static> {
    Entry {
        at: Timestamp::from_millis(1_763_800_000_042),
        client: IpAddr::from([192, 0, 2, 7]),
        method: "GET",
        target: b"/api/users:list?token=secret",
        status: 200,
        took: Duration::from_millis(12),
        head_after: None,
        bytes_in: 0,
        bytes_out: 4_096,
        node: Some("n1"),
        mode: ModeKind::Cluster,
        class: RequestClass::Api,
        request_id: b"abc-1",
        user_agent: None,
    }
}

/// A named pipe with an end held open, so that writers find a reader, who need not read.
fn pipe(path: &Path) -> File {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a named pipe");
    OpenOptions::new().read(true).write(true).open(path).expect("both its ends")
}

#[test]
fn a_log_that_nobody_reads_blocks_no_worker_and_every_line_is_accounted_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let held = pipe(&path);
    let log = AccessLog::start(&AccessTarget::File(path), Query::Cut).expect("it opens");
    let mut writer = log.worker();
    for _ in 0..LINES {
        writer.line(&entry());
    }
    drop(writer);
    let dropped = log.dropped().lines();
    assert!(0 < dropped && dropped < LINES as u64, "{dropped}");

    // Somebody reads at last: what was not dropped is all there, whole and in order.
    let taken = LINES - usize::try_from(dropped).expect("a small number");
    let lines: Vec<_> = BufReader::new(held).lines().take(taken).collect();
    for line in lines {
        let line = line.expect("text");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
        assert!(!line.contains("secret"));
    }
}

#[test]
fn a_log_that_hangs_does_not_hold_up_the_end_for_longer_than_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let _held = pipe(&path);
    let log = AccessLog::start(&AccessTarget::File(path), Query::Cut).expect("it opens");
    let mut writer = log.worker();
    for _ in 0..LINES {
        writer.line(&entry());
    }
    // The queue is full and its thread hangs; without its bound this would never return.
    log.finish(Duration::from_millis(1));
}

#[test]
fn workers_that_write_at_once_never_mix_their_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = AccessLog::start(&AccessTarget::File(path.clone()), Query::Cut).expect("it opens");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut writer = log.worker();
            scope.spawn(move || (0..1_000).for_each(|_| writer.line(&entry())));
        }
    });
    log.finish(Duration::from_secs(20));
    let text = std::fs::read_to_string(path).expect("a file");
    assert_eq!(text.lines().count() as u64 + log.dropped().lines(), 4_000);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

struct Admin {
    address: SocketAddr,
    vitals: Vitals,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Admin {
    async fn start() -> Self {
        let id = "n1".parse().expect("a legal id");
        let node = Node::new(id, NodeRole::Request, Weight::ONE, "127.0.0.1:1".into());
        let vitals = Vitals {
            metrics: Metrics::new(Arc::from([Arc::new(node)])).expect("no name twice"),
            readiness: Readiness::default(),
            liveness: Liveness::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(dashboard::serve(listener, vitals.clone(), stop.clone()));
        tasks.close();
        Self { address, vitals, stop, tasks }
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("it accepts");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers and closes");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.expect("a status"), body.expect("a body"))
    }
}

#[tokio::test]
async fn ready_follows_the_start_and_the_end_of_the_gateway() {
    let admin = Admin::start().await;
    let (status, body) = admin.ask("GET", "/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("state"), "{body}");
    admin.vitals.readiness.state_loaded();
    admin.vitals.readiness.listening();
    admin.vitals.readiness.probed();
    assert_eq!(admin.ask("GET", "/ready").await, (200, "{\"ready\":true}\n".to_owned()));
    admin.vitals.readiness.withdraw("the gateway is stopping");
    let (status, body) = admin.ask("GET", "/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("stopping"), "{body}");
}

#[tokio::test]
async fn live_is_200_until_somebody_reports_the_process_sick() {
    let admin = Admin::start().await;
    assert_eq!(admin.ask("GET", "/live").await.0, 200);
    admin.vitals.liveness.sick("fence", "worker 1 does not answer".to_owned());
    let (status, body) = admin.ask("GET", "/live").await;
    assert_eq!(status, 503);
    assert!(body.contains("worker 1 does not answer"), "{body}");
    admin.vitals.liveness.well("fence");
    assert_eq!(admin.ask("GET", "/live").await.0, 200);
}

#[tokio::test]
async fn a_scrape_shows_what_a_worker_counted_a_moment_ago() {
    let admin = Admin::start().await;
    admin.vitals.metrics.worker().request(RequestRecord {
        node: Some(NodeIndex(0)),
        mode: ModeKind::Single,
        class: RequestClass::Page,
        status: 304,
        took: Duration::from_millis(7),
    });
    let log = AccessLog::start(&AccessTarget::Off, Query::Cut).expect("nothing to open");
    admin.vitals.metrics.watch_dropped(Log::Access, log.dropped());
    let (status, text) = admin.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    let labels = r#"class="page",mode="single",node="n1",status="3xx""#;
    assert!(text.contains(&format!("drawspan_requests_total{{{labels}}} 1\n")), "{text}");
}

#[tokio::test]
async fn the_admin_address_only_tells() {
    let admin = Admin::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(admin.ask(method, "/live").await.0, 405, "{method}");
    }
    assert_eq!(admin.ask("GET", "/v1/mode").await.0, 404);
    assert_eq!(admin.ask("HEAD", "/live").await, (200, String::new()));
}

#[tokio::test]
async fn of_connections_over_the_cap_the_oldest_give_way_and_keep_no_probe_waiting() {
    let admin = Admin::start().await;
    let mut silent = vec![];
    for _ in 0..ADMIN_CONNECTIONS_MAX {
        silent.push(TcpStream::connect(admin.address).await.expect("it accepts"));
    }
    assert_eq!(admin.ask("GET", "/live").await.0, 200);
    let mut oldest = silent.remove(0);
    assert_eq!(oldest.read(&mut [0; 1]).await.expect("it is closed"), 0);
    // Had the probe waited for the silent ones to be over their time, they would be closed now.
    for stream in silent {
        let read = stream.try_read(&mut [0; 1]).expect_err("it is open");
        assert_eq!(read.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_then_the_server() {
    let admin = Admin::start().await;
    let mut silent = TcpStream::connect(admin.address).await.expect("it accepts");
    assert_eq!(admin.ask("GET", "/live").await.0, 200); // so the silent one was accepted too
    admin.stop.cancel();
    admin.tasks.wait().await;
    assert_eq!(silent.read(&mut [0; 1]).await.expect("it is closed"), 0);
}
