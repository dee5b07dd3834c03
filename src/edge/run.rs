//! A worker thread, from its start to its end.

use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Gate;
use super::accept::{Hall, Slots, accept};
use super::exchange::exchanges;
use super::places::Places;
use crate::fence::Order;
use crate::model::limits::{LAST_WORDS_TIME, TICK};
use crate::proxy::{self, Worker, WorkerParts};

/// A running worker.
#[derive(Debug)]
pub struct WorkerThread {
    pub index: usize,
    pub handle: thread::JoinHandle<io::Result<Leaving>>,
}

/// How what was under way on a worker ended when it was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// By itself.
    InTime,
    /// Some of it was cut when the grace time was over.
    Cut,
}

/// What a worker needs besides its own state.
pub struct Post {
    pub gate: Gate,
    pub slots: Slots,
    pub orders: mpsc::Receiver<Order>,
    /// Becomes true when clients may be let in.
    pub open: watch::Receiver<bool>,
}

/// Starts worker number `index` on a thread of its own.
///
/// # Errors
/// Where the system gives no thread.
pub fn spawn(index: usize, parts: WorkerParts, post: Post) -> io::Result<WorkerThread> {
    let work = move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(work(Worker::new(index, parts), post))
    };
    let handle = thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
    Ok(WorkerThread { index, handle })
}

async fn work(worker: Rc<Worker>, mut post: Post) -> io::Result<Leaving> {
    let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
    let ticking = tokio::task::spawn_local(tick(worker.clone()));
    let leaving_lost = tokio::task::spawn_local(proxy::leave_lost_nodes(worker.clone()));
    let acceptors = TaskTracker::new();
    let hall = Rc::new(Hall {
        worker: worker.clone(),
        slots: post.slots,
        connections: connections.clone(),
        places: Places::new(exchanges),
    });
    let opening = async {
        // A gateway that stops before it opened never opens.
        let opened = post.open.wait_for(|open| *open).await.is_ok();
        if opened {
            for listener in post.gate {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                acceptors.spawn_local(accept(listener, hall.clone(), stop.clone()));
            }
        }
        io::Result::Ok(())
    };
    let (stop_by, told) = oneshot::channel();
    let working = async {
        let (opened, grace) = tokio::join!(opening, told);
        opened?;
        stop.cancel();
        acceptors.close();
        acceptors.wait().await;
        Ok(leave(&worker, &connections, grace.unwrap_or(Duration::ZERO)).await)
    };
    let worked = tokio::select! {
        worked = working => worked,
        never = proxy::obey(worker.clone(), post.orders, stop_by) => match never {},
    };
    ticking.abort();
    leaving_lost.abort();
    worker.flush();
    worked
}

/// Lets what is under way end within `grace`; then ends it.
async fn leave(worker: &Rc<Worker>, connections: &TaskTracker, grace: Duration) -> Leaving {
    connections.close();
    worker.stop_keeping_alive();
    let tunnels = proxy::close_all_tunnels(worker.clone());
    let ended = async { tokio::join!(connections.wait(), tunnels) };
    if timeout(grace, ended).await.is_ok() {
        return Leaving::InTime;
    }
    tracing::warn!(
        worker = worker.index,
        connections = worker.clients(),
        "the grace time is over: what is left is cut"
    );
    worker.cut_attempts();
    // Who waits for an answer that will not come is told so.
    if timeout(LAST_WORDS_TIME, connections.wait()).await.is_err() {
        worker.cut_clients();
        // The tasks see their sockets end; one that does not is ended with its runtime.
        let _ = timeout(Duration::from_secs(1), connections.wait()).await;
    }
    Leaving::Cut
}

/// The coarse timer of a worker.
async fn tick(worker: Rc<Worker>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.tick();
    }
}
