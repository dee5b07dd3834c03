//! A stand-in for a NocoBase node: small, faithful where a gateway looks, and obedient to tests.
//!
//! It was held beside real NocoBase 2.2.15 nodes; `tests/nocobase/conformance.py` asks both the same
//! questions. It speaks HTTP/1.1 and WebSocket over its own small code, because a library rightly
//! refuses to send what a broken node sends. What it adds to NocoBase lies under `/__test/` (see
//! `faults.rs`) and in the WebSocket's `test:` messages (see `websocket.rs`).
//!
//! Each stand-in has a thread and a runtime of its own, so that a busy gateway in the same test
//! does not slow it.

mod answers;
mod connection;
mod database;
mod faults;
mod frame;
mod head;
mod listen;
mod node;
pub mod process;
mod record;
mod reply;
mod streams;
mod trouble;
mod websocket;
mod wire;
mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

pub use database::{Database, Downgrade};
use node::Node;
pub use record::{Outcome, RECORDS_MAX, Record};

/// Whether commands (`app:restart`, `pm:enable`, ...) need a login. A real node asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Asked,
    NotAsked,
}

/// How a stand-in starts and what it claims to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub id: String,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Of the code; a start moves the database's version up to it.
    pub version: String,
    /// The hash in the shell's `/assets/index-<hash>.js`: what this process really runs.
    pub build: String,
    /// After a start connections are refused for this long (a real node: 8 to 14 s) ...
    pub refused_time: Duration,
    /// ... and then the shell answers, but the API is 503, for this long (6 to 12 s).
    pub starting_time: Duration,
    /// How long `app:restart` keeps the API 503 (3.6 s).
    pub restart_time: Duration,
    /// How long `pm:enable` and its like keep the API 503 (10 s).
    pub enable_time: Duration,
    /// Announced; an idle connection is closed 1 s after it.
    pub keep_alive: Duration,
    /// From SIGTERM until the listener is closed (0.75 s).
    pub stop_delay: Duration,
    pub login: Login,
    /// Gets a line `MILLISECONDS METHOD TARGET` for every public request as it arrives. It
    /// survives the node, so that what reached it before it stopped can be counted after it.
    pub requests: Option<PathBuf>,
    /// What the nodes of one cluster share.
    pub database: Arc<Database>,
}

impl Default for Options {
    /// A node for tests: ready at once, with short commands that need no login.
    fn default() -> Self {
        Self {
            id: "node".into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            version: "2.2.15".into(),
            build: "93181bbb".into(),
            refused_time: Duration::ZERO,
            starting_time: Duration::ZERO,
            restart_time: Duration::from_millis(200),
            enable_time: Duration::from_millis(400),
            keep_alive: Duration::from_secs(5),
            stop_delay: Duration::ZERO,
            login: Login::NotAsked,
            requests: None,
            database: Arc::default(),
        }
    }
}

