//! The node behind the connections: its state, its commands, and who is connected.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::record::Recorder;
use super::words::{self, Refresh};
use super::{Options, StandInError, State};

/// Frames that a slow WebSocket may fall behind by before it misses some.
const FRAMES_BEHIND_MAX: usize = 1_024;
/// What a command says while it runs, in equal parts of its time.
const COMMAND_MESSAGES: [&str; 8] = [
    "app reload",
    "init plugins",
    "start load",
    "before load plugin [acl], 1/12",
    "load plugin [acl], 1/12",
    "load plugin [workflow], 12/12",
    "starting app...",
    "emit afterStart",
];

/// A command of NocoBase: it makes the API 503 for its time.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// As in `command.name`.
    pub(super) name: String,
    pub(super) time: Duration,
    pub(super) refresh: Refresh,
}

/// Counts one thing for as long as it lives.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Node {
    pub(super) options: Options,
    pub(super) state: watch::Sender<State>,
    pub(super) recorder: Arc<Recorder>,
    /// Text frames for every WebSocket.
    pub(super) frames: broadcast::Sender<Arc<str>>,
    /// Plugins that this process loaded.
    serving: Mutex<BTreeSet<String>>,
    /// Names of applications that were asked for and do not exist.
    strangers: Mutex<BTreeSet<String>>,
    /// Ends everything at once.
    pub(super) ended: CancellationToken,
    /// SIGTERM came: in-flight requests fail, WebSockets stay.
    pub(super) leaving: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Moves when held requests are let go.
    pub(super) released: watch::Sender<u64>,
    pub(super) listening: AtomicBool,
    pub(super) held: Arc<AtomicUsize>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) websockets: Arc<AtomicUsize>,
    connections_seen: AtomicU64,
    /// Number of the running command; a state that is set from outside ends it.
    command: AtomicU64,
}

impl Node {
    /// # Errors
    /// The database is of a newer version, or the file for the requests cannot be had.
    pub(super) fn new(options: Options) -> Result<Arc<Self>, StandInError> {
        options.database.migrate(&options.version)?;
        let serving = Mutex::new(options.database.enabled());
        let recorder = Arc::new(Recorder::new(options.requests.as_deref())?);
        Ok(Arc::new(Self {
            options,
            state: watch::Sender::new(State::Running),
            recorder,
            frames: broadcast::Sender::new(FRAMES_BEHIND_MAX),
            serving,
            strangers: Mutex::default(),
            ended: CancellationToken::new(),
            leaving: CancellationToken::new(),
            tasks: TaskTracker::new(),
            released: watch::Sender::new(0),
            listening: AtomicBool::new(false),
            held: Arc::default(),
            connections: Arc::default(),
            websockets: Arc::default(),
            connections_seen: AtomicU64::new(0),
            command: AtomicU64::new(0),
        }))
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.connections_seen.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn connections_seen(&self) -> u64 {
        self.connections_seen.load(Ordering::SeqCst)
    }

    /// A state that someone outside wants; a running command is forgotten.
    pub(super) fn set_state(&self, state: State) {
        self.command.fetch_add(1, Ordering::SeqCst);
        self.turn(state);
    }

    /// Every change of the state. Nothing brings back a node that is leaving: a start that SIGTERM
    /// met half way would go on over it.
    fn turn(&self, state: State) {
        self.state.send_if_modified(|now| {
            let may = state == State::Stopping || !self.leaving.is_cancelled();
            if may {
                *now = state;
            }
            may
        });
    }

    /// Returns once the node reads what arrives.
    pub(super) async fn awake(&self) {
        if matches!(*self.state.borrow(), State::Frozen) {
            // The sender lives in `self`, so this ends only when the state moves on.
            let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Frozen)).await;
        }
    }

    pub(super) fn serves(&self, plugin: &str) -> bool {
        lock(&self.serving).contains(plugin)
    }

    /// Notes that this application was asked for; true the first time.
    pub(super) fn meets_stranger(&self, name: &str) -> bool {
        const STRANGERS_MAX: usize = 10_000;
        let mut strangers = lock(&self.strangers);
        strangers.len() < STRANGERS_MAX && strangers.insert(name.to_owned())
    }

    /// Starts a command: the API is 503 when this returns, and for the command's time.
    pub(super) fn run(self: &Arc<Self>, command: Command) {
        let number = self.command.fetch_add(1, Ordering::SeqCst) + 1;
        self.say(&command.name, COMMAND_MESSAGES[0]);
        let node = Arc::clone(self);
        self.tasks.spawn(async move { node.finish(command, number).await });
    }

    async fn finish(self: Arc<Self>, command: Command, number: u64) {
        let superseded = || self.command.load(Ordering::SeqCst) != number;
        let part = command.time / COMMAND_MESSAGES.len() as u32;
        for message in &COMMAND_MESSAGES[1..] {
            tokio::time::sleep(part).await;
            if superseded() {
                return;
            }
            self.say(&command.name, message);
        }
        tokio::time::sleep(part).await;
        if superseded() {
            return;
        }
        // Whatever the command was, the process has now loaded what the database says.
        *lock(&self.serving) = self.options.database.enabled();
        self.turn(State::Running);
        let message = "application main is running";
        self.tell(&words::state_frame("APP_RUNNING", message, command.refresh));
    }

    fn say(&self, name: &str, message: &str) {
        self.turn(State::Commanding { name: name.to_owned(), message: message.to_owned() });
        self.tell(&words::commanding_frame(name, message));
    }

    /// Sends a text frame to every WebSocket.
    pub(super) fn tell(&self, text: &str) {
        // It fails when there is no WebSocket.
        let _ = self.frames.send(text.into());
    }

    /// What NocoBase does on SIGTERM: see `StandIn::stop_like_nocobase`.
    pub(super) async fn leave(self: Arc<Self>) {
        tokio::time::sleep(self.options.stop_delay).await;
        self.leaving.cancel();
        self.set_state(State::Stopping);
        for (code, message) in [
            ("APP_RUNNING", "destroying app..."),
            ("APP_RUNNING", "stopping app..."),
            ("APP_STOPPED", "application main is stopped"),
        ] {
            self.tell(&words::state_frame(code, message, Refresh::NotAsked));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
