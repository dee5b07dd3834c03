//! One worker thread's state: its view of the table, its connections, what it holds on each node.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use slab::Slab;
use tokio::sync::Notify;

use super::attempt::{Attempt, AttemptState, CutCause, Progress};
use super::client::Client;
use super::retry::RetryBudget;
use super::tunnel::TunnelState;
use crate::clock;
use crate::config::{Config, IpNet};
use crate::model::ModeKind;
use crate::model::limits::{PLACES_KEPT, STOP_IDLE_TIME};
use crate::nocobase::Paths;
use crate::notice::{self, Notice};
use crate::routing::{Balance, NoNode, NodeIndex, Nodes, Reader, Rotation, Table, Tables, Tried};
use crate::telemetry::{AccessWriter, WorkerMetrics};
use crate::upstream::{Departure, Pool};

/// What every worker is told at its start; shared, never changes.
#[derive(Debug)]
pub struct Settings {
    pub balance: Balance,
    pub paths: Paths,
    pub trusted_proxies: Vec<IpNet>,
    pub head_timeout: Duration,
    pub keep_alive: Duration,
    pub body_stall: Duration,
    pub connect_timeout: Duration,
    pub response_head_timeout: Duration,
    pub request_body_max: Option<u64>,
    pub workers: usize,
}

impl Settings {
    pub fn new(config: &Config, workers: usize) -> Self {
        Self {
            balance: config.balance,
            paths: config.app.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            head_timeout: config.timeouts.head,
            keep_alive: config.timeouts.keep_alive,
            body_stall: config.timeouts.body_stall,
            connect_timeout: config.timeouts.connect,
            response_head_timeout: config.timeouts.response_head,
            request_body_max: config.limits.request_body,
            workers,
        }
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(peer))
    }
}

/// Called when a node did something that health should look at now. Must not block.
pub type Kick = Arc<dyn Fn(NodeIndex) + Send + Sync>;

/// What is counted of one node on one worker.
#[derive(Debug, Default)]
struct Held {
    requests: Cell<usize>,
    tunnels: Cell<usize>,
}

/// Everything one worker thread owns. Not `Send`; shared by its tasks through an `Rc`.
pub struct Worker {
    pub index: usize,
    pub settings: Arc<Settings>,
    pub nodes: Nodes,
    pub notice: Arc<Notice>,
    pub metrics: WorkerMetrics,
    pub access: RefCell<AccessWriter>,
    pub(super) pool: RefCell<Pool>,
    pub(super) retries: RefCell<RetryBudget>,
    kick: Kick,
    table: RefCell<Reader>,
    rotation: RefCell<Rotation>,
    held: Vec<Held>,
    attempts: RefCell<Slab<Rc<AttemptState>>>,
    /// The memory of attempts that have ended.
    spare: RefCell<Vec<Rc<AttemptState>>>,
    tunnels: RefCell<Slab<Rc<TunnelState>>>,
    clients: RefCell<Slab<Rc<Client>>>,
    now_ms: Cell<u64>,
    /// Told whenever something ends, while somebody waits for a drain.
    pub(super) ended: Notify,
    stopping: Cell<Stopping>,
    /// The Date line of our own answers, as of the last tick.
    date: RefCell<HeaderValue>,
}

/// How far the worker's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Since this uptime, answers close their connections.
    Answering(u64),
    /// And connections between two requests are closed.
    ClosingIdle,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What a worker is built from, besides its number.
pub struct WorkerParts {
    pub settings: Arc<Settings>,
    pub tables: Tables,
    pub notice: Arc<Notice>,
    pub metrics: WorkerMetrics,
    pub access: AccessWriter,
    pub kick: Kick,
}

impl Worker {
    pub fn new(index: usize, parts: WorkerParts) -> Rc<Self> {
        let nodes = parts.tables.load().nodes.clone();
        Rc::new(Self {
            index,
            table: RefCell::new(parts.tables.reader()),
            rotation: RefCell::new(Rotation::new(nodes.len(), index)),
            held: nodes.iter().map(|_| Held::default()).collect(),
            pool: RefCell::new(Pool::new(nodes.len())),
            retries: RefCell::new(RetryBudget::default()),
            nodes,
            settings: parts.settings,
            notice: parts.notice,
            metrics: parts.metrics,
            access: RefCell::new(parts.access),
            kick: parts.kick,
            attempts: RefCell::default(),
            spare: RefCell::default(),
            tunnels: RefCell::default(),
            clients: RefCell::default(),
            now_ms: Cell::new(clock::uptime_ms()),
            ended: Notify::new(),
            stopping: Cell::new(Stopping::No),
            date: RefCell::new(http_date()),
        })
    }

