//! One exchange on one connection: a request out, its answer back.
//!
//! The request that is served polls it: it owns the connection, dropping it closes the
//! connection, and no wake-up crosses tasks.

use std::io;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, StatusCode};

use super::sending::Sending;
use super::{NodeConnection, Stream};
use crate::http1::{
    self, BodyDecoder, BodyLength, Buffer, CutShort, Decoded, Lines, Malformed, RequestHead,
    ResponseHead,
};
use crate::model::limits::HINTS_MAX;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What comes next of a body.
#[derive(Debug)]
pub enum Piece {
    /// Some of it, never empty.
    Data(Buffer),
    /// Its end, with the lines behind it.
    Trailers(Box<HeaderMap>),
    /// Its end.
    End,
}

/// Where a request's body comes from.
pub trait Source {
    type Error: Into<BoxError>;

    /// The next piece of it.
    ///
    /// # Errors
    /// It broke off.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Self::Error>>;
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
    #[error("the node hints on and on, and does not answer")]
    TooManyHints,
}

/// May the node have seen the request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// No byte of it was written, nor of its body taken: it can be sent anew, if its client sends
    /// it whole.
    Nothing,
    /// The node may be working on it.
    Something,
}

/// An informational (1xx) head that came before the response.
pub type SentInformational = (StatusCode, Lines);

/// A request on its way out, and its answer on its way back. Dropping it closes the connection.
#[derive(Debug)]
pub struct Exchange {
    connection: NodeConnection,
    /// What of the request is still to be written: an answer may come early.
    sending: Sending,
    body: BodyDecoder,
    /// Informational heads so far.
    hints: usize,
    /// The connection may carry another exchange.
    keeps_alive: bool,
}

impl Exchange {
    /// Prepares to send `request`, whose body is of `length`. Sends nothing.
    pub fn new(connection: NodeConnection, request: &RequestHead, length: BodyLength) -> Self {
        let (sending, body) = (Sending::new(request, length), BodyDecoder::new(BodyLength::None));
        Self { connection, sending, body, hints: 0, keeps_alive: false }
    }

    /// Sends the request and waits for its response head; `informational` gets the 1xx before it.
    /// The first poll writes: a caller's decision to send and the write have no await between.
    ///
    /// # Errors
    /// There is no answer; [`Self::written`] tells whether the node may be working on it.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        informational: &mut impl FnMut(SentInformational),
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        // Whether or not all of it is written: the answer may come early.
        if let Poll::Ready(Err(error)) = self.sending.poll(cx, &self.connection.stream, source) {
            return Poll::Ready(Err(error));
        }
        let head = loop {
            match http1::take_response_head(&mut self.connection.read)? {
                Some(head) if is_hint(head.status) => {
                    // It has no body; but what others could take for one is refused.
                    http1::of_response(self.sending.method(), &head)?;
                    self.hints += 1;
                    if HINTS_MAX < self.hints {
                        return Poll::Ready(Err(ExchangeError::TooManyHints));
                    }
                    informational((head.status, head.headers));
                }
                Some(head) => break head,
                None if ready!(self.connection.poll_read(cx))? == 0 => {
                    return Poll::Ready(Err(ExchangeError::Closed));
                }
                None => {}
            }
        };
        let length = http1::of_response(self.sending.method(), &head)?;
        self.keeps_alive = head.keeps_alive() && length != BodyLength::UntilClose;
        self.body = BodyDecoder::new(length);
        Poll::Ready(Ok(head))
    }

    /// May the node have seen the request?
    pub fn written(&self) -> Written {
        if self.sending.is_untouched() { Written::Nothing } else { Written::Something }
    }

    /// Bytes of the answer's body still to come, where its head says so.
    pub fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Has all of the answer's body been handed out?
    pub fn is_complete(&self) -> bool {
        self.body.is_ended()
    }

    /// The next piece of the answer's body; [`Piece::End`] after a whole body only.
    ///
    /// # Errors
    /// Where the node's answer ends before its end, or the request cannot be completed.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<Piece, ExchangeError>> {
        if let Poll::Ready(Err(error)) = self.poll_sent(cx, source) {
            return Poll::Ready(Err(error));
        }
        loop {
            match self.body.decode(&mut self.connection.read)? {
                Decoded::Data(data) => return Poll::Ready(Ok(Piece::Data(data))),
                Decoded::Trailers(lines) => return Poll::Ready(Ok(Piece::Trailers(lines))),
                Decoded::End => return Poll::Ready(Ok(Piece::End)),
                Decoded::More => {}
            }
            if ready!(self.connection.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(self.body.closed().map(|()| Piece::End)?));
            }
        }
    }

    /// Goes on with what of the request is still to be sent. `Ready` once that is all of it.
    ///
    /// # Errors
    /// The request cannot be completed; so will [`Self::poll_piece`] say.
    pub fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<(), ExchangeError>> {
        if self.sending.is_written() {
            return Poll::Ready(Ok(()));
        }
        self.sending.poll(cx, &self.connection.stream, source)
    }

    /// After a 101: the bare stream, and the bytes that the node sent behind its head.
    pub fn into_upgraded(self) -> (Stream, Buffer) {
        self.connection.into_parts()
    }

    /// The connection, where the whole exchange is over and another may follow.
    pub fn into_idle(self) -> Option<NodeConnection> {
        let over = self.body.is_ended() && self.sending.is_written();
        (over && self.keeps_alive).then_some(self.connection)?.into_idle()
    }
}

/// A head that is not yet the answer; 101 is one.
fn is_hint(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
