//! Requests that two parsers could read in two ways reach no node.

use crate::exchange::sent;
use crate::peer::{Peer, gateway};

/// Says `request`, reads the answer and the connection's end; what the nodes saw of it must be
/// nothing.
async fn refused(cases: &[(&str, String)], status: u16) {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    for (what, request) in cases {
        let mut client = Peer::connect(gateway.address).await;
        client.say(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{what}");
        let rest = client.rest().await;
        assert!(
            rest.is_empty(),
            "{what}: more than one answer: {:?}",
            String::from_utf8_lossy(&rest)
        );
        let seen: Vec<_> = nodes[0].records().into_iter().filter(|r| !r.is_probe()).collect();
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }
}

/// Followed by a second request that a lenient reader would serve.
const SMUGGLED: &str = "GET /__test/echo?smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(lines: &str, body: &str) -> String {
    format!("POST /__test/echo HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{SMUGGLED}")
}

#[tokio::test]
async fn a_head_that_says_two_things_about_its_end_is_refused() {
    let cases = [
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
        ("a list of lengths", post("Content-Length: 5, 5\r\n", "hello")),
        ("a length with a sign", post("Content-Length: +5\r\n", "hello")),
        ("a negative length", post("Content-Length: -5\r\n", "hello")),
        ("a length that overflows", post("Content-Length: 99999999999999999999\r\n", "hello")),
        ("a hexadecimal length", post("Content-Length: 0x5\r\n", "hello")),
        ("an empty length", post("Content-Length:\r\n", "hello")),
    ];
    refused(&cases, 400).await;
}

/// hyper reads such a head by its coding (RFC 9112 section 6.3 allows it) and shows us no trace of
/// the length; what must hold is that no node ever sees the two together, nor another message
/// than the gateway did.
#[tokio::test]
async fn a_length_beside_a_coding_or_its_twin_never_reaches_a_node() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let cases = [
        ("Content-Length: 50\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 50\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ];
    for (lines, body) in cases {
        let mut client = Peer::connect(gateway.address).await;
        client
            .say(format!("POST /__test/echo HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{SMUGGLED}"))
            .await;
        let answer = client.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        if answer.status == 200 {
            let seen = answer.json();
            assert_eq!(seen["body"], "hello", "{lines}");
            let framing =
                sent(&seen, "content-length").len() + sent(&seen, "transfer-encoding").len();
            assert_eq!(framing, 1, "{lines}");
        }
    }
    assert!(nodes[0].records().iter().all(|record| !record.target.contains("hello")));
}

#[tokio::test]
async fn only_exactly_chunked_is_a_coding() {
    let chunked = "0\r\n\r\n";
    let cases = [
        ("another name", post("Transfer-Encoding: xchunked\r\n", chunked)),
        ("a second coding", post("Transfer-Encoding: gzip, chunked\r\n", chunked)),
        ("not the last", post("Transfer-Encoding: chunked, identity\r\n", chunked)),
        ("identity", post("Transfer-Encoding: identity\r\n", chunked)),
        ("twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked)),
        ("twice in a line", post("Transfer-Encoding: chunked, chunked\r\n", chunked)),
        ("a tab in it", post("Transfer-Encoding: chu\tnked\r\n", chunked)),
        ("a blank before the colon", post("Transfer-Encoding : chunked\r\n", chunked)),
        (
            "HTTP/1.0",
            "POST /__test/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn control_bytes_and_folded_lines_are_refused() {
    let get = |line: &str| format!("GET /__test/echo HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    let cases = [
        ("a folded line", get("X-A: 1\r\n folded")),
        ("NUL in a value", get("X-A: 1\0 2")),
        ("NUL in a name", get("X\0A: 1")),
        ("DEL in a value", get("X-A: 1\x7f2")),
        ("a bare CR in a value", get("X-A: 1\r2")),
        ("a blank in a name", get("X A: 1")),
        ("no name", get(": 1")),
        ("no colon", get("X-A")),
        ("NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("no version", "GET /a\r\nHost: a\r\n\r\n".into()),
        ("a version we do not know", "GET /a HTTP/3.1\r\nHost: a\r\n\r\n".into()),
        ("an odd method", "GE\x01T /a HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let cases = [
        ("none", "GET /__test/echo HTTP/1.1\r\n\r\n".to_owned()),
        ("two", "GET /__test/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into()),
        ("a path in it", "GET /__test/echo HTTP/1.1\r\nHost: a/b\r\n\r\n".into()),
        ("a user in it", "GET /__test/echo HTTP/1.1\r\nHost: u@a\r\n\r\n".into()),
        ("a user in the target", "GET http://u@a/__test/echo HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn connect_and_trace_are_not_served() {
    let cases = [
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned()),
        ("TRACE", "TRACE /__test/echo HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ];
    refused(&cases, 405).await;
}

#[tokio::test]
async fn the_preface_of_http_2_is_no_request() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(preface).await;
    let answer = client.rest().await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test]
async fn a_body_in_bad_chunks_is_refused_and_never_looks_whole_to_the_node() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let sizes = ["10000000000000000", "ffffffffffffffffff", "-1", "0x5", "5 5", "g", "", "+5"];
    for size in sizes {
        nodes[0].clear_records();
        let mut client = Peer::connect(gateway.address).await;
        let head = "POST /__test/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.say(format!("{head}{size}\r\nhello\r\n0\r\n\r\n{SMUGGLED}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{size}");
        assert!(client.rest().await.is_empty(), "{size}: more than one answer");
        let ours: Vec<_> = nodes[0].records().into_iter().filter(|r| !r.is_probe()).collect();
        assert!(ours.iter().all(|record| record.status.is_none()), "{size}: {ours:?}");
        assert!(ours.len() < 2, "{size}: {ours:?}");
    }
}
