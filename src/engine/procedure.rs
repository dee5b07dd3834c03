//! What can be asked of the engine about procedures, and what it answers.

use super::{Caller, Idempotency, Why};
use crate::model::{NodeId, Revision, Timestamp};
use crate::procedure::{
    Before, Choice, Kind, Objection, Outcome, Phase, PlannedPhase, Refused, View, Work,
};

/// A procedure, asked for.
#[derive(Clone, Debug)]
pub struct BeginCommand {
    pub plan: PlanCommand,
    /// Goes on by itself wherever the proof is complete.
    pub auto: bool,
    pub why: Option<Why>,
    /// The revision that the caller saw (`If-Match`).
    pub expected: Option<Revision>,
    pub idempotency: Option<Idempotency>,
    pub by: Caller,
}

/// Which procedure it would be.
#[derive(Clone, Debug)]
pub struct PlanCommand {
    pub kind: Kind,
    /// The first node; in in-app maintenance the kept one, which must be named. Else the first
    /// configured node of role request.
    pub node: Option<NodeId>,
    /// The version to reach.
    pub to: Option<String>,
}

/// Something to say to the running procedure.
#[derive(Clone, Debug)]
pub struct ChoiceCommand {
    /// `None` where the caller does not name it, which only `include` may.
    pub id: Option<u64>,
    pub choice: Choice,
    /// The phase and the revision that it answers; `None` only for `include` outside a procedure.
    pub answers: Option<(Phase, Revision)>,
    pub why: Option<Why>,
    pub idempotency: Option<Idempotency>,
    pub by: Caller,
}

/// What a procedure would do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub first: NodeId,
    pub phases: Vec<PlannedPhase>,
    pub before: Before,
    /// What speaks against beginning now.
    pub objections: Vec<Objection>,
    /// What the operator should know beforehand.
    pub warnings: Vec<String>,
}

/// A command to a procedure that was taken.
#[derive(Clone, Debug)]
pub struct ProcedureReply {
    pub id: u64,
    pub revision: Revision,
    /// `None` where no procedure was concerned (`include` outside of one).
    pub view: Option<View>,
    /// It was taken before, under the same key.
    pub replayed: bool,
}

/// A procedure as `status` shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub taken: Timestamp,
    pub view: View,
    /// The last lines of the command that failed, else of the last one.
    pub output: Option<(Work, Vec<String>)>,
    /// The last lines of nodes' logs, where something is wrong with them.
    pub logs: Vec<(NodeId, Vec<String>)>,
}

/// A procedure as the journal remembers it.
#[derive(Clone, Debug)]
pub struct PastProcedure {
    pub id: u64,
    pub kind: Kind,
    pub by: String,
    pub why: Option<String>,
    pub began: Timestamp,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
    pub events: Vec<PastEvent>,
}

/// One record of a procedure.
#[derive(Clone, Debug)]
pub struct PastEvent {
    pub revision: Revision,
    pub at: Timestamp,
    /// The phase that it left behind.
    pub phase: Phase,
    /// As in [`super::EventKind::Procedure`].
    pub what: &'static str,
    pub detail: String,
}

/// Why nothing was begun, or said.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProcedureError {
    #[error("refused: {}", list(.0))]
    Refused(Vec<Objection>),
    #[error(transparent)]
    Choice(#[from] Refused),
    #[error("there is no node {node}; configured are {known}")]
    UnknownNode { node: NodeId, known: String },
    #[error("the procedure {kind} {id} runs already, in phase {phase}")]
    Running { id: u64, kind: Kind, phase: Phase },
    #[error("no procedure runs")]
    NoneRuns,
    #[error("procedure {asked} does not run; {running} does")]
    Another { asked: u64, running: u64 },
    /// The choice answers something that is not there any more.
    #[error(
        "you answered phase {phase} at revision {revision}; since then it came to {now_phase} at \
         revision {now}"
    )]
    Stale { phase: Phase, revision: Revision, now_phase: Phase, now: Revision },
    #[error("the state moved on: you saw revision {expected}, it is {current}")]
    LostRace { expected: Revision, current: Revision },
    #[error("a switch to another mode runs; wait until it is done")]
    SwitchRuns,
    #[error("this needs a reason (why)")]
    WhyMissing,
    #[error("a choice names the phase and the revision that it answers")]
    AnswersNothing,
    #[error("the journal cannot be written ({cause}); until it can, only raising is possible")]
    JournalDegraded { cause: String },
    #[error("the idempotency key was used for another command")]
    KeyReused,
    #[error("the gateway is stopping")]
    Stopping,
}

impl ProcedureError {
    /// Stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Choice(_) => "refused",
            Self::UnknownNode { .. } => "unknown_node",
            Self::Running { .. } => "procedure_runs",
            Self::NoneRuns => "no_procedure",
            Self::Another { .. } => "another_procedure",
            Self::Stale { .. } | Self::LostRace { .. } => "lost_race",
            Self::SwitchRuns => "switch_in_progress",
            Self::WhyMissing => "why_missing",
            Self::AnswersNothing => "answers_nothing",
            Self::JournalDegraded { .. } => "journal_degraded",
            Self::KeyReused => "idempotency_key_reused",
            Self::Stopping => "stopping",
        }
    }

    pub fn objections(&self) -> &[Objection] {
        match self {
            Self::Refused(objections) | Self::Choice(Refused { objections, .. }) => objections,
            Self::UnknownNode { .. }
            | Self::Running { .. }
            | Self::NoneRuns
            | Self::Another { .. }
            | Self::Stale { .. }
            | Self::LostRace { .. }
            | Self::SwitchRuns
            | Self::WhyMissing
            | Self::AnswersNothing
            | Self::JournalDegraded { .. }
            | Self::KeyReused
            | Self::Stopping => &[],
        }
    }
}

fn list(objections: &[Objection]) -> String {
    objections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
