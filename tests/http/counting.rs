//! Metrics and the access log say what happened.

use drawspan::config::{AccessLog, Config};
use drawspan::control::client::Conditions;
use drawspan::standin::StandIn;
use serde_json::Value;

use crate::common::{InProcess, command, eventually};
use crate::peer::{Peer, gateway, get, metric, post, switch};
use crate::upgrades::{CLOSE, HANDSHAKE, TEXT, masked};

fn with_access_log(config: &mut Config) {
    config.log.access = AccessLog::File(config.state_dir.with_file_name("access.log"));
}

/// The lines of the access log so far.
fn lines(gateway: &InProcess) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Waits for the line about `path`.
async fn line(gateway: &InProcess, path: &str) -> Value {
    let found = || lines(gateway).into_iter().find(|line| line["path"] == path);
    eventually(&format!("{path} is logged"), async || found().is_some()).await;
    found().expect("it was there")
}

#[tokio::test]
async fn requests_are_counted_by_node_mode_class_and_status() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..3 {
        client.ask(&get("/api/app:getInfo")).await;
    }
    client.ask(&get("/__test/status?code=404")).await;
    switch(&gateway, "maintenance").await;
    client.ask("GET /admin HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    let name = "drawspan_requests_total";
    let labels = [r#"node="n1""#, r#"class="api""#, r#"mode="cluster""#, r#"status="2xx""#];
    assert_eq!(metric(&gateway, name, &labels).await, 3.0);
    let labels = [r#"node="n1""#, r#"class="asset""#, r#"status="4xx""#];
    assert_eq!(metric(&gateway, name, &labels).await, 1.0);
    let labels = [r#"class="page""#, r#"mode="maintenance""#, r#"status="5xx""#];
    assert_eq!(metric(&gateway, name, &labels).await, 1.0);
}

#[tokio::test]
async fn the_access_log_counts_the_bytes_of_both_bodies() {
    let (_nodes, gateway) = gateway(1, with_access_log).await;
    let mut client = Peer::connect(gateway.address).await;
    client.ask(&post("/__test/mirror", &"x".repeat(12_345))).await;
    client.ask(&get("/__test/bytes?n=54321")).await;
    let up = line(&gateway, "/__test/mirror").await;
    assert_eq!((&up["bytes_in"], &up["bytes_out"]), (&12_345.into(), &12_345.into()));
    assert_eq!((&up["node"], &up["status"]), (&"n1".into(), &200.into()));
    let down = line(&gateway, "/__test/bytes").await;
    assert_eq!((&down["bytes_in"], &down["bytes_out"]), (&0.into(), &54_321.into()));
}

#[tokio::test]
async fn the_access_log_counts_the_bytes_of_a_tunnel_both_ways() {
    let (_nodes, gateway) = gateway(1, with_access_log).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(HANDSHAKE).await;
    client.head().await;
    let said = [masked(TEXT, &[b'x'; 1_000]), masked(CLOSE, &[0x03, 0xE8])].concat();
    client.say(&said).await;
    let heard = client.rest().await.len();
    let tunnel = line(&gateway, "/ws").await;
    assert_eq!((&tunnel["bytes_in"], &tunnel["status"]), (&said.len().into(), &101.into()));
    assert_eq!(tunnel["bytes_out"], heard);
    // The request went on as a tunnel: it is told once, at the tunnel's end.
    assert_eq!(lines(&gateway).iter().filter(|line| line["path"] == "/ws").count(), 1);
    let labels = [r#"class="websocket""#, r#"status="1xx""#];
    assert_eq!(metric(&gateway, "drawspan_requests_total", &labels).await, 1.0);
}

#[tokio::test]
async fn a_client_that_left_before_its_answer_is_logged_as_499() {
    let (nodes, gateway) = gateway(1, with_access_log).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/__test/hold")).await;
    eventually("the node holds it", async || nodes[0].held() == 1).await;
    drop(client);
    let left = line(&gateway, "/__test/hold").await;
    assert_eq!((&left["status"], &left["bytes_out"]), (&499.into(), &0.into()));
    nodes.iter().for_each(StandIn::release);
}

#[tokio::test]
async fn the_answer_to_a_head_request_has_no_bytes() {
    let (_nodes, gateway) = gateway(1, with_access_log).await;
    switch(&gateway, "maintenance").await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/api/users:list").replacen("GET", "HEAD", 1)).await;
    client.answer_to_head().await;
    assert_eq!(line(&gateway, "/api/users:list").await["bytes_out"], 0);
}

#[tokio::test]
async fn idle_connections_are_counted_as_they_come_and_go() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let idle = async || metric(&gateway, "drawspan_node_pool_idle", &["n1"]).await;
    assert_eq!(idle().await, 0.0);
    let (mut one, mut two) =
        (Peer::connect(gateway.address).await, Peer::connect(gateway.address).await);
    for _ in 0..3 {
        assert_eq!(one.ask(&get("/__test/whoami")).await.status, 200);
    }
    eventually("one waits", async || idle().await == 1.0).await;
    one.say(get("/__test/slow?ms=300")).await;
    assert_eq!(two.ask(&get("/__test/whoami")).await.status, 200);
    one.answer().await;
    eventually("two wait", async || idle().await == 2.0).await;
    switch(&gateway, "maintenance").await;
    assert_eq!(idle().await, 0.0, "a switch closes them");
}

#[tokio::test]
async fn commands_to_switch_are_counted_by_what_became_of_them() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    switch(&gateway, "maintenance").await;
    switch(&gateway, "maintenance").await;
    gateway.client.switch(&command("single nobody"), &Conditions::default()).await.expect_err("no");
    for outcome in [r#""changed""#, r#""unchanged""#, r#""unknown_node""#] {
        assert_eq!(metric(&gateway, "drawspan_switches_total", &[outcome]).await, 1.0, "{outcome}");
    }
    assert!(2.0 <= metric(&gateway, "drawspan_control_requests_total", &["ok"]).await);
    assert!(1.0 <= metric(&gateway, "drawspan_control_requests_total", &["refused"]).await);
}
