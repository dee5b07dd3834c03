//! Bodies on their way: towards a node, and back to the client. Streamed, never collected.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;

use super::client::{BodyFault, Client};
use super::forward::Forward;
use super::headers;
use super::inbound::InboundError;
use super::worker::Worker;
use crate::http1::Lines;
use crate::upstream::{ExchangeError, Piece, Source};

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

/// The client's body, read only as fast as the node takes it.
#[derive(Debug)]
pub(super) struct ClientBody<'a> {
    pub client: &'a Client,
    pub worker: &'a Worker,
}

impl Source for ClientBody<'_> {
    type Error = BodyError;

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        match self.client.inbound.poll_body(cx) {
            Poll::Pending => {
                self.client.body_wanted(self.worker.now_ms());
                Poll::Pending
            }
            Poll::Ready(Ok(piece)) => Poll::Ready(self.passed(piece)),
            Poll::Ready(Err(error)) => {
                self.client.body_failed(BodyFault::Broken);
                Poll::Ready(Err(BodyError::Client(error)))
            }
        }
    }
}

impl ClientBody<'_> {
    fn passed(&self, piece: Piece) -> Result<Piece, BodyError> {
        self.client.body_moved(length(&piece), self.worker.now_ms());
        let limit = self.worker.settings.request_body_max;
        if limit.is_some_and(|limit| limit < self.client.body_bytes()) {
            self.client.body_failed(BodyFault::TooLarge);
            return Err(BodyError::TooLarge);
        }
        Ok(headers::filter_trailers(piece))
    }
}

/// Bytes of the body in a piece of it.
fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Data(data) => data.len(),
        Piece::Trailers(_) | Piece::End => 0,
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
            Poll::Ready(Ok(Piece::Data(data))) => {
                client.body_moved(data.len(), worker.now_ms());
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Poll::Ready(Err(Undiscarded));
                };
                *left = rest;
            }
            Poll::Ready(Ok(Piece::Trailers(_) | Piece::End)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Undiscarded)),
        }
    }
}

/// What a client is answered.
#[derive(Debug)]
pub struct Response<'a> {
    pub status: StatusCode,
    pub headers: Lines,
    pub body: ResponseBody<'a>,
}

/// What follows its head.
#[derive(Debug)]
pub enum ResponseBody<'a> {
    /// The gateway's own words.
    Own(Bytes),
    /// A node's, as it comes.
    Node(&'a mut Forward),
}

impl ResponseBody<'_> {
    /// Bytes still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Own(words) => Some(words.len() as u64),
            Self::Node(forward) => forward.left(),
        }
    }
}

/// The way back of a node's answer.
impl Forward {
    /// The next piece of the answer's body; [`Piece::End`] after a whole body only.
    ///
    /// # Errors
    /// [`BodyError::Node`]: what was sent so far must not look whole. There is no other piece.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Ok(Piece::End)) };
        let mut source = ClientBody { client: &self.client, worker: &self.worker };
        let polled = ready!(exchange.poll_piece(cx, &mut source));
        if let (Ok(piece), Some(attempt)) = (&polled, &self.attempt) {
            attempt.moved();
            self.journey.sent(length(piece));
        }
        self.settle_if_complete();
        Poll::Ready(match polled {
            Ok(piece) => Ok(headers::filter_trailers(piece)),
            Err(error) => {
                self.journey.broke_off();
                // Nothing more is had of it, however slowly the client takes what came before.
                self.exchange = None;
                self.attempt = None;
                Err(BodyError::Node(error))
            }
        })
    }

    /// Goes on with an upload while the client takes nothing of the answer: a node that reads it may
    /// wait for its end, and the client for the node. What goes wrong is told by the next piece.
    pub fn go_on_uploading(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = &mut self.exchange {
            let mut source = ClientBody { client: &self.client, worker: &self.worker };
            let _ = exchange.poll_sent(cx, &mut source);
        }
    }

    /// Bytes still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        self.exchange.as_ref().map_or(Some(0), |exchange| exchange.left())
    }

    /// Is there nothing more to come?
    pub fn is_ended(&self) -> bool {
        self.exchange.is_none()
    }

    /// The node is done: its connection may serve again where the table still allows it.
    pub(super) fn settle_if_complete(&mut self) {
        let done = self.exchange.take_if(|exchange| exchange.is_complete());
        let (Some(exchange), Some(attempt)) = (done, &self.attempt) else { return };
        attempt.completed();
        self.journey.completed();
        let (worker, node, now_ms) = (&self.worker, attempt.node(), self.worker.now_ms());
        self.client.request_ended(now_ms);
        if let Some(connection) = exchange.into_idle()
            && worker.allows(node)
        {
            worker.metrics.idle_kept(node);
            if let Some(left) = worker.pool.borrow_mut().check_in(node, connection, now_ms) {
                worker.idle_left(node, left);
            }
        }
    }
}
