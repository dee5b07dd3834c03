//! A node as every thread sees it: fixed facts, and the few values that health and the workers
//! move while requests flow.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

use crate::model::limits::{EJECT_AFTER_FAILURES, EJECT_BASE, EJECT_MAX};
use crate::model::{NodeId, NodeRole, NodeState, Weight};

/// Position of a node in the configuration; the same in every table of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

/// All nodes of the configuration, in its order.
pub type Nodes = Arc<[Arc<Node>]>;

/// One node. Everything that moves is a relaxed atomic: the values are advice for the pick and
/// facts for reports; what must be ordered (which table, who is counted) is ordered by the fence.
#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub role: NodeRole,
    pub weight: Weight,
    /// `host:port` as configured; shown to operators and sent as `Host` by probes.
    pub authority: String,
    state: AtomicU8,
    addresses: ArcSwap<Vec<SocketAddr>>,
    address_epoch: AtomicU32,
    requests: CachePadded<AtomicUsize>,
    tunnels: CachePadded<AtomicUsize>,
    abandoned: AtomicU64,
    failures_in_a_row: AtomicU32,
    ejections_in_a_row: AtomicU32,
    ejected_until_ms: AtomicU64,
    guarded_in_flight: AtomicUsize,
    guarded_ran: AtomicU64,
    guarded_watch: OnceLock<GuardedWatch>,
}

/// Told, on the worker's thread, that a guarded call is about to be written: it must not wait.
pub struct GuardedWatch(pub Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for GuardedWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardedWatch")
    }
}

/// What became of a guarded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardedEnd {
    /// It ran, or it may have run.
    Ran,
    /// The node refused it, or never saw it.
    CameToNothing,
}

/// The guarded calls of one node at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardedCount {
    /// Written, and not answered yet.
    pub in_flight: usize,
    /// Ended since the start, and may have run.
    pub ran: u64,
}

impl Node {
    pub fn new(id: NodeId, role: NodeRole, weight: Weight, authority: String) -> Self {
        Self {
            id,
            role,
            weight,
            authority,
            state: AtomicU8::new(NodeState::Unknown as u8),
            addresses: ArcSwap::default(),
            address_epoch: AtomicU32::new(0),
            requests: CachePadded::default(),
            tunnels: CachePadded::default(),
            abandoned: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            ejections_in_a_row: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            guarded_in_flight: AtomicUsize::new(0),
            guarded_ran: AtomicU64::new(0),
            guarded_watch: OnceLock::new(),
        }
    }

    /// The verdict of the last probes.
    pub fn state(&self) -> NodeState {
        let raw = usize::from(self.state.load(Ordering::Relaxed));
        NodeState::ALL.get(raw).copied().unwrap_or(NodeState::Unknown)
    }

