//! One connection: requests in, answers out, until one of both sides has had enough.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::answers::{self, JSON_BYTES_MAX, Request};
use super::head::Head;
use super::node::{Counted, Node};
use super::record::{Outcome, Ticket};
use super::reply::{self, After};
use super::wire::{Body, Next, Wire};
use super::{State, faults, websocket};

/// Node.js waits this long for the first head of a connection (`headersTimeout`).
const FIRST_HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Node.js gives an idle connection this much more than it announced.
const KEEP_ALIVE_GRACE: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    /// Number of the connection.
    pub(super) number: u64,
    pub(super) remote: SocketAddr,
}

pub(super) async fn serve(node: Arc<Node>, stream: TcpStream, peer: Peer) {
    let _counted = Counted::new(&node.connections);
    let mut wire = Wire::new(stream);
    let mut patience = FIRST_HEAD_PATIENCE;
    loop {
        let next = tokio::select! {
            biased;
            next = wire.next(patience) => next,
            // A server that closes ends its idle connections.
            () = node.leaving.cancelled() => Next::Ended,
        };
        let head: Arc<Head> = match next {
            Next::Request(head) => head.into(),
            Next::Refused(refusal) => {
                reply::refusal(&mut wire.out, refusal);
                // Whether it arrives or not, the connection ends here.
                let _ = wire.flush().await;
                return wire.finish().await;
            }
            Next::Ended => return wire.finish().await,
        };
        let ticket = node.recorder.begin(peer.number, peer.remote, &head);
        node.awake().await;
        if head.header("upgrade").is_some() && head.lists("connection", "upgrade") {
            return upgrade(&node, wire, &head, ticket).await;
        }
        match exchange(&node, wire, &head, ticket).await {
            ControlFlow::Continue(kept) => wire = kept,
            ControlFlow::Break(()) => return,
        }
        patience = node.options.keep_alive + KEEP_ALIVE_GRACE;
    }
}

/// Only `/ws` knows an upgrade; on any other path the connection is destroyed.
async fn upgrade(node: &Arc<Node>, wire: Wire, head: &Head, ticket: Ticket) {
    let refusing = matches!(*node.state.borrow(), State::RefusingFront(_));
    if head.path() == "/ws" && !refusing {
        websocket::serve(node, wire, head, ticket).await;
    }
}

/// What the connection does once this request is answered.
pub(super) fn after(node: &Node, head: &Head) -> After {
    if head.minor == 0 || head.lists("connection", "close") || node.leaving.is_cancelled() {
        return After::Close;
    }
    After::KeepAlive { timeout_s: node.options.keep_alive.as_secs() }
}

/// One request and its answer. The wire comes back when it may carry another.
async fn exchange(
    node: &Arc<Node>,
    mut wire: Wire,
    head: &Head,
    mut ticket: Ticket,
) -> ControlFlow<(), Wire> {
    if let Some(fault) = head.path().strip_prefix("/__test/") {
        return faults::serve(faults::Asked { node, head, fault }, wire, ticket).await;
    }
    let Ok((body, body_bytes)) = Body::of(head).collect(&mut wire, JSON_BYTES_MAX).await else {
        ticket.vanished();
        return ControlFlow::Break(());
    };
    let reply = answers::answer(node, &Request { head, body: &body, body_bytes });
    ticket.status(reply.status);
    let after = after(node, head);
    reply.write(&mut wire.out, head, after);
    let written = wire.flush().await;
    conclude(wire, &mut ticket, after, written).await
}

/// Records how the response ended, and ends the connection where it is not kept.
pub(super) async fn conclude(
    mut wire: Wire,
    ticket: &mut Ticket,
    after: After,
    written: std::io::Result<()>,
) -> ControlFlow<(), Wire> {
    if written.is_err() {
        ticket.vanished();
        ticket.end(Outcome::Vanished);
        return ControlFlow::Break(());
    }
    ticket.end(Outcome::Answered);
    match after {
        After::KeepAlive { .. } => ControlFlow::Continue(wire),
        After::Close => {
            wire.finish().await;
            ControlFlow::Break(())
        }
    }
}
