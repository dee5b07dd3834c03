//! Running until told to stop, and stopping in order: withdraw, let in what the kernel has taken,
//! let what is under way end, then close the control plane and, last, the journal.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{interval, sleep, timeout};

use super::start::Gateway;
use crate::config::HumanDuration;
use crate::edge::Leaving;
use crate::fence::Order;
use crate::telemetry::AccessLog;

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

impl Ending {
    /// As the log has it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Cut => "cut",
            Self::WorkerLost => "worker_lost",
        }
    }
}

/// How often the worker threads are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// What the workers may take to cut what is left after the grace time.
const CUT_WITHIN: Duration = Duration::from_secs(3);
/// What the rest of the process may take after the workers are done.
const LAST_STEPS_WITHIN: Duration = Duration::from_secs(10);
/// Buffered lines of the access log get this long at the end.
const LOG_FINISH_WITHIN: Duration = Duration::from_millis(500);

/// The signals that a gateway is sent.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: [Signal; 2],
    access_log: AccessLog,
}

impl Signals {
    fn new(access_log: AccessLog) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            access_log,
        })
    }

    /// Returns on SIGTERM and SIGINT. The others are answered by a line in the log: by default each
    /// of them would end the process, and all traffic with it.
    async fn told_to_stop(&mut self) {
        let [user1, user2] = &mut self.user;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    self.access_log.reopen();
                    tracing::warn!(
                        "SIGHUP: the access log's file is opened anew; the configuration is not \
                         read again, restart for that"
                    );
                }
                _ = user1.recv() => tracing::warn!("SIGUSR1 means nothing here: ignored"),
                _ = user2.recv() => tracing::warn!("SIGUSR2 means nothing here: ignored"),
            }
        }
    }
}

impl Gateway {
    /// Serves until SIGTERM or SIGINT, then stops; a second of them ends the grace time. SIGHUP has
    /// the access log's file opened anew; no other signal that people send to daemons ends it.
    ///
    /// # Errors
    /// Where the system gives no signal handler.
    pub fn run(self) -> std::io::Result<Ending> {
        let mut signals = {
            let _entered = self.runtime.enter();
            Signals::new(self.access_log.clone())?
        };
        Ok(self.serve_until(async move || signals.told_to_stop().await))
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
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let admin = self.admin.map_or_else(|| "none".to_owned(), |admin| admin.to_string());
        let control = self.control.display();
        tracing::info!(listen = %listen.join(", "), %admin, %control, "ready");
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
        tracing::info!(
            withdraw_delay = %HumanDuration(withdraw_delay),
            grace = %HumanDuration(grace),
            "stopping; a second signal cuts at once"
        );
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
        tracing::info!(ending = ending.as_str(), "stopped");
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        ending
    }
}
