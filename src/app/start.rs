//! The order of a start: lock the state, bind and open everything, read the state, then run. What is
//! wrong with the configuration is found before the first record is written, so that a first start
//! which fails decides nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::audit;
use super::evidence::FromHealth;
use super::{limits, recover};
use crate::config::{self, Config, GroupRole};
use crate::control::{self, Access, ControlListener, Role, SocketError, UnknownGroup};
use crate::dashboard::{self, Vitals};
use crate::drivers::Runner;
use crate::edge::{self, ListenError, Post, Slots, WorkerThread};
use crate::engine::{
    self, BeforeDoubt, Commands, Constants, EngineParts, Equipment, EventKind, GuardedCalls,
    Handle, JournalState, Standing,
};
use crate::fence::Line;
use crate::health::{Health, SystemResolver};
use crate::journal::record::State;
use crate::journal::{self, JournalError, Log as _, Opened, StateDir, StateDirError};
use crate::model::limits::WORKERS_MAX;
use crate::model::{Mode, NodeState};
use crate::notice::{Notice, NoticeSettings, PageError};
use crate::proxy::{Kick, Settings, WorkerParts};
use crate::routing::{Node, NodeIndex, Nodes, Publisher};
use crate::telemetry::{
    AccessError, AccessLog, AccessTarget, Liveness, Log, Metrics, Query, Readiness,
};
use crate::{clock, health};

/// Why the gateway did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{source}{}", state_remedy(.source))]
    StateDir {
        #[from]
        source: StateDirError,
    },
    #[error("{source}; {}", .source.remedy())]
    Journal {
        #[from]
        source: JournalError,
    },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the admin address: {0}")]
    Admin(ListenError),
    #[error(transparent)]
    Control(#[from] SocketError),
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    #[error(transparent)]
    Notice(#[from] PageError),
    #[error(transparent)]
    AccessLog(#[from] AccessError),
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What failed for reasons of the system's own names no way out by itself.
const fn state_remedy(error: &StateDirError) -> &'static str {
    match error {
        StateDirError::Io { .. } | StateDirError::Sync(_) => {
            "; name a folder that the gateway's user may make and write in (state_dir, --state-dir)"
        }
        StateDirError::Held { .. }
        | StateDirError::NotADirectory { .. }
        | StateDirError::NotWritable { .. } => "",
    }
}

/// A running gateway.
pub struct Gateway {
    pub(super) config: Config,
    pub(super) runtime: Runtime,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) lines: Vec<Line>,
    pub(super) open: watch::Sender<bool>,
    pub(super) handle: Handle,
    pub(super) vitals: Vitals,
    pub(super) tasks: TaskTracker,
    pub(super) stop_control: CancellationToken,
    pub(super) stop_rest: CancellationToken,
    pub(super) first_round: watch::Receiver<bool>,
    pub(super) access_log: AccessLog,
    /// Where clients are let in, as bound.
    pub listen: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub control: PathBuf,
    /// Held as long as the gateway lives: nobody else may use this state.
    _state_dir: StateDir,
}

/// What can fail for reasons of the configuration, done before the journal is opened.
struct Prepared {
    bound: Bound,
    nodes: Nodes,
    metrics: Metrics,
    access_log: AccessLog,
    notice: Arc<Notice>,
    runtime: Runtime,
}

fn prepare(config: &Config, workers: usize) -> Result<Prepared, StartError> {
    let nodes = nodes(config);
    let bound = bind(config, workers)?;
    let metrics = Metrics::new(nodes.clone())?;
    let notice = Arc::new(Notice::new(&notice_settings(config))?);
    let access_log = access_log(config, &metrics)?;
    let runtime = control_runtime().map_err(StartError::Thread)?;
    Ok(Prepared { bound, nodes, metrics, access_log, notice, runtime })
}

/// What is bound before anything runs.
struct Bound {
    listeners: edge::Listeners,
    admin: Option<(TcpListener, SocketAddr)>,
    control: ControlListener,
}

/// Starts a gateway; returns when every address is bound, and serves from then on in the
/// background. Clients are let in when the first round of probes is over.
///
/// # Errors
/// [`StartError`] names the thing and the remedy. Nothing is left running.
pub fn start(config: Config, mut warnings: Vec<String>) -> Result<Gateway, StartError> {
    let started = clock::now();
    let open_files = limits::raise_open_files();
    let (connections, complaint) = limits::connections(&config.limits, open_files);
    warnings.extend(complaint);
    let state_dir = StateDir::open(&config.state_dir)?;
    warnings.extend(state_dir.warning());
    let workers = worker_count(&config);
    let prepared = prepare(&config, workers)?;
    let mut opened = journal::open(&state_dir, &config.initial_mode, started)?;
    let state = recover::settle(&mut opened, &config)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(workers, connections, open_files, mode = %state.mode, "starting");
    compose(
        config,
        (state_dir, opened, state),
        prepared,
        Counts { workers, connections, warnings, started },
    )
}

struct Counts {
    workers: usize,
    connections: usize,
    warnings: Vec<String>,
    started: crate::model::Timestamp,
}

fn worker_count(config: &Config) -> usize {
    let cores = || available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    config.workers.map_or_else(cores, std::num::NonZeroUsize::get).min(WORKERS_MAX)
}

fn bind(config: &Config, workers: usize) -> Result<Bound, StartError> {
    let listeners = edge::bind(&config.listen, workers)?;
    let admin = config.admin.map(bind_admin).transpose()?;
    let group = config.control.group.as_deref().map(control::group_id).transpose()?;
    let control = ControlListener::bind(&config.control.path, group)?;
    Ok(Bound { listeners, admin, control })
}

fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Admin(ListenError::new(address, source));
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Runs what was bound: probes, workers, engine, surfaces.
fn compose(
    config: Config,
    (state_dir, opened, state): (StateDir, Opened, State),
    prepared: Prepared,
    counts: Counts,
) -> Result<Gateway, StartError> {
    let Prepared { bound, nodes, metrics, access_log, notice, runtime } = prepared;
    let publisher = publisher(&state, nodes.clone());
    let vitals = vitals(&state, metrics, &publisher);
    let entered = runtime.enter();
    let (stop_control, stop_rest) = (CancellationToken::new(), CancellationToken::new());
    let resolver = SystemResolver::new(config.health.timeout);
    let health = Health::start(&nodes, health_settings(&config), resolver, stop_rest.clone());
    let kicks = health.kicks();
    let parts = WorkerPartsMaker {
        settings: Arc::new(Settings::new(&config, counts.workers)),
        tables: publisher.tables(),
        notice,
        metrics: vitals.metrics.clone(),
        access_log: access_log.clone(),
        kick: Arc::new(move |node| kicks.kick(node)),
    };
    let (open, opening) = watch::channel(false);
    let slots = Slots::new(counts.connections);
    let (workers, lines) = start_workers(bound.listeners.gates, &parts, &slots, &opening)
        .map_err(StartError::Thread)?;
    let listen = bound.listeners.addresses;
    let admin = bound.admin.as_ref().map(|(_, address)| *address);
    let Counts { warnings, started, .. } = counts;
    let constants = Constants { listen: listen.clone(), admin, warnings, started };
    let events = Arc::new(engine::Events::new(started));
    events.tell(state.revision(), started_event(&state));
    let records = opened.journal.subscribe();
    let engine_parts = EngineParts {
        standing: Arc::new(ArcSwap::from_pointee(standing(&state, &opened))),
        journal: opened.journal,
        publisher,
        lines: lines.clone(),
        evidence: Arc::new(FromHealth::of(&health)),
        events: events.clone(),
        metrics: vitals.metrics.clone(),
        liveness: vitals.liveness.clone(),
        guarded: state.guarded,
        equipment: equipment(&config),
    };
    let (handle, engine) = engine::engine(engine_parts, constants);
    let tasks = TaskTracker::new();
    tasks.spawn(engine);
    tasks.spawn(audit(records));
    tasks.spawn(tell_changes(health.changes(), nodes, events, handle.clone()));
    let control = bound.control.path().to_owned();
    let settings = control_settings(&config, vitals.metrics.clone());
    tasks.spawn(serve_control(bound.control, handle.clone(), settings, stop_control.clone()));
    if let Some((listener, _)) = bound.admin {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Thread)?;
        tasks.spawn(dashboard::serve(listener, vitals.clone(), stop_rest.clone()));
    }
    drop(entered);
    Ok(Gateway {
        config,
        runtime,
        workers,
        lines,
        open,
        handle,
        vitals,
        tasks,
        stop_control,
        stop_rest,
        first_round: health.first_round(),
        access_log,
        listen,
        admin,
        control,
        _state_dir: state_dir,
    })
}

