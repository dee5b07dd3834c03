//! WebSockets through the gateway, and what never becomes one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::exchange::sent;
use crate::peer::{Peer, gateway, get, header};
use crate::raw_node::{self, RawNode, ok};

pub const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\n\
Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A client's frame; the mask is zeros, which changes nothing.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The next whole frame: its first byte and its payload; `None` where the connection ended.
pub async fn frame(peer: &mut Peer) -> Option<(u8, Vec<u8>)> {
    let start = peer.take(2).await;
    let [first, second] = start[..] else { return None };
    let length_bytes = match second & 0x7F {
        126 => peer.take(2).await,
        127 => peer.take(8).await,
        short => vec![short],
    };
    let length = length_bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    if second & 0x80 != 0 {
        peer.take(4).await;
    }
    let payload = peer.take(length).await;
    (payload.len() == length).then_some((first, payload))
}

/// An open WebSocket.
pub async fn open(address: std::net::SocketAddr) -> Peer {
    let mut client = Peer::connect(address).await;
    client.say(HANDSHAKE).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client
}

pub async fn tell(client: &mut Peer, text: &str) {
    client.say(masked(TEXT, text.as_bytes())).await;
}

#[tokio::test]
async fn frames_pass_both_ways_behind_a_right_handshake() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(HANDSHAKE).await;
    let head = client.head().await;
    assert_eq!(header(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    let echo = r#"{"type":"echo","text":"hello"}"#;
    tell(&mut client, echo).await;
    assert_eq!(frame(&mut client).await, Some((TEXT, echo.into())));
    nodes[0].broadcast("from the node");
    assert_eq!(frame(&mut client).await, Some((TEXT, b"from the node".to_vec())));
    assert_eq!(gateway.status().await.nodes[0].tunnels, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_fragmented_messages_pass_whole() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = open(gateway.address).await;
    let bytes = 8 * 1024 * 1024;
    tell(&mut client, &format!(r#"{{"type":"test:big","bytes":{bytes}}}"#)).await;
    let (first, payload) = frame(&mut client).await.expect("a frame");
    assert_eq!((first, payload.len()), (TEXT, bytes));
    tell(&mut client, r#"{"type":"test:fragments","parts":3}"#).await;
    let mut seen = vec![];
    for _ in 0..5 {
        seen.push(frame(&mut client).await.expect("a frame"));
    }
    let firsts: Vec<u8> = seen.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [0x01, PING, 0x00, PING, 0x80]);
    let padding = "x".repeat(200_000);
    let message = format!(r#"{{"type":"echo","text":"{padding}"}}"#);
    let (one, two) = message.as_bytes().split_at(70_000);
    client.say([masked(0x01, one), masked(PING, b"p"), masked(0x80, two)].concat()).await;
    assert_eq!(frame(&mut client).await, Some((0x8A, b"p".to_vec())));
    assert_eq!(frame(&mut client).await, Some((TEXT, message.into_bytes())));
}

/// What a client sends ahead of the node's 101, shaped as a request to be smuggled.
const EARLY: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

#[tokio::test]
async fn early_bytes_of_both_sides_cross_only_behind_the_101_and_as_bytes() {
    let (asked, agree) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (seen, agreed) = (asked.clone(), agree.clone());
    let node = RawNode::start(move |mut peer, _| {
        let (seen, agreed) = (seen.clone(), agreed.clone());
        async move {
            seen.add_permits(1);
            agreed.acquire().await.expect("open").forget();
            // Whatever was sent ahead of the 101 would be here by now.
            let mut byte = [0; 1];
            let ahead = peer.ahead.len() + peer.stream.try_read(&mut byte).unwrap_or(0);
            assert_eq!(ahead, 0, "bytes reached the node before it agreed");
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\nearly words of the node";
            peer.say(head).await;
            let early = peer.take(EARLY.len()).await;
            assert_eq!(String::from_utf8_lossy(&early), EARLY);
            peer.say("got it").await;
            peer.rest().await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(format!("{HANDSHAKE}{EARLY}")).await;
    asked.acquire().await.expect("open").forget();
    // A request that the gateway handles meanwhile shows that it had time to misbehave.
    crate::common::node_is(&gateway.client, "n1", "ready").await;
    agree.add_permits(1);
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    let words = b"early words of the nodegot it";
    assert_eq!(client.take(words.len()).await, words);
    assert_eq!(node.heads().len(), 1, "nothing was read as a second request");
}

#[tokio::test]
async fn a_node_that_does_not_agree_makes_no_tunnel() {
    for status in ["200 OK", "403 Forbidden"] {
        let node = RawNode::start(move |mut peer, head| async move {
            let body = header(&head, "upgrade").unwrap_or("plain").to_owned();
            let length = body.len();
            peer.say(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")).await;
            while let Some(_next) = peer.try_head().await {
                peer.say(ok("plain")).await;
            }
        })
        .await;
        let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
        let mut client = Peer::connect(gateway.address).await;
        let answer = client.ask(HANDSHAKE).await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.text(), "websocket");
        assert_eq!(gateway.status().await.nodes[0].tunnels, 0);
        assert_eq!(client.ask(&get("/next")).await.text(), "plain");
    }
}

#[tokio::test]
async fn a_node_that_agrees_to_something_else_is_a_bad_gateway() {
    for lines in ["Connection: Upgrade\r\nUpgrade: other\r\n", "Upgrade: websocket\r\n", ""] {
        let node = RawNode::start(move |mut peer, _| async move {
            peer.say(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\nhello")).await;
            peer.rest().await;
        })
        .await;
        let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
        let mut client = Peer::connect(gateway.address).await;
        assert_eq!(client.ask(HANDSHAKE).await.status, 502, "{lines:?}");
        assert_eq!(gateway.status().await.nodes[0].tunnels, 0, "{lines:?}");
    }
}

#[tokio::test]
async fn a_node_that_upgrades_what_did_not_ask_is_a_bad_gateway() {
    let node = RawNode::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;
        peer.rest().await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    assert_eq!(client.ask(&get("/page")).await.status, 502);
}

#[tokio::test]
async fn h2c_is_never_passed_on_and_its_request_is_served_as_it_is() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    for protocol in ["h2c", "websocket, h2c", "H2C"] {
        let mut client = Peer::connect(gateway.address).await;
        let request = format!(
            "GET /__test/echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        let answer = client.ask(&request).await;
        assert_eq!(answer.status, 200, "{protocol}");
        let seen = answer.json();
        assert!(sent(&seen, "upgrade").is_empty() && sent(&seen, "http2-settings").is_empty());
    }
}

#[tokio::test]
async fn a_handshake_with_a_body_is_no_handshake() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let request = "GET /__test/echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nContent-Length: 5\r\n\r\nhello";
    let seen = client.ask(request).await.json();
    assert_eq!(seen["body"], "hello");
    assert!(sent(&seen, "upgrade").is_empty());
}
