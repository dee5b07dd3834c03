//! A request on its way to a node: head and body, written as the socket takes them.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, Method};

use super::exchange::{ExchangeError, Piece, Source};
use super::{Stream, Unsent};
use crate::http1::{self, BodyLength, Buffer, RequestHead};

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Sending {
    method: Method,
    framing: Framing,
    unsent: Unsent,
    progress: Progress,
}

/// How far the request has left us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing was written, and no byte of its body taken: it can be sent anew elsewhere.
    Untouched,
    /// A piece of its body was taken from the client.
    Taken,
    /// The node has seen something of it.
    Written,
    /// The node takes no more; what it has to say comes through reading.
    Refused,
}

/// What of the body is still to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Sized(u64),
    Chunked,
    Ended,
}

impl Sending {
    /// Prepares a request whose body is of `length`. Writes nothing.
    pub(super) fn new(request: &RequestHead, length: BodyLength) -> Self {
        let framing = match length {
            BodyLength::None | BodyLength::UntilClose => Framing::Ended,
            BodyLength::Sized(bytes) => Framing::Sized(bytes),
            BodyLength::Chunked => Framing::Chunked,
        };
        let mut head = Buffer::default();
        http1::put_request_head(&mut head, request);
        let (method, unsent) = (request.method.clone(), Unsent::new(head));
        Self { method, framing, unsent, progress: Progress::Untouched }
    }

    /// Writes what there is, as far as the socket takes it. `Ready` once all of it is written.
    ///
    /// A node may answer and stop reading while we still send (413 to an upload, say). Then this
    /// stays pending: what ends the exchange is reading, which first brings what the node said.
    ///
    /// # Errors
    /// Where the request cannot be completed, or could not even be begun.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        source: &mut impl Source,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            if self.progress == Progress::Refused {
                return Poll::Pending;
            }
            let wants_body = self.framing != Framing::Ended && self.unsent.has_room();
            let waits = wants_body && self.poll_body(cx, source)?.is_pending();
            if self.unsent.is_empty() {
                match self.framing {
                    Framing::Ended => return Poll::Ready(Ok(())),
                    Framing::Sized(_) | Framing::Chunked if waits => return Poll::Pending,
                    Framing::Sized(_) | Framing::Chunked => continue,
                }
            }
            match ready!(self.unsent.poll_write(cx, stream)) {
                Ok(()) => self.progress = Progress::Written,
                Err(error) if self.is_untouched() => return Poll::Ready(Err(error.into())),
                Err(_) => self.progress = Progress::Refused,
            }
        }
    }

    /// Takes the next piece of the body, if there is one, and frames it.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Result<Poll<()>, ExchangeError> {
        let Poll::Ready(polled) = source.poll_piece(cx) else { return Ok(Poll::Pending) };
        let piece = polled.map_err(|error| ExchangeError::Body(error.into()))?;
        if self.progress == Progress::Untouched {
            self.progress = Progress::Taken;
        }
        match piece {
            Piece::Data(data) => self.frame(data)?,
            Piece::Trailers(trailers) => self.end(&trailers)?,
            Piece::End => self.end(&HeaderMap::new())?,
        }
        Ok(Poll::Ready(()))
    }

    fn frame(&mut self, data: Buffer) -> Result<(), ExchangeError> {
        match &mut self.framing {
            Framing::Sized(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(ExchangeError::BodyLength)?;
                if *left == 0 {
                    self.framing = Framing::Ended;
                }
            }
            Framing::Chunked => {
                self.unsent.put_chunk(data);
                return Ok(());
            }
            Framing::Ended => return Err(ExchangeError::BodyLength),
        }
        self.unsent.put(data);
        Ok(())
    }

    /// The client's body is over.
    fn end(&mut self, trailers: &HeaderMap) -> Result<(), ExchangeError> {
        match self.framing {
            Framing::Sized(_) => return Err(ExchangeError::BodyLength),
            Framing::Chunked => self.unsent.put_last_chunk(trailers),
            Framing::Ended => {}
        }
        self.framing = Framing::Ended;
        Ok(())
    }

    /// Can it be sent anew, because no byte has left us and none of its body was taken?
    pub(super) fn is_untouched(&self) -> bool {
        self.progress == Progress::Untouched
    }

    /// Was all of it written?
    pub(super) fn is_written(&self) -> bool {
        self.framing == Framing::Ended && self.unsent.is_empty()
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }
}
