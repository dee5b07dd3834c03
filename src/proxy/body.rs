//! Bodies on their way: towards a node, and back to the client. Streamed, never collected.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::attempt::Attempt;
use super::client::{BodyFault, Client};
use super::headers;
use super::journey::Journey;
use super::worker::Worker;
use crate::upstream::{ExchangeError, ResponseStream};

/// A body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is longer than allowed")]
    TooLarge,
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
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
    incoming: Incoming,
    client: Rc<Client>,
    worker: Rc<Worker>,
}

impl ClientBody {
    pub fn new(incoming: Incoming, client: &Rc<Client>, worker: &Rc<Worker>) -> Self {
        Self { incoming, client: client.clone(), worker: worker.clone() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
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

/// What goes to a client.
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

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Node(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            Self::Node(body) => body.stream.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ready(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Node(body) => match &body.stream {
                Some(stream) => stream.size_hint(),
                None => SizeHint::with_exact(0),
            },
        }
    }
}
