//! A connection to a node, between the exchanges on it.

use std::io;
use std::task::{Context, Poll};

use super::{Look, Stream, Waiting};
use crate::http1::Buffer;
use crate::model::limits::BLOCK_BYTES;

/// An open connection to a node. While it is idle nobody polls it and it holds no buffer; it is
/// looked at when it is taken again.
#[derive(Debug)]
pub struct NodeConnection {
    pub(super) stream: Stream,
    /// Bytes that came and were not yet taken. Of an idle connection: none.
    pub(super) read: Buffer,
    /// The node's address epoch when this was opened.
    pub epoch: u32,
}

impl NodeConnection {
    /// A fresh connection, ready for its first exchange. Sends nothing.
    pub fn new(stream: Stream, epoch: u32) -> Self {
        Self { stream, read: Buffer::default(), epoch }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// May another request be sent on it?
    pub fn is_reusable(&self, look: Look) -> bool {
        self.stream.waiting(look) == Waiting::Nothing
    }

    /// Reads more behind what has come; 0 is the connection's end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_read(cx, &mut self.read, BLOCK_BYTES)
    }

    /// After a whole exchange: ready for the next, unless the node said more than it was asked.
    pub(super) fn into_idle(self) -> Option<Self> {
        self.read.is_empty().then_some(self)
    }

    /// The bare stream, and the bytes that came and were not taken.
    pub(super) fn into_parts(self) -> (Stream, Buffer) {
        (self.stream, self.read)
    }
}
