//! Finding a node for a request, and carrying the exchange.
//!
//! The loop below is the whole policy of retries: nothing was written -> another node, always;
//! something was written -> again only where nothing can run twice, and only within the budget.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;

use super::answer;
use super::attempt::{Attempt, CutCause};
use super::body::{ClientBody, RequestBody, Response};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Asked};
use super::headers::{self, Upgrade};
use super::journey::Journey;
use super::worker::Worker;
use crate::failpoint;
use crate::http1::{BodyLength, Name, RequestHead};
use crate::nocobase::{Replay, RequestClass};
use crate::routing::{NoNode, NodeIndex, Tried};
use crate::upstream::{
    self, ConnectError, Exchange, ExchangeError, NodeConnection, Request, SendError, Written,
    connect,
};

/// Why a request got no answer of a node.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    #[error(transparent)]
    NoNode(NoNode),
    /// No connection to any node that was tried.
    #[error("no node could be connected to")]
    Connect,
    /// The last node tried ended the exchange before its response head.
    #[error("the node ended the exchange before its answer")]
    NoAnswer,
    #[error("the node's answer is malformed")]
    BadAnswer,
    #[error("the node did not answer in time")]
    HeadTimeout,
    /// A switch removed the node and the drain time was over.
    #[error("a switch cut the request")]
    Cut,
    #[error("the request's body failed: {0:?}")]
    Body(BodyFault),
}

/// Answers one request: with a node's answer, the notice, or words of our own.
pub fn serve(worker: &Rc<Worker>, client: &Rc<Client>, head: RequestHead) -> Served {
    client.request_began(worker.now_ms());
    worker.retries.borrow_mut().request();
    let mut journey = Box::new(Journey::begin(worker, client, &head));
    let asked = match decide::look(&head, &worker.settings) {
        Ok(asked) => asked,
        Err(refusal) => {
            journey.is(decide::class(&head, &worker.settings));
            return Served::Now(Some(answer::refused(worker, client, journey, refusal)));
        }
    };
    journey.is(asked.facts.class);
    if asked.facts.class == RequestClass::EventStream {
        client.has_patience(Patience::Endless);
    }
    client.inbound.begin_body(asked.body, &head);
    let request = outgoing(worker, client, &journey, &asked, head);
    let (worker, client) = (worker.clone(), client.clone());
    let forward = Box::new(Forward { worker, client, asked, journey });
    Served::Later(Box::pin(forward.run(Box::new(request))))
}

/// An answer, or the work towards one. It cannot fail, only answer with an error.
pub enum Served {
    Now(Option<Response>),
    Later(Pin<Box<dyn Future<Output = Response>>>),
}

impl Future for Served {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(work) => work.as_mut().poll(cx),
        }
    }
}

/// The request as a node gets it.
fn outgoing(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    journey: &Journey,
    asked: &Asked,
    mut head: RequestHead,
) -> Request<RequestBody> {
    let headers = &mut head.headers;
    // First of all: Host, and what is derived from it, is that of the target.
    headers::host_of_target(&head.target, headers);
    headers::towards_node(headers, client, &worker.settings, &journey.id);
    headers::upgrading(headers, &asked.upgrade);
    // HTTP/1.0 need not name a host; HTTP/1.1, in which the node is asked, must (RFC 9112 3.2).
    if !headers.contains(Name::Host) {
        headers.add(Name::Host, b"");
    }
    let body = match asked.body {
        BodyLength::None => RequestBody::Empty,
        BodyLength::Sized(_) | BodyLength::Chunked | BodyLength::UntilClose => {
            RequestBody::Client(ClientBody::new(client, worker))
        }
    };
    if asked.body == BodyLength::Chunked {
        headers.add(Name::TransferEncoding, b"chunked");
    }
    Request { head, length: asked.body, body }
}

/// One request on its way, over as many attempts as it takes.
pub(super) struct Forward {
    pub worker: Rc<Worker>,
    pub client: Rc<Client>,
    pub asked: Asked,
    pub journey: Box<Journey>,
}

