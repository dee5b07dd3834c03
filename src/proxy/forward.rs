//! Finding a node for a request, and carrying the exchange.
//!
//! The loop below is the whole policy of retries: nothing was written -> another node, always;
//! something was written -> again only where nothing can run twice, and only within the budget.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::answer;
use super::attempt::{Attempt, CutCause};
use super::body::{RequestBody, ResponseBody};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Asked};
use super::headers::{self, Upgrade};
use super::journey::Journey;
use super::worker::Worker;
use crate::failpoint;
use crate::nocobase::{Replay, RequestClass};
use crate::routing::{NoNode, NodeIndex, Tried};
use crate::upstream::{ConnectError, NodeConnection, SendError, connect};

type Connection = Box<NodeConnection<RequestBody>>;

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
pub fn serve(worker: &Rc<Worker>, client: &Rc<Client>, request: Request<Incoming>) -> Served {
    client.request_began(worker.now_ms());
    worker.retries.borrow_mut().request();
    let (parts, incoming) = request.into_parts();
    let mut journey = Box::new(Journey::begin(worker, client, &parts));
    let asked = match decide::look(&parts, &worker.settings) {
        Ok(asked) => asked,
        Err(refusal) => {
            journey.is(decide::class(&parts, &worker.settings));
            return Served::Now(Some(answer::refused(worker, client, journey, refusal)));
        }
    };
    journey.is(asked.facts.class);
    if asked.facts.class == RequestClass::EventStream {
        client.has_patience(Patience::Endless);
    }
    let request = outgoing(worker, client, &journey, &asked, (parts, incoming));
    let (worker, client) = (worker.clone(), client.clone());
    let forward = Box::new(Forward { worker, client, asked, journey });
    Served::Later(Box::pin(forward.run(Box::new(request))))
}

/// An answer, or the work towards one. It cannot fail, only answer with an error.
pub enum Served {
    Now(Option<Response<ResponseBody>>),
    Later(Pin<Box<dyn Future<Output = Response<ResponseBody>>>>),
}

impl Future for Served {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => response.take().map_or(Poll::Pending, |r| Poll::Ready(Ok(r))),
            Self::Later(work) => work.as_mut().poll(cx).map(Ok),
        }
    }
}

