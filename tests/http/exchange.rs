//! One exchange after the other: framing, versions, methods, hints, trailers.

use drawspan::standin::{Record, StandIn};
use tokio::io::AsyncWriteExt as _;

use crate::peer::{Peer, Whole, gateway, get, post};
use crate::raw_node::{self, RawNode};

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask(&get("/__test/whoami")).await.status, 200);
        assert_eq!(client.ask(&post("/__test/echo", "body")).await.json()["body"], "body");
    }
    let records = nodes[0].records();
    let mut connections: Vec<u64> = records
        .iter()
        .filter(|record| !record.is_probe())
        .map(|record| record.connection)
        .collect();
    assert_eq!(connections.len(), 20);
    connections.dedup();
    assert_eq!(connections.len(), 1, "one connection to the node serves them all");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (_nodes, gateway) = gateway(2, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    // The first takes longest; a POST's body lies between two heads.
    let requests = [
        get("/__test/slow?ms=200"),
        post("/__test/echo?2", "two"),
        get("/__test/echo?3"),
        get("/api/app:getInfo"),
        get("/__test/echo?5"),
    ];
    client.say(requests.concat()).await;
    assert_eq!(client.answer().await.text(), "slow\n");
    assert_eq!(client.answer().await.json()["body"], "two");
    assert_eq!(client.answer().await.json()["target"], "/__test/echo?3");
    assert_eq!(client.answer().await.json()["data"]["name"], "main");
    assert_eq!(client.answer().await.json()["target"], "/__test/echo?5");
}

#[tokio::test]
async fn an_http_1_0_client_gets_its_answer_without_chunks_and_then_the_end() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("GET /__test/bytes?n=1000&framing=chunked HTTP/1.0\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains(" 200 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(client.rest().await, vec![b'x'; 1000]);
}

#[tokio::test]
async fn an_http_1_0_client_may_ask_to_be_kept() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..3 {
        let request = "GET /__test/bytes?n=5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "xxxxx"));
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/bytes?n=12345").replacen("GET", "HEAD", 1)).await;
    let head = client.answer_to_head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
    assert_eq!(client.ask(&get("/__test/status?code=204")).await.status, 204);
    assert_eq!(client.ask(&get("/__test/status?code=304")).await.status, 304);
    client.say(get("/__test/bytes?n=9&framing=chunked").replacen("GET", "HEAD", 1)).await;
    assert_eq!(client.answer_to_head().await.status, 200);
    let last = get("/__test/bytes?n=3").replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    assert_eq!(client.ask(&last).await.text(), "xxx");
    assert_eq!(client.rest().await, b"", "bytes that nobody asked for");
    let asked = |record: &Record| !record.is_probe() && record.method == "HEAD";
    assert_eq!(nodes[0].records().iter().filter(|record| asked(record)).count(), 2);
}

#[tokio::test]
async fn an_answer_that_can_have_no_body_names_no_length() {
    let node = RawNode::start(|mut peer, _| async move {
        let hint = "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nConnection: X-Own\r\nX-Own: 1\r\nLink: </a>\r\n\r\n";
        peer.say(hint).await;
        peer.say("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\nConnection: close\r\n\r\n").await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/a")).await;
    let hint = client.head().await;
    assert!(hint.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"), "{hint}");
    assert!(!hint.to_ascii_lowercase().contains("x-own") && !hint.contains("Length"), "{hint}");
    let answer = client.answer_to_head().await;
    assert_eq!((answer.status, answer.header("content-length")), (204, None));
}

#[tokio::test]
async fn an_absolute_target_reaches_the_node_as_a_path_and_its_authority_as_host() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let request = "GET http://app.test:81/__test/echo?x=1 HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let seen = client.ask(request).await.json();
    assert_eq!(seen["target"], "/__test/echo?x=1");
    assert_eq!(sent(&seen, "host"), ["app.test:81"]);
    assert_eq!(sent(&seen, "x-forwarded-host"), ["app.test:81"]);
}

/// The values of a header as the node's echo saw them.
pub fn sent(echo: &serde_json::Value, name: &str) -> Vec<String> {
    let headers = echo["headers"].as_array().expect("the node's echo");
    let named = headers
        .iter()
        .filter(|pair| pair[0].as_str().is_some_and(|key| key.eq_ignore_ascii_case(name)));
    named.map(|pair| pair[1].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client
        .say(
            "POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 100"), "{head}");
    client.say("hello").await;
    let seen = client.answer().await.json();
    assert_eq!(seen["body"], "hello");
    assert!(sent(&seen, "expect").is_empty());
}

#[tokio::test]
async fn a_client_that_asks_for_100_and_does_not_wait_keeps_its_connection() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let request = "POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
                   Expect: 100-continue\r\n\r\nhello";
    for _ in 0..2 {
        assert_eq!(client.ask(request).await.json()["body"], "hello");
    }
}

#[tokio::test]
async fn early_hints_come_before_the_answer_to_those_who_know_them() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..3 {
        client.say(get("/__test/hints")).await;
        let hint = client.head().await;
        assert!(hint.starts_with("HTTP/1.1 103"), "{hint}");
        assert!(hint.to_ascii_lowercase().contains("link: </style.css>"), "{hint}");
        assert_eq!(client.answer().await.text(), "hinted");
    }
    let mut old = Peer::connect(gateway.address).await;
    old.say("GET /__test/hints HTTP/1.0\r\n\r\n").await;
    assert!(old.head().await.contains(" 200 "));
}

#[tokio::test]
async fn trailers_pass_down_to_a_client_that_takes_them() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let request = "GET /__test/trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n";
    let answer = client.ask(request).await;
    assert_eq!((answer.text().as_str(), answer.whole), ("hello", Whole::Yes));
    assert!(answer.trailers.to_ascii_lowercase().contains("x-sum: 5"), "{answer:?}");
    let asks = "GET /__test/echo HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\n\r\n";
    assert_eq!(sent(&client.ask(asks).await.json(), "te"), ["trailers"]);
}

#[tokio::test]
async fn trailers_pass_up_except_those_that_may_not_be_trailers() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client
        .say(
            "POST /__test/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum, Authorization, X-Forwarded-For\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\
             X-Sum: 5\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        )
        .await;
    let seen = client.answer().await.json();
    assert_eq!(seen["body"], "hello");
    let trailers = seen["trailers"].to_string().to_ascii_lowercase();
    assert!(trailers.contains("x-sum: 5"), "{trailers}");
    assert!(!trailers.contains("authorization") && !trailers.contains("6.6.6.6"), "{trailers}");
}

#[tokio::test]
async fn a_get_may_have_a_body_in_either_framing() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!("GET /__test/echo HTTP/1.1\r\nHost: a\r\n{body}");
        assert_eq!(client.ask(&request).await.json()["body"], "hello", "{body}");
    }
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let seen = client.ask(&post("/__test/echo", "")).await.json();
    assert_eq!(sent(&seen, "content-length"), ["0"]);
    assert_eq!(seen["body_bytes"], 0);
    assert_eq!(nodes.iter().map(StandIn::hits).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_client_that_has_finished_sending_gets_its_answers() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(format!("{}{}", get("/__test/bytes?n=3"), get("/__test/bytes?n=4"))).await;
    client.stream.shutdown().await.expect("an open socket");
    assert_eq!(client.answer().await.text(), "xxx");
    assert_eq!(client.answer().await.text(), "xxxx");
    assert!(client.rest().await.is_empty());
}
