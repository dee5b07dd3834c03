//! What an upgrade leaves: bytes both ways, until one side ends it or a switch closes it.
//!
//! The stream of WebSocket frames is followed on its way to the client, so that a Close can be
//! placed where no frame is open. An idle tunnel holds no buffer.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::{Sleep, sleep};

use super::journey::Journey;
use super::worker::Worker;
use crate::http1::Buffer;
use crate::model::limits::{BLOCK_BYTES, TUNNEL_CLOSE_ANSWER};
use crate::routing::NodeIndex;
use crate::upstream::Stream;
use crate::upstream::frames::{CLOSE_1012, FrameTracker};

/// What the tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WebSocket,
    /// Some other protocol: it can only be cut.
    Raw,
}

/// What the worker and the tunnel share.
#[derive(Debug)]
pub struct TunnelState {
    pub node: NodeIndex,
    close_asked: Cell<bool>,
    /// The client's side.
    client: Stream,
    waker: RefCell<Option<Waker>>,
}

impl TunnelState {
    /// Asks the tunnel to close: a WebSocket with 1012 at the next frame boundary.
    pub fn close(&self) {
        self.close_asked.set(true);
        match &*self.waker.borrow() {
            Some(waker) => waker.wake_by_ref(),
            // Its client has not even taken the 101: there is nothing to close in order.
            None => self.client.cut(),
        }
    }

    pub fn is_closing(&self) -> bool {
        self.close_asked.get()
    }
}

/// A tunnel; counted on its node from its making to its drop. As a future it carries bytes, and ends
/// when it is over: both sides are cut then.
#[derive(Debug)]
pub struct Tunnel {
    kind: Kind,
    node: Stream,
    down: Lane,
    up: Lane,
    closing: Closing,
    state: Rc<TunnelState>,
    key: usize,
    worker: Rc<Worker>,
    journey: Box<Journey>,
}

impl Tunnel {
    /// `early` is what the node sent behind its 101.
    pub fn new(
        worker: Rc<Worker>,
        journey: Box<Journey>,
        kind: Kind,
        client: Stream,
        (index, node, early): (NodeIndex, Stream, Buffer),
    ) -> Self {
        let state = Rc::new(TunnelState {
            node: index,
            close_asked: Cell::new(false),
            client,
            waker: RefCell::new(None),
        });
        let key = worker.begin_tunnel(state.clone());
        let (down, up) = (Lane::new(early), Lane::new(Buffer::default()));
        Self { kind, node, down, up, closing: Closing::default(), state, key, worker, journey }
    }

    /// What the client sent behind its request; before the first poll.
    pub fn begins_with(&mut self, early: Buffer) {
        self.up = Lane::new(early);
    }
}

impl Future for Tunnel {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let tunnel = &mut *self;
        *tunnel.state.waker.borrow_mut() = Some(cx.waker().clone());
        match ready!(tunnel.poll_both(cx)) {
            Ok(()) => tunnel.journey.completed(),
            Err(error) => tracing::debug!(%error, "a tunnel broke off"),
        }
        tunnel.journey.tunnelled(tunnel.up.bytes, tunnel.down.bytes);
        tunnel.node.cut();
        tunnel.state.client.cut();
        Poll::Ready(())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.worker.end_tunnel(self.key, self.state.node);
    }
}

/// One direction.
#[derive(Debug)]
struct Lane {
    /// Read and not yet written.
    held: Buffer,
    frames: FrameTracker,
    ended: Ended,
    bytes: u64,
}

/// How far the end of one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    /// Its source has ended; what is held must still be written.
    Read,
    /// And its sink was told.
    Passed,
}

/// What of the bytes read may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    All,
    /// Up to the next frame boundary; the rest is dropped.
    ToBoundary,
}

impl Lane {
    fn new(mut early: Buffer) -> Self {
        early.settle();
        let mut frames = FrameTracker::default();
        frames.pass(&early);
        let bytes = early.len() as u64;
        Self { held: early, frames, ended: Ended::No, bytes }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match to.poll_write(cx, &self.held) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.held.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.held.settle();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Moves what there is. `Ready` at the end of this direction, or (`Pass::ToBoundary`) where
    /// no frame is open and nothing is held.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&Stream, &Stream),
        pass: Pass,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.poll_write(cx, to) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            match (self.ended, pass) {
                (Ended::Passed, _) => return Poll::Ready(Ok(())),
                (Ended::No, Pass::ToBoundary) if self.frames.at_boundary() => {
                    return Poll::Ready(Ok(()));
                }
                (Ended::Read, _) => {
                    match to.poll_shutdown(cx) {
                        Poll::Ready(_) => self.ended = Ended::Passed,
                        Poll::Pending => return Poll::Pending,
                    }
                    continue;
                }
                (Ended::No, Pass::All | Pass::ToBoundary) => {}
            }
            ready!(self.poll_read(cx, from, pass))?;
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        pass: Pass,
    ) -> Poll<io::Result<()>> {
        let count = ready!(from.poll_read(cx, &mut self.held, BLOCK_BYTES))?;
        if count == 0 {
            self.ended = Ended::Read;
        }
        match pass {
            Pass::All => self.frames.pass(&self.held),
            Pass::ToBoundary => {
                let upto = self.frames.to_boundary(&self.held);
                self.held = self.held.take(upto);
            }
        }
        self.bytes += self.held.len() as u64;
        Poll::Ready(Ok(()))
    }
}

/// How far a close that we began has come.
#[derive(Debug, Default)]
struct Closing {
    sent: bool,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Closing {
    /// Has the time for the present step run out?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(TUNNEL_CLOSE_ANSWER)));
        deadline.as_mut().poll(cx)
    }
}

impl Tunnel {
    /// One look at both directions; `Ready` when the tunnel is over.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { kind, node, down, up, closing, state, .. } = &mut *self;
        if up.poll(cx, (&state.client, node), Pass::All)?.is_ready() {
            // The client has gone, or has finished; a WebSocket has nothing left to say then.
            if *kind == Kind::WebSocket || down.ended == Ended::Passed {
                return Poll::Ready(Ok(()));
            }
        }
        if state.is_closing() {
            return self.poll_closing(cx);
        }
        if down.poll(cx, (node, &state.client), Pass::All)?.is_ready() {
            let over = *kind == Kind::WebSocket || up.ended == Ended::Passed;
            // The client of a WebSocket has a moment to answer its node's Close.
            if over && (up.ended == Ended::Passed || closing.poll_late(cx).is_ready()) {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Our Close, once no frame is open towards the client; then its answer, which goes to the
    /// node as it is. A node stalled in mid-frame, or a client that does not answer, has
    /// [`TUNNEL_CLOSE_ANSWER`].
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { kind, node, down, up, closing, state, .. } = self;
        if *kind == Kind::Raw {
            return Poll::Ready(Ok(()));
        }
        if !closing.sent {
            let moved = down.poll(cx, (node, &state.client), Pass::ToBoundary)?;
            if moved.is_ready() {
                closing.sent = true;
                // The step to the boundary has taken its time; the answer gets its own.
                closing.deadline = None;
                if !down.frames.close_seen() && down.ended == Ended::No {
                    down.held.extend_from_slice(&CLOSE_1012);
                }
            }
        }
        let answered = up.frames.close_seen() && up.frames.at_boundary() && up.held.is_empty();
        let sent = closing.sent && down.poll_write(cx, &state.client)?.is_ready();
        if sent && answered {
            return Poll::Ready(Ok(()));
        }
        closing.poll_late(cx).map(Ok)
    }
}
