//! Finding a node for a request, and carrying the exchange.
//!
//! The loop below is the whole policy of retries: nothing was written -> another node, always;
//! something was written -> again only where nothing can run twice, and only within the budget.

use std::rc::Rc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::attempt::{Attempt, CutCause};
use super::body::{NodeBody, RequestBody, ResponseBody};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Asked, Refusal};
use super::headers::{self, Upgrade};
use super::journey::Journey;
use super::tunnel::{Kind, Tunnel};
use super::worker::Worker;
use crate::clock;
use crate::failpoint;
use crate::nocobase::{Guard, Replay, RequestClass};
use crate::notice::{self, Answer as OwnAnswer, Side};
use crate::routing::{NoNode, NodeIndex, Tried};
use crate::upstream::{
    CheckOut, ConnectError, NodeConnection, ResponseStream, SendError, SentInformational, connect,
};

type Connection = NodeConnection<RequestBody>;

/// Why a request got no answer of a node.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
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
pub async fn serve(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    client.request_began(worker.now_ms());
    worker.retries.borrow_mut().request();
    let (parts, incoming) = request.into_parts();
    let mut journey = Journey::begin(&worker, &client, &parts);
    let asked = match decide::look(&parts, &worker.settings) {
        Ok(asked) => asked,
        Err(refusal) => return refused(&worker, &client, journey, refusal),
    };
    journey.is(asked.facts.class);
    if asked.facts.class == RequestClass::EventStream {
        client.has_patience(Patience::Endless);
    }
    let request = outgoing(&worker, &client, &journey, &asked, (parts, incoming));
    Forward { worker, client, asked, journey }.run(request).await
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
    headers::towards_node(&mut headers, client, &worker.settings, &journey.id);
    headers::upgrading(&mut headers, &asked.upgrade);
    let uri = headers::origin_form(parts.uri, &mut headers);
    let mut request = Request::new(RequestBody::new(incoming, client, worker));
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

/// One request on its way, over as many attempts as it takes.
struct Forward {
    worker: Rc<Worker>,
    client: Rc<Client>,
    asked: Asked,
    journey: Journey,
}

/// What one attempt came to.
enum Outcome {
    Answer(Box<Answer>),
    /// Try again, on a node that is not in the list of those tried.
    Again(Box<Request<RequestBody>>),
    Failed(ForwardError, Option<NodeIndex>),
}

struct Answer {
    response: Response<Incoming>,
    connection: Connection,
    attempt: Attempt,
    /// A copy of the handshake, where the request was one.
    handshake: Option<Request<RequestBody>>,
}

impl Forward {
    async fn run(mut self, mut request: Request<RequestBody>) -> Response<ResponseBody> {
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
                Outcome::Again(again) => request = *again,
                Outcome::Failed(error, node) => return self.failed(&error, node),
                Outcome::Answer(answer) => match self.answer(*answer).await {
                    Ok(response) => return response,
                    Err(again) => (self, request) = *again,
                },
            }
        }
    }

    /// One node, one connection, one exchange up to the response head.
    async fn attempt(
        &mut self,
        attempt: Attempt,
        request: Request<RequestBody>,
        tried: &mut Tried,
        last: &mut Option<ForwardError>,
    ) -> Outcome {
        let node = attempt.node();
        failpoint::pause("forward.connect").await;
        let (mut connection, pooled) = match self.connection(node).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, node = node.0, "no connection to a node");
                *last = Some(ForwardError::Connect);
                self.node_failed(node);
                return match tried.add(node) {
                    true => Outcome::Again(Box::new(request)),
                    false => Outcome::Failed(ForwardError::Connect, None),
                };
            }
        };
        failpoint::pause("forward.send").await;
        // The table may have changed while we waited. From this look to the write there is no
        // await: hyper writes when `send` is polled first.
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            return Outcome::Again(Box::new(request));
        }
        let spare = self.spare_of(&request);
        attempt.writes(connection.stream());
        self.note_guarded(node);
        let (client, version) = (self.client.clone(), self.asked.version);
        let sent = connection.send(request, |head| pass_hint(&client, version, head)).await;
        match sent {
            Ok(response) => {
                self.node_answered(node);
                attempt.answers();
                Outcome::Answer(Box::new(Answer {
                    response,
                    connection,
                    attempt,
                    handshake: spare,
                }))
            }
            Err(SendError::Unwritten { request, .. }) => {
                attempt.was_not_written();
                self.worker.metrics.stale_replaced(node);
                if pooled || tried.add(node) {
                    *last = Some(ForwardError::NoAnswer);
                    return Outcome::Again(request);
                }
                Outcome::Failed(ForwardError::NoAnswer, Some(node))
            }
            Err(SendError::Written { source }) => {
                tracing::debug!(error = %source, node = node.0, "an exchange failed");
                self.unanswered(&attempt, spare, tried, last)
            }
        }
    }

    /// The request was written, and no response head came.
    fn unanswered(
        &mut self,
        attempt: &Attempt,
        spare: Option<Request<RequestBody>>,
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
                Outcome::Again(Box::new(request))
            }
            Some(_) | None => Outcome::Failed(ForwardError::NoAnswer, Some(node)),
        }
    }

    /// An idle connection that is still open, or a new one.
    async fn connection(&self, index: NodeIndex) -> Result<(Connection, bool), ConnectError> {
        let Some(node) = self.worker.nodes.get(index.0) else {
            return Err(ConnectError::NoAddress);
        };
        let epoch = node.address_epoch();
        let now_ms = self.worker.now_ms();
        let found = self.worker.pool.borrow_mut().check_out(index, epoch, now_ms);
        match found {
            CheckOut::Found(connection) => {
                self.worker.metrics.pool_hit(index);
                Ok((*connection, true))
            }
            CheckOut::Empty { stale } => {
                for _ in 0..stale {
                    self.worker.metrics.stale_replaced(index);
                }
                let limit = self.worker.settings.connect_timeout;
                let stream = connect(&node.addresses(), limit).await?;
                self.worker.metrics.connected(index);
                let connection = Connection::new(stream, epoch).await;
                Ok((
                    connection
                        .map_err(|error| ConnectError::Failed(std::io::Error::other(error)))?,
                    false,
                ))
            }
        }
    }

    /// A copy to send once more, of a request that may run twice and has no body to lose. A
    /// handshake is one: until it is answered nothing was said over it.
    fn spare_of(&self, request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
        let replayable = match self.asked.facts.replay {
            Replay::Always => true,
            Replay::OnlyUnwritten => matches!(self.asked.upgrade, Upgrade::To(_)),
        };
        if !replayable || !matches!(request.body(), RequestBody::Empty) {
            return None;
        }
        let mut spare = Request::new(RequestBody::Empty);
        *spare.method_mut() = request.method().clone();
        *spare.uri_mut() = request.uri().clone();
        *spare.headers_mut() = request.headers().clone();
        Some(spare)
    }

    /// Passes a node's answer on. `Err` is a handshake that has to be tried again: its node was
    /// removed while it agreed.
    async fn answer(self, answer: Answer) -> Result<Response<ResponseBody>, Again> {
        let node = answer.attempt.node();
        if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.upgrade(answer).await;
        }
        let Self { worker, client, mut journey, .. } = self;
        let (mut head, incoming) = answer.response.into_parts();
        headers::towards_client(&mut head.headers, &journey.id);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        journey.answered(head.status, Some(node));
        let stream = ResponseStream::new(incoming, answer.connection);
        let body = NodeBody::new(stream, answer.attempt, journey, worker, client);
        Ok(Response::from_parts(head, ResponseBody::Node(Box::new(body))))
    }

    /// The node agreed to an upgrade. Only now is there a tunnel, and only if the table still
    /// allows it: from that look to the tunnel's count there is no await.
    async fn upgrade(self, answer: Answer) -> Result<Response<ResponseBody>, Again> {
        let Answer { response, connection, attempt, handshake } = answer;
        let node = attempt.node();
        let (Upgrade::To(_), Some(handshake)) = (&self.asked.upgrade, handshake) else {
            return Ok(self.failed(&ForwardError::BadAnswer, Some(node)));
        };
        let Ok((stream, early)) = connection.into_upgraded().await else {
            return Ok(self.failed(&ForwardError::NoAnswer, Some(node)));
        };
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            attempt.completed();
            return Err(Box::new((self, handshake)));
        }
        let Self { worker, client, asked, mut journey } = self;
        let (mut head, _) = response.into_parts();
        headers::upgraded(&mut head.headers, &asked.upgrade, &journey.id);
        head.extensions.clear();
        journey.answered(head.status, Some(node));
        attempt.completed();
        let kind = if asked.upgrade.is_websocket() { Kind::WebSocket } else { Kind::Raw };
        client.leave_tunnel(Tunnel::new(worker, journey, kind, (node, stream, early)));
        Ok(Response::from_parts(head, ResponseBody::Ready(None)))
    }

    /// An answer of our own to a request that got none.
    fn failed(self, error: &ForwardError, node: Option<NodeIndex>) -> Response<ResponseBody> {
        let Self { worker, client, mut journey, .. } = self;
        let own = match error {
            ForwardError::NoNode(_) | ForwardError::Cut => Own::Notice(worker.why_notice()),
            ForwardError::Connect | ForwardError::NoAnswer | ForwardError::BadAnswer => {
                Own::Error(StatusCode::BAD_GATEWAY, Side::Node)
            }
            ForwardError::HeadTimeout => Own::Error(StatusCode::GATEWAY_TIMEOUT, Side::Node),
            ForwardError::Body(BodyFault::TooLarge) => {
                Own::Error(StatusCode::PAYLOAD_TOO_LARGE, Side::Client)
            }
            ForwardError::Body(BodyFault::Stalled) => {
                Own::Error(StatusCode::REQUEST_TIMEOUT, Side::Client)
            }
            ForwardError::Body(BodyFault::Broken) => {
                Own::Error(StatusCode::BAD_REQUEST, Side::Client)
            }
        };
        let response = own.response(&worker, &journey);
        journey.own_answer(&response, node);
        client.request_ended(worker.now_ms());
        response
    }

    fn node_failed(&self, index: NodeIndex) {
        self.worker.metrics.connect_failed(index);
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

    /// A call that changes what runs makes the other nodes old; `mode cluster` asks for it.
    fn note_guarded(&self, index: NodeIndex) {
        if self.asked.facts.guard == Guard::Guarded
            && let Some(node) = self.worker.nodes.get(index.0)
        {
            // Of two in one tick, one may lie before a switch and one after it.
            node.guarded_call(clock::uptime_ms());
        }
    }
}

