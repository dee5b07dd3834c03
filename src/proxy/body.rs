//! Bodies on their way: towards a node, and back to the client. Streamed, never collected.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};

use super::attempt::Attempt;
use super::client::{BodyFault, Client};
use super::headers;
use super::inbound::InboundError;
use super::journey::Journey;
use super::worker::Worker;
use crate::http1::Lines;
use crate::upstream::{ExchangeError, ResponseStream};

/// A body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is longer than allowed")]
    TooLarge,
    #[error("the client's body broke off")]
    Client(#[source] InboundError),
    #[error("the node's body broke off")]
    Node(#[source] ExchangeError),
}

/// What goes to a node.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    Client(ClientBody),
}

/// The client's body, read only as fast as the node takes it.
#[derive(Debug)]
pub struct ClientBody {
    client: Rc<Client>,
    worker: Rc<Worker>,
}

impl ClientBody {
    pub fn new(client: &Rc<Client>, worker: &Rc<Worker>) -> Self {
        Self { client: client.clone(), worker: worker.clone() }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.client.inbound.poll_body(cx) {
            Poll::Pending => {
                self.client.body_wanted(self.worker.now_ms());
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.client.body_moved(0, self.worker.now_ms());
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.passed(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.client.body_failed(BodyFault::Broken);
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
        }
    }

    fn passed(&self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.client.body_moved(bytes, self.worker.now_ms());
        let limit = self.worker.settings.request_body_max;
        if limit.is_some_and(|limit| limit < self.client.body_bytes()) {
            self.client.body_failed(BodyFault::TooLarge);
            return Err(BodyError::TooLarge);
        }
        Ok(headers::filter_trailers(frame))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => body.poll(cx),
        }
    }
}

/// The rest of a request's body is longer than what is read for nothing, or broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undiscarded;

/// Reads the rest of a request's body, of which nobody wants more, up to `left` bytes.
///
/// # Errors
/// [`Undiscarded`]: no request can follow.
pub fn poll_discard(
    client: &Client,
    worker: &Worker,
    left: &mut u64,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Undiscarded>> {
    loop {
        match client.inbound.poll_body(cx) {
            Poll::Pending => {
                client.body_wanted(worker.now_ms());
                return Poll::Pending;
            }
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Undiscarded)),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                client.body_moved(bytes, worker.now_ms());
                let Some(rest) = left.checked_sub(bytes as u64) else {
                    return Poll::Ready(Err(Undiscarded));
                };
                *left = rest;
            }
        }
    }
}

/// What a client is answered.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: Lines,
    pub body: ResponseBody,
}

/// What follows its head.
#[derive(Debug)]
pub enum ResponseBody {
    /// The gateway's own words.
    Ready(Option<Bytes>),
    Node(Box<NodeBody>),
}

/// A node's body, with what has to be settled when it ends.
#[derive(Debug)]
pub struct NodeBody {
    stream: Option<ResponseStream<RequestBody>>,
    attempt: Attempt,
    journey: Box<Journey>,
    worker: Rc<Worker>,
    client: Rc<Client>,
}

impl NodeBody {
    /// Takes over an exchange whose head was passed on.
    pub fn new(
        stream: ResponseStream<RequestBody>,
        attempt: Attempt,
        journey: Box<Journey>,
        worker: Rc<Worker>,
        client: Rc<Client>,
    ) -> Self {
        let mut body = Self { stream: Some(stream), attempt, journey, worker, client };
        body.settle_if_complete();
        body
    }

    /// The node is done: its connection may serve again where the table still allows it.
    fn settle_if_complete(&mut self) {
        let Some(stream) = self.stream.take_if(|stream| stream.is_complete()) else { return };
        self.attempt.completed();
        self.journey.completed();
        self.client.request_ended(self.worker.now_ms());
        let node = self.attempt.node();
        if let Some(connection) = stream.into_idle()
            && self.worker.allows(node)
        {
            let now_ms = self.worker.now_ms();
            self.worker.metrics.idle_kept(node);
            if let Some(left) = self.worker.pool.borrow_mut().check_in(node, connection, now_ms) {
                self.worker.idle_left(node, left);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let polled = stream.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.attempt.moved();
            self.journey.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        self.settle_if_complete();
        polled.map(|frame| {
            frame.map(|result| match result {
                Ok(frame) => Ok(headers::filter_trailers(frame)),
                Err(error) => {
                    self.journey.broke_off();
                    Err(BodyError::Node(error))
                }
            })
        })
    }
}

impl ResponseBody {
    /// The next piece; `None` after a whole body only.
    ///
    /// # Errors
    /// [`BodyError::Node`]: what was sent so far must not look whole.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Node(body) => body.poll(cx),
        }
    }

    /// Is there nothing more to come?
    pub fn is_ended(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            Self::Node(body) => body.stream.is_none(),
        }
    }

    /// Bytes still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Ready(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Node(body) => body.stream.as_ref().map_or(Some(0), ResponseStream::left),
        }
    }
}
