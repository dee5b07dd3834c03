//! One attempt at one node, from the pick to the end of its response.
//!
//! The worker keeps a handle to each, so that a switch can count and cut them from outside.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use super::client::Client;
use super::worker::Worker;
use crate::nocobase::Guard;
use crate::routing::{GuardedEnd, Node, NodeIndex};
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
    /// Where a guarded call is under way, until it is known what became of it.
    guarded: RefCell<Option<Arc<Node>>>,
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
            guarded: RefCell::new(None),
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
        // A node that answers while the request still comes may wait for more of it.
        Some(self.since_ms.get().max(client.since_ms()).max(client.body_moved_ms()))
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

    /// Holds nobody's connection any more.
    fn let_go(&self) {
        *self.stream.borrow_mut() = None;
        *self.asker.borrow_mut() = None;
    }

    /// A call that changes what runs makes the other nodes old; a later command asks for it.
    fn ends_guarded(&self, end: GuardedEnd) {
        if let Some(node) = self.guarded.borrow_mut().take() {
            node.guarded_ended(end);
        }
    }

    /// Ends the attempt now: from here on no byte of it reaches the node. The request finds out
    /// when its connection ends, or before it would write.
    pub fn cut(&self, cause: CutCause) {
        if self.cut.get().is_none() {
            self.cut.set(Some(cause));
            // The node goes on with it. Settled here, because the request may find out late.
            self.ends_guarded(GuardedEnd::Ran);
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
    worker: Rc<Worker>,
}

impl Attempt {
    /// Only the worker begins attempts, in the same breath as the pick.
    pub(super) fn new(worker: Rc<Worker>, state: Rc<AttemptState>) -> Self {
        Self { state, worker }
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
        if guard == Guard::Guarded
            && let Some(node) = self.worker.nodes.get(self.node().0)
        {
            // Counted before the first byte of it: a switch that looks later cannot miss it.
            node.guarded_began();
            *self.state.guarded.borrow_mut() = Some(node.clone());
        }
    }

    /// It was not written after all: the connection was gone, or the request's body broke off first.
    pub fn was_not_written(&self) {
        self.state.ends_guarded(GuardedEnd::CameToNothing);
        self.state.progress.set(Progress::Begun);
        *self.state.stream.borrow_mut() = None;
    }

    pub fn answers(&self, status: StatusCode) {
        self.state.progress.set(Progress::Answering);
        self.moved();
        match status {
            // Nothing ran: whoever may not make such a call must not hold up the operator with it.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                self.state.ends_guarded(GuardedEnd::CameToNothing);
            }
            _ => self.state.ends_guarded(GuardedEnd::Ran),
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
        self.state.ends_guarded(GuardedEnd::Ran);
        self.worker.end_attempt(&self.state);
        self.state.let_go();
        self.worker.keep_spare(self.state.clone());
    }
}
