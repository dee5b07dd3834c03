//! The port: refused, open, closed again, and who comes through it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::State;
use super::connection::{self, Peer};
use super::node::{Command, Node};
use super::words::Refresh;
use crate::model::limits::ACCEPT_RETRY_DELAY;

/// Node.js's own.
const BACKLOG: i32 = 511;

/// A bound port. Until it listens, connections are refused, and nobody else can take it.
pub(super) struct Port {
    socket: Socket,
    pub(super) addr: SocketAddr,
}

impl Port {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A node that was just stopped leaves connections in TIME_WAIT on its port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let addr = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { socket, addr })
    }

    pub(super) fn listen(&self) -> io::Result<()> {
        self.socket.listen(BACKLOG)
    }
}

/// Serves until the node has ended.
pub(super) async fn serve(node: Arc<Node>, port: Port) {
    tokio::select! {
        () = node.ended.cancelled() => {}
        result = run(&node, port) => {
            if let Err(error) = result {
                tracing::warn!(id = node.options.id, %error, "the stand-in lost its port");
            }
            // Without a port, what is open lives on.
            node.ended.cancelled().await;
        }
    }
    node.listening.store(false, Ordering::SeqCst);
}

async fn run(node: &Arc<Node>, port: Port) -> io::Result<()> {
    let addr = port.addr;
    tokio::select! {
        started = start(node, &port) => started?,
        // Its port never opens.
        () = node.leaving.cancelled() => return Ok(()),
    }
    let mut socket = Some(port.socket);
    let mut states = node.state.subscribe();
    loop {
        let next = match socket.take() {
            Some(socket) => socket,
            None => {
                let port = Port::bind(addr)?;
                port.listen()?;
                port.socket
            }
        };
        let listener = TcpListener::from_std(next.into())?;
        node.listening.store(true, Ordering::SeqCst);
        // Errors of the channel cannot occur: its sender lives in the node.
        tokio::select! {
            () = accept(node, &listener) => {}
            _ = states.wait_for(|state| matches!(state, State::PortClosed | State::Stopping)) => {}
        }
        drop(listener);
        node.listening.store(false, Ordering::SeqCst);
        let _ =
            states.wait_for(|state| !matches!(state, State::PortClosed | State::Stopping)).await;
    }
}

/// The phases of a start: refused, then 503, then running.
async fn start(node: &Arc<Node>, port: &Port) -> io::Result<()> {
    let (refused, starting) = (node.options.refused_time, node.options.starting_time);
    if !refused.is_zero() {
        tokio::time::sleep(refused).await;
        port.listen()?;
    }
    if !starting.is_zero() {
        let name = "start".to_owned();
        node.run(Command { name, time: starting, refresh: Refresh::NotAsked });
    } else if !refused.is_zero() {
        node.set_state(State::Running);
    }
    Ok(())
}

async fn accept(node: &Arc<Node>, listener: &TcpListener) {
    loop {
        node.awake().await;
        match listener.accept().await {
            Ok((stream, remote)) => {
                // A delay of small answers would blur the tests; it cannot fail on an open socket.
                let _ = stream.set_nodelay(true);
                let peer = Peer { number: node.next_connection(), remote };
                node.tasks.spawn(connection::serve(Arc::clone(node), stream, peer));
            }
            // Usually out of descriptors: an immediate retry would spin.
            Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
        }
    }
}
