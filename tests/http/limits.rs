//! Slow, large and broken sides cost bounded time and memory.

use std::sync::Arc;
use std::time::Duration;

use drawspan::model::limits::HINTS_MAX;
use drawspan::standin::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::common::{self, eventually};
use crate::peer::{Peer, Whole, gateway, get};
use crate::raw_node::{self, RawNode};

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_head_that_does_not_come_is_answered_408() {
    let (nodes, gateway) = gateway(1, |config| config.timeouts.head = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("GET /__test/echo HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.whole), (408, Whole::Yes));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_and_between_requests() {
    let (_nodes, gateway) = gateway(1, |config| config.timeouts.keep_alive = SHORT).await;
    assert_eq!(Peer::connect(gateway.address).await.rest().await, b"");
    let mut client = Peer::connect(gateway.address).await;
    assert_eq!(client.ask(&get("/__test/whoami")).await.status, 200);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_long_request_is_not_idle() {
    let (nodes, gateway) = gateway(1, |config| {
        config.timeouts.keep_alive = SHORT;
        config.timeouts.head = SHORT;
        config.timeouts.body_stall = SHORT;
    })
    .await;
    let (mut waiting, mut idle) =
        (Peer::connect(gateway.address).await, Peer::connect(gateway.address).await);
    waiting.say(get("/__test/hold")).await;
    eventually("the node holds it", async || nodes[0].held() == 1).await;
    // When an idle connection of the same age was closed, every limit has passed.
    assert_eq!(idle.rest().await, b"");
    assert_eq!(Peer::connect(gateway.address).await.rest().await, b"");
    nodes[0].release();
    assert_eq!(waiting.answer().await.text(), "released\n");
}

#[tokio::test]
async fn a_body_that_stands_still_is_answered_408_and_never_looks_whole_to_the_node() {
    let (nodes, gateway) = gateway(1, |config| config.timeouts.body_stall = SHORT).await;
    for framing in
        ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        nodes[0].clear_records();
        let mut client = Peer::connect(gateway.address).await;
        client.say(format!("POST /api/x:create HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 408);
        assert_eq!(answer.json()["errors"][0]["code"], "REQUEST_TIMEOUT");
        eventually("the node saw it break off", async || {
            nodes[0].records().iter().any(|r| !r.is_probe() && r.outcome == Outcome::Vanished)
                || nodes[0].records().iter().any(|r| !r.is_probe() && r.outcome == Outcome::Cut)
        })
        .await;
        assert!(nodes[0].records().iter().all(|r| r.is_probe() || r.status.is_none()));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_at_its_head() {
    let (nodes, gateway) = gateway(1, |config| config.limits.request_body = Some(1_000)).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("POST /api/x:create HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["errors"][0]["code"], "CONTENT_TOO_LARGE");
    assert_eq!(nodes[0].hits(), 0);
    let mut client = Peer::connect(gateway.address).await;
    let fits = format!(
        "POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}",
        "x".repeat(1_000)
    );
    assert_eq!(client.ask(&fits).await.json()["body_bytes"], 1_000);
}

#[tokio::test]
async fn a_streamed_body_is_cut_at_the_limit() {
    let (_nodes, gateway) = gateway(1, |config| config.limits.request_body = Some(1_000)).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("POST /__test/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    client.say(chunk.repeat(3)).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let large = format!("X-Large: {}\r\n", "x".repeat(40 * 1024));
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    for lines in [large, many] {
        let mut client = Peer::connect(gateway.address).await;
        let request = format!("GET /__test/echo HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        // It may be refused before it was sent whole.
        let _ = client.try_say(request).await;
        assert_eq!(client.answer().await.status, 431);
        client.rest().await;
    }
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_cut_and_so_is_its_answer() {
    let (nodes, gateway) = gateway(1, |config| config.timeouts.body_stall = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/bytes?n=67108864")).await;
    eventually("the node is rid of it", async || {
        nodes[0].records().iter().any(|r| r.path() == "/__test/bytes" && r.vanished.is_some())
    })
    .await;
    assert!(client.rest().await.len() < 67_108_864);
}

#[tokio::test]
async fn beyond_the_cap_a_client_is_told_at_once_and_a_place_comes_free_again() {
    let (_nodes, gateway) = gateway(1, |config| config.limits.connections = Some(3)).await;
    let mut held = vec![];
    for _ in 0..3 {
        let mut client = Peer::connect(gateway.address).await;
        assert_eq!(client.ask(&get("/__test/whoami")).await.status, 200);
        held.push(client);
    }
    let mut fourth = Peer::connect(gateway.address).await;
    let answer = fourth.answer().await;
    assert_eq!((answer.status, answer.whole), (503, Whole::Yes));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(held[0].ask(&get("/__test/whoami")).await.status, 200);
    held.pop();
    eventually("the place is free", async || {
        let mut client = Peer::connect(gateway.address).await;
        client.ask(&get("/__test/whoami")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_node_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let (nodes, gateway) = gateway(1, |config| config.timeouts.response_head = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    let request = "GET /__test/hold HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n";
    let answer = client.ask(request).await;
    assert_eq!(answer.status, 504);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(gateway.status().await.nodes[0].abandoned, 1, "the node still works on it");
    nodes[0].release();
}

#[tokio::test]
async fn a_long_upload_does_not_eat_up_the_time_that_its_answer_has() {
    let limit = |config: &mut drawspan::config::Config| {
        config.timeouts.response_head = Duration::from_secs(2)
    };
    let (_nodes, gateway) = gateway(1, limit).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        // The subject: an upload that takes longer than the limit, and never stalls for as long.
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.say("x").await;
    }
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn an_answer_that_its_node_breaks_off_never_looks_whole() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for target in ["/__test/cut?n=10&of=100", "/__test/cut?n=10&of=100&how=reset"] {
        let mut client = Peer::connect(gateway.address).await;
        client.say(get(target)).await;
        let head = client.head().await;
        let answer = client.body_of(head).await;
        assert_eq!((answer.status, answer.whole), (200, Whole::No), "{target}");
        assert_eq!(answer.header("content-length"), Some("100"));
    }
    let read = Arc::new(Semaphore::new(0));
    let waits = read.clone();
    let node = RawNode::start(move |mut peer, _| {
        let waits = waits.clone();
        async move {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            peer.say(format!("{head}5\r\nhello\r\n")).await;
            waits.acquire().await.expect("open").forget();
        }
    })
    .await;
    let chunked = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(chunked.address).await;
    client.say(get("/page")).await;
    let head = client.head().await;
    read.add_permits(1);
    let answer = client.body_of(head).await;
    assert_eq!((answer.text().as_str(), answer.whole), ("hello", Whole::No));
}

#[tokio::test]
async fn a_node_that_talks_nonsense_or_too_much_is_a_bad_gateway() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let targets =
        ["/__test/nonsense", "/__test/large-head?n=40000", "/__test/drop", "/__test/reset"];
    for target in targets {
        let mut client = Peer::connect(gateway.address).await;
        let answer = client.ask(&get(target)).await;
        assert_eq!((answer.status, answer.whole), (502, Whole::Yes), "{target}");
        assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
        // The client's own connection is none the worse.
        assert_eq!(client.ask(&get("/__test/whoami")).await.status, 200, "{target}");
    }
}

/// The answer is the request's target, with `~` for the ends of lines.
async fn parrot() -> RawNode {
    RawNode::start(|mut peer, head| async move {
        let target = head.split(' ').nth(1).expect("a target");
        let answer = target.trim_start_matches('/').replace("%20", " ").replace('~', "\r\n");
        peer.say(answer.replace("%0A", "\n")).await;
        // Kept open: nothing may hang on the connection's end.
        peer.rest().await;
    })
    .await
}

#[tokio::test]
async fn an_answer_that_two_parsers_could_read_differently_is_a_bad_gateway() {
    let node = parrot().await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    for answer in [
        // A hint has no body, whatever it says: others might look for one.
        "HTTP/1.1 103 Early Hints~Transfer-Encoding: gzip, chunked~~HTTP/1.1 200 OK~~hello",
        "HTTP/1.1 200 OK~Content-Length: 5~Content-Length: 6~~hello!",
        "HTTP/1.1 200 OK~Content-Length: 5~Content-Length: 5~~hello",
        "HTTP/1.1 200 OK~Content-Length: 5, 5~~hello",
        "HTTP/1.1 200 OK~Content-Length: 5~Transfer-Encoding: chunked~~0~~",
        "HTTP/1.1 200 OK~Transfer-Encoding: gzip, chunked~~0~~",
        "HTTP/1.0 200 OK~Transfer-Encoding: chunked~~0~~",
        "HTTP/1.1 200 OK%0AContent-Length: 5~~hello",
        "HTTP/1.1 200 OK~Content-Length : 5~~hello",
        "HTTP/1.1 200 OK~A: b~ c~Content-Length: 5~~hello",
    ] {
        let mut client = Peer::connect(gateway.address).await;
        let served = client.ask(&get(&format!("/{}", answer.replace(' ', "%20")))).await;
        assert_eq!((served.status, served.whole), (502, Whole::Yes), "{answer}");
    }
}

#[tokio::test]
async fn a_node_that_hints_without_end_is_a_bad_gateway() {
    let node = RawNode::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(HINTS_MAX + 1)).await;
        peer.rest().await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    for _ in 0..HINTS_MAX {
        let hint = client.head().await;
        assert!(hint.starts_with("HTTP/1.1 103 "), "{hint}");
    }
    assert_eq!(client.answer().await.status, 502);
}

#[tokio::test]
async fn bytes_behind_an_answer_never_become_the_next_one() {
    let node = parrot().await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let smuggled = "HTTP/1.1 200 OK~Content-Length: 3~~oneHTTP/1.1 200 OK~Content-Length: 3~~BAD";
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..2 {
        let answer = client.ask(&get(&format!("/{}", smuggled.replace(' ', "%20")))).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "one"));
    }
    assert_eq!(node.heads().len(), 2, "the connection that said too much was used again");
}

#[tokio::test]
async fn an_answer_in_bad_chunks_never_looks_whole() {
    let node = parrot().await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    for chunks in ["5~hello0~~", "5 ~hello~0~~", "5%0Ahello~0~~", "+5~hello~0~~", "~0~~", "x~"] {
        let target = format!("/HTTP/1.1%20200%20OK~Transfer-Encoding:%20chunked~~{chunks}");
        let mut client = Peer::connect(gateway.address).await;
        client.say(get(&target.replace(' ', "%20"))).await;
        let answer = String::from_utf8(client.rest().await).expect("text");
        // Not a byte of an answer looks like a connection that was closed before the request.
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{chunks}: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{chunks}: {answer}");
    }
}

#[tokio::test]
async fn a_node_that_stalls_in_its_answer_is_ended_and_never_looks_whole() {
    let (nodes, gateway) = gateway(1, |config| config.timeouts.body_stall = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/stall?n=10&of=20")).await;
    let answer = client.answer().await;
    assert_eq!((answer.body.len(), answer.whole), (10, Whole::No));
    assert_eq!(gateway.status().await.nodes[0].abandoned, 1);
    nodes[0].release();
}

#[tokio::test]
async fn a_node_that_answers_early_may_wait_for_a_long_upload() {
    const STALL: Duration = Duration::from_secs(3);
    const UPLOAD: &[u8] = b"an upload";
    let node = RawNode::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        assert_eq!(peer.take(UPLOAD.len()).await, UPLOAD);
        peer.say("done").await;
    })
    .await;
    let gateway =
        raw_node::gateway_over(&[&node], |config| config.timeouts.body_stall = STALL).await;
    let mut client = Peer::connect(gateway.address).await;
    client
        .say(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", UPLOAD.len()))
        .await;
    for byte in UPLOAD {
        // The subject: each byte well in time, all of them together beyond the limit.
        tokio::time::sleep(STALL / 6).await;
        client.say([*byte]).await;
    }
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.whole), ("done", Whole::Yes));
}

#[tokio::test]
async fn an_event_stream_may_be_silent_whatever_was_asked_for() {
    let node = RawNode::start(|mut peer, _| async move {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        peer.say(head).await;
        // The subject: silence beyond the limit, and beyond the tick that would see it.
        tokio::time::sleep(2 * SHORT + Duration::from_secs(1)).await;
        peer.say("data: late\n\n").await;
    })
    .await;
    let gateway =
        raw_node::gateway_over(&[&node], |config| config.timeouts.body_stall = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    let answer = client.ask(&get("/api/chat:ask")).await;
    assert_eq!((answer.text().as_str(), answer.whole), ("data: late\n\n", Whole::Yes));
}

/// An answer without a length, of which a piece comes and no end.
async fn endless() -> RawNode {
    RawNode::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npiece").await;
        peer.rest().await;
    })
    .await
}

#[tokio::test]
async fn an_answer_that_lasts_until_its_connection_ends_never_looks_whole_when_it_is_cut() {
    let node = endless().await;
    let gateway =
        raw_node::gateway_over(&[&node], |config| config.timeouts.body_stall = SHORT).await;
    let mut client = Peer::connect(gateway.address).await;
    let answer = client.ask(&get("/page")).await;
    assert_eq!((answer.text().as_str(), answer.whole), ("piece", Whole::No));
    // HTTP/1.0 knows no chunks: only a reset tells it from the end.
    let mut old = tokio::net::TcpStream::connect(gateway.address).await.expect("somebody accepts");
    old.write_all(b"GET /page HTTP/1.0\r\n\r\n").await.expect("written");
    let mut text = Vec::new();
    let end = old.read_to_end(&mut text).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));

    let cut = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(cut.address).await;
    client.say(get("/page")).await;
    let head = client.head().await;
    common::switch(&cut.client, "maintenance", "0s").await.expect("raised");
    assert_eq!(client.body_of(head).await.whole, Whole::No);
}