/// The request as a node gets it.
fn outgoing(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    journey: &Journey,
    asked: &Asked,
    (parts, incoming): (http::request::Parts, Incoming),
) -> Request<RequestBody> {
    let mut headers = parts.headers;
    // First of all: Host, and what is derived from it, is that of the target.
    let uri = headers::origin_form(parts.uri, &mut headers);
    headers::towards_node(&mut headers, client, &worker.settings, &journey.id);
    headers::upgrading(&mut headers, &asked.upgrade);
    // HTTP/1.0 need not name a host; HTTP/1.1, in which the node is asked, must (RFC 9112 3.2).
    headers.entry(HOST).or_insert_with(|| HeaderValue::from_static(""));
    let body = RequestBody::new(incoming, client, worker);
    if matches!(body, RequestBody::Client(_)) && !headers.contains_key(CONTENT_LENGTH) {
        // Where a GET does not say so, hyper takes it to have no body, and drops it.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

/// One request on its way, over as many attempts as it takes.
pub(super) struct Forward {
    pub worker: Rc<Worker>,
    pub client: Rc<Client>,
    pub asked: Asked,
    pub journey: Box<Journey>,
}

/// What one attempt came to.
enum Outcome {
    Answer(Answer),
    /// Try again, on a node that is not in the list of those tried.
    Again(Box<Request<RequestBody>>),
    Failed(ForwardError, Option<NodeIndex>),
}

pub(super) struct Answer {
    pub response: Response<Incoming>,
    pub connection: Connection,
    pub attempt: Attempt,
    /// A copy of the request, where there is one: of a handshake always.
    pub handshake: Option<Box<Request<RequestBody>>>,
}

impl Answer {
    fn is_upgrade(&self) -> bool {
        self.response.status() == StatusCode::SWITCHING_PROTOCOLS
    }
}

impl Forward {
    async fn run(
        mut self: Box<Self>,
        mut request: Box<Request<RequestBody>>,
    ) -> Response<ResponseBody> {
        let mut tried = Tried::default();
        let mut last = None;
        loop {
            failpoint::pause("forward.pick").await;
            let attempt = match self.worker.begin_attempt(&tried) {
                Ok(attempt) => attempt,
                Err(no_node) => {
                    let error = last.take().unwrap_or(ForwardError::NoNode(no_node));
                    return self.failed(&error, None);
                }
            };
            match self.attempt(attempt, request, &mut tried, &mut last).await {
                Outcome::Again(again) => request = again,
                Outcome::Failed(error, node) => return self.failed(&error, node),
                Outcome::Answer(answer) if answer.is_upgrade() => {
                    match Box::pin(self.upgrade(answer)).await {
                        Ok(response) => return response,
                        Err(again) => (self, request) = again,
                    }
                }
                Outcome::Answer(answer) => return self.answer(answer),
            }
        }
    }

    /// One node, one connection, one exchange up to the response head.
    async fn attempt(
        &mut self,
        attempt: Attempt,
        request: Box<Request<RequestBody>>,
        tried: &mut Tried,
        last: &mut Option<ForwardError>,
    ) -> Outcome {
        let node = attempt.node();
        failpoint::pause("forward.connect").await;
        let idle = self.pooled(node);
        let pooled = idle.is_some();
        let connection = match idle {
            Some(connection) => Ok(connection),
            // Rare, and large: it does not make every request's future large.
            None => Box::pin(self.connected(node)).await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, node = node.0, "no connection to a node");
                *last = Some(ForwardError::Connect);
                self.worker.metrics.connect_failed(node);
                self.node_failed(node);
                return self.elsewhere(ForwardError::Connect, request, tried, node);
            }
        };
        failpoint::pause("forward.send").await;
        // The table may have changed while we waited. From this look to the write there is no
        // await: hyper writes when `send` is polled first.
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            return Outcome::Again(request);
        }
        let spare = self.spare_of(&request);
        attempt.writes(connection.stream(), &self.client, self.asked.facts.guard);
        let (client, version) = (self.client.clone(), self.asked.version);
        let sent =
            connection.send(*request, |head| answer::pass_hint(&client, version, head)).await;
        match sent {
            Ok(response) => {
                self.node_answered(node);
                attempt.answers(response.status());
                Outcome::Answer(Answer { response, connection, attempt, handshake: spare })
            }
            Err(SendError::Unwritten { request, .. }) => {
                attempt.was_not_written();
                *last = Some(ForwardError::NoAnswer);
                if pooled {
                    self.worker.metrics.stale_replaced(node);
                    return Outcome::Again(request);
                }
                // It accepts, and ends the connection at once.
                self.node_failed(node);
                self.elsewhere(ForwardError::NoAnswer, request, tried, node)
            }
            Err(SendError::Written { source }) => {
                tracing::debug!(error = %source, node = node.0, "an exchange failed");
                self.unanswered(&attempt, spare, tried, last)
            }
        }
    }

    /// Nothing was written: on to another node, while there are attempts left.
    fn elsewhere(
        &self,
        error: ForwardError,
        request: Box<Request<RequestBody>>,
        tried: &mut Tried,
        node: NodeIndex,
    ) -> Outcome {
        if tried.add(node) {
            self.worker.metrics.retried(node);
            return Outcome::Again(request);
        }
        Outcome::Failed(error, None)
    }

    /// The request was written, and no response head came.
    fn unanswered(
        &mut self,
        attempt: &Attempt,
        spare: Option<Box<Request<RequestBody>>>,
        tried: &mut Tried,
        last: &mut Option<ForwardError>,
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
            None => self.node_failed(node),
        }
        match spare {
            Some(request) if tried.add(node) && self.worker.retries.borrow_mut().take() => {
                self.worker.metrics.retried(node);
                *last = Some(ForwardError::NoAnswer);
                Outcome::Again(request)
            }
            Some(_) | None => Outcome::Failed(ForwardError::NoAnswer, Some(node)),
        }
    }

    /// An idle connection that is still open.
    fn pooled(&self, index: NodeIndex) -> Option<Connection> {
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
    async fn connected(&self, index: NodeIndex) -> Result<Connection, ConnectError> {
        let Some(node) = self.worker.nodes.get(index.0) else {
            return Err(ConnectError::NoAddress);
        };
        let epoch = node.address_epoch();
        let stream = connect(&node.addresses(), self.worker.settings.connect_timeout).await?;
        self.worker.metrics.connected(index);
        let connection = NodeConnection::new(stream, epoch).await;
        connection.map_err(|error| ConnectError::Failed(std::io::Error::other(error)))
    }

    /// A copy to send once more, of a request that may run twice and has no body to lose. A
    /// handshake is one: until it is answered nothing was said over it.
    fn spare_of(&self, request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
        let replayable = match self.asked.facts.replay {
            Replay::Always => true,
            Replay::OnlyUnwritten => matches!(self.asked.upgrade, Upgrade::To(_)),
        };
        if !replayable || !matches!(request.body(), RequestBody::Empty) {
            return None;
        }
        let mut spare = Box::new(Request::new(RequestBody::Empty));
        *spare.method_mut() = request.method().clone();
        *spare.uri_mut() = request.uri().clone();
        *spare.headers_mut() = request.headers().clone();
        Some(spare)
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
