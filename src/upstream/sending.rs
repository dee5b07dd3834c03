//! A request on its way to a node: head and body, written as the socket takes them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body, Frame};

use super::exchange::{BoxError, ExchangeError, Request};
use super::{Stream, Unsent};
use crate::http1::{self, BodyLength};

/// What most request heads fit into; a longer one makes it grow.
const HEAD_GUESS: usize = 1024;

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Sending<B> {
    request: Box<Request<B>>,
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

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Prepares a request. Writes nothing.
    pub(super) fn new(request: Box<Request<B>>) -> Self {
        let framing = match request.length {
            BodyLength::None | BodyLength::UntilClose => Framing::Ended,
            BodyLength::Sized(bytes) => Framing::Sized(bytes),
            BodyLength::Chunked => Framing::Chunked,
        };
        let mut head = Vec::with_capacity(HEAD_GUESS);
        http1::put_request_head(&mut head, &request.head);
        Self { request, framing, unsent: Unsent::new(head), progress: Progress::Untouched }
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
        stream: &mut Stream,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            if self.progress == Progress::Refused {
                return Poll::Pending;
            }
            let wants_body = self.framing != Framing::Ended && self.unsent.has_room();
            let waits = wants_body && self.poll_body(cx)?.is_pending();
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
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, ExchangeError> {
        let polled = Pin::new(&mut self.request.body).poll_frame(cx);
        let Poll::Ready(frame) = polled else { return Ok(Poll::Pending) };
        if self.progress == Progress::Untouched {
            self.progress = Progress::Taken;
        }
        match frame {
            None => self.end(&HeaderMap::new())?,
            Some(frame) => self.frame(frame.map_err(|error| ExchangeError::Body(error.into()))?)?,
        }
        Ok(Poll::Ready(()))
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<(), ExchangeError> {
        let data = match frame.into_data() {
            Ok(data) if data.is_empty() => return Ok(()),
            Ok(data) => data,
            Err(frame) => return self.end(&frame.into_trailers().unwrap_or_default()),
        };
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
        &self.request.head.method
    }

    pub(super) fn into_request(self) -> Box<Request<B>> {
        self.request
    }
}
