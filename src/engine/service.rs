//! The engine's task: one command at a time, journal first, then the effect, then the reply.

mod admit;
mod begin;
mod choose;
mod conduct;
mod guarded;
mod images;
mod recording;
mod resume;
mod switching;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use super::carry_out::Step;
use super::events::Events;
use super::evidence::{Evidence, GuardedCalls};
use super::ledger::Ledger;
use super::reply::Waiter;
use super::watch::{Finding, Watch};
use super::{
    BeginCommand, ChoiceCommand, Equipment, EventKind, HistoryEntry, Objection, PastProcedure,
    Plan, PlanCommand, ProcedureError, ProcedureReply, Standing, SwitchCommand, SwitchError,
    SwitchReply,
};
use crate::fence::Line;
use crate::journal::Journal;
use crate::journal::record::{self, Commander, Finished, GuardedCall, IdempotencyKey};
use crate::model::limits::{ENGINE_INBOX, JOURNAL_RETRY_INTERVAL, PROCEDURE_LOOK_INTERVAL};
use crate::model::{Generation, Mode, Revision};
use crate::procedure::Event;
use crate::routing::{Nodes, Publisher};
use crate::telemetry::{Liveness, Metrics};
use guarded::{Guarded, Look};

/// What the engine is asked by its handle.
pub(super) enum Ask {
    Switch(Box<SwitchCommand>, oneshot::Sender<Result<SwitchReply, SwitchError>>),
    Plan(Box<PlanCommand>, oneshot::Sender<Result<Plan, ProcedureError>>),
    Begin(Box<BeginCommand>, oneshot::Sender<Result<ProcedureReply, ProcedureError>>),
    Choose(Box<ChoiceCommand>, oneshot::Sender<Result<ProcedureReply, ProcedureError>>),
    /// The last procedures, the youngest first, or the one with this id.
    Procedures(Option<u64>, oneshot::Sender<Vec<PastProcedure>>),
    /// The last switches, the youngest first.
    History(usize, oneshot::Sender<Vec<HistoryEntry>>),
    Stop(oneshot::Sender<()>),
}

/// A switch between its journal record and its end.
struct Running {
    to: Mode,
    revision: Revision,
    generation: Generation,
    began: Instant,
    fenced: bool,
    waiters: Vec<Waiter>,
    forced_over: Vec<Objection>,
    /// What the operator should know beside the reply.
    warnings: Vec<String>,
    /// What the marker holds because the journal could not: written when the journal can.
    unwritten: Option<record::Switch>,
    /// The guarded calls that were known when it was decided.
    guarded: GuardedCalls,
}

/// What the engine is built from.
pub struct EngineParts {
    pub journal: Journal,
    pub publisher: Publisher,
    pub lines: Vec<Line>,
    pub evidence: Arc<dyn Evidence>,
    pub standing: Arc<ArcSwap<Standing>>,
    pub events: Arc<Events>,
    pub metrics: Metrics,
    pub liveness: Liveness,
    pub guarded: Vec<GuardedCall>,
    pub equipment: Equipment,
}

/// The only one who changes modes.
pub(super) struct Engine {
    ledger: Ledger,
    publisher: Publisher,
    nodes: Nodes,
    lines: Vec<Line>,
    evidence: Arc<dyn Evidence>,
    standing: Arc<ArcSwap<Standing>>,
    events: Arc<Events>,
    metrics: Metrics,
    liveness: Liveness,
    guarded: Guarded,
    equipment: Equipment,
    watch: Watch,
    /// What became of a running procedure's commands is on record since this process began.
    resumed: bool,
    /// What the journal could not take yet: ends of commands, by number, and pauses.
    unsettled: Vec<(Option<u64>, Event)>,
    running: Option<Running>,
    /// A raise that only the marker knows.
    unwritten: Option<record::Switch>,
    /// The end of the last switch, where the journal could not take it.
    unended: Option<Finished>,
    inbox: mpsc::Receiver<Ask>,
    steps: mpsc::Receiver<Step>,
    steps_in: mpsc::Sender<Step>,
    findings: mpsc::Receiver<Finding>,
    tasks: TaskTracker,
}

