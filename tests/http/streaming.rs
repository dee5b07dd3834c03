//! Bodies pass as they come, no faster than they are taken, and both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drawspan::standin::{Outcome, StandIn};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::common::eventually;
use crate::peer::{Peer, Whole, gateway, get};
use crate::raw_node::{self, RawNode, reset};

/// The bytes of these tests repeat with a period that no buffer's size is a multiple of: a piece
/// that is lost, doubled or moved shows.
const PERIOD: usize = 251;
/// As much as a `Peer` reads at once.
const PIECE: usize = 64 * 1024;

fn pattern() -> Vec<u8> {
    (0..PIECE + PERIOD).map(|at| u8::try_from(at % PERIOD).expect("small")).collect()
}

/// Takes what was read ahead; does it go on with the pattern at `at`?
fn goes_on(pattern: &[u8], peer: &mut Peer, at: &mut usize) -> bool {
    let mut right = true;
    for piece in peer.ahead.chunks(PIECE) {
        right &= *piece == pattern[*at % PERIOD..][..piece.len()];
        *at += piece.len();
    }
    peer.ahead.clear();
    right
}

const LARGE: usize = 64 * 1024 * 1024;
/// Far less than a large body, and more than the sockets of two connections hold.
const HELD_AT_MOST: u64 = 32 * 1024 * 1024;

#[tokio::test]
async fn the_first_piece_of_an_answer_arrives_before_the_last_is_sent() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/stall?n=10&of=20")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(client.take(10).await, b"xxxxxxxxxx");
    eventually("the node holds the rest", async || nodes[0].held() == 1).await;
    nodes[0].release();
    assert_eq!(client.take(10).await, b"xxxxxxxxxx");
}

