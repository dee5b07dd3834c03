//! What a node is told about its client, and what stops at the gateway.

use drawspan::config::Config;

use crate::exchange::sent;
use crate::peer::{Answer, Peer, gateway};

/// Trusts this machine and 10.0.0.0/8, as behind two balancers.
fn behind_balancers(config: &mut Config) {
    config.trusted_proxies =
        ["127.0.0.0/8", "10.0.0.0/8"].map(|net| net.parse().expect("a network")).to_vec();
}

async fn echo(address: std::net::SocketAddr, lines: &str) -> Answer {
    let mut client = Peer::connect(address).await;
    client.ask(&format!("GET /__test/echo HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n")).await
}

#[tokio::test]
async fn hop_by_hop_lines_and_what_connection_names_stop_at_the_gateway() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let lines = "Connection: keep-alive, X-Secret, Host, X-Forwarded-For\r\nX-Secret: 1\r\n\
                 Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\
                 Proxy-Authorization: Basic eA==\r\nX-Kept: yes\r\n";
    let answer = echo(gateway.address, lines).await;
    let seen = answer.json();
    for name in ["x-secret", "keep-alive", "proxy-connection", "te", "proxy-authorization"] {
        assert!(sent(&seen, name).is_empty(), "{name}");
    }
    assert_eq!(sent(&seen, "x-kept"), ["yes"]);
    assert_eq!(sent(&seen, "host"), ["app.test"]);
    assert_eq!(sent(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    // And back: the node announces how long it keeps its connection, which is not the client's.
    assert_eq!(answer.header("keep-alive"), None);
}

#[tokio::test]
async fn what_an_unknown_client_says_of_its_origin_is_replaced() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\n\
                 X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                 X-Forwarded-Port: 1\r\nX-Forwarded-Server: evil.test\r\n\
                 X_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\nMy_Own: kept\r\n";
    let seen = echo(gateway.address, lines).await.json();
    assert!(sent(&seen, "x-forwarded-port").is_empty());
    assert!(sent(&seen, "x-forwarded-server").is_empty());
    assert!(sent(&seen, "x_forwarded_for").is_empty());
    assert!(sent(&seen, "content_length").is_empty());
    assert_eq!(sent(&seen, "my_own"), ["kept"]);
    assert_eq!(sent(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(sent(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(sent(&seen, "x-forwarded-host"), ["app.test"]);
    assert!(sent(&seen, "forwarded").is_empty());
    assert!(sent(&seen, "x-real-ip").is_empty());
}

#[tokio::test]
async fn the_clients_address_is_the_first_from_the_right_that_is_no_trusted_proxy() {
    let (_nodes, gateway) = gateway(1, behind_balancers).await;
    let cases = [
        ("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.1\r\n", "203.0.113.7"),
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7:4711, 10.0.0.1\r\n",
            "203.0.113.7",
        ),
        ("X-Forwarded-For: 6.6.6.6, [2001:db8::1]\r\n", "2001:db8::1"),
        ("X-Forwarded-For: 10.0.0.9, 10.0.0.1\r\n", "10.0.0.9"),
        ("X-Forwarded-For: 6.6.6.6, not an address\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ];
    for (lines, address) in cases {
        let seen = echo(gateway.address, lines).await.json();
        assert_eq!(sent(&seen, "x-forwarded-for"), [address], "{lines}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_scheme_and_host() {
    let (_nodes, gateway) = gateway(1, behind_balancers).await;
    let lines = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.app.test\r\n";
    let seen = echo(gateway.address, lines).await.json();
    assert_eq!(sent(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(sent(&seen, "x-forwarded-host"), ["www.app.test"]);
    let silent = echo(gateway.address, "").await.json();
    assert_eq!(sent(&silent, "x-forwarded-proto"), ["http"]);
    assert_eq!(sent(&silent, "x-forwarded-host"), ["app.test"]);
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one_and_the_answer_names_it() {
    let (_nodes, gateway) = gateway(1, |_| {}).await;
    let kept = echo(gateway.address, "X-Request-Id: abc-1\r\n").await;
    assert_eq!(sent(&kept.json(), "x-request-id"), ["abc-1"]);
    assert_eq!(kept.header("x-request-id"), Some("abc-1"));
    for lines in ["", "X-Request-Id: <script>\r\n"] {
        let made = echo(gateway.address, lines).await;
        let id = made.header("x-request-id").expect("an id").to_owned();
        assert_eq!(id.len(), 32, "{id}");
        assert_eq!(sent(&made.json(), "x-request-id"), [id]);
    }
}
