//! What one worker thread counts, where a request pays for it with a few additions.
//!
//! Every worker has a block of counters of its own, which only that worker writes: an addition is
//! a load and a store without a lock prefix, as cheap as a plain integer. Whoever draws up
//! `/metrics` reads all blocks from outside and adds them up, so nothing is ever flushed and no
//! worker is disturbed by a scrape.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::model::ModeKind;
use crate::nocobase::RequestClass;
use crate::routing::NodeIndex;

/// Status classes, 1xx to 5xx.
pub(super) const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the latency buckets, in seconds: 1 ms to the longest wait for a node's head.
pub(super) const LATENCY_BOUNDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
];

/// The same bounds in nanoseconds.
const LATENCY_BOUNDS_NANOS: [u64; LATENCY_BOUNDS.len()] = {
    let mut nanos = [0; LATENCY_BOUNDS.len()];
    let mut i = 0;
    while i < nanos.len() {
        nanos[i] = (LATENCY_BOUNDS[i] * 1e9) as u64;
        i += 1;
    }
    nanos
};

const CLASSES: usize = RequestClass::ALL.len();

/// A request that is over, as the counters see it.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord {
    /// The node whose answer the client got; `None` where the gateway answered by itself.
    pub node: Option<NodeIndex>,
    /// The mode of the table that the last decision was made by.
    pub mode: ModeKind,
    pub class: RequestClass,
    pub status: u16,
    /// From the request's head to the end of the response.
    pub took: Duration,
}

/// What happens between a worker and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeFact {
    PoolHit,
    Connected,
    StaleReplaced,
    ConnectFailed,
    Retried,
    Ejected,
    IdleKept,
    IdleLeft,
}

impl NodeFact {
    const COUNT: usize = Self::IdleLeft as usize + 1;
}

/// An answer that the gateway made by itself because something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnError {
    BadRequest,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    HeadTooLarge,
    NotImplemented,
    BadGateway,
    Unavailable,
    GatewayTimeout,
    Other,
}

impl OwnError {
    pub(super) const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::ContentTooLarge,
        Self::HeadTooLarge,
        Self::NotImplemented,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
        Self::Other,
    ];

    fn of(status: u16) -> Self {
        match status {
            400 => Self::BadRequest,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::ContentTooLarge,
            431 => Self::HeadTooLarge,
            501 => Self::NotImplemented,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            504 => Self::GatewayTimeout,
            _ => Self::Other,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "400",
            Self::MethodNotAllowed => "405",
            Self::RequestTimeout => "408",
            Self::ContentTooLarge => "413",
            Self::HeadTooLarge => "431",
            Self::NotImplemented => "501",
            Self::BadGateway => "502",
            Self::Unavailable => "503",
            Self::GatewayTimeout => "504",
            Self::Other => "other",
        }
    }
}

/// A counter with one writer and any number of readers.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// By the block's one writer alone; that is why no atomic addition is needed.
    fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one node, or of the answers that no node gave.
#[derive(Debug, Default)]
pub(super) struct NodeCounts {
    requests: [[[Count; STATUS_CLASSES.len()]; CLASSES]; ModeKind::ALL.len()],
    facts: [Count; NodeFact::COUNT],
}

impl NodeCounts {
    pub(super) fn requests(&self, mode: ModeKind, class: RequestClass, status: usize) -> u64 {
        self.requests[mode as usize][class as usize].get(status).map_or(0, Count::value)
    }

    pub(super) fn fact(&self, fact: NodeFact) -> u64 {
        self.facts[fact as usize].value()
    }
}

#[derive(Debug, Default)]
pub(super) struct Latency {
    /// One per bound, and one for what took longer than all of them.
    pub(super) buckets: [Count; LATENCY_BOUNDS.len() + 1],
    pub(super) nanos: Count,
}

/// The counters that belong to no node.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) latency: [Latency; CLASSES],
    pub(super) own_errors: [Count; OwnError::ALL.len()],
    pub(super) accepted: Count,
    pub(super) closed: Count,
    pub(super) refused: Count,
    pub(super) accept_failed: Count,
}

/// All counters of one worker. Padded, so that two workers never write to one cache line.
#[derive(Debug)]
pub(super) struct Block {
    /// By [`NodeIndex`], and one more at the end for the gateway's own answers.
    pub(super) nodes: Box<[CachePadded<NodeCounts>]>,
    pub(super) common: CachePadded<Common>,
}

impl Block {
    pub(super) fn new(nodes: usize) -> Self {
        let nodes = (0..=nodes).map(|_| CachePadded::default()).collect();
        Self { nodes, common: CachePadded::default() }
    }
}

/// One worker's hand on its counters. It may move to the worker's thread but is not shared
/// between threads, nor cloned: it is the only writer of its block. What was counted outlives it.
#[derive(Debug)]
pub struct WorkerMetrics {
    block: Arc<Block>,
    one_thread_only: PhantomData<Cell<()>>,
}

