//! What the engine orders the workers to do, and what they report back.
//!
//! Both stand on the same floor and do not know each other; these words stand below them.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::Generation;
use crate::routing::NodeIndex;

/// Orders that wait for one worker: a fence, its successors, the stop.
const ORDERS_MAX: usize = 16;

/// Route by the table of `generation` or a later one, then empty what it does not allow.
#[derive(Debug)]
pub struct FenceOrder {
    pub generation: Generation,
    /// How long requests on removed nodes may go on before they are cut.
    pub drain: Duration,
    /// Answered when everything this worker does from now on follows the table.
    pub fenced: oneshot::Sender<()>,
    /// Answered when nothing old is left on removed nodes. Dropped where a newer order took over.
    pub drained: oneshot::Sender<Vec<Left>>,
}

/// What one worker had on one removed node when it reported itself drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub node: NodeIndex,
    /// Requests cut at the deadline.
    pub cut: usize,
    /// Tunnels closed.
    pub tunnels_closed: usize,
}

/// An order to one worker.
#[derive(Debug)]
pub enum Order {
    Fence(FenceOrder),
    /// Accept until the queues are empty, close the listeners, let requests end within `grace`,
    /// close tunnels; the worker's thread ends when all of it is done.
    Stop {
        grace: Duration,
    },
}

/// The engine's end of one worker's order queue.
#[derive(Clone, Debug)]
pub struct Line {
    pub worker: usize,
    orders: mpsc::Sender<Order>,
}

impl Line {
    /// The two ends for worker number `worker`.
    pub fn new(worker: usize) -> (Self, mpsc::Receiver<Order>) {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        (Self { worker, orders }, inbox)
    }

    /// Waits for room in the queue.
    ///
    /// # Errors
    /// The order, where the worker is gone.
    pub async fn send(&self, order: Order) -> Result<(), Order> {
        self.orders.send(order).await.map_err(|error| error.0)
    }
}
