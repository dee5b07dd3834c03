//! One attempt at one node, from the pick to the end of its response.
//!
//! The worker keeps a handle to each, so that a switch can count and cut them from outside.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use http::StatusCode;

use super::client::Client;
use super::worker::Worker;
use crate::clock;
use crate::nocobase::Guard;
use crate::routing::NodeIndex;
use crate::upstream::Stream;

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Picked and counted; nothing was written to the node.
    Begun,
    /// The request was handed to the node's connection: it may be working on it.
    Written,
    /// Its response head was passed on.
    Answering,
    /// Its whole response came: the node is done with it.
    Completed,
}

/// Why an attempt was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutCause {
    /// A switch removed its node and the drain time is over, or the gateway stops.
    Switch,
    /// The node did not answer, or stopped answering, within its limit.
    NodeTimeout,
}

/// What the worker and the request share about an attempt.
#[derive(Debug)]
pub struct AttemptState {
    pub node: NodeIndex,
    progress: Cell<Progress>,
    /// Uptime of the last step, for the coarse time-outs.
    since_ms: Cell<u64>,
    cut: Cell<Option<CutCause>>,
    /// Not counted on its node any more.
    ended: Cell<bool>,
    stream: RefCell<Option<Stream>>,
    /// Who asks, once its request was written: its body may still be coming.
    asker: RefCell<Option<Rc<Client>>>,
    /// In the worker's list.
    key: usize,
}

impl AttemptState {
    pub fn new(node: NodeIndex, key: usize, now_ms: u64) -> Self {
        Self {
            node,
            key,
            ended: Cell::new(false),
            progress: Cell::new(Progress::Begun),
            since_ms: Cell::new(now_ms),
            cut: Cell::new(None),
            stream: RefCell::new(None),
            asker: RefCell::new(None),
        }
    }

    /// Since when the node owes a response head: a body that still comes is no reason to answer.
    pub fn owes_head_since_ms(&self) -> u64 {
        let body_ms = self.asker.borrow().as_ref().map_or(0, |client| client.body_moved_ms());
        self.since_ms.get().max(body_ms)
    }

    /// Since when the node owes the rest of its answer to a client that would take it. `None` where
    /// the client is the one who is waited for, or the answer may be silent.
    pub fn owes_body_since_ms(&self) -> Option<u64> {
        let asker = self.asker.borrow();
        let client = asker.as_ref().filter(|client| client.waits_for_body())?;
        Some(self.since_ms.get().max(client.since_ms()))
    }

    pub fn progress(&self) -> Progress {
        self.progress.get()
    }

    pub(super) const fn key(&self) -> usize {
        self.key
    }

    /// Cut is not ended: a node goes on with a request that it has seen and not answered whole.
    pub fn is_seen(&self) -> bool {
        match self.progress.get() {
            Progress::Written | Progress::Answering => true,
            Progress::Begun | Progress::Completed => false,
        }
    }

    /// Takes it out of the count; true at the first call.
    pub(super) fn ends(&self) -> bool {
        !self.ended.replace(true)
    }

    pub fn since_ms(&self) -> u64 {
        self.since_ms.get()
    }

    pub fn was_cut(&self) -> Option<CutCause> {
        self.cut.get()
    }

    /// Ends the attempt now: from here on no byte of it reaches the node. The request finds out
    /// when its connection ends, or before it would write.
    pub fn cut(&self, cause: CutCause) {
        if self.cut.get().is_none() {
            self.cut.set(Some(cause));
            if let Some(stream) = &*self.stream.borrow() {
                stream.cut();
            }
        }
    }
}

/// Owned by the request; ends the count when it is dropped.
#[derive(Debug)]
pub struct Attempt {
    pub state: Rc<AttemptState>,
    /// Of a request that was written, until its answer says that nothing came of it.
    guard: Cell<Guard>,
    worker: Rc<Worker>,
}

impl Attempt {
    /// Only the worker begins attempts, in the same breath as the pick.
    pub(super) fn new(worker: Rc<Worker>, state: Rc<AttemptState>) -> Self {
        Self { state, guard: Cell::new(Guard::Free), worker }
    }

    pub fn node(&self) -> NodeIndex {
        self.state.node
    }

    /// The request is about to be written to `stream`.
    pub fn writes(&self, stream: &Stream, asker: &Rc<Client>, guard: Guard) {
        self.state.progress.set(Progress::Written);
        self.state.since_ms.set(self.worker.now_ms());
        *self.state.stream.borrow_mut() = Some(stream.clone());
        *self.state.asker.borrow_mut() = Some(asker.clone());
        self.guard.set(guard);
    }

    /// It was not written after all: the connection was gone.
    pub fn was_not_written(&self) {
        self.guard.set(Guard::Free);
        self.state.progress.set(Progress::Begun);
        *self.state.stream.borrow_mut() = None;
    }

    pub fn answers(&self, status: StatusCode) {
        self.state.progress.set(Progress::Answering);
        self.moved();
        match status {
            // Nothing ran: whoever may not make such a call must not hold up the operator with it.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                self.guard.set(Guard::Free);
            }
            _ => self.note_guarded(),
        }
    }

    /// A call that changes what runs makes the other nodes old; `mode cluster` asks for it.
    fn note_guarded(&self) {
        if self.guard.replace(Guard::Free) == Guard::Guarded
            && let Some(node) = self.worker.nodes.get(self.node().0)
        {
            // Of two in one tick, one may lie before a switch and one after it.
            node.guarded_call(clock::uptime_ms());
        }
    }

    /// A piece of the response came.
    pub fn moved(&self) {
        self.state.since_ms.set(self.worker.now_ms());
    }

    /// The whole response came: the node is done with this request.
    pub fn completed(&self) {
        self.state.progress.set(Progress::Completed);
        *self.state.stream.borrow_mut() = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Written and never answered: it may have run.
        self.note_guarded();
        self.worker.end_attempt(&self.state);
    }
}
