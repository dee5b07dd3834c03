//! Calls that change what runs: counted by the workers from the moment they are written, put into
//! the journal from here. A worker never waits for that, so the journal follows a few milliseconds
//! behind; ARCHITECTURE.md says what that leaves open.

use std::sync::Arc;

use tokio::sync::Notify;

use super::super::EventKind;
use super::super::evidence::GuardedCalls;
use super::Engine;
use crate::clock;
use crate::journal::record::{GuardedCall, GuardedStep, Record, State};
use crate::model::Mode;
use crate::routing::{GuardedWatch, Nodes};

/// What the engine knows of guarded calls.
pub(super) struct Guarded {
    /// Those that ended and may have run, the last one of each node.
    pub(super) ran: Vec<GuardedCall>,
    /// By node.
    watched: Vec<Watched>,
    /// A worker is about to write one.
    pub(super) written: Arc<Notify>,
}

/// Of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// It was the kept node since the bridge was last lowered.
    kept: bool,
    /// So many of its calls are in `ran`, or lie before it was kept.
    ran_seen: u64,
    /// The journal knows that calls are under way.
    open: bool,
}

/// How closely is looked?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A call is being written: the journal must know, if it does not yet.
    Written,
    /// What became of all of them. At intervals, so that a flood of refused calls does not become
    /// a flood of records; and whenever something is decided by it.
    Settle,
}

impl Guarded {
    pub(super) fn new(ran: Vec<GuardedCall>, nodes: &Nodes, mode: &Mode) -> Self {
        let written = Arc::new(Notify::new());
        for node in nodes.iter() {
            let written = written.clone();
            node.watch_guarded(GuardedWatch(Box::new(move || written.notify_one())));
        }
        let kept = |id| Watched { kept: mode.node() == Some(id), ..Watched::default() };
        let watched = nodes.iter().map(|node| kept(&node.id)).collect();
        Self { ran, watched, written }
    }

    /// Calls that came to an end before the node was the kept one forbid nothing.
    pub(super) fn keep(&mut self, to: &Mode, nodes: &Nodes) {
        for (node, watched) in nodes.iter().zip(&mut self.watched) {
            if to.node() == Some(&node.id) && !watched.kept {
                *watched = Watched { kept: true, ran_seen: node.guarded().ran, open: false };
            }
        }
    }

    /// The bridge is lowered: only those calls count on that nobody knew of when it was decided.
    pub(super) fn lowered(&mut self, known: &[GuardedCall]) -> Vec<GuardedCall> {
        self.watched.fill(Watched::default());
        self.ran.retain(|call| !known.contains(call));
        self.ran.clone()
    }

    /// The journal writes again, and holds this.
    pub(super) fn recovered(&mut self, state: State, nodes: &Nodes) {
        self.ran = state.guarded;
        for (node, watched) in nodes.iter().zip(&mut self.watched) {
            watched.open = state.guarded_open.iter().any(|call| call.node == node.id);
        }
    }

    /// What speaks against a switch.
    pub(super) fn calls(&self, nodes: &Nodes) -> GuardedCalls {
        let kept = nodes.iter().zip(&self.watched).filter(|(_, watched)| watched.kept);
        let under_way = kept.filter(|(node, _)| 0 < node.guarded().in_flight);
        let under_way = under_way.map(|(node, _)| node.id.clone()).collect();
        GuardedCalls { ran: self.ran.clone(), under_way }
    }
}

impl Engine {
    /// Puts guarded calls that pass in single mode into the journal: they forbid lowering until
    /// the other nodes were restarted, over a restart of ours too.
    pub(super) async fn look_for_guarded_calls(&mut self, look: Look) {
        for index in 0..self.nodes.len() {
            for step in self.guarded_steps(index, look) {
                self.record_guarded(index, step).await;
            }
        }
        self.show_guarded();
    }

    /// What the journal must learn of this node's calls.
    fn guarded_steps(&mut self, index: usize, look: Look) -> Vec<GuardedStep> {
        let (Some(node), Some(watched)) =
            (self.nodes.get(index), self.guarded.watched.get_mut(index))
        else {
            return Vec::new();
        };
        if !watched.kept {
            return Vec::new();
        }
        let now = node.guarded();
        let (under_way, ran) = (0 < now.in_flight, watched.ran_seen < now.ran);
        match (look, watched.open) {
            (Look::Written, true) => Vec::new(),
            (Look::Written, false) if under_way || ran => vec![GuardedStep::Began],
            (Look::Written, false) => Vec::new(),
            (Look::Settle, open) => {
                watched.ran_seen = now.ran;
                match (ran, under_way) {
                    (true, true) => vec![GuardedStep::Ran, GuardedStep::Began],
                    (true, false) => vec![GuardedStep::Ran],
                    (false, true) if !open => vec![GuardedStep::Began],
                    (false, false) if open => vec![GuardedStep::CameToNothing],
                    (false, true | false) => Vec::new(),
                }
            }
        }
    }

    async fn record_guarded(&mut self, index: usize, step: GuardedStep) {
        let Some(node) = self.nodes.get(index).map(|node| node.id.clone()) else { return };
        let at = clock::now();
        if step == GuardedStep::Ran {
            self.guarded.ran.retain(|call| call.node != node);
            self.guarded.ran.push(GuardedCall { node: node.clone(), at });
            self.events.tell(self.revision(), EventKind::GuardedCall { node: node.clone() });
        }
        // Kept here until the journal writes again.
        if self.ledger.degraded().is_some() {
            return;
        }
        match self.ledger.append_at(at, Record::GuardedCall { node, step }).await {
            Err(error) => self.journal_failed(&error),
            Ok(_) => {
                if let Some(watched) = self.guarded.watched.get_mut(index) {
                    watched.open = step == GuardedStep::Began;
                }
            }
        }
    }

    /// The bridge is lowered, which settles what was known when that was decided. A call that
    /// passed between the decision and the fence found the other nodes as they were.
    pub(super) async fn forget_guarded(&mut self, known: &GuardedCalls) {
        for node in self.guarded.calls(&self.nodes).under_way {
            let index = self.nodes.iter().position(|other| other.id == node);
            if let Some(index) = index.filter(|_| !known.under_way.contains(&node)) {
                self.record_guarded(index, GuardedStep::Ran).await;
            }
        }
        for GuardedCall { node, at } in self.guarded.lowered(&known.ran) {
            if self.ledger.degraded().is_none() {
                let record = Record::GuardedCall { node, step: GuardedStep::Ran };
                if let Err(error) = self.ledger.append_at(at, record).await {
                    self.journal_failed(&error);
                }
            }
        }
        self.show_guarded();
    }

    /// Whoever asks for the status sees what a command would object to.
    pub(super) fn show_guarded(&self) {
        let calls = self.guarded.calls(&self.nodes);
        if self.standing.load().guarded != calls {
            self.stand(|standing| standing.guarded = calls);
        }
    }
}
