//! A switch passes while requests stand at every point of their way, and while they are under way.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{InProcess, Wish, code, eventually, get, http, is_ready, nodes};
use drawspan::control::client::ClientError;
use drawspan::control::wire::{NodeLeftDoc, SwitchDoc};
use drawspan::failpoint::{self, Action, When};
use drawspan::standin::StandIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

/// Points are shared by the whole process.
static POINTS: Mutex<()> = Mutex::const_new(());

async fn points() -> MutexGuard<'static, ()> {
    POINTS.lock().await
}

const GET: &str = "GET /__test/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &str = "POST /__test/whoami HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
Connection: close\r\n\r\nbody";
/// Requests held at once: with two nodes, each has some.
const HELD: usize = 6;

type Switching = JoinSet<Result<SwitchDoc, ClientError>>;

/// A gateway shared by the tasks of a test.
type Shared = Arc<InProcess>;

async fn start(nodes: &[StandIn]) -> Shared {
    let gateway = InProcess::start(nodes, Wish::default()).await;
    for node in nodes {
        gateway.node_is(node.id(), "ready").await;
    }
    Arc::new(gateway)
}

fn ask(gateway: &Shared, mode: &'static str, drain: &'static str) -> Switching {
    let (gateway, mut asked) = (gateway.clone(), JoinSet::new());
    asked.spawn(async move { gateway.switch(mode, drain).await });
    asked
}

async fn answer(asked: &mut Switching) -> Result<SwitchDoc, ClientError> {
    let answered = tokio::time::timeout(common::PATIENCE, asked.join_next()).await;
    answered.expect("an answer in time").expect("one was asked").expect("no panic")
}

async fn switched(gateway: &InProcess, mode: &str, drain: &str) -> SwitchDoc {
    gateway.switch(mode, drain).await.unwrap_or_else(|error| panic!("{mode}: {error}"))
}

fn left<'a>(reply: &'a SwitchDoc, node: &str) -> &'a NodeLeftDoc {
    reply.removed.iter().find(|left| left.node == node).expect("it was removed")
}

async fn fenced(gateway: &InProcess) {
    eventually("the running switch is fenced", async || {
        gateway.status().await.switch.is_some_and(|switch| switch.fenced)
    })
    .await;
}

/// Sends a request that its node holds, and waits until the node has it.
fn send(address: SocketAddr, request: String) -> JoinSet<String> {
    let mut sent = JoinSet::new();
    sent.spawn(async move { http(address, &request).await.expect("an answer or an end") });
    sent
}

async fn hold(gateway: &InProcess, node: &StandIn) -> JoinSet<String> {
    let before = node.held();
    let sent = send(gateway.address, request("POST", "/__test/hold"));
    eventually("the node holds the request", async || before < node.held()).await;
    sent
}

