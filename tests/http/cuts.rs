//! However the bytes of either side are cut, the same messages pass.

use std::time::Duration;

use fastrand::Rng;

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
