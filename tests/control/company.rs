//! Callers that hang, flood, leave or talk nonsense.

use std::time::Duration;

use drawspan::control::Bounds;
use drawspan::engine::EventKind;
use drawspan::model::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{Audit, Fake, Gateway, Script, body, code, raw, until, until_answered};

#[tokio::test]
async fn garbage_ends_its_own_connection_and_nothing_else() {
    let gateway = Gateway::start(Fake::new()).await;
    let long_head = format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET /v1/status HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    for garbage in [
        b"\0\x01\x02\xff\xfe\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n".to_vec(),
        b"PUT /v1/mode HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_vec(),
        b"PUT /v1/mode HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        long_head.into_bytes(),
        many.into_bytes(),
        vec![b'a'; 1_000_000],
    ] {
        let answer = raw(&gateway.path, &garbage).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    gateway.client().status().await.expect("still there");
    assert!(gateway.engine.last_command().is_none());
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed_and_a_slow_body_is_408() {
    let quick = Bounds { read_timeout: Duration::from_millis(100), ..Bounds::default() };
    let gateway = Gateway::with(Fake::new(), quick).await;
    for begun in ["", "GET /v1/sta", "GET /v1/status HTTP/1.1\r\nhost: g\r\n"] {
        let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
        stream.write_all(begun.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("closed by the gateway");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{begun}");
    }
    let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
    let begun = "PUT /v1/mode HTTP/1.1\r\nhost: g\r\ncontent-length: 20\r\n\r\n{";
    stream.write_all(begun.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed by the gateway");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"read_timeout\""), "{answer}");
}

#[tokio::test]
async fn when_every_seat_is_in_use_the_next_is_told_and_a_free_one_is_given_again() {
    let few = Bounds { connections_max: 2, connections_reserved: 1, ..Bounds::default() };
    let gateway = Gateway::with(Fake::new(), few).await;
    let mut held = Vec::new();
    for listeners in 1..=2 {
        held.push(gateway.client().events(None).await.expect("listening"));
        until(|| gateway.engine.listeners() == listeners).await;
    }
    let error = gateway.client().status().await.expect_err("no seat");
    assert_eq!(code(error), "busy");
    held.pop();
    until_answered(&gateway).await;
}

/// Connections that keep a seat without asking anything, each begun with `bytes`.
async fn crowd(gateway: &Gateway, bytes: &[u8]) -> Vec<UnixStream> {
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
        stream.write_all(bytes).await.expect("written");
        crowd.push(stream);
        tokio::task::yield_now().await;
    }
    crowd
}

#[tokio::test]
async fn a_crowd_that_asks_nothing_does_not_keep_a_command_out() {
    let gateway = Gateway::start(Fake::new()).await;
    for begun in [
        "",
        "GET /v1/status HTTP/1.1\r\nHo",
        "PUT /v1/mode HTTP/1.1\r\nhost: g\r\ncontent-length: 20\r\n\r\n{",
    ] {
        let crowd = crowd(&gateway, begun.as_bytes()).await;
        gateway.client().status().await.expect("answers");
        for kind in ["maintenance", "cluster"] {
            gateway.client().switch(&body(kind), &Default::default()).await.expect("switched");
        }
        drop(crowd);
    }
}

#[tokio::test]
async fn a_crowd_that_waits_or_listens_leaves_room_and_what_is_too_much_is_told() {
    let gateway = Gateway::start(Fake::new()).await;
    for path in ["/v1/events", "/v1/wait?for=mode%3Dmaintenance&timeout=24h"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n");
        let mut crowd = crowd(&gateway, request.as_bytes()).await;
        gateway.client().status().await.expect("answers");
        let last = crowd.last_mut().expect("many");
        let mut answer = [0; 12];
        last.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 503", "{path}");
        let held = body("maintenance");
        gateway.client().switch(&held, &Default::default()).await.expect("switched");
        drop(crowd);
        gateway.client().switch(&body("cluster"), &Default::default()).await.expect("switched");
        until(|| gateway.engine.listeners() == 0).await;
    }
}

#[tokio::test]
async fn a_crowd_of_commands_does_not_keep_another_one_out_and_goes_on_itself() {
    let gateway = Gateway::start(Fake::scripted(Script::Hold)).await;
    let crowd = crowd(&gateway, &request("maintenance")).await;
    until(|| gateway.engine.begun() == crowd.len()).await;
    gateway.client().status().await.expect("answers");
    (0..crowd.len()).for_each(|_| gateway.engine.release());
    until(|| gateway.engine.ended() == crowd.len()).await;
}

fn request(kind: &str) -> Vec<u8> {
    let command = format!(r#"{{"kind":"{kind}","why":"a test"}}"#);
    let head = format!("content-length: {}\r\n\r\n{command}", command.len());
    format!("PUT /v1/mode HTTP/1.1\r\nhost: g\r\n{head}").into_bytes()
}

#[tokio::test]
async fn a_flood_of_connections_does_not_outlast_itself() {
    let gateway = Gateway::start(Fake::new()).await;
    let mut flood = Vec::new();
    for _ in 0..500 {
        // A full backlog refuses; that is a bound too.
        if let Ok(stream) = UnixStream::connect(&gateway.path).await {
            flood.push(stream);
        }
    }
    drop(flood);
    until_answered(&gateway).await;
}

#[tokio::test]
async fn a_stream_whose_reader_stalls_is_cut_and_its_seat_is_free() {
    let stall = Duration::from_millis(100);
    let one = Bounds {
        connections_max: 1,
        connections_reserved: 0,
        write_stall: stall,
        ..Bounds::default()
    };
    let gateway = Gateway::with(Fake::new(), one).await;
    let mut stalled = UnixStream::connect(&gateway.path).await.expect("connects");
    stalled.write_all(b"GET /v1/events HTTP/1.1\r\nhost: g\r\n\r\n").await.expect("written");
    until(|| gateway.engine.listeners() == 1).await;
    let text = "x".repeat(100_000);
    for number in 0..64 {
        let doubt = Some(text.clone());
        gateway.engine.happened(number, EventKind::Started { mode: Mode::Cluster, doubt });
        tokio::task::yield_now().await;
    }
    until_answered(&gateway).await;
    until(|| gateway.engine.listeners() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_nothing() {
    let one = Bounds { connections_max: 1, connections_reserved: 0, ..Bounds::default() };
    let fake = Fake::scripted(Script::Hold);
    let log = Audit::install();
    let gateway = Gateway::with(fake, one).await;
    let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
    stream.write_all(&request("maintenance")).await.expect("written");
    until(|| gateway.engine.begun() == 1).await;
    drop(stream);
    // The one seat is free again: the gateway has noticed that its client left.
    until_answered(&gateway).await;
    assert_eq!(gateway.engine.ended(), 0);
    gateway.engine.release();
    until(|| gateway.engine.ended() == 1).await;
    assert_eq!(gateway.client().status().await.expect("answers").doc.mode.kind, "maintenance");
    until(|| log.text().contains("outcome=\"done\"")).await;
}

#[tokio::test]
async fn a_command_whose_caller_leaves_before_it_is_even_read_is_carried_out_and_audited() {
    let log = Audit::install();
    let gateway = Gateway::start(Fake::new()).await;
    for number in 1..=10 {
        let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
        // This thread runs everything: the gateway meets the bytes and their end together.
        stream.write_all(&request("maintenance")).await.expect("written");
        drop(stream);
        until(|| gateway.engine.ended() == number).await;
    }
    until(|| log.text().matches("what=mode maintenance").count() == 10).await;
}

#[tokio::test]
async fn a_caller_that_will_say_no_more_is_answered() {
    let gateway = Gateway::start(Fake::new()).await;
    for asked in [
        request("maintenance"),
        b"GET /v1/status HTTP/1.1\r\nhost: g\r\n\r\n".to_vec(),
        b"GET /v1/wait?for=mode%3Dmaintenance HTTP/1.1\r\nhost: g\r\n\r\n".to_vec(),
    ] {
        let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
        stream.write_all(&asked).await.expect("written");
        stream.shutdown().await.expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
