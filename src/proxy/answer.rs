//! What a client gets: a node's answer, a tunnel, or words of our own.

use std::rc::Rc;

use http::{HeaderValue, StatusCode, Version};

use super::body::{NodeBody, RequestBody, Response, ResponseBody};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Refusal};
use super::forward::{Answer, Forward, ForwardError};
use super::headers;
use super::journey::Journey;
use super::tunnel::{Kind, Tunnel};
use super::worker::Worker;
use crate::http1::{self, Lines, Malformed, Name};
use crate::notice::{self, Answer as OwnAnswer, Side};
use crate::routing::NodeIndex;
use crate::upstream::{Exchange, Request, SentInformational};

impl Forward {
    /// Passes a node's answer on.
    #[expect(clippy::boxed_local, reason = "it comes boxed: to unbox it for the call is a copy")]
    pub(super) fn answer(self: Box<Self>, answer: Box<Answer>) -> Response {
        let node = answer.attempt.node();
        let Self { worker, client, mut journey, .. } = *self;
        let Answer { exchange: Exchange { mut head, rest }, attempt } = *answer;
        headers::towards_client(&mut head.headers, &journey.id);
        journey.answered(head.status, Some(node));
        if headers::is_event_stream(&head.headers) {
            client.has_patience(Patience::Endless);
        }
        let body = NodeBody::new(rest, attempt, journey, worker, client);
        let body = ResponseBody::Node(Box::new(body));
        Response { status: head.status, headers: head.headers, body }
    }

    /// The node agreed to an upgrade. Only now is there a tunnel, and only if the table still
    /// allows it: from that look to the tunnel's count there is no await. `Err` is a handshake
    /// that has to be tried again: its node was removed while it agreed.
    pub(super) fn upgrade(self: Box<Self>, answer: Box<Answer>) -> Result<Response, Again> {
        let Answer { exchange, attempt } = *answer;
        let node = attempt.node();
        if !self.asked.upgrade.is_granted_by(&exchange.head.headers) {
            return Ok(self.failed(&ForwardError::BadAnswer, Some(node)));
        }
        let Exchange { mut head, rest } = exchange;
        let (stream, early, handshake) = rest.into_upgraded();
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            attempt.completed();
            return Err((self, handshake));
        }
        let Self { worker, client, asked, mut journey } = *self;
        headers::upgraded(&mut head.headers, &asked.upgrade, &journey.id);
        journey.answered(head.status, Some(node));
        attempt.completed();
        let kind = if asked.upgrade.is_websocket() { Kind::WebSocket } else { Kind::Raw };
        let tunnel =
            Tunnel::new(worker, journey, kind, client.stream.clone(), (node, stream, early));
        client.leave_tunnel(tunnel);
        let body = ResponseBody::Ready(None);
        Ok(Response { status: head.status, headers: head.headers, body })
    }

    /// An answer of our own to a request that got none.
    #[expect(clippy::boxed_local, reason = "it comes boxed: to unbox it for the call is a copy")]
    pub(super) fn failed(
        self: Box<Self>,
        error: &ForwardError,
        node: Option<NodeIndex>,
    ) -> Response {
        let Self { worker, client, mut journey, .. } = *self;
        let own = match error {
            // Nothing was written anywhere: to the client there just is no node.
            ForwardError::NoNode(_) | ForwardError::Connect | ForwardError::Cut => {
                Own::Notice(worker.why_notice())
            }
            ForwardError::NoAnswer | ForwardError::BadAnswer => {
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
        let mut response = own.response(&worker, &journey);
        if matches!(error, ForwardError::Body(_)) {
            // What is left of it, if anything, is no beginning of another request.
            response.headers.set(Name::Connection, b"close");
        }
        journey.own_answer(&response, node);
        client.request_ended(worker.now_ms());
        response
    }
}

/// A request that goes round once more.
pub(super) type Again = (Box<Forward>, Box<Request<RequestBody>>);

/// The gateway's own words.
#[derive(Clone, Copy, Debug)]
enum Own {
    Notice(notice::Why),
    Error(StatusCode, Side),
}

impl Own {
    fn response(self, worker: &Worker, journey: &Journey) -> Response {
        match self {
            Self::Notice(why) => {
                own_response(worker.notice.answer(why, journey.class()), journey, &worker.date())
            }
            Self::Error(status, side) => {
                worker.metrics.own_error(status.as_u16());
                let id = journey.id.to_str().ok();
                own_response(
                    &notice::own_error(status, side, journey.class(), id),
                    journey,
                    &worker.date(),
                )
            }
        }
    }
}

fn own_response(answer: &OwnAnswer, journey: &Journey, date: &HeaderValue) -> Response {
    let mut headers = Lines::default();
    for (name, value) in &answer.headers {
        headers.add_line(name.as_str().as_bytes(), value.as_bytes());
    }
    headers.add(Name::XRequestId, journey.id.as_bytes());
    headers.add(Name::Date, date.as_bytes());
    let body = ResponseBody::Ready(Some(answer.body.clone()));
    Response { status: answer.status, headers, body }
}

/// A request that no node should see.
pub(super) fn refused(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut journey: Box<Journey>,
    refusal: Refusal,
) -> Response {
    tracing::debug!(%refusal, client = %client.address, "refused");
    let own = Own::Error(refusal.status(), Side::Client);
    let mut response = own.response(worker, &journey);
    // Where its end is in doubt, nothing that follows on the connection can be trusted.
    response.headers.set(Name::Connection, b"close");
    journey.own_answer(&response, None);
    client.request_ended(worker.now_ms());
    response
}

/// Bytes that are no request: answered, counted and logged like one that is refused.
pub fn malformed(worker: &Rc<Worker>, client: &Rc<Client>, malformed: Malformed) -> Response {
    client.request_began(worker.now_ms());
    let mut journey = Box::new(Journey::unread(worker, client));
    if let Some(target) = client.inbound.rest_of_target() {
        journey.is(decide::class_of_target(&target, &worker.settings));
    }
    refused(worker, client, journey, malformed.into())
}

/// Sends a 1xx head on at once: nothing of ours is in the socket's way while a request has no
/// response head, or else the client is slow and does without. 100 and 101 have other ways.
pub(super) fn pass_hint(
    client: &Client,
    version: Version,
    (status, mut headers): SentInformational,
) {
    let hint = status != StatusCode::CONTINUE && status != StatusCode::SWITCHING_PROTOCOLS;
    if !hint || version != Version::HTTP_11 || client.is_write_blocked() {
        return;
    }
    let mut head = Vec::new();
    http1::put_status_line(&mut head, status);
    headers::hint(&mut headers);
    headers.put(&mut head);
    if client.stream.write_now(&head).is_ok_and(|written| written < head.len()) {
        // Half a head cannot be taken back, and what follows would be read as its rest.
        client.stream.cut();
    }
}