fn request(method: &str, target: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

async fn text(sent: &mut JoinSet<String>) -> String {
    sent.join_next().await.expect("one was sent").expect("no panic")
}

/// Holds requests at `point`, lets a switch pass, and looks where they go then.
async fn held_over(gateway: &Shared, nodes: &[StandIn], point: &str, case: Case) {
    let Case { from, to, drain } = case;
    let what = format!("{point}: {from} -> {to}, drain {drain}");
    switched(gateway, "cluster", "0s").await;
    switched(gateway, from, "0s").await;
    let armed = failpoint::arm(point);
    let mut clients = JoinSet::new();
    for text in [GET, POST].into_iter().cycle().take(HELD) {
        let address = gateway.address;
        clients.spawn(async move { http(address, text).await.expect("an answer") });
    }
    armed.reached_by(HELD).await;
    let reply = answer(&mut ask(gateway, to, drain)).await.expect("nothing objects");
    for removed in &reply.removed {
        assert_eq!((removed.in_flight, removed.cut), (0, 0), "{what}: nothing was written");
    }
    nodes.iter().for_each(StandIn::clear_records);
    armed.release();
    while let Some(answered) = clients.join_next().await {
        let answered = answered.expect("no panic");
        match to.split_once(' ') {
            Some((_, kept)) => {
                let by = format!("\"node\":\"{kept}\"");
                assert!(answered.starts_with("HTTP/1.1 200"), "{what}: {answered}");
                assert!(answered.contains(&by), "{what}: {answered}");
            }
            None => {
                assert!(answered.starts_with("HTTP/1.1 503"), "{what}: {answered}");
                assert!(answered.to_ascii_lowercase().contains("retry-after"), "{answered}");
            }
        }
    }
    let kept = to.split_once(' ').map(|(_, kept)| kept);
    for node in nodes.iter().filter(|node| Some(node.id()) != kept) {
        assert_eq!(node.hits(), 0, "{what}: {} was written to", node.id());
    }
}

#[derive(Clone, Copy)]
struct Case {
    from: &'static str,
    to: &'static str,
    drain: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_held_at_any_point_goes_only_where_the_table_allows_when_it_goes_on() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    for point in ["forward.pick", "forward.connect", "forward.send"] {
        // Longer than anybody waits here: what was not written must not keep a switch from its end.
        for drain in ["300s", "0s"] {
            for (from, to) in [
                ("cluster", "single n2"),
                ("cluster", "maintenance"),
                ("single n1", "single n2"),
                ("single n1", "maintenance"),
            ] {
                held_over(&gateway, &nodes, point, Case { from, to, drain }).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_keeps_the_acknowledgement_waiting_until_it_ends() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut client = hold(&gateway, &nodes[0]).await;
    let mut asked = ask(&gateway, "maintenance", "60s");
    fenced(&gateway).await;
    let status = gateway.status().await;
    assert_eq!(status.nodes[0].in_flight, 1);
    assert!(status.switch.is_some() && asked.try_join_next().is_none());

    nodes[0].release();
    let reply = answer(&mut asked).await.expect("it drains");
    assert_eq!(reply.acknowledged, "drained");
    let n1 = left(&reply, "n1");
    assert_eq!((n1.in_flight, n1.cut, n1.abandoned), (0, 0, 0));
    assert!(text(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_cuts_a_request_without_an_answer_and_its_client_gets_the_notice() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut client = hold(&gateway, &nodes[0]).await;
    let reply = switched(&gateway, "maintenance", "200ms").await;
    let n1 = left(&reply, "n1");
    assert_eq!((n1.in_flight, n1.cut, n1.abandoned), (0, 1, 1));
    let n2 = left(&reply, "n2");
    assert_eq!((n2.in_flight, n2.cut, n2.abandoned), (0, 0, 0));
    let notice = text(&mut client).await;
    assert!(notice.starts_with("HTTP/1.1 503"), "{notice}");
    assert!(notice.to_ascii_lowercase().contains("retry-after"), "{notice}");
    // Cut is not ended: the node was not asked to stop, it has lost its client.
    let hold = || nodes[0].records().into_iter().find(|record| record.path() == "/__test/hold");
    eventually("the node sees its client gone", async || {
        hold().is_some_and(|record| record.vanished.is_some())
    })
    .await;
    assert!(hold().is_some_and(|record| record.ended.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_lives_to_the_deadline_and_then_looks_cut() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut stream = TcpStream::connect(gateway.address).await.expect("it accepts");
    let asked = "GET /__test/events?ms=5 HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.expect("written");
    read_until(&mut stream, "data: 3\n").await;

    let mut narrowing = ask(&gateway, "single n2", "60s");
    fenced(&gateway).await;
    // What was sent before the fence is read away: these came after it.
    let after_fence = gateway.status().await.nodes[0].in_flight;
    read_until(&mut stream, "data: ").await;
    read_more(&mut stream, 50).await;
    assert_eq!(after_fence, 1);

    let reply = switched(&gateway, "maintenance", "0s").await;
    assert_eq!(code(answer(&mut narrowing).await), "superseded");
    let n1 = left(&reply, "n1");
    assert_eq!((n1.in_flight, n1.cut, n1.abandoned), (0, 1, 1));
    let mut rest = Vec::new();
    // An end or a reset; either is no proper end of a chunked body.
    let _ = tokio::time::timeout(common::PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("it is cut");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks whole");
}

async fn read_until(stream: &mut TcpStream, wanted: &str) {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let count = stream.read(&mut buffer).await.expect("it goes on");
        assert_ne!(count, 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

async fn read_more(stream: &mut TcpStream, pieces: usize) {
    for _ in 0..pieces {
        read_until(stream, "data: ").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_counted_although_the_client_takes_no_byte() {
    let _points = points().await;
    let nodes = nodes(1);
    let gateway = start(&nodes).await;
    let mut stalled = TcpStream::connect(gateway.address).await.expect("it accepts");
    let asked = "GET /__test/bytes?n=200000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    stalled.write_all(asked.as_bytes()).await.expect("written");
    eventually("the node answers", async || {
        nodes[0].records().iter().any(|record| !record.is_probe() && record.status.is_some())
    })
    .await;
    // One byte, so that the head is known to be through; then no more is read.
    stalled.read_exact(&mut [0]).await.expect("an answer");

    let reply = switched(&gateway, "maintenance", "100ms").await;
    let n1 = left(&reply, "n1");
    assert_eq!((n1.in_flight, n1.cut, n1.abandoned), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_a_request_and_is_waited_for() {
    let _points = points().await;
    let nodes = nodes(1);
    let gateway = start(&nodes).await;
    let mut upload = TcpStream::connect(gateway.address).await.expect("it accepts");
    let head = "POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\
                Connection: close\r\n\r\n";
    upload.write_all(head.as_bytes()).await.expect("written");
    upload.write_all(&[b'x'; 50_000]).await.expect("written");
    eventually("the node has the head", async || nodes[0].hits() == 1).await;
    let mut asked = ask(&gateway, "maintenance", "60s");
    fenced(&gateway).await;
    assert!(gateway.status().await.switch.is_some());

    upload.write_all(&[b'x'; 50_000]).await.expect("written");
    let mut answered = String::new();
    upload.read_to_string(&mut answered).await.expect("an answer");
    assert!(answered.contains("\"body_bytes\":100000"), "{answered}");
    let reply = answer(&mut asked).await.expect("it drains");
    assert_eq!((left(&reply, "n1").cut, left(&reply, "n1").abandoned), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_waiting_the_answer_comes_at_the_fence_and_says_so() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut client = hold(&gateway, &nodes[0]).await;
    let body = drawspan::control::wire::SwitchBody {
        wait: Some("fenced".into()),
        drain_timeout: Some("60s".into()),
        ..common::command("single n2")
    };
    let reply = gateway.client.switch(&body, &Default::default()).await.expect("it fences").doc;
    assert_eq!(reply.acknowledged, "fenced");
    assert_eq!(left(&reply, "n1").in_flight, 1);
    assert!(get(gateway.address, "/__test/whoami").await.1.contains("\"n2\""));
    nodes[0].release();
    assert!(text(&mut client).await.starts_with("HTTP/1.1 200"));
    eventually("the switch ends", async || gateway.status().await.switch.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_connection_outlives_switches_and_a_nodes_idle_ones_do_not() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = Arc::new(InProcess::start(&nodes, Wish { workers: 1, ..Wish::default() }).await);
    for node in &nodes {
        gateway.node_is(node.id(), "ready").await;
    }
    let mut client = TcpStream::connect(gateway.address).await.expect("it accepts");
    let mut ask = async || {
        let asked = "GET /__test/whoami HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(asked.as_bytes()).await.expect("the connection lives");
        let mut buffer = vec![0; 65536];
        let count = client.read(&mut buffer).await.expect("the connection lives");
        assert_ne!(count, 0, "the connection was closed");
        String::from_utf8_lossy(&buffer[..12]).into_owned()
    };
    for _ in 0..4 {
        assert_eq!(ask().await, "HTTP/1.1 200");
    }
    let public = |node: &StandIn| {
        let records = node.records();
        records.into_iter().filter(|r| !r.is_probe()).map(|r| r.connection).collect::<Vec<_>>()
    };
    assert!(nodes.iter().all(|node| !public(node).is_empty()), "both have an idle connection");
    nodes.iter().for_each(StandIn::clear_records);

    switched(&gateway, "single n1", "0s").await;
    eventually("the idle connection to n2 is closed", async || nodes[1].open_connections() == 0)
        .await;
    // The other one grew as old, and lives.
    let seen = nodes[0].connections_seen();
    assert_eq!(ask().await, "HTTP/1.1 200");
    let used = public(&nodes[0]);
    assert!(used.iter().all(|connection| *connection <= seen), "{used:?} after {seen}");
    let probing = nodes[0].connections_seen() - seen;
    let probed = nodes[0].records().iter().filter(|record| record.is_probe()).count() as u64;
    assert!(probing <= probed, "a new connection to the kept node");

    for (mode, status) in [
        ("maintenance", "HTTP/1.1 503"),
        ("cluster", "HTTP/1.1 200"),
        ("single n2", "HTTP/1.1 200"),
    ] {
        switched(&gateway, mode, "0s").await;
        assert_eq!(ask().await, status, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_less_open_mode_supersedes_and_others_wait_for_their_turn() {
    let _points = points().await;
    let nodes = nodes(3);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut client = hold(&gateway, &nodes[0]).await;
    let mut first = ask(&gateway, "single n2", "60s");
    fenced(&gateway).await;

    for other in ["cluster", "single n3"] {
        assert_eq!(code(gateway.switch(other, "0s").await), "switch_in_progress", "{other}");
    }
    let mut joined = ask(&gateway, "single n2", "60s");
    let mut raised = ask(&gateway, "maintenance", "60s");
    let superseded = |answer: Result<SwitchDoc, ClientError>| match answer {
        Err(ClientError::Problem(problem)) => (problem.code, problem.revision),
        other => panic!("not superseded: {other:?}"),
    };
    let (code, revision) = superseded(answer(&mut first).await);
    assert_eq!(code, "superseded");
    // Whoever joined late may have met the raise already.
    let (late, _) = superseded(answer(&mut joined).await);
    assert!(["superseded", "switch_in_progress"].contains(&late.as_str()), "{late}");
    let mut again = ask(&gateway, "maintenance", "60s");
    fenced(&gateway).await;
    assert!(raised.try_join_next().is_none());

    nodes[0].release();
    let raised = answer(&mut raised).await.expect("it drains");
    let again = answer(&mut again).await.expect("it joined");
    assert_eq!((raised.changed, again.changed), (true, false));
    assert_eq!((Some(raised.revision), raised.revision), (revision, again.revision));
    assert!(text(&mut client).await.starts_with("HTTP/1.1 200"));
    assert!(!switched(&gateway, "maintenance", "0s").await.changed);
}

/// Longer than the bound of a fence, so that the switch is told to be incomplete.
const STALL: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_worker_is_named_makes_the_process_sick_and_finishes_when_it_wakes() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    failpoint::set("worker.fence", Action::Sleep(STALL), When::Only(1));
    let refused = gateway.switch("maintenance", "0s").await;
    let problem = match refused {
        Err(ClientError::Problem(problem)) => problem,
        other => panic!("no problem: {other:?}"),
    };
    assert_eq!(problem.code, "fence_incomplete");
    let status = gateway.status().await;
    let [stalled] = status.sick_workers[..] else { panic!("{:?}", status.sick_workers) };
    assert!(problem.detail.contains(&stalled.to_string()), "{}", problem.detail);
    assert_eq!(status.mode.kind, "maintenance", "what was published stands");
    assert!(status.switch.is_some_and(|switch| !switch.fenced));
    let (live, reason) = get(gateway.admin, "/live").await;
    assert_eq!(live, 503, "{reason}");
    assert!(reason.contains(&stalled.to_string()), "{reason}");
    // Whoever asks for the same now is not left waiting for a worker that may never wake.
    assert_eq!(code(gateway.switch("maintenance", "0s").await), "fence_incomplete");

    eventually("the switch ends", async || gateway.status().await.switch.is_none()).await;
    let status = gateway.status().await;
    assert!(status.sick_workers.is_empty());
    assert_eq!(get(gateway.admin, "/live").await.0, 200);
    assert!(!switched(&gateway, "maintenance", "0s").await.changed);
    let history = gateway.client.history(1).await.expect("it answers").doc.history;
    assert!(history[0].finished);
    failpoint::unset("worker.fence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_during_the_stop_is_still_acknowledged_only_when_it_is_drained() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let mut client = hold(&gateway, &nodes[0]).await;
    let mut before = ask(&gateway, "single n2", "60s");
    fenced(&gateway).await;
    gateway.tell_to_stop();
    eventually("no more clients are let in", async || {
        TcpStream::connect(gateway.address).await.is_err()
    })
    .await;
    assert!(!is_ready(gateway.admin).await);
    let mut during = ask(&gateway, "maintenance", "60s");
    assert_eq!(code(answer(&mut before).await), "superseded");
    fenced(&gateway).await;
    for _ in 0..20 {
        let status = gateway.status().await;
        assert_eq!(status.nodes[0].in_flight, 1);
        assert!(status.switch.is_some(), "acknowledged with a request in flight");
    }
    nodes[0].release();
    // The answer, or that the gateway ended first; never an untrue one.
    if let Ok(reply) = answer(&mut during).await {
        assert_eq!((left(&reply, "n1").in_flight, left(&reply, "n1").cut), (0, 0));
    }
    assert!(text(&mut client).await.starts_with("HTTP/1.1 200"));
}

/// Keeps the worker from its queue while clients come and the stop is ordered.
const LATE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_kernel_let_in_before_the_stop_is_answered() {
    let _points = points().await;
    let nodes = nodes(1);
    let gateway = Arc::new(InProcess::start(&nodes, Wish { workers: 1, ..Wish::default() }).await);
    gateway.node_is("n1", "ready").await;
    failpoint::set("worker.fence", Action::Sleep(LATE), When::Only(1));
    let mut late = ask(&gateway, "single n1", "0s");
    eventually("the worker is asked for the fence", async || {
        gateway.status().await.switch.is_some()
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = TcpStream::connect(gateway.address).await.expect("the kernel lets it in");
        client.write_all(GET.as_bytes()).await.expect("written");
        clients.push(client);
    }
    gateway.tell_to_stop();
    for mut client in clients {
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.expect("it is not reset");
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    }
    // Carried out, or told that the gateway stops.
    let _ = answer(&mut late).await;
    failpoint::unset("worker.fence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_changes_what_runs_after_the_decision_to_lower_is_told_and_remembered() {
    let _points = points().await;
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    switched(&gateway, "single n1", "0s").await;
    let decided = failpoint::arm("engine.decided");
    let mut lowering = ask(&gateway, "cluster", "0s");
    decided.reached().await;
    let call = "POST /api/pm:enable?filterByTk=x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                Connection: close\r\n\r\n";
    let answer_to_call = http(gateway.address, call).await.expect("an answer");
    assert!(answer_to_call.starts_with("HTTP/1.1 200"), "{answer_to_call}");
    decided.release();
    let lowered = answer(&mut lowering).await.expect("nothing was known against it");
    let told = |warning: &String| warning.contains("passed to n1 while the switch went on");
    assert!(lowered.warnings.iter().any(told), "{lowered:?}");
    let must = gateway.status().await.must_restart;
    assert!(must.iter().map(|must| must.node.as_str()).eq(["n2"]), "{must:?}");
    eventually("n1 is through with it, and kept", async || {
        gateway.switch("single n1", "0s").await.is_ok()
    })
    .await;
    assert_eq!(code(gateway.switch("cluster", "0s").await), "refused");
}
