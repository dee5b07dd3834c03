//! A connection to a node, between the exchanges on it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::{Stream, Waiting};
use crate::model::limits::{ANSWER_READ_BYTES, ANSWER_READ_BYTES_MAX};

/// An open connection to a node. While it is idle nobody polls it and it holds no buffer; it is
/// looked at when it is taken again.
#[derive(Debug)]
pub struct NodeConnection {
    pub(super) stream: Stream,
    /// Bytes that came and were not yet taken. Of an idle connection: none.
    pub(super) read: BytesMut,
    /// How much the next read may bring.
    room: usize,
    /// The node's address epoch when this was opened.
    pub epoch: u32,
}

impl NodeConnection {
    /// A fresh connection, ready for its first exchange. Sends nothing.
    pub fn new(stream: Stream, epoch: u32) -> Self {
        Self { stream, read: BytesMut::new(), room: ANSWER_READ_BYTES, epoch }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// May another request be sent on it? Looks at the socket itself.
    pub fn is_reusable(&self) -> bool {
        self.stream.waiting() == Waiting::Nothing
    }

    /// Reads more of a head behind what has come; 0 is the connection's end.
    pub(super) fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_read_head(cx, &mut self.read, ANSWER_READ_BYTES)
    }

    /// Reads more of a body behind what has come; 0 is the connection's end.
    pub(super) fn poll_read_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(self.stream.poll_read_body(cx, &mut self.read, self.room))?;
        if self.room <= count {
            self.room = ANSWER_READ_BYTES_MAX.min(2 * self.room);
        }
        Poll::Ready(Ok(count))
    }

    /// After a whole exchange: ready for the next, unless the node said more than it was asked.
    pub(super) fn into_idle(self) -> Option<Self> {
        self.read.is_empty().then(|| Self::new(self.stream, self.epoch))
    }

    /// The bare stream, and the bytes that came and were not taken.
    pub(super) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.read.freeze())
    }
}
