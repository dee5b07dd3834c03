//! One request and its answer, on a connection that may carry others.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;
use tokio::time::timeout;

use super::answering::{After, Answering, Asking, Broken};
use super::places::{Desk, Placed, Places};
use crate::http1::{Malformed, RequestHead};
use crate::model::limits::{DISCARD_BYTES_MAX, HALF_CLOSE_TIME};
use crate::proxy::{
    self, Client, ClientPhase, Ending, Forward, Left, Response, Undiscarded, Upgrade, Worker,
};
use crate::upstream::{Look, Waiting};

/// How the requests on a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client left, or was cut.
    Over,
    /// We said our last word.
    Said,
    /// Another protocol begins.
    Upgraded,
}

/// What a client sent where a request begins.
#[derive(Debug)]
pub(super) struct Arrived {
    pub worker: Rc<Worker>,
    pub client: Rc<Client>,
    pub head: Result<RequestHead, Malformed>,
}

/// What came of it: `Err` where nothing can follow.
pub(super) type Exchanged = Result<(), End>;

/// Where a worker's requests are served.
pub(super) type Serving<F> = Places<Arrived, Exchanged, F>;

/// One that is served there.
pub(super) type Served<F> = Placed<Arrived, Exchanged, F>;

/// Answers what arrives, one after another.
pub(super) async fn exchanges(desk: Rc<Desk<Arrived, Exchanged>>) -> Infallible {
    loop {
        let arrived = desk.next().await;
        let exchanged = exchange(arrived).await;
        desk.ends(exchanged);
    }
}

async fn exchange(Arrived { worker, client, head }: Arrived) -> Exchanged {
    match head {
        Ok(head) => Exchange { worker, client }.request(head).await,
        Err(malformed) => {
            let response = proxy::malformed(&worker, &client, malformed);
            Err(Exchange { worker, client }.say_last(response).await)
        }
    }
}

/// Who serves, and for whom.
struct Exchange {
    worker: Rc<Worker>,
    client: Rc<Client>,
}

impl Exchange {
    /// One request and its answer. `Err` where none can follow it.
    async fn request(&self, head: RequestHead) -> Result<(), End> {
        match self.respond(head).await? {
            After::Keep => self.discard().await,
            After::Close => Err(End::Said),
            After::Tunnel => Err(End::Upgraded),
        }
    }

    /// Gets an answer and writes it. What is left of a request ends here: with its connection to a
    /// node, where its client has left.
    async fn respond(&self, head: RequestHead) -> Result<After, End> {
        let asking = Asking::of(&head);
        let upgrade = proxy::upgrade_asked(&head.headers);
        let mut forward = match Forward::begin(&self.worker, &self.client, head) {
            Ok(forward) => forward,
            Err(refused) => return self.answer(refused, asking.ending(After::Close)).await,
        };
        let response = {
            let mut answer = pin!(forward.answer());
            self.while_there(|cx| answer.as_mut().poll(cx)).await?
        };
        let after = match response.status {
            StatusCode::SWITCHING_PROTOCOLS => After::Tunnel,
            _ if self.must_end(&upgrade) => After::Close,
            _ => asking.after,
        };
        self.answer(response, asking.ending(after)).await
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
        let spoke =
            || inbound.has_bytes() || self.client.stream.waiting(Look::Now) == Waiting::Something;
        let handshake = *upgrade != Upgrade::None && spoke();
        let endless = inbound.body_left().is_some_and(|left| DISCARD_BYTES_MAX < left);
        let in_doubt = handshake || inbound.owes_continue() || inbound.is_broken();
        in_doubt || endless || self.worker.is_stopping()
    }

    /// Writes an answer; tells what becomes of the connection.
    async fn answer(&self, response: Response<'_>, asking: Asking) -> Result<After, End> {
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

    async fn say_last(&self, response: Response<'_>) -> End {
        match self.answer(response, Asking::unread(&self.client)).await {
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
}
