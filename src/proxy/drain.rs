//! One worker's side of a switch: fence, then empty the nodes that the new table leaves out.
//!
//! The fence is this simple because everything a worker routes happens on its thread. When this
//! task runs, no request is between its pick and its count: what was routed by an older table is
//! counted, and what is routed from here on looks at the new one.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::attempt::CutCause;
use super::worker::Worker;
use crate::failpoint;
use crate::fence::{FenceOrder, Left, Order};
use crate::model::NodeState;
use crate::model::limits::{
    TICK, TUNNEL_CLOSE_ANSWER, TUNNEL_CLOSE_WITHIN, TUNNEL_CLOSES_PER_SECOND,
};
use crate::routing::NodeIndex;

type Draining = Pin<Box<dyn Future<Output = ()>>>;

/// Obeys the engine's orders as long as the worker lives; never returns. `stop` is told the grace
/// time of the stop. A worker that stops still fences and drains: what is acknowledged then is as
/// true as before, and a switch that it was draining for is not.
pub async fn obey(
    worker: Rc<Worker>,
    mut orders: mpsc::Receiver<Order>,
    stop: oneshot::Sender<Duration>,
) -> Infallible {
    let mut draining: Option<Draining> = None;
    let mut stop = Some(stop);
    loop {
        let order = tokio::select! {
            // An order that waits comes before the drain it may supersede.
            biased;
            order = orders.recv(), if !orders.is_closed() || !orders.is_empty() => order,
            () = async { if let Some(draining) = &mut draining { draining.await } },
                if draining.is_some() =>
            {
                draining = None;
                continue;
            }
            else => std::future::pending().await,
        };
        let grace = match order {
            Some(Order::Fence(order)) => {
                draining = fence(&worker, order);
                continue;
            }
            Some(Order::Stop { grace }) => grace,
            // Nobody is left to give one.
            None => Duration::ZERO,
        };
        if let Some(stop) = stop.take() {
            // The worker waits for it as long as it lives.
            let _ = stop.send(grace);
        }
    }
}

/// Takes up the published table and reports it; what is left to do is the drain. A drain that
/// was still running is dropped: the new one covers every node that the new table leaves out.
fn fence(worker: &Rc<Worker>, order: FenceOrder) -> Option<Draining> {
    failpoint::hit("worker.fence");
    let taken_up = worker.with_table(|table| table.generation);
    debug_assert!(order.generation <= taken_up, "published before it is ordered");
    worker.close_idle_on_removed();
    let removed: Vec<NodeIndex> =
        (0..worker.nodes.len()).map(NodeIndex).filter(|node| !worker.allows(*node)).collect();
    // An engine that does not wait any more has a newer order on its way.
    order.fenced.send(()).ok()?;
    let worker = worker.clone();
    Some(Box::pin(async move {
        let left = drain(&worker, &removed, order.drain).await;
        let _ = order.drained.send(left);
    }))
}

/// Waits until nothing old is left on `removed`: requests until `limit`, then they are cut;
/// tunnels are closed at their own pace.
async fn drain(worker: &Rc<Worker>, removed: &[NodeIndex], limit: Duration) -> Vec<Left> {
    let deadline = Instant::now() + limit;
    let is_removed = |node: NodeIndex| removed.contains(&node);
    let mut left: Vec<Left> = removed
        .iter()
        .map(|node| Left { node: *node, cut: 0, tunnels_closed: worker.held_on(*node).1 })
        .collect();
    cut(worker, is_removed, Which::Unwritten, &mut left);
    let requests = async {
        let quiet = until(worker, || worker.attempts_on(is_removed).is_empty());
        if timeout_at(deadline, quiet).await.is_err() {
            cut(worker, is_removed, Which::All, &mut left);
        }
    };
    let tunnels = async {
        close_paced(worker, is_removed).await;
        until(worker, || worker.tunnels_on(is_removed).is_empty()).await;
    };
    tokio::join!(requests, tunnels);
    left
}

/// Which attempts are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that wait for a connection: they have written nothing, will not, and decide again.
    Unwritten,
    All,
}

/// Ends attempts on the removed nodes. When this returns, no byte of any of them will be written:
/// their sockets are shut, or they have not written yet and will decide again. They do not count
/// as in flight any more, and those that a node has seen count as abandoned, even where a client
/// that takes no byte keeps its request from finding out.
fn cut(
    worker: &Rc<Worker>,
    is_removed: impl Fn(NodeIndex) -> bool,
    which: Which,
    left: &mut [Left],
) {
    for attempt in worker.attempts_on(is_removed) {
        let seen = attempt.is_seen();
        if seen && which == Which::Unwritten {
            continue;
        }
        if let Some(left) = left.iter_mut().find(|left| left.node == attempt.node) {
            left.cut += usize::from(seen);
        }
        attempt.cut(CutCause::Switch);
        worker.end_attempt(&attempt);
    }
}

/// Asks tunnels to close, spread over time: every client comes back within a second or so, and a
/// node that stays should not meet them all at once.
async fn close_paced(worker: &Rc<Worker>, is_removed: impl Fn(NodeIndex) -> bool + Copy) {
    let mut tunnels = worker.tunnels_on(is_removed);
    tunnels.retain(|tunnel| !tunnel.is_closing());
    let pause = pace(tunnels.len(), worker.settings.workers);
    let mut next = Instant::now();
    for tunnel in tunnels {
        sleep_until(next).await;
        tunnel.close();
        next += pause;
    }
}

/// Closes, at the same pace, the tunnels to nodes that are down: such a node may keep its sockets
/// open and silent for ever, and its clients would wait with it. Runs as long as its worker.
pub async fn leave_lost_nodes(worker: Rc<Worker>) {
    let is_lost = |node: NodeIndex| {
        worker.nodes.get(node.0).is_some_and(|node| node.state() == NodeState::Down)
    };
    loop {
        sleep(TICK).await;
        close_paced(&worker, is_lost).await;
    }
}

/// Closes every tunnel of this worker, paced; for the end of the process.
pub async fn close_all_tunnels(worker: Rc<Worker>) {
    close_paced(&worker, |_| true).await;
}

/// The pause between two closes on one of `workers` threads that has `count` tunnels to close.
pub fn pace(count: usize, workers: usize) -> Duration {
    let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
    let steady = Duration::from_secs(1) * workers / TUNNEL_CLOSES_PER_SECOND;
    // The last one asked needs its time to answer, too.
    let within = TUNNEL_CLOSE_WITHIN - 2 * TUNNEL_CLOSE_ANSWER;
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    steady.min(within / count)
}

/// Waits until `done` holds, looking again whenever something on this worker ends.
async fn until(worker: &Rc<Worker>, done: impl Fn() -> bool) {
    while !done() {
        tokio::select! {
            () = worker.ended.notified() => {}
            // Two waiters share one signal; neither must miss its own.
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_closed_at_200_a_second_over_all_workers() {
        assert_eq!(pace(10, 1), Duration::from_millis(5));
        assert_eq!(pace(10, 4), Duration::from_millis(20));
    }

    #[test]
    fn many_tunnels_are_closed_faster_so_that_the_last_ends_in_time() {
        let count = 100_000;
        let last = pace(count, 1) * u32::try_from(count).expect("small") + 2 * TUNNEL_CLOSE_ANSWER;
        assert!(last <= TUNNEL_CLOSE_WITHIN, "{last:?}");
    }
}
