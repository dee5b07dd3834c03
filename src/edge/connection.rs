//! One client connection: its requests one after another, then its tunnel, or its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::Slot;
use super::answering::{After, Answering, Asking, Broken};
use crate::http1::RequestHead;
use crate::model::limits::{DISCARD_BYTES_MAX, HALF_CLOSE_TIME, LINGER_BYTES_MAX, LINGER_TIME};
use crate::proxy::{
    self, Client, ClientPhase, Ending, InboundError, Left, Peer, Response, Undiscarded, Upgrade,
    Worker,
};
use crate::upstream::{Stream, Waiting};

/// Serves a connection to its end. `_slot` is its place under the cap.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, _slot: Slot) {
    let peer = match worker.settings.trusts(address.ip()) {
        true => Peer::Trusted,
        false => Peer::Untrusted,
    };
    let stream = Stream::new(stream);
    let client = Client::new(address, peer, stream.clone(), worker.now_ms());
    let key = worker.add_client(client.clone());
    let session = Session { worker, client, key };
    match session.requests().await {
        End::Upgraded => session.tunnel().await,
        End::Said => Box::pin(linger(stream)).await,
        End::Over => {}
    }
}

/// How the requests on a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client left, or was cut.
    Over,
    /// We said our last word.
    Said,
    /// Another protocol begins.
    Upgraded,
}

/// A connection in the worker's list, out of which it is taken however its task ends.
struct Session {
    worker: Rc<Worker>,
    client: Rc<Client>,
    key: usize,
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
    async fn requests(&self) -> End {
        loop {
            let head = match poll_fn(|cx| self.poll_head(cx)).await {
                Ok(Some(head)) => head,
                Ok(None) => return End::Said,
                Err(InboundError::Malformed(malformed)) => {
                    let response = proxy::malformed(&self.worker, &self.client, malformed);
                    return self.say_last(response).await;
                }
                Err(error) => {
                    tracing::debug!(%error, client = %self.client.address, "a connection ended");
                    return End::Over;
                }
            };
            if let Err(end) = self.request(head).await {
                return end;
            }
        }
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

    /// One request and its answer. `Err` where none can follow it.
    async fn request(&self, head: RequestHead) -> Result<(), End> {
        let asking = Asking::of(&head);
        let upgrade = proxy::upgrade_asked(&head.headers);
        let mut served = proxy::serve(&self.worker, &self.client, head);
        // Dropping the work cancels the node's request.
        let response = self.while_there(|cx| Pin::new(&mut served).poll(cx)).await?;
        drop(served);
        let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let after = if upgraded {
            After::Keep
        } else if self.must_end(&upgrade) {
            After::Close
        } else {
            asking.after
        };
        let after = self.answer(response, asking.ending(after)).await?;
        match after {
            After::Keep if upgraded => Err(End::Upgraded),
            After::Keep => self.discard().await,
            After::Close => Err(End::Said),
        }
    }

    /// Goes on with `work` as long as somebody waits for it. A client that has finished sending may
    /// wait for its answer or have left, which nobody can tell: it gets a moment.
    async fn while_there<T>(
        &self,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, End> {
        let worked = poll_fn(|cx| match work(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            // While the node is silent, only reading finds out that nobody listens any more.
            Poll::Pending => self.client.inbound.poll_left(cx).map(Err),
        });
        match worked.await {
            Ok(done) => Ok(done),
            Err(Left::Broken) => Err(End::Over),
            // Rare, and large: no connection carries it all its life.
            Err(Left::Finished) => Box::pin(self.a_moment_more(work)).await,
        }
    }

    /// Goes on with `work`, for as long as the client takes what comes of it.
    async fn a_moment_more<T>(
        &self,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, End> {
        let mut takings = self.client.takings();
        loop {
            match timeout(HALF_CLOSE_TIME, poll_fn(&mut work)).await {
                Ok(done) => return Ok(done),
                Err(_) if takings != self.client.takings() => takings = self.client.takings(),
                Err(_) => return Err(End::Over),
            }
        }
    }

    /// Must the connection end with this answer?
    fn must_end(&self, upgrade: &Upgrade) -> bool {
        let inbound = &self.client.inbound;
        // What a client sent behind a handshake that is refused could be the other protocol's: it
        // is no request (CVE-2026-2833). And a body that waits for leave may come or not.
        let spoke = || inbound.has_bytes() || self.client.stream.waiting() == Waiting::Something;
        let handshake = *upgrade != Upgrade::None && spoke();
        let endless = inbound.body_left().is_some_and(|left| DISCARD_BYTES_MAX < left);
        let in_doubt = handshake || inbound.owes_continue() || inbound.is_broken();
        in_doubt || endless || self.worker.is_stopping()
    }

    /// Writes an answer; tells what becomes of the connection.
    async fn answer(&self, response: Response, asking: Asking) -> Result<After, End> {
        let mut answering = Answering::new(response, asking);
        let ending = answering.ending();
        self.client.answer_ends(ending);
        let answered = self.while_there(|cx| answering.poll(cx, &self.client, &self.worker)).await;
        if !matches!(answered, Ok(Ok(()))) && ending == Ending::LooksWhole {
            self.client.stream.reset_on_close();
            return Err(End::Over);
        }
        self.client.answer_ends(Ending::Plain);
        match answered? {
            Ok(()) => Ok(answering.after),
            Err(Broken::Client) => Err(End::Over),
            Err(Broken::Source) => Err(End::Said),
        }
    }

    async fn say_last(&self, response: Response) -> End {
        match self.answer(response, Asking::unread()).await {
            Ok(_) => End::Said,
            Err(end) => end,
        }
    }

    /// Reads what is left of a request that was answered before its end, so that another can
    /// follow it.
    async fn discard(&self) -> Result<(), End> {
        if self.client.inbound.is_body_ended() {
            return Ok(());
        }
        self.client.enter(ClientPhase::Busy, self.worker.now_ms());
        let mut left = DISCARD_BYTES_MAX;
        let discarded = poll_fn(|cx| match self.worker.is_closing_idle() {
            // For nobody's sake would a stop wait for it.
            true => Poll::Ready(Err(Undiscarded)),
            false => proxy::poll_discard(&self.client, &self.worker, &mut left, cx),
        });
        discarded.await.map_err(|Undiscarded| End::Said)?;
        self.client.request_ended(self.worker.now_ms());
        Ok(())
    }

    /// Runs what an upgrade has left.
    async fn tunnel(&self) {
        if let Some(tunnel) = self.client.take_tunnel() {
            self.client.enter(ClientPhase::Tunnel, self.worker.now_ms());
            let early = self.client.inbound.take_bytes();
            // Large, and most connections never come here.
            Box::pin(tunnel.run(self.client.stream.clone(), early)).await;
        }
    }
}

const LINGER_SCRATCH_BYTES: usize = 16 * 1024;

/// Reads what the client still sends after our last answer: closing at once would reset the
/// connection, and the reset could reach the client before the answer does.
async fn linger(mut stream: Stream) {
    let drain = async {
        // The client must not wait for more.
        if stream.shutdown().await.is_err() {
            return;
        }
        // Not in the future: every connection would carry it all its life.
        let mut scratch = vec![0; LINGER_SCRATCH_BYTES];
        let mut drained = 0;
        while drained < LINGER_BYTES_MAX {
            match stream.read(&mut scratch).await {
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