type Again = Box<(Forward, Request<RequestBody>)>;

/// The gateway's own words.
#[derive(Clone, Copy, Debug)]
enum Own {
    Notice(notice::Why),
    Error(StatusCode, Side),
}

impl Own {
    fn response(self, worker: &Worker, journey: &Journey) -> Response<ResponseBody> {
        match self {
            Self::Notice(why) => own_response(worker.notice.answer(why, journey.class()), journey),
            Self::Error(status, side) => {
                worker.metrics.own_error(status.as_u16());
                let id = journey.id.to_str().ok();
                own_response(&notice::own_error(status, side, journey.class(), id), journey)
            }
        }
    }
}

fn own_response(answer: &OwnAnswer, journey: &Journey) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Ready(Some(answer.body.clone())));
    *response.status_mut() = answer.status;
    for (name, value) in &answer.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response.headers_mut().insert(headers::X_REQUEST_ID, journey.id.clone());
    response
}

/// A request that no node should see.
fn refused(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut journey: Journey,
    refusal: Refusal,
) -> Response<ResponseBody> {
    tracing::debug!(%refusal, client = %client.address, "refused");
    let own = Own::Error(refusal.status(), Side::Client);
    let mut response = own.response(worker, &journey);
    // Where its end is in doubt, nothing that follows on the connection can be trusted.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    journey.own_answer(&response, None);
    client.request_ended(worker.now_ms());
    response
}

/// Sends a 1xx head on at once, beside hyper, which has no way to: nothing of ours is in the
/// socket's way while a request has no response head, or else the client is slow and does
/// without. 100 and 101 have other ways.
fn pass_hint(client: &Client, version: Version, (status, headers): SentInformational) {
    let hint = status != StatusCode::CONTINUE && status != StatusCode::SWITCHING_PROTOCOLS;
    if !hint || version != Version::HTTP_11 || client.is_write_blocked() {
        return;
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), "Informational").into_bytes();
    for (name, value) in &headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    if client.stream.write_now(&head).is_ok_and(|written| written < head.len()) {
        // Half a head cannot be taken back, and what follows would be read as its rest.
        client.stream.cut();
    }
}