/// The hash that a stand-in of this version shows where it is told no other: versions differ in
/// it, and the default version has that of the real node it was held beside.
pub fn build_of(version: &str) -> String {
    if version == "2.2.15" {
        return "93181bbb".to_owned();
    }
    // FNV-1a: the same in every process and on every machine.
    let hash = version
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// What the node is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Connections are refused; the open ones live on.
    PortClosed,
    /// Connections are accepted, and nothing that arrives is answered.
    Frozen,
    /// A front server in the node's container answers everything with this (502, 504).
    RefusingFront(u16),
    /// The shell answers; the API is 503 with this message.
    Starting {
        message: String,
    },
    Running,
    /// A command runs: as starting, with the command's name (`restart`, `pm.enable`, `upgrade`).
    Commanding {
        name: String,
        message: String,
    },
    /// Health still says 200, the API 500.
    DatabaseDown,
    /// Health still says 200, the API this: 404 and then 500 after a failed command.
    ApiBroken(u16),
    /// SIGTERM was taken: the port is closed, every request gets 500.
    Stopping,
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    #[error("the stand-in cannot bind {listen}; another process may hold it")]
    Bind {
        listen: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Downgrade(#[from] Downgrade),
    #[error("the stand-in cannot write requests to {}", .path.display())]
    Requests {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the stand-in cannot {action}")]
    Start {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

/// A running stand-in. Dropped, it stops.
pub struct StandIn {
    node: Arc<Node>,
    addr: SocketAddr,
    runtime: Handle,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Binds, then serves on a thread of its own. Without start-up times it is ready on return.
    ///
    /// # Errors
    /// The address is taken, the database is of a newer version, or the system gives no thread.
    pub fn start(options: Options) -> Result<Self, StandInError> {
        let listen = options.listen;
        let port =
            listen::Port::bind(listen).map_err(|source| StandInError::Bind { listen, source })?;
        let addr = port.addr;
        let name = format!("stand-in {}", options.id);
        let node = Node::new(options)?;
        if node.options.refused_time.is_zero() {
            port.listen().map_err(|source| StandInError::Bind { listen, source })?;
            node.listening.store(true, Ordering::SeqCst);
        }
        if !(node.options.refused_time + node.options.starting_time).is_zero() {
            node.set_state(State::PortClosed);
        }
        let failed = |action| move |source| StandInError::Start { action, source };
        // After all that may fail: it must not be dropped within the runtime of a caller.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed("start its runtime"))?;
        let handle = runtime.handle().clone();
        let served = Arc::clone(&node);
        let thread = thread::Builder::new().name(name).spawn(move || {
            // Dropping the runtime afterwards drops every connection.
            runtime.block_on(listen::serve(served, port));
        });
        let thread = Some(thread.map_err(failed("start its thread"))?);
        Ok(Self { node, addr, runtime: handle, thread })
    }

    pub fn id(&self) -> &str {
        &self.node.options.id
    }

    /// Where it listens; the port is the real one.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn state(&self) -> State {
        self.node.state.borrow().clone()
    }

    /// Puts the node into a state; a running command is forgotten.
    ///
    /// The port follows [`State::PortClosed`] a moment later: [`Self::is_listening`] tells.
    pub fn set_state(&self, state: State) {
        self.node.set_state(state);
    }

    pub fn is_listening(&self) -> bool {
        self.node.listening.load(Ordering::SeqCst)
    }

    /// The newest [`RECORDS_MAX`] requests since the last [`Self::clear_records`], oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.node.recorder.records()
    }

    pub fn clear_records(&self) {
        self.node.recorder.clear();
    }

    /// Records forgotten because there were more than [`RECORDS_MAX`].
    pub fn records_dropped(&self) -> u64 {
        self.node.recorder.dropped()
    }

    /// Public requests begun since the last [`Self::clear_records`]: all but the gateway's probes.
    pub fn hits(&self) -> u64 {
        self.node.recorder.hits()
    }

    /// Probes of the gateway since the last [`Self::clear_records`].
    pub fn probes(&self) -> u64 {
        self.node.recorder.probes()
    }

    pub fn open_connections(&self) -> usize {
        self.node.connections.load(Ordering::SeqCst)
    }

    pub fn open_websockets(&self) -> usize {
        self.node.websockets.load(Ordering::SeqCst)
    }

    /// Connections accepted since the start.
    pub fn connections_seen(&self) -> u64 {
        self.node.connections_seen()
    }

    /// Requests that wait in `/__test/hold` and `/__test/stall`.
    pub fn held(&self) -> usize {
        self.node.held.load(Ordering::SeqCst)
    }

    /// Lets go of every request that is held now.
    pub fn release(&self) {
        self.node.released.send_modify(|count| *count += 1);
    }

    /// Sends a text frame to every WebSocket.
    pub fn broadcast(&self, text: &str) {
        self.node.tell(text);
    }

    /// What NocoBase does on SIGTERM: the port closes, in-flight requests get 500, WebSockets are
    /// told `APP_STOPPED` and are *not* closed. See [`Self::has_left`].
    pub fn stop_like_nocobase(&self) {
        self.node.tasks.spawn_on(Arc::clone(&self.node).leave(), &self.runtime);
    }

    /// Whether a process after [`Self::stop_like_nocobase`] would be gone: no connection is left.
    pub fn has_left(&self) -> bool {
        self.node.leaving.is_cancelled() && !self.is_listening() && self.open_connections() == 0
    }

    /// Ends everything at once, as SIGKILL does, and waits for the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.node.ended.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the stand-in was printed by its thread; a drop must not panic again.
            let _ = thread.join();
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}
