//! How the gateway stops, and what a broken engine leaves.

use std::time::Duration;

use drawspan::control::Bounds;
use drawspan::control::client::ClientError;

use crate::harness::{Audit, Fake, Gateway, Script, body, code, until};

#[tokio::test]
async fn a_stop_answers_those_who_wait_and_removes_the_socket() {
    let mut gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let mut events = client.events(None).await.expect("listening");
    let wait = client.wait("mode=maintenance", Duration::from_secs(60));
    let stop = async {
        until(|| gateway.engine.listeners() == 2).await;
        gateway.stop.cancel();
    };
    let (waited, ()) = tokio::join!(wait, stop);
    assert_eq!(code(waited.expect_err("not met")), "stopping");
    assert_eq!(events.next().await.expect("an orderly end"), None);
    gateway.served().await;
    assert!(!gateway.path.exists());
    let error = gateway.client().status().await.expect_err("nobody there");
    assert!(matches!(error, ClientError::NoSocket { .. }), "{error}");
}

#[tokio::test]
async fn a_caller_that_connected_before_the_stop_is_answered() {
    let mut gateway = Gateway::start(Fake::new()).await;
    gateway.client().status().await.expect("serving");
    // This thread runs everything: the gateway sees neither of the two before the other.
    let mut stream = std::os::unix::net::UnixStream::connect(&gateway.path).expect("connects");
    let request = b"GET /v1/status HTTP/1.1\r\nhost: g\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).expect("written");
    gateway.stop.cancel();
    gateway.served().await;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_command() {
    let log = Audit::install();
    let brief = Bounds { stop_grace: Duration::from_millis(50), ..Bounds::default() };
    let mut gateway = Gateway::with(Fake::scripted(Script::Hold), brief).await;
    let client = gateway.client();
    let command = body("maintenance");
    let conditions = Default::default();
    let switch = client.switch(&command, &conditions);
    let stop = async {
        until(|| gateway.engine.begun() == 1).await;
        gateway.stop.cancel();
    };
    let (switched, ()) = tokio::join!(switch, stop);
    switched.expect_err("never answered");
    gateway.served().await;
    assert!(log.text().contains("outcome=\"unknown\""), "{}", log.text());
}

#[tokio::test]
async fn an_engine_that_panics_is_an_answer_and_an_audit_line() {
    let log = Audit::install();
    let gateway = Gateway::start(Fake::scripted(Script::Panic)).await;
    let error = gateway.client().switch(&body("cluster"), &Default::default()).await;
    assert_eq!(code(error.expect_err("it panicked")), "internal");
    assert!(log.text().contains("outcome=\"unknown\""), "{}", log.text());
    gateway.client().status().await.expect("still there");
}
