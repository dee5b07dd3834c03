//! What a client sends: request heads and bodies, read off its socket only as they are wanted.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};

use crate::http1::{self, BodyDecoder, BodyLength, Buffer, Decoded, Malformed, RequestHead};
use crate::model::limits::{BLOCK_BYTES, HEAD_BYTES_MAX};
use crate::upstream::{Piece, Stream};

/// Why nothing more can be had of a client.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the client closed the connection in the middle of a request")]
    Closed,
    #[error("the client's connection failed")]
    Io(#[from] io::Error),
}

/// One client connection's incoming half. Belongs to the task that serves it.
#[derive(Debug)]
pub struct Inbound {
    stream: Stream,
    /// Bytes that came and were not taken. None, and no memory, between two requests.
    read: RefCell<Buffer>,
    body: RefCell<BodyDecoder>,
    permission: Cell<Permission>,
    /// A body could not be read: nobody knows where the next request begins.
    broken: Cell<bool>,
    /// It ended behind more than is read ahead of its turn.
    ended_unread: Cell<bool>,
}

/// How a client left while its request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It sends no more; whether it still reads is unknown.
    Finished,
    /// Its connection failed.
    Broken,
}

/// Was the client told to send the body?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    /// It does not wait for it.
    NotAsked,
    /// It waits for a 100, or for a final answer.
    Owed,
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Inbound {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            read: RefCell::default(),
            body: RefCell::new(BodyDecoder::new(BodyLength::None)),
            permission: Cell::new(Permission::NotAsked),
            broken: Cell::new(false),
            ended_unread: Cell::new(false),
        }
    }

    /// The next request's head; `None` where the client ended between two requests. While it is
    /// pending, [`Self::has_bytes`] tells whether a head has begun.
    ///
    /// # Errors
    /// [`InboundError`]: the connection cannot go on.
    pub fn poll_head(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestHead>, InboundError>> {
        let read = &mut *self.read.borrow_mut();
        loop {
            if let Some(head) = http1::take_request_head(read)? {
                return Poll::Ready(Ok(Some(head)));
            }
            match ready!(self.stream.poll_read(cx, read, BLOCK_BYTES))? {
                0 if read.is_empty() => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(InboundError::Closed)),
                _ => {}
            }
        }
    }

    /// A head was taken whose body is of `length`.
    pub(super) fn begin_body(&self, length: BodyLength, head: &RequestHead) {
        *self.body.borrow_mut() = BodyDecoder::new(length);
        let waits = head.expects_continue() && length != BodyLength::None;
        self.permission.set(if waits { Permission::Owed } else { Permission::NotAsked });
    }

    /// The next piece of the body. The first call lets a client send that waits for leave.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, InboundError>> {
        if self.broken.get() {
            return Poll::Ready(Err(InboundError::Closed));
        }
        let polled = self.poll_piece(cx);
        self.broken.set(matches!(polled, Poll::Ready(Err(_))));
        polled
    }

    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, InboundError>> {
        let (read, body) = (&mut *self.read.borrow_mut(), &mut *self.body.borrow_mut());
        loop {
            match body.decode(read)? {
                Decoded::Data(data) => return Poll::Ready(Ok(Piece::Data(data))),
                Decoded::Trailers(lines) => return Poll::Ready(Ok(Piece::Trailers(lines))),
                Decoded::End => return Poll::Ready(Ok(Piece::End)),
                Decoded::More => {}
            }
            if self.permission.replace(Permission::NotAsked) == Permission::Owed {
                self.permit()?;
            }
            // What follows the body is another request's.
            let left = body.left().map_or(BLOCK_BYTES, |left| {
                usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES)
            });
            if ready!(self.stream.poll_read(cx, read, left))? == 0 {
                return Poll::Ready(Err(InboundError::Closed));
            }
        }
    }

    /// Nothing of ours is in the socket's way before an answer.
    fn permit(&self) -> io::Result<()> {
        match self.stream.write_now(CONTINUE)? {
            written if written == CONTINUE.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// `Ready` when the client sends no more. Looks only once the request has been read, and keeps
    /// what comes ahead of its turn, up to a bound; in no more memory than that needs.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<Left> {
        if self.stream.is_cut() {
            return Poll::Ready(Left::Broken);
        }
        let read = &mut *self.read.borrow_mut();
        while self.body.borrow().is_ended() && read.len() < HEAD_BYTES_MAX {
            match ready!(self.stream.poll_read(cx, read, HEAD_BYTES_MAX)) {
                Ok(0) => return Poll::Ready(Left::Finished),
                Err(_) => return Poll::Ready(Left::Broken),
                Ok(_) => {}
            }
        }
        read.settle();
        if self.ended_unread.get() { Poll::Ready(Left::Finished) } else { Poll::Pending }
    }

    /// Does so much wait for its turn that nothing more is read, not even the end?
    pub(super) fn is_full(&self) -> bool {
        self.is_body_ended() && HEAD_BYTES_MAX <= self.read.borrow().len()
    }

    /// The end came all the same.
    pub(super) fn ended_unread(&self) {
        self.ended_unread.set(true);
    }

    /// Are there bytes that nobody has taken?
    pub fn has_bytes(&self) -> bool {
        !self.read.borrow().is_empty()
    }

    /// Of a head that could not be read: does it begin as that of a HEAD request?
    pub fn begins_with_head(&self) -> bool {
        self.read.borrow().starts_with(b"HEAD ")
    }

    /// Of a head that could not be read: the target, as far as there is one.
    pub(super) fn rest_of_target(&self) -> Option<String> {
        let read = self.read.borrow();
        let line = read[..].split(|byte| *byte == b'\n').next()?;
        let target = line.split(|byte| *byte == b' ').nth(1)?;
        std::str::from_utf8(target).ok().map(str::to_owned)
    }

    /// Takes the bytes that nobody has taken: another protocol's.
    pub fn take_bytes(&self) -> Buffer {
        self.read.take()
    }

    /// Has the request been read to its end?
    pub fn is_body_ended(&self) -> bool {
        self.body.borrow().is_ended()
    }

    /// Bytes of the body still to come, where its head says so.
    pub fn body_left(&self) -> Option<u64> {
        self.body.borrow().left()
    }

    /// Can nothing that follows be trusted?
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Does the client still wait for leave to send its body? After a final answer nobody can tell
    /// whether the body will come.
    pub fn owes_continue(&self) -> bool {
        self.permission.get() == Permission::Owed && !self.is_body_ended()
    }
}