/// With the table of the mode that is taken up.
fn publisher(state: &State, nodes: Nodes) -> Publisher {
    let left_out: Vec<_> = state.excluded.iter().map(|excluded| excluded.node.clone()).collect();
    Publisher::new(state.mode.clone(), nodes, &left_out)
}

fn equipment(config: &Config) -> Equipment {
    Equipment {
        runner: Runner::new(config.state_dir.join("commands")),
        nodes: config.nodes.clone(),
        drivers: config.drivers.clone(),
        procedures: config.procedures.clone(),
        drain: config.timeouts.drain,
    }
}

fn vitals(state: &State, metrics: Metrics, publisher: &Publisher) -> Vitals {
    metrics.published(state.mode.kind(), publisher.tables().load().generation);
    metrics.revision(state.revision());
    metrics.doubt(state.doubt.is_some());
    let vitals = Vitals { metrics, readiness: Readiness::default(), liveness: Liveness::default() };
    vitals.readiness.state_loaded();
    vitals
}

fn control_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build()
}

async fn serve_control(
    listener: ControlListener,
    handle: Handle,
    settings: control::Settings,
    stop: CancellationToken,
) {
    if let Err(error) = control::serve(listener, handle, settings, stop).await {
        tracing::error!(%error, "the control socket is not served");
    }
}

/// What every worker gets a copy of.
struct WorkerPartsMaker {
    settings: Arc<Settings>,
    tables: crate::routing::Tables,
    notice: Arc<Notice>,
    metrics: Metrics,
    access_log: AccessLog,
    kick: Kick,
}