    /// Written by health alone.
    pub fn set_state(&self, state: NodeState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// What the node's name resolves to; empty where it does not.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Written by the control plane's resolver alone.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        if **self.addresses.load() != addresses {
            self.addresses.store(Arc::new(addresses));
            self.address_epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Moves whenever the addresses do, so that a pooled connection can tell that it is old.
    pub fn address_epoch(&self) -> u32 {
        self.address_epoch.load(Ordering::Acquire)
    }

    /// Requests that the gateway holds on this node, over all workers.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Open tunnels (WebSockets) on this node, over all workers.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    pub fn tunnel_began(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    pub fn tunnel_ended(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests written to this node whose response never completed, since the gateway started:
    /// the node may still be working on them.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub fn request_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// A connect, reset or time-out before a response head. Enough of them in a row eject the
    /// node for a while, longer each time. Returns for how long, where this one did.
    pub fn failed(&self, now_ms: u64) -> Option<Duration> {
        let failures = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < EJECT_AFTER_FAILURES || self.is_ejected(now_ms) {
            return None;
        }
        let doublings = self.ejections_in_a_row.fetch_add(1, Ordering::Relaxed).min(8);
        let time = EJECT_MAX.min(EJECT_BASE * (1 << doublings));
        let until = now_ms + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.ejected_until_ms.store(until, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        Some(time)
    }

    /// A response head arrived: whatever failed before, this node answers.
    pub fn answered(&self) {
        // Most requests find zeros here; the loads keep the cache lines shared.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        if self.ejections_in_a_row.load(Ordering::Relaxed) != 0 {
            self.ejections_in_a_row.store(0, Ordering::Relaxed);
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
    }

    pub fn is_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until_ms.load(Ordering::Relaxed)
    }

    /// Has `watch` told of every guarded call from now on. The first one stays.
    pub fn watch_guarded(&self, watch: GuardedWatch) {
        // The engine asks once, for its whole life.
        let _ = self.guarded_watch.set(watch);
    }

    /// A call that changes what runs (NocoBase's plugin management and the like) is about to be
    /// written to this node.
    pub fn guarded_began(&self) {
        self.guarded_in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(watch) = self.guarded_watch.get() {
            (watch.0)();
        }
    }

    /// Such a call ended, however it did.
    pub fn guarded_ended(&self, end: GuardedEnd) {
        match end {
            GuardedEnd::Ran => {
                self.guarded_ran.fetch_add(1, Ordering::Relaxed);
            }
            GuardedEnd::CameToNothing => {}
        }
        // Last, and ordered after the count: whoever sees it gone sees what became of it.
        self.guarded_in_flight.fetch_sub(1, Ordering::Release);
    }

    /// Which of them are under way, and how many may have run.
    pub fn guarded(&self) -> GuardedCount {
        let in_flight = self.guarded_in_flight.load(Ordering::Acquire);
        GuardedCount { in_flight, ran: self.guarded_ran.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let id = "n1".parse().expect("a legal id");
        Node::new(id, NodeRole::Request, Weight::ONE, "127.0.0.1:1".into())
    }

    #[test]
    fn the_fifth_failure_in_a_row_ejects_and_each_time_for_longer() {
        let node = node();
        for _ in 0..4 {
            assert_eq!(node.failed(1_000), None);
        }
        assert_eq!(node.failed(1_000), Some(Duration::from_secs(30)));
        assert!(node.is_ejected(30_999));
        assert!(!node.is_ejected(31_000));
        let mut last = Duration::ZERO;
        let mut now = 31_000;
        for _ in 0..30 {
            if let Some(time) = node.failed(now) {
                last = time;
                now += u64::try_from(time.as_millis()).expect("short");
            }
        }
        assert_eq!(last, EJECT_MAX);
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_anew() {
        let node = node();
        for _ in 0..20 {
            assert_eq!(node.failed(1), None);
            assert_eq!(node.failed(1), None);
            node.answered();
        }
    }

    #[test]
    fn new_addresses_move_the_epoch_and_the_same_do_not() {
        let node = node();
        let address = "127.0.0.1:1".parse().expect("an address");
        node.set_addresses(vec![address]);
        let epoch = node.address_epoch();
        node.set_addresses(vec![address]);
        assert_eq!(node.address_epoch(), epoch);
        node.set_addresses(vec![]);
        assert_ne!(node.address_epoch(), epoch);
    }

    #[test]
    fn a_guarded_call_counts_from_its_write_and_its_end_says_what_became_of_it() {
        let node = node();
        let told = Arc::new(AtomicU32::new(0));
        let tell = told.clone();
        node.watch_guarded(GuardedWatch(Box::new(move || {
            tell.fetch_add(1, Ordering::Relaxed);
        })));
        node.guarded_began();
        node.guarded_began();
        assert_eq!(node.guarded(), GuardedCount { in_flight: 2, ran: 0 });
        node.guarded_ended(GuardedEnd::CameToNothing);
        node.guarded_ended(GuardedEnd::Ran);
        assert_eq!(node.guarded(), GuardedCount { in_flight: 0, ran: 1 });
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