impl WorkerMetrics {
    pub(super) fn new(block: Arc<Block>) -> Self {
        Self { block, one_thread_only: PhantomData }
    }

    /// A request is over: the client has its response, or it will never get more of it.
    pub fn request(&self, record: RequestRecord) {
        let nodes = &self.block.nodes;
        let slot = record.node.map_or(nodes.len() - 1, |index| index.0);
        let status = usize::from((record.status / 100).clamp(1, 5) - 1);
        if let Some(node) = nodes.get(slot) {
            node.requests[record.mode as usize][record.class as usize][status].add(1);
        }
        let nanos = u64::try_from(record.took.as_nanos()).unwrap_or(u64::MAX);
        let latency = &self.block.common.latency[record.class as usize];
        let bucket = LATENCY_BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        latency.buckets[bucket].add(1);
        latency.nanos.add(nanos);
    }

    /// An attempt went out on a connection that was there already.
    pub fn pool_hit(&self, node: NodeIndex) {
        self.count(node, NodeFact::PoolHit);
    }

    /// A new connection to the node is open.
    pub fn connected(&self, node: NodeIndex) {
        self.count(node, NodeFact::Connected);
    }

    /// A pooled connection turned out to be dead, and another was taken in its place.
    pub fn stale_replaced(&self, node: NodeIndex) {
        self.count(node, NodeFact::StaleReplaced);
    }

    /// No connection to the node could be opened.
    pub fn connect_failed(&self, node: NodeIndex) {
        self.count(node, NodeFact::ConnectFailed);
    }

    /// An attempt at this node failed and the request went on to another.
    pub fn retried(&self, node: NodeIndex) {
        self.count(node, NodeFact::Retried);
    }

    /// Failures in a row made this worker pass the node over for a while.
    pub fn ejected(&self, node: NodeIndex) {
        self.count(node, NodeFact::Ejected);
    }

    /// A connection went into the pool.
    pub fn idle_kept(&self, node: NodeIndex) {
        self.count(node, NodeFact::IdleKept);
    }

    /// A connection left the pool: taken, too old, or closed by the node.
    pub fn idle_left(&self, node: NodeIndex) {
        self.count(node, NodeFact::IdleLeft);
    }

    /// The gateway answered by itself because something failed; the notice is none of these.
    pub fn own_error(&self, status: u16) {
        self.block.common.own_errors[OwnError::of(status) as usize].add(1);
    }

    /// A client connection was accepted and is served.
    pub fn client_accepted(&self) {
        self.block.common.accepted.add(1);
    }

    /// A client connection that was accepted is gone.
    pub fn client_closed(&self) {
        self.block.common.closed.add(1);
    }

    /// A client connection was turned away at the cap.
    pub fn client_refused(&self) {
        self.block.common.refused.add(1);
    }

    /// The kernel would not hand over a connection; usually for want of descriptors.
    pub fn accept_failed(&self) {
        self.block.common.accept_failed.add(1);
    }

    fn count(&self, node: NodeIndex, fact: NodeFact) {
        if let Some(node) = self.block.nodes.get(node.0) {
            node.facts[fact as usize].add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: u16, took: Duration) -> RequestRecord {
        RequestRecord {
            node: Some(NodeIndex(0)),
            mode: ModeKind::Cluster,
            class: RequestClass::Api,
            status,
            took,
        }
    }

    #[test]
    fn a_request_on_a_bound_falls_into_the_bucket_below_it() {
        let block = Arc::new(Block::new(1));
        let worker = WorkerMetrics::new(block.clone());
        let millis = Duration::from_millis;
        for took in [Duration::ZERO, millis(1), millis(600_000), millis(600_001), Duration::MAX] {
            worker.request(record(200, took));
        }
        let buckets = &block.common.latency[RequestClass::Api as usize].buckets;
        let filled: Vec<_> = buckets.iter().map(Count::value).collect();
        assert_eq!((filled[0], filled[17], filled[18]), (2, 1, 2), "{filled:?}");
    }

    #[test]
    fn a_status_out_of_every_class_does_no_harm() {
        let block = Arc::new(Block::new(1));
        let worker = WorkerMetrics::new(block.clone());
        for status in [0, 99, 700, u16::MAX] {
            worker.request(record(status, Duration::ZERO));
        }
        worker.request(RequestRecord { node: Some(NodeIndex(99)), ..record(200, Duration::ZERO) });
        let count = |s| block.nodes[0].requests(ModeKind::Cluster, RequestClass::Api, s);
        assert_eq!((count(0), count(4)), (2, 2));
    }

    #[test]
    fn every_own_error_has_its_place_and_its_label() {
        for (place, error) in OwnError::ALL.iter().enumerate() {
            assert_eq!(*error as usize, place);
            if let Ok(status) = error.label().parse() {
                assert_eq!(OwnError::of(status), *error);
            }
        }
        assert_eq!(OwnError::of(418), OwnError::Other);
    }
}
