//! Promise 1 and 2: nothing crosses a raised bridge, and no request fails because of a switch.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use common::{InProcess, Wish, command, nodes};
use drawspan::control::client::Conditions;
use drawspan::control::wire::SwitchDoc;
use drawspan::standin::StandIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SWITCHES: usize = 1_000;
const CLIENTS: usize = 12;
/// May be sent twice by a proxy ...
const READ: &str = "GET /api/app:getInfo HTTP/1.1\r\nHost: app.test\r\n\r\n";
/// ... and this may not.
const WRITE: &str = "POST /__test/echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nbody";

/// What the load saw.
#[derive(Default)]
struct Seen {
    served: AtomicU64,
    noticed: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// One keep-alive client asking as fast as it is answered. A connection that ends counts as a
/// failure: a switch closes none.
async fn client(address: std::net::SocketAddr, request: &'static str, seen: Arc<Seen>) {
    let mut stream = TcpStream::connect(address).await.expect("the gateway accepts");
    let mut buffer = vec![0; 32 * 1024];
    while !seen.stop.load(Ordering::Relaxed) {
        let status = match stream.write_all(request.as_bytes()).await {
            Ok(()) => read_answer(&mut stream, &mut buffer).await,
            Err(_) => None,
        };
        match status {
            Some(200) => seen.served.fetch_add(1, Ordering::Relaxed),
            Some(503) => seen.noticed.fetch_add(1, Ordering::Relaxed),
            Some(_) | None => seen.failed.fetch_add(1, Ordering::Relaxed),
        };
        if status.is_none() {
            stream = TcpStream::connect(address).await.expect("the gateway accepts");
        }
    }
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<u16> {
    let mut filled = 0;
    loop {
        let count = stream.read(buffer.get_mut(filled..)?).await.ok()?;
        if count == 0 {
            return None;
        }
        filled += count;
        let text = std::str::from_utf8(&buffer[..filled]).ok()?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1)?.lines().next()?.parse::<usize>();
            if length.ok()? <= body.len() {
                return head.get(9..12)?.parse().ok();
            }
        }
    }
}

async fn switch(gateway: &InProcess, mode: &str) -> SwitchDoc {
    let switched = gateway.client.switch(&command(mode), &Conditions::default()).await;
    switched.unwrap_or_else(|error| panic!("{mode}: {error}")).doc
}

/// Switches through `modes` again and again under load. Returns what the load saw, and how many
/// requests began on a removed node between an acknowledgement and the next command.
async fn switch_under_load(modes: &[&str], switches: usize) -> (Arc<Seen>, usize) {
    let nodes = nodes(3);
    let gateway = InProcess::start(&nodes, Wish::default()).await;
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for request in [READ, WRITE].iter().cycle().take(CLIENTS) {
        clients.spawn(client(gateway.address, request, seen.clone()));
    }
    let mut trespassers = 0;
    for mode in modes.iter().cycle().take(switches) {
        let reply = switch(&gateway, mode).await;
        let acknowledged = Instant::now();
        assert!(reply.changed, "{mode}");
        // Let the load run against the new table before the next command.
        let served = seen.served.load(Ordering::Relaxed) + seen.noticed.load(Ordering::Relaxed);
        common::eventually("the load goes on", async || {
            served + 20 < seen.served.load(Ordering::Relaxed) + seen.noticed.load(Ordering::Relaxed)
        })
        .await;
        trespassers += count_trespassers(&nodes, mode, acknowledged);
        nodes.iter().for_each(StandIn::clear_records);
    }
    seen.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    (seen, trespassers)
}

fn count_trespassers(nodes: &[StandIn], mode: &str, acknowledged: Instant) -> usize {
    let allowed = |id: &str| match mode.split_once(' ') {
        Some((_, kept)) => kept == id,
        None => mode == "cluster",
    };
    let removed = nodes.iter().filter(|node| !allowed(node.id()));
    let late = |node: &StandIn| {
        let records = node.records();
        records.iter().filter(|r| !r.is_probe() && acknowledged < r.begun).count()
    };
    removed.map(late).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_switches_between_cluster_and_single_fail_no_request() {
    let modes = ["single n1", "cluster", "single n2", "cluster", "single n3", "cluster"];
    let (seen, trespassers) = switch_under_load(&modes, SWITCHES).await;
    let served = seen.served.load(Ordering::Relaxed);
    println!("{SWITCHES} switches, {served} requests served");
    assert_eq!(trespassers, 0, "requests on a removed node after its acknowledgement");
    assert_eq!(seen.failed.load(Ordering::Relaxed), 0, "failed requests");
    assert_eq!(seen.noticed.load(Ordering::Relaxed), 0, "notices while a node was ready");
    assert!(SWITCHES as u64 * 20 < served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_bridge_lets_nothing_cross_and_everybody_gets_the_notice() {
    let modes = ["maintenance", "single n1", "cluster", "maintenance", "cluster", "single n2"];
    let (seen, trespassers) = switch_under_load(&modes, 300).await;
    assert_eq!(trespassers, 0, "requests on a removed node after its acknowledgement");
    assert_eq!(seen.failed.load(Ordering::Relaxed), 0, "neither served nor told");
    assert!(0 < seen.noticed.load(Ordering::Relaxed));
}