/// What the process reports itself sick by.
const FENCE_CAUSE: &str = "fence";
/// How often guarded calls are looked for.
const GUARDED_LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl Engine {
    pub(super) fn new(parts: EngineParts, nodes: Nodes, inbox: mpsc::Receiver<Ask>) -> Self {
        let (steps_in, steps) = mpsc::channel(ENGINE_INBOX);
        let (findings_in, findings) = mpsc::channel(ENGINE_INBOX);
        let tasks = TaskTracker::new();
        Self {
            ledger: Ledger::new(parts.journal),
            publisher: parts.publisher,
            guarded: Guarded::new(parts.guarded, &nodes, &parts.standing.load().mode),
            nodes,
            lines: parts.lines,
            evidence: parts.evidence,
            standing: parts.standing,
            events: parts.events,
            metrics: parts.metrics,
            liveness: parts.liveness,
            equipment: parts.equipment,
            watch: Watch::new(findings_in, tasks.clone()),
            resumed: false,
            unsettled: Vec::new(),
            running: None,
            unwritten: None,
            unended: None,
            inbox,
            steps,
            steps_in,
            findings,
            tasks,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let guarded = self.guarded.written.clone();
        let mut retry = interval(JOURNAL_RETRY_INTERVAL);
        let mut look = interval(GUARDED_LOOK_INTERVAL);
        let mut conduct = interval(PROCEDURE_LOOK_INTERVAL);
        for ticks in [&mut retry, &mut look, &mut conduct] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        self.resume().await;
        loop {
            tokio::select! {
                ask = self.inbox.recv() => match ask {
                    Some(Ask::Switch(command, reply)) => self.switch(*command, reply).await,
                    Some(Ask::Plan(command, reply)) => {
                        let _ = reply.send(self.plan(&command).await);
                    }
                    Some(Ask::Begin(command, reply)) => {
                        let _ = reply.send(self.begin_procedure(*command).await);
                    }
                    Some(Ask::Choose(command, reply)) => {
                        let _ = reply.send(self.choose(*command).await);
                    }
                    Some(Ask::Procedures(id, reply)) => {
                        let _ = reply.send(self.ledger.procedures(id).await);
                    }
                    Some(Ask::History(limit, reply)) => {
                        // The caller may have given up waiting.
                        let running = self.running.as_ref().map(|running| running.revision);
                        let _ = reply.send(self.ledger.history(limit, running).await);
                    }
                    Some(Ask::Stop(done)) => {
                        self.stop().await;
                        // Whoever stops us may have given up waiting.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                Some(step) = self.steps.recv() => self.progressed(step).await,
                Some(finding) = self.findings.recv() => self.found(finding).await,
                _ = conduct.tick() => self.conduct().await,
                _ = retry.tick() => self.retry_journal().await,
                () = guarded.notified() => self.look_for_guarded_calls(Look::Written).await,
                _ = look.tick() => self.look_for_guarded_calls(Look::Settle).await,
            }
        }
    }

    fn mode(&self) -> Mode {
        self.standing.load().mode.clone()
    }

    fn revision(&self) -> Revision {
        self.standing.load().revision
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = Standing::clone(&self.standing.load());
        change(&mut standing);
        self.standing.store(Arc::new(standing));
    }

    async fn stop(&mut self) {
        // The workers have ended, so that this is what became of every call.
        self.look_for_guarded_calls(Look::Settle).await;
        self.events.tell(self.revision(), EventKind::Stopping);
        if let Some(running) = self.running.take() {
            for waiter in running.waiters {
                waiter.answer(Err(SwitchError::Stopping));
            }
        }
    }
}

fn commander(command: &SwitchCommand) -> Commander {
    Commander { uid: command.by.uid, name: command.by.name.clone() }
}

fn journalled_key(idempotency: &super::Idempotency) -> IdempotencyKey {
    IdempotencyKey { key: idempotency.key.clone(), digest: idempotency.digest.clone() }
}
