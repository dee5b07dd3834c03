//! How tunnels end: by a switch, with their node, or on a rude side's account.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drawspan::standin::{Outcome, State};
use tokio::io::AsyncWriteExt;

use crate::common::eventually;
use crate::peer::{Peer, gateway, switch};
use crate::raw_node::{self, RawNode};
use crate::upgrades::{CLOSE, HANDSHAKE, TEXT, frame, masked, open, tell};

/// 1012, service restart.
const RESTART: [u8; 2] = 1012_u16.to_be_bytes();

#[tokio::test]
async fn a_switch_closes_tunnels_with_1012_and_the_clients_answer_reaches_the_node() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = open(gateway.address).await;
    let switching = switch(&gateway, "maintenance");
    let answering = async {
        assert_eq!(frame(&mut client).await, Some((CLOSE, RESTART.to_vec())));
        client.say(masked(CLOSE, &RESTART)).await;
        assert_eq!(client.rest().await, b"", "then the connection ends");
    };
    tokio::join!(switching, answering);
    let handshake = || nodes[0].records().into_iter().find(|record| record.path() == "/ws");
    eventually("the node had its Close", async || {
        handshake().is_some_and(|record| record.outcome == Outcome::Answered)
    })
    .await;
    assert_eq!(gateway.status().await.nodes[0].tunnels, 0);
}

#[tokio::test]
async fn the_close_stands_at_a_frame_boundary_between_fragments_too() {
    let node = RawNode::start(|mut peer, _| async move {
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
        peer.say([head.as_bytes(), &[0x01, 5], b"first"].concat()).await;
        // The message's other fragments never come.
        peer.rest().await;
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = open(gateway.address).await;
    assert_eq!(frame(&mut client).await, Some((0x01, b"first".to_vec())));
    let switching = switch(&gateway, "maintenance");
    let answering = async {
        assert_eq!(frame(&mut client).await, Some((CLOSE, RESTART.to_vec())));
        client.say(masked(CLOSE, &RESTART)).await;
        assert_eq!(client.rest().await, b"");
    };
    tokio::join!(switching, answering);
}

#[tokio::test]
async fn a_frame_that_is_under_way_ends_before_the_close() {
    let go_on = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waits = go_on.clone();
    let opened = AtomicUsize::new(0);
    let node = RawNode::start(move |mut peer, _| {
        let waits = waits.clone();
        let first = opened.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";
            if !first {
                peer.say(head).await;
                peer.rest().await;
                return;
            }
            peer.say([head.as_bytes(), &[TEXT, 10], b"half "].concat()).await;
            waits.acquire().await.expect("open").forget();
            // The rest, and a frame that comes too late.
            peer.say([b"whole", &[TEXT, 4][..], b"late"].concat()).await;
            peer.rest().await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = open(gateway.address).await;
    assert_eq!(client.take(7).await, [&[TEXT, 10][..], b"half "].concat());
    // Tunnels are asked to close in the order in which they were opened: once the second has heard
    // it, so has the first.
    let mut second = open(gateway.address).await;
    let switching = switch(&gateway, "maintenance");
    let answering = async {
        assert_eq!(frame(&mut second).await, Some((CLOSE, RESTART.to_vec())));
        second.say(masked(CLOSE, &RESTART)).await;
        go_on.add_permits(1);
        assert_eq!(client.take(5).await, b"whole");
        assert_eq!(frame(&mut client).await, Some((CLOSE, RESTART.to_vec())));
        client.say(masked(CLOSE, &RESTART)).await;
        assert_eq!(client.rest().await, b"");
    };
    tokio::join!(switching, answering);
}

#[tokio::test]
async fn a_node_stalled_in_mid_frame_loses_the_connection_without_a_close_in_the_frame() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = open(gateway.address).await;
    tell(&mut client, r#"{"type":"test:stall","promise":100,"send":10}"#).await;
    assert_eq!(client.take(12).await, [&[TEXT, 100][..], b"xxxxxxxxxx"].concat());
    switch(&gateway, "maintenance").await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_answers_no_close_loses_the_connection() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = open(gateway.address).await;
    switch(&gateway, "maintenance").await;
    // Acknowledged means gone, though the client never answered.
    assert_eq!(gateway.status().await.nodes[0].tunnels, 0);
    assert_eq!(frame(&mut client).await, Some((CLOSE, RESTART.to_vec())));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_close_of_the_node_reaches_the_client_as_it_is() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let mut client = open(gateway.address).await;
    tell(&mut client, r#"{"type":"test:close","code":1001}"#).await;
    assert_eq!(frame(&mut client).await, Some((CLOSE, 1001_u16.to_be_bytes().to_vec())));
    client.say(masked(CLOSE, &1001_u16.to_be_bytes())).await;
    assert_eq!(client.rest().await, b"");
    eventually("the node is rid of it", async || nodes[0].open_websockets() == 0).await;
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_tunnel_with_it() {
    let (nodes, gateway) = gateway(1, |_| {}).await;
    let client = open(gateway.address).await;
    drop(client);
    eventually("the node is rid of it", async || nodes[0].open_websockets() == 0).await;
    eventually("it is not counted any more", async || gateway.status().await.nodes[0].tunnels == 0)
        .await;
}

#[tokio::test]
async fn tunnels_on_a_node_that_went_down_are_closed_with_1012() {
    let (nodes, gateway) = gateway(2, |config| {
        config.health.interval = Duration::from_millis(600);
        config.health.timeout = Duration::from_millis(500);
        config.health.fall = NonZeroU32::MIN;
    })
    .await;
    let mut clients: Vec<Peer> = vec![];
    for _ in 0..4 {
        clients.push(open(gateway.address).await);
    }
    assert_eq!(nodes[0].open_websockets(), 2, "they are spread");
    // Frozen, it accepts and keeps its sockets: only the gateway can tell its clients.
    nodes[0].set_state(State::Frozen);
    let mut told = 0;
    for mut client in clients {
        tokio::select! {
            frame = frame(&mut client) => {
                assert_eq!(frame, Some((CLOSE, RESTART.to_vec())));
                told += 1;
            }
            () = async {
                // One of the living node's: still there when the others were told.
                eventually("only two are left", async || {
                    let nodes = gateway.status().await.nodes;
                    nodes[0].tunnels == 0 && nodes[0].state == "down"
                }).await;
            } => {}
        }
    }
    assert_eq!(told, 2);
    assert_eq!(gateway.status().await.nodes[0].tunnels, 0);
}

#[tokio::test]
async fn a_tunnel_whose_client_never_took_the_101_holds_up_no_switch() {
    let go_on = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waits = go_on.clone();
    let node = RawNode::start(move |mut peer, _| {
        let waits = waits.clone();
        async move {
            waits.acquire().await.expect("open").forget();
            let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
            peer.say(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n")).await;
            peer.rest().await;
        }
    })
    .await;
    let gateway = raw_node::gateway_over(&[&node], |_| {}).await;
    let mut client = Peer::connect(gateway.address).await;
    client.say(HANDSHAKE).await;
    eventually("the node has it", async || node.heads().len() == 1).await;
    // It finishes sending, for which it gets a moment, and is gone before its answer comes.
    client.stream.shutdown().await.expect("an open socket");
    raw_node::reset(client);
    go_on.add_permits(1);
    eventually("nothing is counted", async || {
        let node = &gateway.status().await.nodes[0];
        node.tunnels == 0 && node.in_flight == 0
    })
    .await;
    let raised = switch(&gateway, "maintenance").await;
    assert_eq!(raised.acknowledged, "drained");
}
