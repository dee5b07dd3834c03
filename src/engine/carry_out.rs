//! Carrying a published table to every worker: fence, then drain.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::fence::{FenceOrder, Left, Line, Order};
use crate::model::Generation;
use crate::model::limits::FENCE_TIMEOUT;

/// How far a switch has come.
#[derive(Debug)]
pub enum Progress {
    /// Every worker routes by the new table.
    Fenced,
    /// These did not say so in time; the switch stays unfinished until they do.
    FenceIncomplete(Vec<usize>),
    /// Nothing old is left on removed nodes.
    Drained(Vec<Left>),
}

/// A step of the switch that published `generation`.
#[derive(Debug)]
pub struct Step {
    pub generation: Generation,
    pub progress: Progress,
}

/// One worker's promises to report.
struct Awaited {
    worker: usize,
    fenced: oneshot::Receiver<()>,
    drained: oneshot::Receiver<Vec<Left>>,
}

/// Orders the fence from every worker and reports each step; ends after the drain.
///
/// # Cancel safety
/// Dropping it leaves the workers with their order: they fence and drain all the same.
pub async fn carry_out(
    lines: Vec<Line>,
    generation: Generation,
    drain: Duration,
    steps: mpsc::Sender<Step>,
) {
    let tell = async |progress| {
        // The engine outlives its switches, except when the gateway stops.
        let _ = steps.send(Step { generation, progress }).await;
    };
    let deadline = Instant::now() + FENCE_TIMEOUT;
    let mut awaited = Vec::new();
    let mut late = Vec::new();
    let mut unsent = Vec::new();
    for line in lines {
        let (fenced_by, fenced) = oneshot::channel();
        let (drained_by, drained) = oneshot::channel();
        let order = FenceOrder { generation, drain, fenced: fenced_by, drained: drained_by };
        awaited.push(Awaited { worker: line.worker, fenced, drained });
        unsent.push(async move { line.send(Order::Fence(order)).await.is_ok() });
    }
    // A worker that is stuck does not empty its queue; the others get their order first.
    let mut sending = tokio::task::JoinSet::new();
    for send in unsent {
        sending.spawn(send);
    }
    for (at, awaited) in awaited.iter_mut().enumerate() {
        if timeout_at(deadline, &mut awaited.fenced).await.is_err() {
            late.push(at);
        }
    }
    if !late.is_empty() {
        let workers = late.iter().filter_map(|at| awaited.get(*at)).map(|a| a.worker).collect();
        tell(Progress::FenceIncomplete(workers)).await;
        for at in late {
            if let Some(awaited) = awaited.get_mut(at) {
                // An error means that the worker is gone, and with it all it held.
                let _ = (&mut awaited.fenced).await;
            }
        }
    }
    tell(Progress::Fenced).await;
    let mut left: Vec<Left> = Vec::new();
    for awaited in awaited {
        for more in awaited.drained.await.unwrap_or_default() {
            match left.iter_mut().find(|left| left.node == more.node) {
                Some(left) => {
                    left.cut += more.cut;
                    left.tunnels_closed += more.tunnels_closed;
                }
                None => left.push(more),
            }
        }
    }
    tell(Progress::Drained(left)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::NodeIndex;

    async fn next_fence(orders: &mut mpsc::Receiver<Order>) -> FenceOrder {
        match orders.recv().await {
            Some(Order::Fence(order)) => order,
            other => panic!("no fence: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_worker_is_named_and_the_switch_goes_on_when_it_wakes() {
        let (first, mut first_orders) = Line::new(0);
        let (second, mut second_orders) = Line::new(1);
        let (steps, mut told) = mpsc::channel(8);
        let drain = Duration::from_secs(30);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry_out(vec![first, second], Generation(2), drain, steps));

        let prompt = next_fence(&mut first_orders).await;
        let silent = next_fence(&mut second_orders).await;
        prompt.fenced.send(()).expect("awaited");
        let step = told.recv().await.expect("a step");
        assert!(matches!(step.progress, Progress::FenceIncomplete(ref w) if *w == [1]));
        assert_eq!(step.generation, Generation(2));

        silent.fenced.send(()).expect("still awaited");
        assert!(matches!(told.recv().await.expect("a step").progress, Progress::Fenced));
        let left = |cut| vec![Left { node: NodeIndex(1), cut, tunnels_closed: 1 }];
        prompt.drained.send(left(2)).expect("awaited");
        silent.drained.send(left(3)).expect("awaited");
        match told.recv().await.expect("a step").progress {
            Progress::Drained(all) => {
                assert_eq!(all, [Left { node: NodeIndex(1), cut: 5, tunnels_closed: 2 }]);
            }
            other => panic!("not drained: {other:?}"),
        }
    }
}
