//! Requests that two parsers could read in two ways reach no node.

use crate::peer::{Peer, gateway, get, metric};

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

#[tokio::test]
async fn a_length_beside_a_coding_or_its_twin_is_refused() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let cases = [
        ("CL+TE", post("Content-Length: 50\r\nTransfer-Encoding: chunked\r\n", chunked)),
        ("TE+CL", post("Transfer-Encoding: chunked\r\nContent-Length: 50\r\n", chunked)),
        ("CL:0+TE", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunked)),
        ("twins", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn a_bare_line_feed_ends_no_line() {
    let cases = [
        ("everywhere", "GET /__test/echo HTTP/1.1\nHost: a\n\n".to_owned()),
        ("behind the first line", "GET /__test/echo HTTP/1.1\nHost: a\r\n\r\n".into()),
        ("behind a header", "GET /__test/echo HTTP/1.1\r\nHost: a\nX: b\r\n\r\n".into()),
        ("at the end", "GET /__test/echo HTTP/1.1\r\nHost: a\r\n\n".into()),
        ("before", "\nGET /__test/echo HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn what_is_refused_behind_a_good_request_is_refused_all_the_same() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let good = get("/__test/echo");
    for bad in ["GET /__test/echo?bad HTTP/1.1\nHost: a\n\n", &post("Content-Length: x\r\n", "")] {
        nodes[0].clear_records();
        let mut client = Peer::connect(gateway.address).await;
        client.say(format!("{good}{bad}{SMUGGLED}")).await;
        assert_eq!(client.answer().await.status, 200, "{bad:?}");
        assert_eq!(client.answer().await.status, 400, "{bad:?}");
        assert!(client.rest().await.is_empty(), "{bad:?}");
        assert_eq!(nodes[0].records().iter().filter(|r| !r.is_probe()).count(), 1, "{bad:?}");
    }
}

#[tokio::test]
async fn what_follows_a_handshake_that_is_refused_is_no_request() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let handshake = "GET /__test/echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    let mut client = Peer::connect(gateway.address).await;
    client.say(format!("{handshake}{SMUGGLED}")).await;
    let answer = client.answer().await;
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(client.rest().await.is_empty());
    assert!(nodes[0].records().iter().all(|record| !record.target.contains("smuggled")));
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is_in_the_form_of_the_path_and_is_counted() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let before = metric(&gateway, "drawspan_own_errors_total", &["400"]).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say("GET /api/users:list HTTP/1.1\nHost: a\n\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let told = &answer.json()["errors"][0];
    assert_eq!((&told["code"], &told["side"]), (&"BAD_REQUEST".into(), &"client".into()));
    assert_eq!(told["reason"], "a line of the head ends without a carriage return");
    assert_eq!(answer.header("connection"), Some("close"));
    let counted = metric(&gateway, "drawspan_own_errors_total", &["400"]).await;
    assert_eq!(counted - before, 1.0);
    let mut client = Peer::connect(gateway.address).await;
    client.say(format!("GET /page HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000))).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (431, Some("text/plain; charset=utf-8"))
    );
    assert!(!answer.body.is_empty());
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
        ("an authority as target", "GET a.test HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("an asterisk as target", "GET * HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("an odd method", "GE\x01T /a HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ];
    refused(&cases, 400).await;
}

#[tokio::test]
async fn a_refusal_of_a_head_request_has_no_body_even_where_it_cannot_be_read() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for head in
        ["HEAD f/ HTTP/1.1\r\nHost: a\r\n", "HEAD / HTTP/1.1\r\nA b\r\n", "HEAD / HTTP/1.1\r\n"]
    {
        let mut client = Peer::connect(gateway.address).await;
        client.say(format!("{head}\r\n")).await;
        let answer = client.answer_to_head().await;
        assert_eq!(answer.status, 400, "{head}");
        assert_ne!(answer.header("content-length"), Some("0"), "{head}");
        assert!(client.rest().await.is_empty(), "{head}");
    }
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
async fn nothing_follows_a_body_that_could_not_be_read() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    for body in
        ["5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", "5\r\nhello\r\n0\r\n: x\r\n\r\n", "x\r\n"]
    {
        nodes[0].clear_records();
        let mut client = Peer::connect(gateway.address).await;
        let head = "POST /__test/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.say(format!("{head}{body}\r\n{SMUGGLED}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{body:?}");
        assert!(client.rest().await.is_empty(), "{body:?}");
        let smuggled = nodes[0].records().iter().any(|record| record.target.contains("smuggled"));
        assert!(!smuggled, "{body:?}");
    }
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
        assert!(ours.is_empty(), "{size}: {ours:?}");
    }
    assert_eq!(gateway.status().await.nodes[0].abandoned, 0, "nothing was written");
}
