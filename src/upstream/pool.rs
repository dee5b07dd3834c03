//! One worker's idle connections, by node, newest first.

use std::collections::VecDeque;

use super::{Look, NodeConnection};
use crate::model::limits::{POOL_IDLE_PER_NODE_MAX, POOL_IDLE_TIME};
use crate::routing::NodeIndex;

struct Idle {
    connection: NodeConnection,
    since_ms: u64,
}

/// What became of an idle connection that left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It carries a request now.
    Taken,
    /// Found dead, too old, or of an earlier address when it was wanted.
    Stale,
    /// Closed for its age, for want of room, or because its node was removed.
    Closed,
}

/// Idle connections. Newest first: the youngest is the least likely to be closed by its node, and
/// those that are not needed grow old and go.
pub struct Pool {
    idle: Vec<VecDeque<Idle>>,
}

impl Pool {
    pub fn new(nodes: usize) -> Self {
        Self { idle: (0..nodes).map(|_| VecDeque::new()).collect() }
    }

    /// Takes the newest connection to `node` that is young enough, goes to its present address
    /// (`epoch`), and is still open as far as `look` can tell. `left` hears of every connection
    /// that leaves.
    pub fn check_out(
        &mut self,
        (node, epoch): (NodeIndex, u32),
        now_ms: u64,
        look: Look,
        mut left: impl FnMut(Departure),
    ) -> Option<NodeConnection> {
        if let Some(idle) = self.idle.get_mut(node.0) {
            while let Some(Idle { connection, since_ms }) = idle.pop_back() {
                let fresh = is_fresh(since_ms, now_ms) && connection.epoch == epoch;
                if fresh && connection.is_reusable(look) {
                    left(Departure::Taken);
                    return Some(connection);
                }
                left(Departure::Stale);
            }
        }
        None
    }

    /// Keeps a connection; returns what became of the oldest where it had to make room.
    pub fn check_in(
        &mut self,
        node: NodeIndex,
        connection: NodeConnection,
        now_ms: u64,
    ) -> Option<Departure> {
        let idle = self.idle.get_mut(node.0)?;
        idle.push_back(Idle { connection, since_ms: now_ms });
        let full = POOL_IDLE_PER_NODE_MAX < idle.len();
        full.then(|| idle.pop_front()).flatten().map(|_| Departure::Closed)
    }

    /// Closes what has been idle for too long; called by the worker's coarse timer.
    pub fn sweep(&mut self, now_ms: u64, mut left: impl FnMut(NodeIndex, Departure)) {
        for (node, idle) in self.idle.iter_mut().enumerate() {
            while idle.front().is_some_and(|oldest| !is_fresh(oldest.since_ms, now_ms)) {
                idle.pop_front();
                left(NodeIndex(node), Departure::Closed);
            }
        }
    }

    /// Closes every idle connection to the nodes that `keep` refuses.
    pub fn retain(
        &mut self,
        keep: impl Fn(NodeIndex) -> bool,
        mut left: impl FnMut(NodeIndex, Departure),
    ) {
        for (node, idle) in self.idle.iter_mut().enumerate() {
            if !keep(NodeIndex(node)) {
                idle.drain(..).for_each(|_| left(NodeIndex(node), Departure::Closed));
            }
        }
    }

    pub fn idle(&self, node: NodeIndex) -> usize {
        self.idle.get(node.0).map_or(0, VecDeque::len)
    }
}

fn is_fresh(since_ms: u64, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) < POOL_IDLE_TIME.as_millis()
}
