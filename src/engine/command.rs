//! What can be asked of the engine, and what it answers.

use std::time::Duration;

use crate::model::limits::WHY_BYTES_MAX;
use crate::model::{Generation, Mode, NodeId, NodeState, Revision, Timestamp, counted};
use crate::procedure::{Kind, Phase};

/// Who asks, as the kernel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    /// The user's name where the system knows one, else `uid N`.
    pub name: String,
    pub pid: Option<i32>,
}

/// A reason that goes into the audit: 1 to [`WHY_BYTES_MAX`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why(String);

impl Why {
    /// `None` where the text is empty, too long, or holds control characters.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let legal =
            !text.is_empty() && text.len() <= WHY_BYTES_MAX && !text.chars().any(char::is_control);
        legal.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key under which a repeated command is harmless, and a digest of the command it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of the command's body, in hexadecimal.
    pub digest: String,
}

/// How far a switch goes before its caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Nothing old is left on removed nodes, or it was cut and counted.
    Drained,
    /// Every worker routes by the new table.
    Fenced,
}

/// A change of mode, asked for.
#[derive(Clone, Debug)]
pub struct SwitchCommand {
    pub target: Mode,
    /// How long requests on removed nodes may go on before they are cut.
    pub drain_timeout: Duration,
    pub wait: WaitFor,
    /// Goes on over objections that may be overridden, for this reason.
    pub force: Option<Why>,
    /// The reason that is recorded, forced or not.
    pub why: Option<Why>,
    /// The revision that the caller saw (`If-Match`).
    pub expected: Option<Revision>,
    pub idempotency: Option<Idempotency>,
    pub by: Caller,
    /// Id of the procedure that makes it; `None` for what an operator says.
    pub procedure: Option<u64>,
}

/// How far the switch had come when its caller was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    Drained,
    Fenced,
}

/// What a switch left on one removed node, at the acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLeft {
    pub node: NodeId,
    /// Requests that the gateway still holds there (0 once drained).
    pub in_flight: usize,
    /// Requests that this switch cut at its deadline: the node may still be working on them.
    pub cut: usize,
    /// Tunnels that this switch closed.
    pub tunnels_closed: usize,
    /// Requests written to this node whose response never completed, since the gateway started.
    pub abandoned: u64,
}

/// A switch that is done, or that had nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchReply {
    /// `false` where the mode was already the one asked for.
    pub changed: bool,
    pub mode: Mode,
    pub revision: Revision,
    pub generation: Generation,
    pub acknowledged: Acknowledged,
    /// Every node that the switch removed from the routes.
    pub removed: Vec<NodeLeft>,
    /// Objections that `force` went over.
    pub forced_over: Vec<Objection>,
    /// Set where the journal does not write: the mode is held by the marker.
    pub journal_degraded: bool,
    pub took: Duration,
    /// What the operator should know beside it; nothing that speaks against the switch.
    pub warnings: Vec<String>,
    /// Set where the command was carried out before, under the same key, and this is its reply
    /// again.
    pub replayed: Option<Replayed>,
}

/// What is true now, beside a reply of then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub mode: Mode,
    pub revision: Revision,
}

/// A reason against a step; a refusal lists every one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    #[error("node {node} is {state}, not ready: {reason}")]
    NotReady { node: NodeId, state: NodeState, reason: String },
    #[error("node {node} has role worker: it takes no traffic")]
    TakesNoTraffic { node: NodeId },
    #[error("no node is ready")]
    NoNodeReady,
    #[error("the nodes run different builds: {builds}")]
    MixedBuilds { builds: String },
    #[error("what node {node} runs is not known: its build command: {why}")]
    BuildUnknown { node: NodeId, why: String },
    #[error(
        "node {node} was not restarted since {since}, when a call that changes what runs passed \
         to {kept}: it may serve a split state"
    )]
    NotRestarted { node: NodeId, since: Timestamp, kept: NodeId },
    #[error("a call that changes what runs is under way on {node}, which has not answered it yet")]
    GuardedCallUnderWay { node: NodeId },
    #[error("node {node} is left out until it is included again")]
    Excluded { node: NodeId },
}

impl Objection {
    /// Stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotReady { .. } => "not_ready",
            Self::TakesNoTraffic { .. } => "takes_no_traffic",
            Self::NoNodeReady => "no_node_ready",
            Self::MixedBuilds { .. } => "mixed_builds",
            Self::BuildUnknown { .. } => "build_unknown",
            Self::NotRestarted { .. } => "not_restarted",
            Self::GuardedCallUnderWay { .. } => "guarded_call_under_way",
            Self::Excluded { .. } => "excluded",
        }
    }

    /// May `--force --why TEXT` go over it?
    pub const fn may_be_forced(&self) -> bool {
        match self {
            Self::TakesNoTraffic { .. } | Self::Excluded { .. } => false,
            Self::NotReady { .. }
            | Self::NoNodeReady
            | Self::MixedBuilds { .. }
            | Self::BuildUnknown { .. }
            | Self::NotRestarted { .. }
            | Self::GuardedCallUnderWay { .. } => true,
        }
    }

    /// What the operator can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotReady { node, .. } => {
                format!("wait for it (`drawspan wait node={node}:ready`) or look at its log")
            }
            Self::TakesNoTraffic { .. } => "name a node of role request".to_owned(),
            Self::NoNodeReady => "start a node and wait until it is ready".to_owned(),
            Self::MixedBuilds { .. } => "bring every node to the same version".to_owned(),
            Self::BuildUnknown { .. } => {
                "wait a moment, or mend the command; it is asked again every minute".to_owned()
            }
            Self::NotRestarted { node, .. } => format!("stop and start {node}"),
            Self::GuardedCallUnderWay { node } => {
                format!("wait until {node} has answered it, then restart the others")
            }
            Self::Excluded { node } => format!("restart it, then `drawspan include {node}`"),
        }
    }
}

/// Why a switch was not made, or not finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    #[error("refused: {}", counted(.0.len() as u64, "objection"))]
    Refused(Vec<Objection>),
    #[error("there is no node {node}; the nodes are {known}")]
    UnknownNode { node: NodeId, known: String },
    #[error("the state is at revision {current}, not at {expected}: somebody was faster")]
    LostRace { expected: Revision, current: Revision, mode: Mode },
    #[error("a switch to {target} (revision {revision}) is still running")]
    InProgress { target: Mode, revision: Revision },
    #[error("superseded by a switch to {target} (revision {revision})")]
    Superseded { target: Mode, revision: Revision },
    #[error("workers {workers:?} did not confirm the table of generation {generation} in time")]
    FenceIncomplete { workers: Vec<usize>, generation: Generation, revision: Revision },
    #[error("the journal cannot be written ({cause}); until it can, only raising is possible")]
    JournalDegraded { cause: String },
    #[error("the procedure {kind} {id} runs, in phase {phase}: it changes the mode itself")]
    ProcedureRuns { id: u64, kind: Kind, phase: Phase },
    #[error("the idempotency key was used for another command")]
    KeyReused,
    #[error("the gateway is stopping")]
    Stopping,
}

impl SwitchError {
    /// Stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::UnknownNode { .. } => "unknown_node",
            Self::LostRace { .. } => "lost_race",
            Self::InProgress { .. } => "switch_in_progress",
            Self::Superseded { .. } => "superseded",
            Self::FenceIncomplete { .. } => "fence_incomplete",
            Self::JournalDegraded { .. } => "journal_degraded",
            Self::ProcedureRuns { .. } => "procedure_runs",
            Self::KeyReused => "idempotency_key_reused",
            Self::Stopping => "stopping",
        }
    }
}