    /// Uptime as of the worker's last tick: coarse, and free to read.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The time, as HTTP says it.
    pub fn date(&self) -> HeaderValue {
        self.date.borrow().clone()
    }

    pub fn kick(&self, node: NodeIndex) {
        (self.kick)(node);
    }

    /// A look at the published table. `look` cannot await, so nothing decided in it grows old.
    pub fn with_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(self.table.borrow_mut().current())
    }

    pub fn mode(&self) -> ModeKind {
        self.with_table(|table| table.mode.kind())
    }

    /// Does the published table still route to `node`?
    pub fn allows(&self, node: NodeIndex) -> bool {
        self.with_table(|table| table.allows(node))
    }

    /// Load, pick, guard and count, with no await between them: what the fence is proven by.
    ///
    /// # Errors
    /// [`NoNode`] says why there is no node for this request now.
    pub fn begin_attempt(self: &Rc<Self>, tried: &Tried) -> Result<Attempt, NoNode> {
        let rotation = &mut *self.rotation.borrow_mut();
        let now_ms = self.now_ms();
        let balance = self.settings.balance;
        let index = self.with_table(|table| table.pick(balance, rotation, tried, now_ms))?;
        let mut attempts = self.attempts.borrow_mut();
        let place = attempts.vacant_entry();
        let state = self.in_spare(AttemptState::new(index, place.key(), now_ms));
        place.insert(state.clone());
        if let (Some(held), Some(node)) = (self.held.get(index.0), self.nodes.get(index.0)) {
            held.requests.set(held.requests.get() + 1);
            node.request_began();
        }
        Ok(Attempt::new(self.clone(), state))
    }

    /// Puts an attempt where an earlier one was.
    fn in_spare(&self, attempt: AttemptState) -> Rc<AttemptState> {
        let spare = self.spare.borrow_mut().pop();
        if let Some(mut state) = spare
            && let Some(place) = Rc::get_mut(&mut state)
        {
            *place = attempt;
            return state;
        }
        Rc::new(attempt)
    }

    /// Keeps the memory of an attempt that nobody holds any more, or soon will not.
    pub(super) fn keep_spare(&self, attempt: Rc<AttemptState>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < PLACES_KEPT {
            spare.push(attempt);
        }
    }

    /// Takes an attempt out of the count, once: when its request ends, or when a switch cuts it.
    pub(super) fn end_attempt(&self, attempt: &AttemptState) {
        if !attempt.ends() {
            return;
        }
        let index = attempt.node;
        self.attempts.borrow_mut().try_remove(attempt.key());
        if let (Some(held), Some(node)) = (self.held.get(index.0), self.nodes.get(index.0)) {
            held.requests.set(held.requests.get().saturating_sub(1));
            node.request_ended();
            if attempt.is_seen() {
                node.request_abandoned();
            }
        }
        self.ended.notify_one();
    }

    pub(super) fn begin_tunnel(&self, state: Rc<TunnelState>) -> usize {
        let index = state.node;
        if let (Some(held), Some(node)) = (self.held.get(index.0), self.nodes.get(index.0)) {
            held.tunnels.set(held.tunnels.get() + 1);
            node.tunnel_began();
        }
        self.tunnels.borrow_mut().insert(state)
    }

    pub(super) fn end_tunnel(&self, key: usize, index: NodeIndex) {
        self.tunnels.borrow_mut().try_remove(key);
        if let (Some(held), Some(node)) = (self.held.get(index.0), self.nodes.get(index.0)) {
            held.tunnels.set(held.tunnels.get().saturating_sub(1));
            node.tunnel_ended();
        }
        self.ended.notify_one();
    }

    /// Requests and tunnels that this worker holds on `index`.
    pub(super) fn held_on(&self, index: NodeIndex) -> (usize, usize) {
        let held = self.held.get(index.0);
        held.map_or((0, 0), |held| (held.requests.get(), held.tunnels.get()))
    }

    /// The attempts on nodes that `wanted` picks out.
    pub(super) fn attempts_on(&self, wanted: impl Fn(NodeIndex) -> bool) -> Vec<Rc<AttemptState>> {
        let attempts = self.attempts.borrow();
        attempts.iter().map(|(_, a)| a).filter(|a| wanted(a.node)).cloned().collect()
    }

    pub(super) fn tunnels_on(&self, wanted: impl Fn(NodeIndex) -> bool) -> Vec<Rc<TunnelState>> {
        let tunnels = self.tunnels.borrow();
        tunnels.iter().map(|(_, t)| t).filter(|t| wanted(t.node)).cloned().collect()
    }

    pub fn add_client(&self, client: Rc<Client>) -> usize {
        self.clients.borrow_mut().insert(client)
    }

    pub fn remove_client(&self, key: usize) {
        self.clients.borrow_mut().try_remove(key);
        self.ended.notify_one();
    }

    pub fn clients(&self) -> usize {
        self.clients.borrow().len()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get() != Stopping::No
    }

    /// Have connections between two requests waited long enough for one more?
    pub fn is_closing_idle(&self) -> bool {
        self.stopping.get() == Stopping::ClosingIdle
    }

    /// From now on answers close their connections; those that are idle are closed a little later,
    /// because their next request may be on its way.
    pub fn stop_keeping_alive(&self) {
        self.stopping.set(Stopping::Answering(clock::uptime_ms()));
        self.wake_clients();
    }

    fn wake_clients(&self) {
        for (_, client) in &*self.clients.borrow() {
            client.wake();
        }
    }

    /// Ends every request at its node; their clients get their last words.
    pub fn cut_attempts(&self) {
        for (_, attempt) in &*self.attempts.borrow() {
            attempt.cut(CutCause::Switch);
        }
    }

    /// Ends every connection of a client.
    pub fn cut_clients(&self) {
        for (_, client) in &*self.clients.borrow() {
            client.cut();
        }
    }

    /// Why there is no node for a request now, as people are told.
    pub(super) fn why_notice(&self) -> notice::Why {
        match self.mode() {
            ModeKind::Maintenance => notice::Why::Raised,
            ModeKind::Cluster | ModeKind::Single => notice::Why::NoNode,
        }
    }

    /// Hands over what this thread has buffered for others.
    pub fn flush(&self) {
        self.access.borrow_mut().flush();
    }

    /// Closes the idle connections to every node that the published table leaves out.
    pub(super) fn close_idle_on_removed(&self) {
        let left = |node, left| self.idle_left(node, left);
        self.pool.borrow_mut().retain(|node| self.allows(node), left);
    }

    pub(super) fn idle_left(&self, node: NodeIndex, left: Departure) {
        self.metrics.idle_left(node);
        match left {
            Departure::Stale => self.metrics.stale_replaced(node),
            Departure::Taken | Departure::Closed => {}
        }
    }

    /// The coarse timer: moves the clock, ends what is overdue, sweeps the pool.
    pub fn tick(&self) {
        let now_ms = clock::uptime_ms();
        self.now_ms.set(now_ms);
        self.date.replace(http_date());
        self.retries.borrow_mut().tick();
        self.pool.borrow_mut().sweep(now_ms, |node, left| self.idle_left(node, left));
        self.flush();
        if let Stopping::Answering(since_ms) = self.stopping.get()
            && millis(STOP_IDLE_TIME) <= now_ms.saturating_sub(since_ms)
        {
            self.stopping.set(Stopping::ClosingIdle);
            self.wake_clients();
        }
        for (_, client) in &*self.clients.borrow() {
            client.enforce_limits(&self.settings, now_ms);
        }
        for (_, attempt) in &*self.attempts.borrow() {
            self.enforce_node_limits(attempt, now_ms);
        }
    }

    fn enforce_node_limits(&self, attempt: &AttemptState, now_ms: u64) {
        let (owed_since_ms, limit) = match attempt.progress() {
            Progress::Begun | Progress::Completed => return,
            Progress::Written => {
                (Some(attempt.owes_head_since_ms()), self.settings.response_head_timeout)
            }
            Progress::Answering => (attempt.owes_body_since_ms(), self.settings.body_stall),
        };
        let waited = owed_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        if millis(limit) <= waited {
            attempt.cut(CutCause::NodeTimeout);
        }
    }
}

/// The wall clock in the form of RFC 9110 section 5.6.7.
fn http_date() -> HeaderValue {
    HeaderValue::try_from(clock::now().to_http()).unwrap_or(HeaderValue::from_static(""))
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
