//! A procedure as it stands, as it would be, and as it was.

use serde::{Deserialize, Serialize};

use super::ObjectionDoc;
use crate::control::duration::show_duration;
use crate::engine::{PastEvent, PastProcedure, Plan, ProcedureReply, Shown};
use crate::model::Timestamp;
use crate::procedure::{
    Excluded, Hold, Job, JobState, Offer, Outcome, Phase, PlannedPhase, Proof, View,
};

/// A procedure as it stands: it runs, or it was the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcedureDoc {
    pub id: u64,
    /// `first-start`, `upgrade` or `maintenance`.
    pub kind: String,
    /// `forward`, `back` or `abort`.
    pub road: String,
    pub phase: String,
    /// When the phase began.
    pub since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<u64>,
    pub overdue: bool,
    pub closed_too_long: bool,
    /// What a choice answers (`If-Match`).
    pub revision: u64,
    /// The first node; in in-app maintenance the kept one.
    pub first: String,
    pub auto: bool,
    /// `paused` or `restarted`: nothing is begun until `continue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// What the phase does, and by whose hand.
    pub does: String,
    /// What must be proven before the next phase.
    #[serde(default)]
    pub needs: String,
    pub phases: Vec<PhaseDoc>,
    pub next: String,
    pub waiting_for: Vec<String>,
    /// It waits for what an operator says.
    #[serde(default)]
    pub asks: bool,
    pub evidence: Vec<EvidenceDoc>,
    pub objections: Vec<ObjectionDoc>,
    pub choices: Vec<ChoiceDoc>,
    pub jobs: Vec<JobDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputDoc>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogDoc>,
    /// `completed`, `rolled_back` or `aborted`; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A phase of its road.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseDoc {
    pub phase: String,
    /// `done`, `now` or `to_come`.
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceDoc {
    pub what: String,
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Something that can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceDoc {
    pub choice: String,
    /// The node or the objection that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it would do.
    pub does: String,
    pub needs_why: bool,
    pub allowed: bool,
    /// Why it may not be said now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objections: Vec<ObjectionDoc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDoc {
    pub work: String,
    /// `wanted`, `running`, `ended` or `unknown`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Of a running one: the folder `commands/NUMBER` in the state folder is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
}

/// The last lines of the command that failed, else of the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDoc {
    pub work: String,
    pub lines: Vec<String>,
}

/// The last lines of a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDoc {
    pub node: String,
    pub lines: Vec<String>,
}

/// A node that is left out of every table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedDoc {
    pub node: String,
    pub why: String,
    pub by: String,
    pub at: String,
}

/// Body of `POST /v1/procedures`, as a client writes it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BeginBody {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Body of `POST /v1/procedures/{id}/{choice}` and of `POST /v1/nodes/{node}/include`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChoiceBody {
    /// The phase that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Answer to a command to a procedure: it is in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidDoc {
    /// Absent where no procedure was concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Number of the record that it made.
    pub revision: u64,
    /// It was taken before, under the same key; `procedure` is what is true now.
    pub replayed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure: Option<ProcedureDoc>,
}

/// `GET /v1/plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDoc {
    pub kind: String,
    pub first: String,
    pub phases: Vec<PlannedPhaseDoc>,
    pub before: BeforeDoc,
    pub objections: Vec<ObjectionDoc>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPhaseDoc {
    pub phase: String,
    pub does: String,
    pub needs: String,
    /// As `30m`; absent where it may take any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

/// What is true before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How many are enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<usize>,
}

/// `GET /v1/procedures`: the last ones, the youngest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProceduresDoc {
    pub revision: u64,
    pub procedures: Vec<PastProcedureDoc>,
}

/// A procedure as the journal remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastProcedureDoc {
    pub id: u64,
    pub kind: String,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub began: String,
    /// Absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// `GET /v1/procedures/{id}` and `GET /v1/history/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcedureHistoryDoc {
    #[serde(flatten)]
    pub past: PastProcedureDoc,
    pub events: Vec<PastEventDoc>,
    /// As it stands, where it runs or was the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure: Option<ProcedureDoc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEventDoc {
    pub revision: u64,
    pub at: String,
    /// The phase that it left behind.
    pub phase: String,
    /// A stable name, as `advanced`.
    pub what: String,
    pub detail: String,
}

impl ProcedureDoc {
    pub fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// Which outcome its road leads to.
    pub fn heads_for(&self) -> &'static str {
        let outcome = match self.road.as_str() {
            "back" => Outcome::RolledBack,
            "abort" => Outcome::Aborted,
            _ => Outcome::Completed,
        };
        outcome.as_str()
    }
}

/// Is it the operator's turn? The words that it waits for begin with the one to say.
fn asks(view: &View) -> bool {
    let names_a_word = |waits: &String| waits.starts_with('`');
    let word = view.hold.is_some() || view.waiting_for.iter().any(names_a_word);
    view.outcome.is_none() && (word || !view.objections.is_empty())
}

fn phases(view: &View) -> Vec<PhaseDoc> {
    let now = view.road_ahead.iter().position(|phase| *phase == view.phase);
    let doc = |(at, phase): (usize, &Phase)| {
        let state = match now {
            _ if view.outcome.is_some() => "done",
            Some(now) if at < now => "done",
            Some(now) if at == now => "now",
            // A detour comes before all of them.
            Some(_) | None => "to_come",
        };
        PhaseDoc { phase: phase.to_string(), state: state.to_owned() }
    };
    view.road_ahead.iter().enumerate().map(doc).collect()
}

