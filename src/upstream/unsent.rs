//! What was framed and is not yet written: one head or chunk line, one piece of a body.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::Stream;
use crate::http1::{self, Buffer, Fits};

/// Bytes on their way out, written together as far as the socket takes them.
#[derive(Debug)]
pub struct Unsent {
    lead: Buffer,
    data: Data,
    tail: &'static [u8],
}

/// Words of our own that are not longer are copied behind their head.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// A piece of a body.
#[derive(Debug)]
enum Data {
    /// Of somebody's.
    Passing(Buffer),
    /// Of our own words, which many get.
    Own(Bytes),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Passing(data) => data,
            Self::Own(data) => data,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Passing(data) => data.advance(count),
            Self::Own(data) => data.advance(count),
        }
    }

    fn settle(&mut self) {
        match self {
            Self::Passing(data) => data.settle(),
            Self::Own(_) => {}
        }
    }
}

impl Unsent {
    pub fn new(head: Buffer) -> Self {
        Self { lead: head, data: Data::Own(Bytes::new()), tail: b"" }
    }

    pub fn is_empty(&self) -> bool {
        self.lead.is_empty() && self.has_room()
    }

    /// May another piece be put behind what waits? There is room for one.
    pub fn has_room(&self) -> bool {
        self.data.bytes().is_empty() && self.tail.is_empty()
    }

    /// Puts a piece of a body, as it is.
    pub fn put(&mut self, mut data: Buffer) {
        debug_assert!(self.data.bytes().is_empty(), "the piece before would be lost");
        // To copy what comes before it costs less than to tell the kernel of two pieces.
        if data.prepend(&self.lead) == Fits::Yes {
            self.lead.clear();
        }
        self.data = Data::Passing(data);
    }

    /// Puts a body of our own.
    pub fn put_own(&mut self, data: Bytes) {
        debug_assert!(self.has_room(), "the piece before would be lost");
        if data.len() <= COPIED_BYTES_MAX {
            return self.lead.extend_from_slice(&data);
        }
        self.data = Data::Own(data);
    }

    /// Puts a piece of a body, not empty, as a chunk.
    pub fn put_chunk(&mut self, data: Buffer) {
        self.put_framed(data, b"\r\n");
    }

    /// Puts the last piece of a body, not empty, as a chunk, and the end of the body behind it.
    pub fn put_final_chunk(&mut self, data: Buffer) {
        self.put_framed(data, b"\r\n0\r\n\r\n");
    }

    fn put_framed(&mut self, mut data: Buffer, end: &'static [u8]) {
        http1::put_chunk_size(&mut self.lead, data.len());
        self.tail = match data.append(end) {
            Fits::Yes => b"",
            Fits::No => end,
        };
        self.put(data);
    }

    /// Puts the end of a chunked body.
    pub fn put_last_chunk(&mut self, trailers: &HeaderMap) {
        http1::put_last_chunk(&mut self.lead, trailers);
    }

    /// Writes once. What the socket does not take waits in no more memory than it needs.
    ///
    /// # Errors
    /// The socket's, and `WriteZero` where it takes nothing.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        let (lead, data) = (&self.lead[..], self.data.bytes());
        let written = match (lead, data, self.tail) {
            // One piece costs the kernel less when it is not a list.
            (only, [], []) | ([], only, []) => to.poll_write(cx, only),
            (first, second, third) => {
                to.poll_write_vectored(cx, &[first, second, third].map(IoSlice::new))
            }
        };
        let taken = match written {
            Poll::Pending => {
                self.lead.settle();
                self.data.settle();
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        };
        let of_lead = taken.min(lead.len());
        let of_data = (taken - of_lead).min(data.len());
        self.lead.advance(of_lead);
        self.data.advance(of_data);
        self.tail = self.tail.get(taken - of_lead - of_data..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }
}
