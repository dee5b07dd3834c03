//! What the surfaces hold of the engine: they ask, look and listen.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::events::Events;
use super::evidence::{self, Evidence, GuardedCalls};
use super::service::{Ask, Engine, EngineParts};
use super::{
    After, BackNode, BeforeDoubt, BeginCommand, ChoiceCommand, Commands, Event, HistoryEntry,
    JournalState, PastProcedure, Plan, PlanCommand, ProcedureError, ProcedureReply, RunningSwitch,
    Shown, Status, SwitchCommand, SwitchError, SwitchReply,
};
use crate::clock;
use crate::model::limits::ENGINE_INBOX;
use crate::model::{Generation, Mode, Revision, Timestamp};
use crate::procedure::Excluded;
use crate::routing::{NodeIndex, Tables};

/// The engine's part of the status.
#[derive(Clone, Debug)]
pub struct Standing {
    pub mode: Mode,
    pub revision: Revision,
    pub generation: Generation,
    pub since: Timestamp,
    pub by: String,
    pub why: Option<String>,
    pub doubt: Option<String>,
    pub before_doubt: BeforeDoubt,
    pub switch: Option<RunningSwitch>,
    pub journal: JournalState,
    pub unfenced_workers: Vec<usize>,
    pub guarded: GuardedCalls,
    /// The procedure that was begun last.
    pub procedure: Option<Arc<Shown>>,
    pub excluded: Vec<Excluded>,
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Constants {
    pub listen: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub warnings: Vec<String>,
    pub started: Timestamp,
}

/// A caller's end of the engine. Dropping a future of it cancels nothing.
#[derive(Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    standing: Arc<ArcSwap<Standing>>,
    events: Arc<Events>,
    evidence: Arc<dyn Evidence>,
    tables: Tables,
    constants: Arc<Constants>,
}

/// Makes the engine: the handle, and the task's future, which ends after [`Handle::stop`].
pub fn engine(
    parts: EngineParts,
    constants: Constants,
) -> (Handle, impl Future<Output = ()> + Send) {
    let (asks, inbox) = mpsc::channel(ENGINE_INBOX);
    let tables = parts.publisher.tables();
    let handle = Handle {
        asks,
        standing: parts.standing.clone(),
        events: parts.events.clone(),
        evidence: parts.evidence.clone(),
        tables: tables.clone(),
        constants: Arc::new(constants),
    };
    let nodes = tables.load().nodes.clone();
    let engine = Engine::new(parts, nodes, inbox);
    // Before anybody can ask.
    engine.show_procedure();
    (handle, engine.run())
}

impl Handle {
    fn snapshot(&self) -> Status {
        let standing = self.standing.load();
        let constants = &*self.constants;
        Status {
            taken: clock::now(),
            mode: standing.mode.clone(),
            revision: standing.revision,
            generation: standing.generation,
            since: standing.since,
            by: standing.by.clone(),
            why: standing.why.clone(),
            doubt: standing.doubt.clone(),
            before_doubt: standing.before_doubt.clone(),
            switch: standing.switch.clone(),
            journal: standing.journal.clone(),
            unfenced_workers: standing.unfenced_workers.clone(),
            must_restart: evidence::must_restart(
                &self.tables.load().nodes,
                &*self.evidence,
                &standing.guarded,
            ),
            procedure: standing.procedure.clone(),
            excluded: standing.excluded.clone(),
            warnings: constants.warnings.clone(),
            nodes: self.nodes(),
            listen: constants.listen.clone(),
            admin: constants.admin,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            started: constants.started,
        }
    }

    fn nodes(&self) -> Vec<BackNode> {
        let table = self.tables.load();
        let now_ms = clock::uptime_ms();
        let node = |(i, node): (usize, &Arc<crate::routing::Node>)| {
            let known = self.evidence.node(NodeIndex(i));
            let (routed, ejected) = (table.allows(NodeIndex(i)), node.is_ejected(now_ms));
            let takes_requests = routed && !ejected && table.takes_requests(known.state);
            BackNode {
                id: node.id.clone(),
                address: node.authority.clone(),
                resolved: node.addresses().to_vec(),
                role: node.role,
                weight: node.weight,
                state: known.state,
                reason: known.reason,
                since: known.since,
                last_answer: known.last_answer,
                routed,
                takes_requests,
                ejected,
                in_flight: node.requests(),
                tunnels: node.tunnels(),
                abandoned: node.abandoned(),
            }
        };
        table.nodes.iter().enumerate().map(node).collect()
    }

    /// Sends an ask and waits for its answer; `None` where the engine has ended.
    async fn asked<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn last_switches(&self, limit: usize) -> Vec<HistoryEntry> {
        self.asked(|reply| Ask::History(limit, reply)).await.unwrap_or_default()
    }

    /// Ends the engine's task; callers that wait are told.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.asks.send(Ask::Stop(done)).await.is_ok() {
            // An error means that it has ended already.
            let _ = stopped.await;
        }
    }
}

impl Commands for Handle {
    async fn status(&self) -> Status {
        self.snapshot()
    }

    async fn switch(&self, command: SwitchCommand) -> Result<SwitchReply, SwitchError> {
        let switched = self.asked(|reply| Ask::Switch(Box::new(command), reply)).await;
        switched.unwrap_or(Err(SwitchError::Stopping))
    }

    fn events(&self, after: Option<After>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        self.events.listen(after)
    }

    async fn plan(&self, command: PlanCommand) -> Result<Plan, ProcedureError> {
        let plan = self.asked(|reply| Ask::Plan(Box::new(command), reply)).await;
        plan.unwrap_or(Err(ProcedureError::Stopping))
    }

    async fn begin(&self, command: BeginCommand) -> Result<ProcedureReply, ProcedureError> {
        let begun = self.asked(|reply| Ask::Begin(Box::new(command), reply)).await;
        begun.unwrap_or(Err(ProcedureError::Stopping))
    }

    async fn choose(&self, command: ChoiceCommand) -> Result<ProcedureReply, ProcedureError> {
        let chosen = self.asked(|reply| Ask::Choose(Box::new(command), reply)).await;
        chosen.unwrap_or(Err(ProcedureError::Stopping))
    }

    async fn procedures(&self, id: Option<u64>) -> Vec<PastProcedure> {
        self.asked(|reply| Ask::Procedures(id, reply)).await.unwrap_or_default()
    }

    async fn history(&self, limit: usize) -> Vec<HistoryEntry> {
        self.last_switches(limit).await
    }
}
