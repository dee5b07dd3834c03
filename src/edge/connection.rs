//! One client connection: its requests one after another, then its tunnel, or its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::Slot;
use super::exchange::{Arrived, End, Served, Serving};
use crate::http1::{Buffer, RequestHead};
use crate::model::limits::{BLOCK_BYTES, LINGER_BYTES_MAX, LINGER_TIME};
use crate::proxy::{Client, ClientPhase, InboundError, Peer, Worker};
use crate::upstream::Stream;

/// Serves a connection to its end. `slot` is its place under the cap.
pub(super) fn serve<F>(
    worker: Rc<Worker>,
    places: Rc<Serving<F>>,
    (stream, address): (TcpStream, SocketAddr),
    slot: Slot,
) -> impl Future<Output = ()>
where
    F: Future<Output = Infallible>,
{
    let peer = match worker.settings.trusts(address.ip()) {
        true => Peer::Trusted,
        false => Peer::Untrusted,
    };
    let client = Client::new(address, peer, Stream::new(stream), worker.now_ms());
    let key = worker.add_client(client.clone());
    let session = Session { worker, client, key, _slot: slot };
    // What it was made of is no part of the future: each connection carries that all its life.
    async move {
        match session.requests(&places).await {
            End::Upgraded => session.tunnel().await,
            End::Said => Box::pin(linger(session.client.stream.clone())).await,
            End::Over => {}
        }
    }
}

/// A connection in the worker's list, out of which it is taken however its task ends.
struct Session {
    worker: Rc<Worker>,
    client: Rc<Client>,
    key: usize,
    _slot: Slot,
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that nobody came to run: it holds the client, and the client it.
        drop(self.client.take_tunnel());
        self.worker.remove_client(self.key);
        self.worker.metrics.client_closed();
    }
}

impl Session {
    /// Serves requests until the connection is over, or was upgraded.
    async fn requests<F>(&self, places: &Rc<Serving<F>>) -> End
    where
        F: Future<Output = Infallible>,
    {
        loop {
            let exchange = match poll_fn(|cx| self.poll_request(cx, places)).await {
                Ok(exchange) => exchange,
                Err(end) => return end,
            };
            if let Err(end) = exchange.await {
                return end;
            }
        }
    }

    /// The next request, at its place. `Err` at the connection's end, whoever made it.
    fn poll_request<F>(
        &self,
        cx: &mut Context<'_>,
        places: &Rc<Serving<F>>,
    ) -> Poll<Result<Served<F>, End>> {
        let head = match ready!(self.poll_head(cx)) {
            Ok(Some(head)) => Ok(head),
            Ok(None) => return Poll::Ready(Err(End::Said)),
            Err(InboundError::Malformed(malformed)) => Err(malformed),
            Err(error) => {
                tracing::debug!(%error, client = %self.client.address, "a connection ended");
                return Poll::Ready(Err(End::Over));
            }
        };
        let (worker, client) = (self.worker.clone(), self.client.clone());
        Poll::Ready(Ok(places.begin(Arrived { worker, client, head })))
    }

    /// The next request's head; `None` at the end between two requests, whoever made it.
    fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestHead>, InboundError>> {
        let inbound = &self.client.inbound;
        self.client.register(cx);
        let polled = inbound.poll_head(cx);
        if polled.is_pending() && inbound.has_bytes() {
            self.client.bytes_read(self.worker.now_ms());
        } else if polled.is_pending() && self.worker.is_closing_idle() {
            return Poll::Ready(Ok(None));
        }
        polled
    }

    /// Runs what an upgrade has left.
    async fn tunnel(&self) {
        let Some(mut tunnel) = self.client.take_tunnel() else { return };
        self.client.enter(ClientPhase::Tunnel, self.worker.now_ms());
        tunnel.begins_with(self.client.inbound.take_bytes());
        tunnel.await;
    }
}

/// Reads what the client still sends after our last answer: closing at once would reset the
/// connection, and the reset could reach the client before the answer does.
async fn linger(stream: Stream) {
    let drain = async {
        // The client must not wait for more.
        if poll_fn(|cx| stream.poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut drained = 0;
        while drained < LINGER_BYTES_MAX {
            let mut read = Buffer::default();
            match poll_fn(|cx| stream.poll_read(cx, &mut read, BLOCK_BYTES)).await {
                Ok(0) | Err(_) => return,
                Ok(count) => drained += count,
            }
        }
        // It sends and sends: left unread it stops, and has the time to see our answer.
        std::future::pending::<()>().await;
    };
    // Whoever has not finished by then is not waited for.
    let _ = timeout(LINGER_TIME, drain).await;
}