/// What the attempts so far have come to.
#[derive(Debug, Default)]
struct Trail {
    tried: Tried,
    /// How the last one failed.
    last: Option<ForwardError>,
    pool: PoolUse,
}

/// May an attempt go over a connection that was used before?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PoolUse {
    #[default]
    Allowed,
    /// One of them failed already.
    Avoided,
}

/// What one attempt came to.
enum Outcome {
    Answer(Box<Answer>),
    /// Try again, on a node that is not in the list of those tried.
    Again(Box<Request<RequestBody>>),
    Failed(ForwardError, Option<NodeIndex>),
}

pub(super) struct Answer {
    pub exchange: Exchange<RequestBody>,
    pub attempt: Attempt,
}

impl Answer {
    fn is_upgrade(&self) -> bool {
        self.exchange.head.status == StatusCode::SWITCHING_PROTOCOLS
    }
}

impl Forward {
    async fn run(mut self: Box<Self>, mut request: Box<Request<RequestBody>>) -> Response {
        let mut trail = Trail::default();
        loop {
            failpoint::pause("forward.pick").await;
            let attempt = match self.worker.begin_attempt(&trail.tried) {
                Ok(attempt) => attempt,
                Err(no_node) => {
                    let error = trail.last.unwrap_or(ForwardError::NoNode(no_node));
                    return self.failed(&error, None);
                }
            };
            match self.attempt(attempt, request, &mut trail).await {
                Outcome::Again(again) => request = again,
                Outcome::Failed(error, node) => return self.failed(&error, node),
                Outcome::Answer(answer) if answer.is_upgrade() => match self.upgrade(answer) {
                    Ok(response) => return response,
                    Err(again) => (self, request) = again,
                },
                Outcome::Answer(answer) => return self.answer(answer),
            }
        }
    }