impl WorkerPartsMaker {
    fn make(&self) -> WorkerParts {
        WorkerParts {
            settings: self.settings.clone(),
            tables: self.tables.clone(),
            notice: self.notice.clone(),
            metrics: self.metrics.worker(),
            access: self.access_log.worker(),
            kick: self.kick.clone(),
        }
    }
}

fn start_workers(
    gates: Vec<edge::Gate>,
    parts: &WorkerPartsMaker,
    slots: &Slots,
    opening: &watch::Receiver<bool>,
) -> io::Result<(Vec<WorkerThread>, Vec<Line>)> {
    let (mut workers, mut lines) = (Vec::new(), Vec::new());
    for (index, gate) in gates.into_iter().enumerate() {
        let (line, orders) = Line::new(index);
        let post = Post { gate, slots: slots.clone(), orders, open: opening.clone() };
        workers.push(edge::spawn(index, parts.make(), post)?);
        lines.push(line);
    }
    Ok((workers, lines))
}

fn nodes(config: &Config) -> Nodes {
    let node = |node: &config::NodeConfig| {
        let authority = recover::authority(node);
        Arc::new(Node::new(node.id.clone(), node.role, node.weight, authority))
    };
    config.nodes.iter().map(node).collect()
}

fn notice_settings(config: &Config) -> NoticeSettings {
    NoticeSettings {
        page: config.notice.page.clone(),
        retry_after: config.notice.retry_after,
        paths: config.app.clone(),
        ..NoticeSettings::default()
    }
}

fn access_log(config: &Config, metrics: &Metrics) -> Result<AccessLog, AccessError> {
    let target = match &config.log.access {
        config::AccessLog::Off => AccessTarget::Off,
        config::AccessLog::Stdout => AccessTarget::Stdout,
        config::AccessLog::File(path) => AccessTarget::File(path.clone()),
    };
    let query = match config.log.query {
        config::QueryLogging::Omit => Query::Cut,
        config::QueryLogging::Keep => Query::Keep,
    };
    let log = AccessLog::start(&target, query)?;
    metrics.watch_dropped(Log::Access, log.dropped());
    Ok(log)
}

fn health_settings(config: &Config) -> health::Settings {
    health::Settings {
        interval: config.health.interval,
        timeout: config.health.timeout,
        rise: config.health.rise,
        fall: config.health.fall,
        paths: config.app.clone(),
    }
}

fn control_settings(config: &Config, metrics: Metrics) -> control::Settings {
    let mut access = Access::new(rustix::process::getuid().as_raw());
    access.group_role = match config.control.group_role {
        GroupRole::Viewer => Role::Viewer,
        GroupRole::Operator => Role::Operator,
    };
    let drain_timeout = config.timeouts.drain;
    control::Settings { access, drain_timeout, bounds: control::Bounds::default(), metrics }
}

fn standing(state: &State, opened: &Opened) -> Standing {
    let journal = match opened.journal.degraded() {
        None => JournalState::Ok,
        Some(reason) => JournalState::Degraded(reason.to_owned()),
    };
    Standing {
        mode: state.mode.clone(),
        revision: state.revision(),
        generation: crate::model::Generation(1),
        since: state.since,
        by: state.by.clone(),
        why: state.why.clone(),
        doubt: state.doubt.clone(),
        before_doubt: BeforeDoubt {
            mode: state.mode_before.clone(),
            damaged_journal: state.kept_as.clone(),
        },
        switch: None,
        journal,
        unfenced_workers: Vec::new(),
        guarded: GuardedCalls { ran: state.guarded.clone(), under_way: Vec::new() },
        procedure: None,
        excluded: state.excluded.clone(),
    }
}

fn started_event(state: &State) -> EventKind {
    if let Some(doubt) = &state.doubt {
        tracing::warn!(%doubt, "came up raised, in doubt; the next command ends it");
    }
    EventKind::Started { mode: Mode::clone(&state.mode), doubt: state.doubt.clone() }
}

/// Passes health's changes on to those who listen on the control socket.
async fn tell_changes(
    mut changes: tokio::sync::broadcast::Receiver<health::Change>,
    nodes: Nodes,
    events: Arc<engine::Events>,
    handle: Handle,
) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match changes.recv().await {
            Ok(health::Change { index: NodeIndex(index), from, to, reason }) => {
                let Some(node) = nodes.get(index) else { continue };
                match to {
                    NodeState::Down | NodeState::Failing => {
                        tracing::warn!(node = %node.id, %from, %to, %reason, "a node is lost");
                    }
                    NodeState::Unknown
                    | NodeState::Starting
                    | NodeState::Ready
                    | NodeState::Busy => {
                        tracing::info!(node = %node.id, %from, %to, %reason, "a node changed");
                    }
                }
                let revision = handle.status().await.revision;
                let node = node.id.clone();
                events.tell(revision, EventKind::NodeChanged { node, from, to, reason });
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "changes of nodes were not told");
            }
            Err(RecvError::Closed) => return,
        }
    }
}