impl From<&View> for ProcedureDoc {
    fn from(view: &View) -> Self {
        let hold = view.hold.map(|hold| match hold {
            Hold::Paused => "paused",
            Hold::Restarted => "restarted",
        });
        let millis = |limit: std::time::Duration| u64::try_from(limit.as_millis());
        Self {
            id: view.id,
            kind: view.kind.to_string(),
            road: view.road.to_string(),
            phase: view.phase.to_string(),
            since: view.since.to_string(),
            limit_ms: view.limit.map(|limit| millis(limit).unwrap_or(u64::MAX)),
            overdue: view.overdue,
            closed_too_long: view.closed_too_long,
            revision: view.stamp,
            first: view.first.to_string(),
            auto: view.auto,
            hold: hold.map(str::to_owned),
            does: view.does.clone(),
            needs: view.needs.clone(),
            phases: phases(view),
            next: view.next.to_string(),
            waiting_for: view.waiting_for.clone(),
            asks: asks(view),
            evidence: view.evidence.iter().map(EvidenceDoc::from).collect(),
            objections: view.objections.iter().map(ObjectionDoc::from).collect(),
            choices: view.choices.iter().map(ChoiceDoc::from).collect(),
            jobs: view.jobs.iter().map(JobDoc::from).collect(),
            output: None,
            logs: Vec::new(),
            outcome: view.outcome.map(|outcome| outcome.as_str().to_owned()),
        }
    }
}

impl From<&Shown> for ProcedureDoc {
    fn from(shown: &Shown) -> Self {
        let output = shown.output.as_ref();
        let output =
            output.map(|(work, lines)| OutputDoc { work: work.to_string(), lines: lines.clone() });
        let logs = shown.logs.iter();
        let logs =
            logs.map(|(node, lines)| LogDoc { node: node.to_string(), lines: lines.clone() });
        Self { output, logs: logs.collect(), ..Self::from(&shown.view) }
    }
}

impl From<&Proof> for EvidenceDoc {
    fn from(proof: &Proof) -> Self {
        let at = proof.at.as_ref().map(Timestamp::to_string);
        Self { what: proof.what.clone(), source: proof.source.to_owned(), at }
    }
}

impl From<&Offer> for ChoiceDoc {
    fn from(offer: &Offer) -> Self {
        Self {
            choice: offer.choice.verb().to_owned(),
            target: offer.choice.target().map(str::to_owned),
            does: offer.does.clone(),
            needs_why: offer.choice.needs_why(),
            allowed: offer.objections.is_empty(),
            objections: offer.objections.iter().map(ObjectionDoc::from).collect(),
        }
    }
}

impl From<&Job> for JobDoc {
    fn from(job: &Job) -> Self {
        let plain = |state: &str| Self {
            work: job.work.to_string(),
            state: state.to_owned(),
            since: None,
            number: None,
            at: None,
            ending: None,
            succeeded: None,
        };
        match &job.state {
            JobState::Wanted => plain("wanted"),
            JobState::Running { ticket, since } => Self {
                since: Some(since.to_string()),
                number: Some(ticket.number),
                ..plain("running")
            },
            JobState::Ended { ending, at } => Self {
                at: Some(at.to_string()),
                ending: Some(ending.to_string()),
                succeeded: Some(ending.is_success()),
                ..plain("ended")
            },
            JobState::Unknown { number } => Self { number: Some(*number), ..plain("unknown") },
        }
    }
}

impl From<&Excluded> for ExcludedDoc {
    fn from(excluded: &Excluded) -> Self {
        Self {
            node: excluded.node.to_string(),
            why: excluded.why.clone(),
            by: excluded.by.clone(),
            at: excluded.at.to_string(),
        }
    }
}

impl From<&ProcedureReply> for SaidDoc {
    fn from(reply: &ProcedureReply) -> Self {
        Self {
            id: reply.view.as_ref().map(|_| reply.id),
            revision: reply.revision.0,
            replayed: reply.replayed,
            procedure: reply.view.as_ref().map(ProcedureDoc::from),
        }
    }
}

impl From<&Plan> for PlanDoc {
    fn from(plan: &Plan) -> Self {
        let before = BeforeDoc {
            version: plan.before.version.clone(),
            build: plan.before.build.clone(),
            image: plan.before.image.clone(),
            plugins: plan.before.plugins.as_ref().map(Vec::len),
        };
        Self {
            kind: plan.kind.to_string(),
            first: plan.first.to_string(),
            phases: plan.phases.iter().map(PlannedPhaseDoc::from).collect(),
            before,
            objections: plan.objections.iter().map(ObjectionDoc::from).collect(),
            warnings: plan.warnings.clone(),
        }
    }
}

impl From<&PlannedPhase> for PlannedPhaseDoc {
    fn from(planned: &PlannedPhase) -> Self {
        Self {
            phase: planned.phase.to_string(),
            does: planned.does.clone(),
            needs: planned.needs.clone(),
            limit: planned.limit.map(show_duration),
        }
    }
}

impl From<&PastProcedure> for PastProcedureDoc {
    fn from(past: &PastProcedure) -> Self {
        Self {
            id: past.id,
            kind: past.kind.to_string(),
            by: past.by.clone(),
            why: past.why.clone(),
            began: past.began.to_string(),
            outcome: past.outcome.map(|outcome| outcome.as_str().to_owned()),
        }
    }
}

impl From<&PastEvent> for PastEventDoc {
    fn from(event: &PastEvent) -> Self {
        Self {
            revision: event.revision.0,
            at: event.at.to_string(),
            phase: event.phase.to_string(),
            what: event.what.to_owned(),
            detail: event.detail.clone(),
        }
    }
}