    /// One node, one connection, one exchange up to the response head.
    async fn attempt(
        &mut self,
        attempt: Attempt,
        request: Box<Request<RequestBody>>,
        trail: &mut Trail,
    ) -> Outcome {
        let node = attempt.node();
        failpoint::pause("forward.connect").await;
        let idle = match trail.pool {
            PoolUse::Allowed => self.pooled(node),
            PoolUse::Avoided => None,
        };
        let pooled = idle.is_some();
        let connection = match idle {
            Some(connection) => Ok(connection),
            // Rare, and large: it does not make every request's future large.
            None => Box::pin(self.connected(node)).await,
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, node = node.0, "no connection to a node");
                trail.last = Some(ForwardError::Connect);
                self.worker.metrics.connect_failed(node);
                self.node_failed(node);
                return self.elsewhere(ForwardError::Connect, request, trail, node);
            }
        };
        failpoint::pause("forward.send").await;
        // The table may have changed while we waited. From this look to the write there is no
        // await: the first poll of `send` writes.
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            return Outcome::Again(request);
        }
        attempt.writes(connection.stream(), &self.client, self.asked.facts.guard);
        self.journey.is_at(node);
        let (client, version) = (self.client.clone(), self.asked.version);
        let hint = move |head| answer::pass_hint(&client, version, head);
        match upstream::send(connection, request, hint).await {
            Ok(exchange) => {
                self.node_answered(node);
                attempt.answers(exchange.head.status);
                Outcome::Answer(Box::new(Answer { exchange, attempt }))
            }
            Err(SendError { written: Written::Nothing, request, .. }) => {
                attempt.was_not_written();
                trail.last = Some(ForwardError::NoAnswer);
                if pooled {
                    self.worker.metrics.stale_replaced(node);
                    return Outcome::Again(request);
                }
                // It accepts, and ends the connection at once.
                self.node_failed(node);
                self.elsewhere(ForwardError::NoAnswer, request, trail, node)
            }
            Err(SendError { written: Written::Something, request, source }) => {
                tracing::debug!(error = %source, node = node.0, "an exchange failed");
                let error = match source {
                    ExchangeError::Malformed(_) => ForwardError::BadAnswer,
                    _ => ForwardError::NoAnswer,
                };
                let silent = matches!(error, ForwardError::NoAnswer);
                if pooled && silent && self.was_stale(&attempt, &request) {
                    self.worker.metrics.stale_replaced(node);
                    trail.pool = PoolUse::Avoided;
                    return Outcome::Again(request);
                }
                self.unanswered(&attempt, error, request, trail)
            }
        }
    }

    /// Nothing was written: on to another node, while there are attempts left.
    fn elsewhere(
        &self,
        error: ForwardError,
        request: Box<Request<RequestBody>>,
        trail: &mut Trail,
        node: NodeIndex,
    ) -> Outcome {
        if trail.tried.add(node) {
            self.worker.metrics.retried(node);
            return Outcome::Again(request);
        }
        Outcome::Failed(error, None)
    }

    /// A connection from the pool ended instead of answering: most likely its node had closed it
    /// already. What may run twice is sent once more, over a new one, to whichever node it is.
    fn was_stale(&self, attempt: &Attempt, request: &Request<RequestBody>) -> bool {
        attempt.state.was_cut().is_none()
            && self.client.body_fault().is_none()
            && self.may_run_twice(request)
            && self.worker.retries.borrow_mut().take()
    }

    /// The request was written, and no response head came.
    fn unanswered(
        &mut self,
        attempt: &Attempt,
        error: ForwardError,
        request: Box<Request<RequestBody>>,
        trail: &mut Trail,
    ) -> Outcome {
        let node = attempt.node();
        if let Some(fault) = self.client.body_fault() {
            return Outcome::Failed(ForwardError::Body(fault), Some(node));
        }
        match attempt.state.was_cut() {
            Some(CutCause::Switch) => return Outcome::Failed(ForwardError::Cut, Some(node)),
            Some(CutCause::NodeTimeout) => {
                self.node_failed(node);
                return Outcome::Failed(ForwardError::HeadTimeout, Some(node));
            }
            // What a node does to a protocol that it does not speak (NocoBase: it hangs up) says
            // nothing about the node, and any client could ask for it.
            None if self.asked.upgrade == Upgrade::None => self.node_failed(node),
            None => {}
        }
        if self.may_run_twice(&request)
            && trail.tried.add(node)
            && self.worker.retries.borrow_mut().take()
        {
            self.worker.metrics.retried(node);
            trail.last = Some(error);
            return Outcome::Again(request);
        }
        Outcome::Failed(error, Some(node))
    }

    /// An idle connection that is still open.
    fn pooled(&self, index: NodeIndex) -> Option<NodeConnection> {
        let epoch = self.worker.nodes.get(index.0)?.address_epoch();
        let now_ms = self.worker.now_ms();
        let left = |left| self.worker.idle_left(index, left);
        let found = self.worker.pool.borrow_mut().check_out(index, epoch, now_ms, left);
        if found.is_some() {
            self.worker.metrics.pool_hit(index);
        }
        found
    }

    /// A new connection.
    async fn connected(&self, index: NodeIndex) -> Result<NodeConnection, ConnectError> {
        let Some(node) = self.worker.nodes.get(index.0) else {
            return Err(ConnectError::NoAddress);
        };
        let epoch = node.address_epoch();
        let stream = connect(&node.addresses(), self.worker.settings.connect_timeout).await?;
        self.worker.metrics.connected(index);
        Ok(NodeConnection::new(stream, epoch))
    }

    /// May a request that was written be written again? It has no body to lose, and what it asks
    /// for may be done twice.
    fn may_run_twice(&self, request: &Request<RequestBody>) -> bool {
        matches!(request.body, RequestBody::Empty)
            && decide::replay(&request.head, self.asked.facts, &self.worker.settings)
                == Replay::Always
    }

    fn node_failed(&self, index: NodeIndex) {
        if let Some(node) = self.worker.nodes.get(index.0)
            && let Some(time) = node.failed(self.worker.now_ms())
        {
            tracing::warn!(node = %node.id, ?time, "passed over for now: it fails requests");
            self.worker.metrics.ejected(index);
        }
        self.worker.kick(index);
    }

    fn node_answered(&self, index: NodeIndex) {
        if let Some(node) = self.worker.nodes.get(index.0) {
            node.answered();
        }
    }
}