#[tokio::test]
async fn an_upload_reaches_the_node_while_it_still_comes() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = Peer::connect(gateway.address).await;
        let chunked = framing.ends_with("chunked");
        let piece = |text: &str| if chunked { format!("5\r\n{text}\r\n") } else { text.into() };
        let head = format!("POST /__test/mirror HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.say(head + &piece("first")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
        // The node can only mirror what has reached it.
        assert_eq!(client.take(10).await, b"5\r\nfirst\r\n");
        client.say(piece("other")).await;
        assert_eq!(client.take(10).await, b"5\r\nother\r\n");
        if chunked {
            client.say("0\r\n\r\n").await;
        }
        assert_eq!(client.take(5).await, b"0\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stops_the_node_and_then_gets_every_byte() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let node = RawNode::start(move |mut peer, _| {
        let sent = count.clone();
        async move {
            peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
            let pattern = pattern();
            for at in (0..LARGE).step_by(PIECE) {
                peer.say(&pattern[at % PERIOD..][..PIECE]).await;
                sent.fetch_add(PIECE as u64, Ordering::SeqCst);
            }
            peer.rest().await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/large")).await;
    client.head().await;
    stands_still(&sent).await;
    let held = sent.load(Ordering::SeqCst);
    assert!(held < HELD_AT_MOST, "the node could write {held} bytes to nobody");
    let (pattern, mut at) = (pattern(), 0);
    while at < LARGE {
        assert!(goes_on(&pattern, &mut client, &mut at), "other bytes before {at}");
        assert!(at == LARGE || 0 < client.fill().await, "cut at {at}");
    }
}

/// Waits until the count has begun and moves no more.
async fn stands_still(count: &AtomicU64) {
    let last = std::cell::Cell::new((0, 0));
    eventually("the writing stands still", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (before, quiet) = last.get();
        let now = count.load(Ordering::SeqCst);
        last.set((now, if now == before { quiet + 1 } else { 0 }));
        0 < now && 6 < quiet
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_read_stops_the_client_and_then_gets_every_byte() {
    let reads = Arc::new(Semaphore::new(0));
    let waits = reads.clone();
    let node = RawNode::start(move |mut peer, _| {
        let waits = waits.clone();
        async move {
            waits.acquire().await.expect("open").forget();
            let (pattern, mut at, mut right) = (pattern(), 0, true);
            while at < LARGE && (!peer.ahead.is_empty() || 0 < peer.fill().await) {
                right &= goes_on(&pattern, &mut peer, &mut at);
            }
            peer.say(raw_node::ok(&format!("{at} bytes, right: {right}"))).await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.say(head).await;
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(async move {
        let pattern = pattern();
        for at in (0..LARGE).step_by(PIECE) {
            client.say(&pattern[at % PERIOD..][..PIECE]).await;
            count.fetch_add(PIECE as u64, Ordering::SeqCst);
        }
        client
    });
    stands_still(&sent).await;
    let held = sent.load(Ordering::SeqCst);
    assert!(held < HELD_AT_MOST, "the client could write {held} bytes to nobody");
    reads.add_permits(1);
    let mut client = writing.join_next().await.expect("one").expect("every byte is taken");
    assert_eq!(client.answer().await.text(), format!("{LARGE} bytes, right: true"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_whole_in_every_framing() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for framing in ["length", "chunked", "close"] {
        let mut client = Peer::connect(gateway.address).await;
        let target = format!("/__test/bytes?n={LARGE}&framing={framing}");
        let answer = client.ask(&get(&target)).await;
        assert_eq!((answer.body.len(), answer.whole), (LARGE, Whole::Yes), "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_uploads_pass_whole_in_both_framings() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let piece = vec![b'x'; 1024 * 1024];
    let mut client = Peer::connect(gateway.address).await;
    let head = format!("POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.say(head).await;
    for _ in 0..LARGE / piece.len() {
        client.say(&piece).await;
    }
    assert_eq!(client.answer().await.json()["body_bytes"], LARGE);
    client.say("POST /__test/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..LARGE / piece.len() {
        client.say(format!("{:x}\r\n", piece.len())).await;
        client.say(&piece).await;
        client.say("\r\n").await;
    }
    client.say("0\r\n\r\n").await;
    assert_eq!(client.answer().await.json()["body_bytes"], LARGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_reaches_a_client_that_still_uploads() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for then in ["read", "close", "reset"] {
        let client = Peer::connect(gateway.address).await;
        let (read, mut write) = client.stream.into_split();
        let mut sending = tokio::task::JoinSet::new();
        sending.spawn(async move {
            let head = format!(
                "POST /__test/early?then={then} HTTP/1.1\r\nHost: a\r\n\
                 Content-Length: {LARGE}\r\n\r\n"
            );
            let _ = write.write_all(head.as_bytes()).await;
            let piece = vec![b'x'; 64 * 1024];
            let mut sent = 0;
            // The answer may make it pointless.
            while sent < LARGE && write.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
        });
        let mut text = Vec::new();
        let mut read = read;
        // The end may be a reset: we may go on sending after the answer.
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut text);
        let _ = tokio::time::timeout(crate::common::PATIENCE, reading).await.expect("an end");
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("HTTP/1.1 413"), "{then}: {text}");
        assert!(text.ends_with("too large\n"), "{then}: {text}");
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_answer_waits_for_the_client() {
    let node = RawNode::start(|peer, _| async move {
        let (mut read, mut write) = peer.stream.into_split();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let piece = vec![b'a'; PIECE];
        let answering = async {
            write.write_all(head.as_bytes()).await.expect("taken");
            for _ in 0..LARGE / PIECE {
                write.write_all(&piece).await.expect("taken");
            }
        };
        let mut taken = peer.ahead.len();
        let taking = async {
            let mut piece = vec![0; PIECE];
            while taken < LARGE {
                taken += tokio::io::AsyncReadExt::read(&mut read, &mut piece).await.expect("sent");
            }
        };
        tokio::join!(answering, taking);
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let piece = vec![b'u'; PIECE];
    // It reads nothing before all of its request is taken.
    for _ in 0..LARGE / PIECE {
        let said = client.say(&piece);
        tokio::time::timeout(crate::common::PATIENCE, said).await.expect("the upload goes on");
    }
    let answer = client.answer().await;
    assert_eq!((answer.body.len(), answer.whole), (LARGE, Whole::Yes));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request_which_is_counted_as_abandoned() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    for target in ["/__test/hold", "/__test/events?ms=20", "/__test/stall?n=1&of=9"] {
        nodes[0].clear_records();
        let before = gateway.status().await.nodes[0].abandoned;
        let mut client = Peer::connect(gateway.address).await;
        client.say(get(target)).await;
        eventually("the node has it", async || nodes[0].hits() == 1).await;
        drop(client);
        eventually("the node sees its client leave", async || vanished(&nodes[0])).await;
        eventually("it is counted", async || {
            let node = &gateway.status().await.nodes[0];
            node.in_flight == 0 && node.abandoned == before + 1
        })
        .await;
        nodes[0].release();
    }
}

#[tokio::test]
async fn a_client_that_leaves_behind_more_than_is_read_ahead_cancels_its_request() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/hold")).await;
    eventually("the node has it", async || nodes[0].hits() == 1).await;
    client.say(get(&format!("/{}", "a".repeat(1_000))).repeat(40)).await;
    drop(client);
    eventually("the node sees its client leave", async || vanished(&nodes[0])).await;
    eventually("none is left", async || gateway.status().await.nodes[0].in_flight == 0).await;
    nodes[0].release();
}

fn vanished(node: &StandIn) -> bool {
    let records = node.records();
    records.iter().any(|record| !record.is_probe() && record.outcome == Outcome::Vanished)
}

#[tokio::test]
async fn an_upload_that_its_client_breaks_off_never_looks_whole_to_the_node() {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let node = RawNode::start(move |mut peer, _| {
        let seen = seen.clone();
        async move {
            let rest = peer.rest().await;
            seen.lock().expect("no panic").push(String::from_utf8_lossy(&rest).into_owned());
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    for body in
        ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let mut client = Peer::connect(gateway.address).await;
        client.say(format!("POST /up HTTP/1.1\r\nHost: a\r\n{body}")).await;
        let count = node.heads().len();
        eventually("the node has it", async || count <= node.heads().len()).await;
        reset(client);
    }
    eventually("both ended", async || bodies.lock().expect("no panic").len() == 2).await;
    for body in &*bodies.lock().expect("no panic") {
        assert!(body.len() < 16 && !body.contains("0\r\n\r\n"), "{body:?}");
    }
}
