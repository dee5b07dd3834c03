//! One exchange on one connection: a request out, its answer back.
//!
//! The request that is served polls it: it owns the connection, dropping it closes the
//! connection, and no wake-up crosses tasks.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};

use super::sending::Sending;
use super::{NodeConnection, Stream};
use crate::http1::{
    self, BodyDecoder, BodyLength, CutShort, Decoded, Lines, Malformed, RequestHead, ResponseHead,
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request as a node gets it, in HTTP/1.1.
#[derive(Debug)]
pub struct Request<B> {
    pub head: RequestHead,
    /// What the head says of the body's end.
    pub length: BodyLength,
    pub body: B,
}

/// Why an exchange broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the node closed the connection before its answer")]
    Closed,
    #[error("the node's answer broke off")]
    CutShort(#[from] CutShort),
    #[error("the node's answer is malformed")]
    Malformed(#[from] Malformed),
    /// The client's side of it.
    #[error("the request's body broke off")]
    Body(#[source] BoxError),
    #[error("the request's body is not as long as its head says")]
    BodyLength,
}

/// An exchange that brought no response head.
#[derive(Debug, thiserror::Error)]
#[error("no answer to the request")]
pub struct SendError<B> {
    pub source: ExchangeError,
    pub written: Written,
    /// It comes back; of a body that was begun, what is left.
    pub request: Box<Request<B>>,
}

/// May the node have seen the request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// No byte of it was written, nor of its body taken: it can be sent anew.
    Nothing,
    /// The node may be working on it.
    Something,
}

/// An informational (1xx) head that came before the response.
pub type SentInformational = (StatusCode, Lines);

/// Sends a request and waits for its response head; `informational` gets the 1xx before it. The first poll writes: the caller's decision to
/// send and the write have no await between.
///
/// # Errors
/// [`SendError`], which brings the request back.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub fn send<B>(
    mut connection: NodeConnection,
    request: Box<Request<B>>,
    mut informational: impl FnMut(SentInformational),
) -> impl Future<Output = Result<Exchange<B>, SendError<B>>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut sending = Sending::new(request);
    async move {
        let answered = poll_fn(|cx| {
            // Whether or not all of it is written: the answer may come early.
            if let Poll::Ready(Err(error)) = sending.poll(cx, &mut connection.stream) {
                return Poll::Ready(Err(error));
            }
            poll_head(&mut connection, cx, &mut informational)
        });
        let answered = answered.await.and_then(|head| {
            let length = http1::of_response(sending.method(), &head)?;
            Ok((head, length))
        });
        match answered {
            Ok((head, length)) => Ok(Exchange::new(head, length, connection, sending)),
            Err(source) => {
                let written =
                    if sending.is_untouched() { Written::Nothing } else { Written::Something };
                Err(SendError { source, written, request: sending.into_request() })
            }
        }
    }
}

/// The response's head, past those that are informational.
fn poll_head(
    connection: &mut NodeConnection,
    cx: &mut Context<'_>,
    informational: &mut impl FnMut(SentInformational),
) -> Poll<Result<ResponseHead, ExchangeError>> {
    loop {
        match http1::take_response_head(&mut connection.read)? {
            Some(head) if is_hint(head.status) => informational((head.status, head.headers)),
            Some(head) => return Poll::Ready(Ok(head)),
            None if ready!(connection.poll_read_head(cx))? == 0 => {
                return Poll::Ready(Err(ExchangeError::Closed));
            }
            None => {}
        }
    }
}

/// A head that is not yet the answer; 101 is one.
fn is_hint(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// A response head, and the rest of its exchange.
#[derive(Debug)]
pub struct Exchange<B> {
    pub head: ResponseHead,
    pub rest: ResponseStream<B>,
}

impl<B> Exchange<B> {
    fn new(
        head: ResponseHead,
        length: BodyLength,
        connection: NodeConnection,
        sending: Sending<B>,
    ) -> Self {
        let keeps_alive = head.keeps_alive() && length != BodyLength::UntilClose;
        let body = BodyDecoder::new(length);
        Self { head, rest: ResponseStream { connection, sending, body, keeps_alive } }
    }
}

/// A response body on its way, with the connection that brings it.
#[derive(Debug)]
pub struct ResponseStream<B> {
    connection: NodeConnection,
    /// What of the request is still to be written: an answer may come early.
    sending: Sending<B>,
    body: BodyDecoder,
    keeps_alive: bool,
}

impl<B> ResponseStream<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Bytes of the body still to come, where its head says so.
    pub fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Has all of the body been handed out?
    pub fn is_complete(&self) -> bool {
        self.body.is_ended()
    }

    /// The next piece of the body; `None` after a whole body only.
    ///
    /// # Errors
    /// Where the node's answer ends before its end, or the request cannot be completed.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if !self.sending.is_written()
            && let Poll::Ready(Err(error)) = self.sending.poll(cx, &mut self.connection.stream)
        {
            return Poll::Ready(Some(Err(error)));
        }
        self.poll_body(cx).map(Result::transpose)
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, ExchangeError>> {
        loop {
            match self.body.decode(&mut self.connection.read)? {
                Decoded::Data(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                Decoded::Trailers(lines) => return Poll::Ready(Ok(Some(Frame::trailers(lines)))),
                Decoded::End => return Poll::Ready(Ok(None)),
                Decoded::More => {}
            }
            if ready!(self.connection.poll_read_body(cx))? == 0 {
                return Poll::Ready(Ok(self.body.closed().map(|()| None)?));
            }
        }
    }

    /// After a 101: the bare stream, the bytes that the node sent behind its head, and the
    /// handshake as it was sent.
    pub fn into_upgraded(self) -> (Stream, Bytes, Box<Request<B>>) {
        let (stream, early) = self.connection.into_parts();
        (stream, early, self.sending.into_request())
    }

    /// The connection, where the whole exchange is over and another may follow.
    pub fn into_idle(self) -> Option<NodeConnection> {
        let over = self.body.is_ended() && self.sending.is_written();
        (over && self.keeps_alive).then_some(self.connection)?.into_idle()
    }
}
