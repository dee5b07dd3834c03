//! Finding a node for a request, and carrying the exchange.
//!
//! The loop below is the whole policy of retries: nothing was written -> another node, always;
//! something was written -> again only where nothing can run twice, and only within the budget.

use std::future::poll_fn;
use std::rc::Rc;

use http::StatusCode;

use super::answer;
use super::attempt::{Attempt, CutCause};
use super::body::{ClientBody, Response};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Asked};
use super::headers::{self, Upgrade};
use super::journey::Journey;
use super::worker::Worker;
use crate::failpoint;
use crate::http1::{BodyLength, Name, RequestHead, ResponseHead};
use crate::nocobase::{Replay, RequestClass};
use crate::routing::{NoNode, NodeIndex, Tried};
use crate::upstream::{
    ConnectError, Exchange, ExchangeError, Look, NodeConnection, Written, connect,
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

/// One request on its way, over as many attempts as it takes, and the way back of its answer.
#[derive(Debug)]
pub struct Forward {
    /// With the node that is asked, until its answer has come whole. Goes first: with it, its
    /// connection closes.
    pub(super) exchange: Option<Exchange>,
    /// That which brought the answer.
    pub(super) attempt: Option<Attempt>,
    pub(super) journey: Journey,
    pub(super) worker: Rc<Worker>,
    pub(super) client: Rc<Client>,
    pub(super) asked: Asked,
    /// As a node gets it.
    request: RequestHead,
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

/// Where an attempt's connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Pool,
    New,
}

/// What one attempt came to.
enum Outcome {
    Answer(ResponseHead, Attempt),
    /// Try again, on a node that is not in the list of those tried.
    Again,
    Failed(ForwardError, Option<NodeIndex>),
}

impl Forward {
    /// Begins with a request that a client sent; nothing of it goes to a node yet. `Err` is the answer
    /// to one that no node should see.
    pub fn begin(
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        head: RequestHead,
    ) -> Result<Self, Response<'static>> {
        client.request_began(worker.now_ms());
        worker.retries.borrow_mut().request();
        let mut journey = Journey::begin(worker, client, Some(&head));
        let asked = match decide::look(&head, &worker.settings) {
            Ok(asked) => asked,
            Err(refusal) => {
                journey.is(decide::class(&head, &worker.settings));
                return Err(answer::refused(worker, client, journey, refusal));
            }
        };
        journey.is(asked.facts.class);
        if asked.facts.class == RequestClass::EventStream {
            client.has_patience(Patience::Endless);
        }
        client.inbound.begin_body(asked.body, &head);
        let (worker, client) = (worker.clone(), client.clone());
        let mut forward =
            Self { exchange: None, attempt: None, journey, worker, client, asked, request: head };
        forward.address();
        Ok(forward)
    }

    /// Makes the client's head into the one that a node gets.
    fn address(&mut self) {
        let headers = &mut self.request.headers;
        // First of all: Host, and what is derived from it, is that of the target.
        headers::host_of_target(&self.request.target, headers);
        let id = self.journey.id.as_bytes();
        headers::towards_node(headers, &self.client, &self.worker.settings, id);
        headers::upgrading(headers, &self.asked.upgrade);
        // HTTP/1.0 need not name a host; HTTP/1.1, in which the node is asked, must (RFC 9112 3.2).
        if !headers.contains(Name::Host) {
            headers.add(Name::Host, b"");
        }
        if self.asked.body == BodyLength::Chunked {
            headers.add(Name::TransferEncoding, b"chunked");
        }
    }

    /// Gets an answer: a node's, the notice, or words of our own. It cannot fail, only answer with an
    /// error.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt; with `self` its connection closes.
    pub async fn answer(&mut self) -> Response<'_> {
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
            match self.attempt(attempt, &mut trail).await {
                Outcome::Again => {}
                Outcome::Failed(error, node) => return self.failed(&error, node),
                Outcome::Answer(head, attempt) => match head.status {
                    StatusCode::SWITCHING_PROTOCOLS => {
                        if let Some(response) = self.upgrade(head, &attempt) {
                            return response;
                        }
                    }
                    _ => return self.passed(head, attempt),
                },
            }
        }
    }

    /// One node, one connection, one exchange up to the response head.
    async fn attempt(&mut self, attempt: Attempt, trail: &mut Trail) -> Outcome {
        let node = attempt.node();
        failpoint::pause("forward.connect").await;
        let idle = match trail.pool {
            PoolUse::Allowed => self.pooled(node),
            PoolUse::Avoided => None,
        };
        let from = if idle.is_some() { From::Pool } else { From::New };
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
                return self.elsewhere(ForwardError::Connect, trail, node);
            }
        };
        failpoint::pause("forward.send").await;
        // The table may have changed while we waited. From this look to the write there is no
        // await: the first poll of the exchange writes.
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            return Outcome::Again;
        }
        attempt.writes(connection.stream(), &self.client, self.asked.facts.guard);
        self.journey.is_at(node);
        let (client, version) = (&self.client, self.asked.version);
        let mut body = ClientBody { client, worker: &self.worker };
        let mut hint = |head| answer::pass_hint(client, version, head);
        let exchange = Exchange::new(connection, &self.request, self.asked.body);
        let exchange = self.exchange.insert(exchange);
        match poll_fn(|cx| exchange.poll_head(cx, &mut body, &mut hint)).await {
            Ok(head) => {
                self.node_answered(node);
                attempt.answers(head.status);
                Outcome::Answer(head, attempt)
            }
            Err(source) => {
                let written = exchange.written();
                self.exchange = None;
                self.unanswered(&attempt, (source, written, from), trail)
            }
        }
    }

    /// No response head came.
    fn unanswered(
        &mut self,
        attempt: &Attempt,
        (source, written, from): (ExchangeError, Written, From),
        trail: &mut Trail,
    ) -> Outcome {
        let node = attempt.node();
        if written == Written::Nothing {
            attempt.was_not_written();
            if let Some(fault) = self.client.body_fault() {
                return Outcome::Failed(ForwardError::Body(fault), None);
            }
            trail.last = Some(ForwardError::NoAnswer);
            if from == From::Pool {
                self.worker.metrics.stale_replaced(node);
                return Outcome::Again;
            }
            // It accepts, and ends the connection at once.
            self.node_failed(node);
            return self.elsewhere(ForwardError::NoAnswer, trail, node);
        }
        tracing::debug!(error = %source, node = node.0, "an exchange failed");
        let error = match source {
            ExchangeError::Malformed(_) | ExchangeError::TooManyHints => ForwardError::BadAnswer,
            _ => ForwardError::NoAnswer,
        };
        let silent = matches!(error, ForwardError::NoAnswer);
        if from == From::Pool && silent && self.was_stale(attempt) {
            self.worker.metrics.stale_replaced(node);
            trail.pool = PoolUse::Avoided;
            return Outcome::Again;
        }
        self.asked_in_vain(attempt, error, trail)
    }

    /// Nothing was written: on to another node, while there are attempts left.
    fn elsewhere(&self, error: ForwardError, trail: &mut Trail, node: NodeIndex) -> Outcome {
        if trail.tried.add(node) {
            self.worker.metrics.retried(node);
            return Outcome::Again;
        }
        Outcome::Failed(error, None)
    }

    /// A connection from the pool ended instead of answering: most likely its node had closed it
    /// already. What may run twice is sent once more, over a new one, to whichever node it is.
    fn was_stale(&self, attempt: &Attempt) -> bool {
        attempt.state.was_cut().is_none()
            && self.client.body_fault().is_none()
            && self.may_run_twice()
            && self.worker.retries.borrow_mut().take()
    }

    /// The request was written, and no response head came.
    fn asked_in_vain(
        &mut self,
        attempt: &Attempt,
        error: ForwardError,
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
        if self.may_run_twice() && trail.tried.add(node) && self.worker.retries.borrow_mut().take()
        {
            self.worker.metrics.retried(node);
            trail.last = Some(error);
            return Outcome::Again;
        }
        Outcome::Failed(error, Some(node))
    }

    /// An idle connection that is still open.
    fn pooled(&self, index: NodeIndex) -> Option<NodeConnection> {
        let epoch = self.worker.nodes.get(index.0)?.address_epoch();
        let now_ms = self.worker.now_ms();
        // What cannot be sent again must not meet a connection that closed a moment ago.
        let look = if self.may_run_twice() { Look::Heard } else { Look::Now };
        let left = |left| self.worker.idle_left(index, left);
        let mut pool = self.worker.pool.borrow_mut();
        let found = pool.check_out((index, epoch), now_ms, look, left);
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
    fn may_run_twice(&self) -> bool {
        self.asked.body == BodyLength::None && self.asked.facts.replay == Replay::Always
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
