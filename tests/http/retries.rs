//! What is tried again, and what never is.

use std::time::Duration;

use drawspan::config::Config;
use drawspan::standin::{Options, State};

use crate::common::eventually;
use crate::peer::{Peer, gateway, gateway_over, get, metric, post};
use crate::raw_node::{self, RawNode, ok, reset};

/// Health does not look again before the test is over.
fn health_sleeps(config: &mut Config) {
    config.health.interval = Duration::from_secs(600);
}

/// A node that resets every request once it has read it.
async fn resetting() -> RawNode {
    RawNode::start(|peer, _| async move { reset(peer) }).await
}

async fn answering() -> RawNode {
    RawNode::start(|mut peer, _| async move { peer.say(ok("served")).await }).await
}

#[tokio::test]
async fn a_refused_connection_sends_any_request_to_another_node_with_its_body() {
    let (nodes, gateway) = gateway(2, health_sleeps).await;
    nodes[0].set_state(State::PortClosed);
    eventually("its port is closed", async || !nodes[0].is_listening()).await;
    // Each on a connection of its own: none is pooled to the closed node.
    for _ in 0..4 {
        let mut client = Peer::connect(gateway.address).await;
        assert_eq!(client.ask(&post("/__test/echo", "body")).await.json()["body"], "body");
    }
    assert!(0.0 < metric(&gateway, "drawspan_node_connect_failures_total", &["n1"]).await);
    assert!(0.0 < metric(&gateway, "drawspan_node_retries_total", &["n1"]).await);
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test]
async fn a_body_that_is_still_to_come_survives_a_refused_connection() {
    let (nodes, gateway) = gateway(2, health_sleeps).await;
    nodes[0].set_state(State::PortClosed);
    eventually("its port is closed", async || !nodes[0].is_listening()).await;
    for round in 1..=4 {
        let mut client = Peer::connect(gateway.address).await;
        client.say("POST /__test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
        eventually("the living node has the head", async || nodes[1].hits() == round).await;
        client.say("hello").await;
        assert_eq!(client.answer().await.json()["body"], "hello");
    }
    assert!(0.0 < metric(&gateway, "drawspan_node_connect_failures_total", &["n1"]).await);
}

#[tokio::test]
async fn a_pooled_connection_that_its_node_closed_is_replaced_unseen() {
    let options = Options { id: "n1".into(), keep_alive: Duration::ZERO, ..Options::default() };
    let (node, gateway) = gateway_over(options).await;
    let mut client = Peer::connect(gateway.address).await;
    for request in [get("/__test/whoami"), post("/__test/echo", "body")] {
        assert_eq!(client.ask(&get("/__test/whoami")).await.status, 200);
        let last = node.records().into_iter().rfind(|r| !r.is_probe()).expect("ours").connection;
        eventually("the node closed it", async || {
            // Probes come and go on connections of their own.
            node.open_connections() == 0
        })
        .await;
        assert_eq!(client.ask(&request).await.status, 200);
        let next = node.records().into_iter().rfind(|r| !r.is_probe()).expect("ours").connection;
        assert_ne!(last, next);
    }
    assert_eq!(metric(&gateway, "drawspan_node_pool_stale_total", &["n1"]).await, 2.0);
}

#[tokio::test]
async fn connections_that_a_node_closed_while_they_were_idle_are_not_tried_one_by_one() {
    let options = Options { id: "n1".into(), keep_alive: Duration::ZERO, ..Options::default() };
    let (node, gateway) = gateway_over(options).await;
    let at_once = 24;
    for _ in 0..2 {
        let mut clients = Vec::new();
        for _ in 0..at_once {
            let mut client = Peer::connect(gateway.address).await;
            client.say(get("/__test/hold")).await;
            clients.push(client);
        }
        // Each on a connection of its own; more of them than may be sent a second time.
        eventually("all wait", async || node.held() == at_once).await;
        node.release();
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
        eventually("the node closed all", async || node.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn a_malformed_answer_on_a_pooled_connection_is_an_answer_and_no_closed_connection() {
    let node = RawNode::start(|mut peer, _| async move {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        peer.try_head().await;
        peer.say("no answer at all\r\n\r\n").await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], health_sleeps).await;
    let mut client = Peer::connect(gateway.address).await;
    assert_eq!(client.ask(&get("/a")).await.status, 200);
    assert_eq!(client.ask(&get("/a")).await.status, 502);
    assert_eq!(node.heads().len(), 1, "sent again, over another connection");
}

#[tokio::test]
async fn a_post_that_was_written_is_never_sent_twice() {
    let (one, two) = (resetting().await, resetting().await);
    let gateway = raw_node::gateway_over(&[&one, &two], health_sleeps).await;
    for round in 1..=4 {
        let mut client = Peer::connect(gateway.address).await;
        let answer = client.ask(&post("/api/users:create", "{}")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["errors"][0]["side"], "node");
        assert_eq!(one.heads().len() + two.heads().len(), round);
    }
}

#[tokio::test]
async fn a_get_outside_the_api_and_a_listed_action_are_tried_on_another_node() {
    let (bad, good) = (resetting().await, answering().await);
    let gateway = raw_node::gateway_over(&[&bad, &good], health_sleeps).await;
    for target in ["/assets/a.js", "/admin", "/api/users:list", "/api/app:getInfo"] {
        let mut client = Peer::connect(gateway.address).await;
        let answer = client.ask(&get(target)).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "served"), "{target}");
    }
    assert!(!bad.heads().is_empty(), "the retries were needed");
    assert!(0.0 < metric(&gateway, "drawspan_node_retries_total", &["n1"]).await);
}

#[tokio::test]
async fn a_get_of_an_action_that_may_change_something_is_never_sent_twice() {
    let (one, two) = (resetting().await, resetting().await);
    let gateway = raw_node::gateway_over(&[&one, &two], health_sleeps).await;
    let targets = ["/api/app:restart", "/api/users:export", "/api/users", "/api/a%2570p:restart"];
    for (round, target) in targets.iter().enumerate() {
        let mut client = Peer::connect(gateway.address).await;
        assert_eq!(client.ask(&get(target)).await.status, 502, "{target}");
        assert_eq!(one.heads().len() + two.heads().len(), round + 1, "{target}");
    }
}

#[tokio::test]
async fn when_every_node_fails_the_client_hears_which_side_and_no_address() {
    let (one, two) = (resetting().await, resetting().await);
    let gateway = raw_node::gateway_over(&[&one, &two], health_sleeps).await;
    for target in ["/assets/a.js", "/api/users:list"] {
        let mut client = Peer::connect(gateway.address).await;
        let answer = client.ask(&get(target)).await;
        assert_eq!(answer.status, 502);
        let text = format!("{}{}", answer.head, answer.text());
        for secret in
            ["127.0.0.1", &one.address.port().to_string(), &two.address.port().to_string()]
        {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert_eq!(one.heads().len(), 2, "each was tried once per request");
    assert_eq!(two.heads().len(), 2);
}

#[tokio::test]
async fn replays_are_a_small_share_when_everything_fails() {
    let (one, two) = (resetting().await, resetting().await);
    let gateway = raw_node::gateway_over(&[&one, &two], health_sleeps).await;
    const REQUESTS: usize = 200;
    for _ in 0..REQUESTS {
        let mut client = Peer::connect(gateway.address).await;
        assert_eq!(client.ask(&get("/assets/a.js")).await.status, 502);
    }
    let tries = one.heads().len() + two.heads().len();
    assert!(REQUESTS < tries, "some are replayed");
    assert!(tries < REQUESTS * 3 / 2, "{tries} tries for {REQUESTS} requests");
}

#[tokio::test]
async fn a_node_that_fails_five_in_a_row_is_passed_over_and_the_last_one_never() {
    let (bad, good) = (resetting().await, answering().await);
    let gateway = raw_node::gateway_over(&[&bad, &good], health_sleeps).await;
    for _ in 0..20 {
        Peer::connect(gateway.address).await.ask(&post("/up", "x")).await;
    }
    assert_eq!(bad.heads().len(), 5, "its failures ejected it");
    let status = gateway.status().await;
    assert!(status.nodes[0].ejected && !status.nodes[1].ejected);

    let alone = raw_node::gateway_over(&[&bad], health_sleeps).await;
    for _ in 0..10 {
        let mut client = Peer::connect(alone.address).await;
        assert_eq!(client.ask(&post("/up", "x")).await.status, 502, "not the notice");
    }
    assert_eq!(bad.heads().len(), 15, "it is asked all the same");
}

#[tokio::test]
async fn what_may_run_twice_outlives_a_stale_connection_to_the_only_node() {
    let node = RawNode::start(|mut peer, _| async move {
        // It keeps the connection, by its words; what comes next finds it gone.
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        peer.try_head().await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], health_sleeps).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..4 {
        assert_eq!(client.ask(&get("/assets/a.js")).await.text(), "ok");
    }
    let status = client.ask(&post("/api/a:b", "x")).await.status;
    assert_eq!(status, 502, "it may have run");
    assert!(!gateway.status().await.nodes[0].ejected);
}

#[tokio::test]
async fn a_status_never_ejects_for_clients_could_provoke_it() {
    let (_nodes, gateway) = gateway(2, health_sleeps).await;
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..20 {
        assert_eq!(client.ask(&get("/__test/status?code=500")).await.status, 500);
        assert_eq!(client.ask(&get("/__test/status?code=503")).await.status, 503);
    }
    assert!(gateway.status().await.nodes.iter().all(|node| !node.ejected));
}

#[tokio::test]
async fn an_upgrade_makes_no_call_of_the_api_repeatable_and_ejects_nobody() {
    let (one, two) = (resetting().await, resetting().await);
    let gateway = raw_node::gateway_over(&[&one, &two], health_sleeps).await;
    for (asked, target) in
        ["/api/users:destroy", "/api/app:restart", "/anything"].into_iter().enumerate()
    {
        for protocol in ["websocket", "custom"] {
            let before = one.heads().len() + two.heads().len();
            let request = get(target).replacen(
                "\r\n\r\n",
                &format!("\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"),
                1,
            );
            assert_eq!(Peer::connect(gateway.address).await.ask(&request).await.status, 502);
            let tries = one.heads().len() + two.heads().len() - before;
            // A handshake outside the API has done nothing until it is answered.
            assert_eq!(tries, if asked == 2 { 2 } else { 1 }, "{target} {protocol}");
        }
    }
    for _ in 0..10 {
        let request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
        Peer::connect(gateway.address).await.ask(request).await;
    }
    assert!(gateway.status().await.nodes.iter().all(|node| !node.ejected));
}
