//! However the bytes of either side are cut, the same messages pass.

use std::time::Duration;

use fastrand::Rng;
use tokio::io::AsyncWriteExt;

use crate::peer::{Peer, Whole, gateway};
use crate::raw_node::{self, RawNode};

/// Says `bytes` in pieces of random lengths.
async fn say_cut(peer: &mut Peer, bytes: &[u8], random: &mut Rng) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at_most = if random.bool() { 3 } else { 400 };
        let (piece, after) = rest.split_at(random.usize(1..=at_most).min(rest.len()));
        if peer.try_say(piece).await.is_err() {
            return;
        }
        rest = after;
        if random.u8(..8) == 0 {
            // Not a wait for anything: it lets the other side see what there is so far.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A body in the framing that `random` picks, with the lines that say so.
fn framed(body: &str, random: &mut Rng) -> String {
    if random.bool() {
        return format!("Content-Length: {}\r\n\r\n{body}", body.len());
    }
    let mut text = "Transfer-Encoding: chunked\r\n\r\n".to_owned();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=rest.len()));
        let extension = if random.bool() { ";a=\"b\"" } else { "" };
        text += &format!("{:x}{extension}\r\n{piece}\r\n", piece.len());
        rest = after;
    }
    text + "0\r\n\r\n"
}

fn body(random: &mut Rng) -> String {
    let length = if random.bool() { random.usize(..20) } else { random.usize(..5_000) };
    std::iter::repeat_with(|| random.alphanumeric()).take(length).collect()
}

/// What the client expects behind one of its requests.
enum Expected {
    Echo(String),
    Head,
}

fn request(number: usize, random: &mut Rng) -> (String, Expected) {
    let head = |method: &str| format!("{method} /__test/echo?{number} HTTP/1.1\r\nHost: a\r\n");
    match random.u8(..4) {
        0 => (head("GET") + "\r\n", Expected::Echo(String::new())),
        1 => (head("HEAD") + "\r\n", Expected::Head),
        _ => {
            let body = body(random);
            (head("POST") + &framed(&body, random), Expected::Echo(body))
        }
    }
}

#[tokio::test]
async fn requests_one_behind_the_other_are_answered_in_order_however_they_are_cut() {
    let (_nodes, gateway) = gateway(2, |_| {}).await;
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let mut client = Peer::connect(gateway.address).await;
        let requests: Vec<(String, Expected)> =
            (0..random.usize(1..8)).map(|number| request(number, &mut random)).collect();
        let text: String = requests.iter().map(|(text, _)| text.as_str()).collect();
        say_cut(&mut client, text.as_bytes(), &mut random).await;
        for (number, (_, expected)) in requests.iter().enumerate() {
            match expected {
                Expected::Head => {
                    assert_eq!(client.answer_to_head().await.status, 200, "seed {seed}, {number}");
                }
                Expected::Echo(body) => {
                    let answer = client.answer().await;
                    let seen = answer.json();
                    assert_eq!(seen["body"], *body, "seed {seed}, request {number}");
                    assert_eq!(seen["target"], format!("/__test/echo?{number}"), "seed {seed}");
                }
            }
        }
    }
}

#[tokio::test]
async fn answers_pass_whole_however_their_node_cuts_them() {
    // The node takes its seed, and so its body, from the target.
    let answer = |seed: u64| {
        let mut random = Rng::with_seed(seed);
        let body = body(&mut random);
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(random.usize(..3));
        let text = format!("{hints}HTTP/1.1 200 OK\r\nX: y\r\n{}", framed(&body, &mut random));
        (body, text, random)
    };
    let node = RawNode::start(move |mut peer, head| async move {
        let mut head = Some(head);
        while let Some(this) = head {
            let seed = this.split([' ', '/']).nth(2).and_then(|text| text.parse().ok());
            let (_, text, mut random) = answer(seed.expect("a seed"));
            say_cut(&mut peer, text.as_bytes(), &mut random).await;
            head = peer.try_head().await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for seed in 0..60 {
        client.say(format!("GET /{seed} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut head = client.head().await;
        while head.starts_with("HTTP/1.1 103") {
            head = client.head().await;
        }
        let passed = client.body_of(head).await;
        assert_eq!((passed.text(), passed.whole), (answer(seed).0, Whole::Yes), "seed {seed}");
    }
    assert_eq!(node.heads().len(), 1, "its connection was kept");
}

/// A few bytes changed, lost, doubled or made up.
fn mutated(text: &str, random: &mut Rng) -> Vec<u8> {
    const LIKELY: &[u8] = b"\r\n :;,0/\0\x7f\xffGa";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len());
        let byte = if random.bool() { random.u8(..) } else { LIKELY[random.usize(..LIKELY.len())] };
        match random.u8(..4) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => {
                let again = bytes[at..bytes.len().min(at + random.usize(1..30))].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

#[tokio::test]
async fn whatever_a_client_says_ends_and_harms_nobody_else() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let text: String = (0..3).map(|number| request(number, &mut random).0).collect();
        let mut client = Peer::connect(gateway.address).await;
        // It may be refused before it is through.
        let _ = client.try_say(mutated(&text, &mut random)).await;
        let _ = client.stream.shutdown().await;
        client.rest().await;
    }
    let mut client = Peer::connect(gateway.address).await;
    assert_eq!(client.ask(&crate::peer::get("/__test/echo")).await.status, 200);
    crate::common::eventually("nothing is left behind", async || {
        gateway.status().await.nodes.iter().all(|node| node.in_flight == 0)
    })
    .await;
    let strange = |record: &drawspan::standin::Record| {
        !record.is_probe() && record.target.contains(['\r', '\n', '\0', ' '])
    };
    assert!(!nodes[0].records().iter().any(strange));
}

#[tokio::test]
async fn whatever_a_node_says_ends_and_never_becomes_another_ones_answer() {
    let answer = |seed: u64| {
        let mut random = Rng::with_seed(seed);
        let body = format!("seed-{seed}-{}", body(&mut random));
        let text = format!("HTTP/1.1 200 OK\r\nX: y\r\n{}", framed(&body, &mut random));
        mutated(&text, &mut random)
    };
    let node = RawNode::start(move |mut peer, head| async move {
        let mut head = Some(head);
        while let Some(this) = head {
            let seed = this.split([' ', '/']).nth(2).and_then(|text| text.parse().ok());
            peer.say(answer(seed.expect("a seed"))).await;
            head = tokio::time::timeout(Duration::from_millis(20), peer.try_head())
                .await
                .unwrap_or_default();
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    for seed in 0..200 {
        let mut client = Peer::connect(gateway.address).await;
        client.say(format!("GET /{seed} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.stream.shutdown().await.expect("an open socket");
        let text = String::from_utf8_lossy(&client.rest().await).into_owned();
        let others = text
            .match_indices("seed-")
            .filter(|(at, _)| !text[*at..].starts_with(&format!("seed-{seed}-")));
        // A mutation may have hit the number itself; then no other answer has it either.
        assert!(others.count() <= 1, "seed {seed}: {text}");
    }
    crate::common::eventually("nothing is left behind", async || {
        gateway.status().await.nodes.iter().all(|node| node.in_flight == 0)
    })
    .await;
}
