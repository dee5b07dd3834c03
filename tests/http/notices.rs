//! The gateway's own words: in the form that the client reads, and silent about what is behind.

use drawspan::standin::State;

use crate::common::eventually;
use crate::peer::{Answer, Peer, gateway, get, switch};
use crate::upgrades::{TEXT, frame, open, tell};

async fn ask(address: std::net::SocketAddr, target: &str, lines: &str) -> Answer {
    let mut client = Peer::connect(address).await;
    client.ask(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await
}

fn commanding() -> State {
    State::Commanding { name: "pm.enable".into(), message: "enabling plugin embed".into() }
}

#[tokio::test]
async fn a_raised_bridge_answers_each_kind_of_request_in_its_own_form() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    switch(&gateway, "maintenance").await;
    nodes[0].clear_records();
    let cases = [
        ("/api/users:list", "", "application/json"),
        ("/api/users:list", "Accept: text/html\r\n", "application/json"),
        ("/admin", "Accept: text/html,*/*;q=0.8\r\n", "text/html"),
        ("/admin", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n", "text/plain"),
        ("/assets/a.js", "Accept: */*\r\n", "text/plain"),
        ("/x", "Accept: application/evil\r\n", "text/plain"),
    ];
    for (target, lines, kind) in cases {
        let answer = ask(gateway.address, target, lines).await;
        assert_eq!(answer.status, 503, "{target}");
        let told = answer.header("content-type").unwrap_or_default();
        assert!(told.starts_with(kind), "{target} {lines}: {told}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let after = answer.header("retry-after").and_then(|after| after.parse::<u32>().ok());
        assert!(after.is_some_and(|after| 0 < after));
        assert!(answer.header("x-request-id").is_some());
        assert!(!answer.body.is_empty());
    }
    let api = ask(gateway.address, "/api/users:list", "").await.json();
    assert_eq!(api["error"]["maintaining"], true);
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test]
async fn a_head_request_gets_the_notice_without_its_body() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    switch(&gateway, "maintenance").await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(get("/api/users:list").replacen("GET", "HEAD", 1)).await;
    let head = client.answer_to_head().await;
    assert_eq!(head.status, 503);
    let length = head.header("content-length").expect("that of the body").to_owned();
    // The next answer begins where the first ended.
    let whole = client.ask(&get("/api/users:list")).await;
    assert_eq!(whole.status, 503);
    assert_eq!(whole.body.len().to_string(), length);
}

#[tokio::test]
async fn an_upload_into_a_raised_bridge_hears_503_and_its_connection_lives_on() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    switch(&gateway, "maintenance").await;
    let mut client = Peer::connect(gateway.address).await;
    // NocoBase reads 20 MB during a 503 to their end, too.
    for bytes in [10, 500_000, 20_000_000] {
        let head = format!("POST /api/a:b HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
        client.say(head).await;
        // The answer comes before the body was taken, and says nothing of a close.
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (503, None), "{bytes}");
        client.say(vec![b'x'; bytes]).await;
    }
    assert_eq!(client.ask(&get("/")).await.status, 503);
    assert_eq!(nodes[0].hits(), 0);
}

#[tokio::test]
async fn a_body_that_waits_for_leave_is_not_asked_for_by_a_notice() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    switch(&gateway, "maintenance").await;
    let mut client = Peer::connect(gateway.address).await;
    let lines = "Content-Length: 5\r\nExpect: 100-continue";
    client.say(format!("POST /api/a:b HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")).await;
    // Nobody can know whether the body still comes.
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
}

#[tokio::test]
async fn a_refused_call_of_the_api_is_told_in_json() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    let answer = client.ask("TRACE /api/users:list HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").is_some());
    assert_eq!(answer.json()["errors"][0]["side"], "client");
}

#[tokio::test]
async fn without_a_ready_node_the_answer_comes_at_once_and_speaks_of_no_maintenance() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    nodes[0].set_state(State::DatabaseDown);
    gateway.node_is("n1", "failing").await;
    let answer = ask(gateway.address, "/api/users:list", "").await;
    assert_eq!(answer.status, 503);
    let error = answer.json()["error"].clone();
    assert_eq!((&error["code"], &error["maintaining"]), (&"NO_NODE".into(), &false.into()));
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.text().contains("127.0.0.1"));
}

#[tokio::test]
async fn in_single_mode_a_busy_nodes_own_words_and_its_tunnels_pass() {
    let (nodes, gateway) = gateway(2, |_| {}).await;
    switch(&gateway, "single n1").await;
    let mut tunnel = open(gateway.address).await;
    nodes[0].set_state(commanding());
    gateway.node_is("n1", "busy").await;
    let answer = ask(gateway.address, "/api/users:list", "").await;
    assert_eq!(answer.status, 503);
    let error = answer.json()["error"].clone();
    assert_eq!(error["command"]["name"], "pm.enable", "the node's words, not ours");
    assert_eq!(error["message"], "enabling plugin embed");
    assert_eq!(answer.header("retry-after"), None, "NocoBase sends none");
    nodes[0].broadcast("still there");
    loop {
        let (first, payload) = frame(&mut tunnel).await.expect("the tunnel lives");
        assert_eq!(first, TEXT);
        if payload == b"still there" {
            break;
        }
    }
}

#[tokio::test]
async fn in_a_cluster_a_busy_node_gets_no_new_request_and_keeps_its_tunnels() {
    let (nodes, gateway) = gateway(2, |_| {}).await;
    let (mut one, mut two) = (open(gateway.address).await, open(gateway.address).await);
    assert_eq!((nodes[0].open_websockets(), nodes[1].open_websockets()), (1, 1));
    nodes[0].set_state(commanding());
    gateway.node_is("n1", "busy").await;
    nodes[0].clear_records();
    let mut client = Peer::connect(gateway.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask(&get("/__test/whoami")).await.json()["node"], "n2");
    }
    assert_eq!(nodes[0].hits(), 0);
    for tunnel in [&mut one, &mut two] {
        tell(tunnel, r#"{"type":"test:whoami"}"#).await;
        let answered = async || {
            while let Some((_, payload)) = frame(tunnel).await {
                if String::from_utf8_lossy(&payload).contains(r#""type":"node""#) {
                    return true;
                }
            }
            false
        };
        let mut answered = answered;
        assert!(answered().await, "it still answers");
    }
    eventually("both are counted", async || {
        gateway.status().await.nodes.iter().map(|node| node.tunnels).sum::<usize>() == 2
    })
    .await;
}
