//! What was framed and is not yet written: one head or chunk line, one piece of a body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use crate::http1;

/// Bytes on their way out, written together as far as the socket takes them.
#[derive(Debug, Default)]
pub struct Unsent {
    lead: Vec<u8>,
    lead_sent: usize,
    data: Bytes,
    tail: &'static [u8],
}

impl Unsent {
    pub fn new(head: Vec<u8>) -> Self {
        Self { lead: head, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.lead.len() == self.lead_sent && self.data.is_empty() && self.tail.is_empty()
    }

    /// May another piece be put behind what waits? There is room for one.
    pub fn has_room(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty()
    }

    /// Puts a piece of a body, as it is.
    pub fn put(&mut self, data: Bytes) {
        debug_assert!(self.has_room(), "the piece before would be lost");
        self.data = data;
    }

    /// Puts a piece of a body, not empty, as a chunk.
    pub fn put_chunk(&mut self, data: Bytes) {
        http1::put_chunk_size(&mut self.lead, data.len());
        self.put(data);
        self.tail = b"\r\n";
    }

    /// Puts the end of a chunked body.
    pub fn put_last_chunk(&mut self, trailers: &HeaderMap) {
        http1::put_last_chunk(&mut self.lead, trailers);
    }

    /// Writes once.
    ///
    /// # Errors
    /// The socket's, and `WriteZero` where it takes nothing.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let lead = self.lead.get(self.lead_sent..).unwrap_or_default();
        let written = if self.data.is_empty() && self.tail.is_empty() {
            // One piece costs the kernel less when it is not a list.
            Pin::new(to).poll_write(cx, lead)
        } else {
            let slices = [IoSlice::new(lead), IoSlice::new(&self.data), IoSlice::new(self.tail)];
            let pieces = if self.tail.is_empty() { 2 } else { 3 };
            Pin::new(to).poll_write_vectored(cx, slices.get(..pieces).unwrap_or(&slices))
        };
        let taken = match ready!(written)? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            taken => taken,
        };
        let of_lead = taken.min(lead.len());
        let of_data = (taken - of_lead).min(self.data.len());
        self.lead_sent += of_lead;
        if self.lead_sent == self.lead.len() {
            self.lead.clear();
            self.lead_sent = 0;
        }
        self.data.advance(of_data);
        self.tail = self.tail.get(taken - of_lead - of_data..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }
}
