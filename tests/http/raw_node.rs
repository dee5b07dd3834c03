//! A node of raw bytes: ready for the gateway's probes, and a script for everything else.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::common::{InProcess, Wish};
use crate::peer::{Peer, header};

type Done = Pin<Box<dyn Future<Output = ()> + Send>>;
type Script = Arc<dyn Fn(Peer, String) -> Done + Send + Sync>;

/// A node whose script gets each connection with the first request's head on it; when the script
/// is through, the connection closes.
pub struct RawNode {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl RawNode {
    pub async fn start<F, D>(script: F) -> Self
    where
        F: Fn(Peer, String) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let script: Script = Arc::new(move |peer, head| Box::pin(script(peer, head)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("descriptors are left");
                let (script, seen) = (script.clone(), seen.clone());
                connections.spawn(async move {
                    let mut peer = Peer::of(stream);
                    let Some(head) = peer.try_head().await else { return };
                    if header(&head, "user-agent").is_some_and(|a| a.starts_with("drawspan")) {
                        return answer_probe(&mut peer, &head).await;
                    }
                    seen.lock().expect("no panic").push(head.clone());
                    script(peer, head).await;
                });
            }
        });
        Self { address, heads, _tasks: tasks }
    }

    /// Heads of the public requests that began a connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn answer_probe(peer: &mut Peer, head: &str) {
    let body = if head.contains("__health_check") {
        "ok"
    } else if head.contains("getInfo") {
        r#"{"data":{"database":{"dialect":"postgres"},"version":"2.2.15"}}"#
    } else {
        r#"<script type="module" src="/assets/index-93181bbb.js"></script>"#
    };
    // A probe that was given up is no matter.
    let _ = peer.try_say(ok(body)).await;
}

/// A 200 that closes its connection.
pub fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Ends a connection with a RST.
pub fn reset(peer: Peer) {
    let socket = socket2::SockRef::from(&peer.stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("an open socket");
    drop(peer);
}

/// A gateway with one worker over raw nodes; they are named n1, n2, ...
pub async fn gateway_over(
    nodes: &[&RawNode],
    settings: fn(&mut drawspan::config::Config),
) -> InProcess {
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let directory = tempfile::tempdir().expect("a folder");
    InProcess::start_over(directory, &addresses, Wish { workers: 1, settings }).await
}
