//! Running until told to stop, and stopping in order: withdraw, let in what the kernel has taken,
//! let what is under way end, then close the control plane and, last, the journal.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, sleep, timeout};

use super::start::Gateway;
use crate::edge::Leaving;
use crate::fence::Order;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was under way ended by itself.
    Clean,
    /// Some of it was cut when the grace time was over.
    Cut,
    /// A worker thread ended without being told to; the process cannot keep its word.
    WorkerLost,
}

/// How often the worker threads are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// What the workers may take to cut what is left after the grace time.
const CUT_WITHIN: Duration = Duration::from_secs(3);
/// What the rest of the process may take after the workers are done.
const LAST_STEPS_WITHIN: Duration = Duration::from_secs(10);
/// Buffered lines of the access log get this long at the end.
const LOG_FINISH_WITHIN: Duration = Duration::from_millis(500);

impl Gateway {
    /// Serves until SIGTERM or SIGINT, then stops; a second signal ends the grace time.
    ///
    /// # Errors
    /// Where the system gives no signal handler.
    pub fn run(self) -> std::io::Result<Ending> {
        let (mut terminate, mut interrupt) = {
            let _entered = self.runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(self.serve_until(async move || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }))
    }

    /// Serves until `told` returns, then stops in order; `told` is asked again during the stop,
    /// and returning then ends the grace time.
    pub fn serve_until(mut self, mut told: impl AsyncFnMut()) -> Ending {
        let lost = self.runtime.block_on(async {
            self.let_in().await;
            tokio::select! {
                () = told() => false,
                () = self.worker_lost() => true,
            }
        });
        if lost {
            tracing::error!("a worker thread ended by itself; the gateway stops");
        }
        let ended = self.runtime.block_on(self.stop_workers(told));
        let clean = ended && self.nothing_was_cut();
        self.close(match (lost, clean) {
            (true, _) => Ending::WorkerLost,
            (false, true) => Ending::Clean,
            (false, false) => Ending::Cut,
        })
    }

    /// Opens the doors once every node has its first verdict: until then nobody could be served,
    /// and whom the kernel has let in already only waits.
    async fn let_in(&self) {
        let mut first_round = self.first_round.clone();
        let first_verdict_within = 4 * self.config.health.timeout;
        // Probes are bounded; this bounds whatever keeps them from running.
        let _ = timeout(first_verdict_within, first_round.wait_for(|over| *over)).await;
        self.vitals.readiness.probed();
        // The workers live as long as this sender does.
        let _ = self.open.send(true);
        self.vitals.readiness.listening();
        let (listen, control) = (&self.listen, self.control.display());
        tracing::info!(?listen, admin = ?self.admin, %control, "ready");
    }

    async fn worker_lost(&self) {
        let mut looks = interval(WATCH_INTERVAL);
        loop {
            looks.tick().await;
            if self.workers.iter().any(|worker| worker.handle.is_finished()) {
                return;
            }
        }
    }

    /// Did everything on the workers end by itself? Asked when their threads have ended.
    fn nothing_was_cut(&mut self) -> bool {
        let mut workers = self.workers.drain(..);
        workers.all(|worker| matches!(worker.handle.join(), Ok(Ok(Leaving::InTime))))
    }

    /// Withdraws, then lets the workers end; returns whether they did, having cut what did not end
    /// within the grace time.
    async fn stop_workers(&self, mut told: impl AsyncFnMut()) -> bool {
        self.vitals.readiness.withdraw("the gateway is stopping");
        let (withdraw_delay, grace) =
            (self.config.timeouts.withdraw_delay, self.config.timeouts.grace);
        tracing::info!(?withdraw_delay, ?grace, "stopping");
        tokio::select! {
            () = sleep(withdraw_delay) => {}
            () = told() => {}
        }
        // A gateway that is stopped before it opened opens for those that the kernel let in.
        let _ = self.open.send(true);
        for line in &self.lines {
            // A worker that is gone needs no order.
            let _ = timeout(Duration::from_secs(1), line.send(Order::Stop { grace })).await;
        }
        let ended = async {
            while !self.workers.iter().all(|worker| worker.handle.is_finished()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = ended => true,
            () = sleep(grace + CUT_WITHIN) => false,
            () = told() => false,
        }
    }

    /// The control plane, and last the engine with the journal.
    fn close(self, ending: Ending) -> Ending {
        self.runtime.block_on(async {
            self.stop_control.cancel();
            let last = async {
                self.handle.stop().await;
                self.stop_rest.cancel();
                self.tasks.close();
                self.tasks.wait().await;
            };
            if timeout(LAST_STEPS_WITHIN, last).await.is_err() {
                tracing::warn!("the control plane did not end in time");
            }
        });
        self.access_log.finish(LOG_FINISH_WITHIN);
        tracing::info!(?ending, "stopped");
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        ending
    }
}
