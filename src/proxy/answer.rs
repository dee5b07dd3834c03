//! What a client gets: a node's answer, a tunnel, or words of our own.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version};

use super::attempt::Attempt;
use super::body::{Response, ResponseBody};
use super::client::{BodyFault, Client, Patience};
use super::decide::{self, Refusal};
use super::forward::{Forward, ForwardError};
use super::headers;
use super::journey::Journey;
use super::tunnel::{Kind, Tunnel};
use super::worker::Worker;
use crate::http1::{self, Buffer, Malformed, Name, ResponseHead};
use crate::notice::{self, Answer as OwnAnswer, OwnError, Side};
use crate::routing::NodeIndex;
use crate::upstream::SentInformational;

impl Forward {
    /// Passes a node's answer on.
    pub(super) fn passed(&mut self, mut head: ResponseHead, attempt: Attempt) -> Response<'_> {
        headers::towards_client(&mut head.headers, self.journey.id.as_bytes());
        self.journey.answered(head.status, Some(attempt.node()));
        if headers::is_event_stream(&head.headers) {
            self.client.has_patience(Patience::Endless);
        }
        self.attempt = Some(attempt);
        self.settle_if_complete();
        Response { status: head.status, headers: head.headers, body: ResponseBody::Node(self) }
    }

    /// The node agreed to an upgrade. Only now is there a tunnel, and only if the table still
    /// allows it: from that look to the tunnel's count there is no await. `None`: the handshake has
    /// to be tried again, because its node was removed while it agreed.
    pub(super) fn upgrade(
        &mut self,
        mut head: ResponseHead,
        attempt: &Attempt,
    ) -> Option<Response<'static>> {
        let node = attempt.node();
        let exchange = self.exchange.take()?;
        if !self.asked.upgrade.is_granted_by(&head.headers) {
            return Some(self.failed(&ForwardError::BadAnswer, Some(node)));
        }
        let (stream, early) = exchange.into_upgraded();
        if attempt.state.was_cut().is_some() || !self.worker.allows(node) {
            attempt.completed();
            return None;
        }
        headers::upgraded(&mut head.headers, &self.asked.upgrade, self.journey.id.as_bytes());
        self.journey.answered(head.status, Some(node));
        attempt.completed();
        let kind = if self.asked.upgrade.is_websocket() { Kind::WebSocket } else { Kind::Raw };
        let (worker, journey) = (self.worker.clone(), self.journey.hand_over());
        let client = self.client.stream.clone();
        self.client.leave_tunnel(Tunnel::new(
            worker,
            Box::new(journey),
            kind,
            client,
            (node, stream, early),
        ));
        let body = ResponseBody::Own(Bytes::new());
        Some(Response { status: head.status, headers: head.headers, body })
    }

    /// An answer of our own to a request that got none.
    pub(super) fn failed(
        &mut self,
        error: &ForwardError,
        node: Option<NodeIndex>,
    ) -> Response<'static> {
        let (worker, journey) = (&self.worker, &mut self.journey);
        let own = match error {
            // Nothing was written anywhere: to the client there just is no node.
            ForwardError::NoNode(_) | ForwardError::Connect | ForwardError::Cut => {
                Own::Notice(worker.why_notice())
            }
            ForwardError::NoAnswer | ForwardError::BadAnswer => {
                Own::error(StatusCode::BAD_GATEWAY, Side::Node)
            }
            ForwardError::HeadTimeout => Own::error(StatusCode::GATEWAY_TIMEOUT, Side::Node),
            ForwardError::Body(BodyFault::TooLarge) => {
                Own::error(StatusCode::PAYLOAD_TOO_LARGE, Side::Client)
            }
            ForwardError::Body(BodyFault::Stalled) => {
                Own::error(StatusCode::REQUEST_TIMEOUT, Side::Client)
            }
            ForwardError::Body(BodyFault::Broken) => {
                Own::error(StatusCode::BAD_REQUEST, Side::Client)
            }
        };
        let mut response = own.response(worker, journey);
        if matches!(error, ForwardError::Body(_)) {
            // What is left of it, if anything, is no beginning of another request.
            response.headers.set(Name::Connection, b"close");
        }
        journey.own_answer(&response, node);
        self.client.request_ended(worker.now_ms());
        response
    }
}

/// The gateway's own words.
#[derive(Clone, Copy, Debug)]
enum Own<'a> {
    Notice(notice::Why),
    Error(OwnError<'a>),
}

impl Own<'_> {
    fn error(status: StatusCode, side: Side) -> Self {
        Self::Error(OwnError { status, side, reason: None })
    }

    fn response(self, worker: &Worker, journey: &Journey) -> Response<'static> {
        match self {
            Self::Notice(why) => {
                own_response(worker.notice.answer(why, journey.class()), journey, &worker.date())
            }
            Self::Error(error) => {
                worker.metrics.own_error(error.status.as_u16());
                let answer = notice::own_error(error, journey.class(), journey.id.text());
                own_response(&answer, journey, &worker.date())
            }
        }
    }
}

fn own_response(answer: &OwnAnswer, journey: &Journey, date: &HeaderValue) -> Response<'static> {
    let mut headers = answer.headers.clone();
    headers.add(Name::XRequestId, journey.id.as_bytes());
    headers.add(Name::Date, date.as_bytes());
    let body = ResponseBody::Own(answer.body.clone());
    Response { status: answer.status, headers, body }
}

/// A request that no node should see.
pub(super) fn refused(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut journey: Journey,
    refusal: Refusal,
) -> Response<'static> {
    let reason = refusal.to_string();
    let request = journey.id.text();
    tracing::debug!(reason, request, client = %client.address, "a request is refused");
    let (status, reason) = (refusal.status(), Some(&reason[..]));
    let own = Own::Error(OwnError { status, side: Side::Client, reason });
    let mut response = own.response(worker, &journey);
    // Where its end is in doubt, nothing that follows on the connection can be trusted.
    response.headers.set(Name::Connection, b"close");
    journey.own_answer(&response, None);
    client.request_ended(worker.now_ms());
    response
}

/// Bytes that are no request: answered, counted and logged like one that is refused.
pub fn malformed(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    malformed: Malformed,
) -> Response<'static> {
    client.request_began(worker.now_ms());
    let mut journey = Journey::begin(worker, client, None);
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
    let mut head = Buffer::default();
    http1::put_status_line(&mut head, status);
    headers::hint(&mut headers);
    headers.put(&mut head);
    if client.stream.write_now(&head).is_ok_and(|written| written < head.len()) {
        // Half a head cannot be taken back, and what follows would be read as its rest.
        client.stream.cut();
    }
}
