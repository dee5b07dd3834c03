//! How the nodes are doing: active probes, a pure verdict, and a board to read it from.
//!
//! One task for each node, on the control plane's runtime, resolves its name, probes it and moves
//! its state, which the workers' pick reads. Health publishes no table and changes no mode.

mod attention;
mod board;
mod probe;
mod resolve;
mod service;
mod unreached;
mod verdict;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use attention::Attention;
pub use board::{Board, NodeReport};
pub use resolve::{Resolve, ResolveError, SystemResolver};

use crate::clock;
use crate::model::NodeState;
use crate::model::limits::HEALTH_CHANGES_KEPT;
use crate::nocobase::Paths;
use crate::routing::{NodeIndex, Nodes};
use probe::{HttpProbe, Probe};
use service::Watch;

/// How nodes are probed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between the starts of two rounds, give or take a tenth.
    pub interval: Duration,
    /// For both calls of a round together; less than `interval`.
    pub timeout: Duration,
    /// Ready readings in a row that make a node ready.
    pub rise: NonZeroU32,
    /// Other readings in a row that take a node out.
    pub fall: NonZeroU32,
    pub paths: Paths,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(1_500),
            rise: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
            fall: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN),
            paths: Paths::default(),
        }
    }
}

/// A node came into another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub index: NodeIndex,
    pub from: NodeState,
    pub to: NodeState,
    pub reason: String,
}

/// Asks for a look at a node right now. Cloned into every worker.
#[derive(Clone, Debug)]
pub struct Kicks(Arc<[Notify]>);

impl Kicks {
    /// A connection to this node failed: resolve and probe it now rather than at the next turn.
    /// Never waits; kicks while one is pending are one kick.
    pub fn kick(&self, index: NodeIndex) {
        if let Some(kick) = self.0.get(index.0) {
            kick.notify_one();
        }
    }
}

/// The running probes. Dropping it leaves them running until the token given to
/// [`start`](Self::start) is cancelled.
#[derive(Debug)]
pub struct Health {
    board: Board,
    kicks: Kicks,
    attention: Attention,
    changes: broadcast::Sender<Change>,
    first_round: watch::Receiver<bool>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Health {
    /// Starts one task for each node that has an address, on the runtime of the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<R: Resolve>(
        nodes: &Nodes,
        settings: Settings,
        resolver: R,
        stop: CancellationToken,
    ) -> Self {
        let probe = HttpProbe::new(&settings.paths, settings.timeout);
        Self::start_with(nodes, settings, Arc::new(probe), Arc::new(resolver), stop)
    }

    fn start_with<P: Probe, R: Resolve>(
        nodes: &Nodes,
        settings: Settings,
        probe: Arc<P>,
        resolver: Arc<R>,
        stop: CancellationToken,
    ) -> Self {
        let board = Board::new(nodes.len(), clock::now());
        let kicks = Kicks(nodes.iter().map(|_| Notify::new()).collect());
        let attention = Attention::new(kicks.clone());
        let (changes, _) = broadcast::channel(HEALTH_CHANGES_KEPT);
        let probed = nodes.iter().filter(|node| !node.authority.is_empty()).count();
        let (pending, first_round) = FirstRound::of(probed);
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            settings,
            probe,
            resolver,
            board: board.clone(),
            kicks: kicks.clone(),
            attention: attention.clone(),
            changes: changes.clone(),
            first_round: pending,
        });
        for (index, node) in nodes.iter().enumerate() {
            let index = NodeIndex(index);
            if node.authority.is_empty() {
                board.write(index, |report| report.reason = "no address".to_owned());
                continue;
            }
            let watch = Watch::new(index, node.clone(), shared.clone());
            tasks.spawn(watch.run(stop.clone()));
        }
        tasks.close();
        Self { board, kicks, attention, changes, first_round, tasks, stop }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    pub fn kicks(&self) -> Kicks {
        self.kicks.clone()
    }

    /// Through it, the probes are told to look now, again, or closely.
    pub fn attention(&self) -> Attention {
        self.attention.clone()
    }

    /// Looks the build and the plugins of a node up again: see [`Attention::look_again`].
    pub fn look_again(&self, index: NodeIndex) {
        self.attention.look_again(index);
    }

    /// Every change from here on. A reader that falls behind by [`HEALTH_CHANGES_KEPT`] is told
    /// how many it missed; the board has the present.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Becomes `true` when every node that has an address has its first verdict.
    pub fn first_round(&self) -> watch::Receiver<bool> {
        self.first_round.clone()
    }

    /// Returns when every node that has an address has its first verdict.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn first_round_over(&self) {
        // An error means that the probes were stopped before: nothing more is to come.
        let _ = self.first_round.clone().wait_for(|over| *over).await;
    }

    /// Ends every probe. The nodes keep their last states.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// What the tasks of all nodes share.
struct Shared<P, R> {
    settings: Settings,
    probe: Arc<P>,
    resolver: Arc<R>,
    board: Board,
    kicks: Kicks,
    attention: Attention,
    changes: broadcast::Sender<Change>,
    first_round: FirstRound,
}

/// Counts down the nodes without a verdict.
struct FirstRound {
    pending: AtomicUsize,
    over: watch::Sender<bool>,
}

impl FirstRound {
    fn of(nodes: usize) -> (Self, watch::Receiver<bool>) {
        let (over, receiver) = watch::channel(nodes == 0);
        (Self { pending: AtomicUsize::new(nodes), over }, receiver)
    }

    fn one_less(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.send_replace(true);
        }
    }
}
