//! What is true now, and what was before.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ExcludedDoc, PastProcedureDoc, ProcedureDoc};
use crate::engine::{
    BackNode, HistoryEntry, JournalState, MustRestart, PastProcedure, RunningSwitch, Status,
};
use crate::model::{Mode, Revision, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeDoc {
    /// `cluster`, `single` or `maintenance`; in the history `unknown` too.
    pub kind: String,
    /// The kept node in single mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl From<&Mode> for ModeDoc {
    fn from(mode: &Mode) -> Self {
        Self { kind: mode.kind().to_string(), node: mode.node().map(ToString::to_string) }
    }
}

impl ModeDoc {
    /// Of a past that the journal lost.
    fn unknown() -> Self {
        Self { kind: "unknown".to_owned(), node: None }
    }
}

impl fmt::Display for ModeDoc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{} {node}", self.kind),
            None => f.write_str(&self.kind),
        }
    }
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusDoc {
    pub taken: String,
    pub mode: ModeDoc,
    pub revision: u64,
    pub generation: u64,
    pub since: String,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// What the operator can do about the doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt_remedy: Option<String>,
    /// The mode before the doubt; `unknown` where the journal was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_before: Option<ModeDoc>,
    /// Where the journal lies that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_journal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<RunningSwitchDoc>,
    /// `ok` or `degraded`.
    pub journal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_detail: Option<String>,
    /// Workers that do not confirm the published table.
    pub sick_workers: Vec<usize>,
    /// Nodes that must be restarted before they carry traffic beside, or after, another one.
    #[serde(default)]
    pub must_restart: Vec<MustRestartDoc>,
    /// The procedure that runs, or was the last one; absent where there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure: Option<ProcedureDoc>,
    /// Nodes that are left out of every table until they are included again.
    #[serde(default)]
    pub excluded: Vec<ExcludedDoc>,
    pub warnings: Vec<String>,
    pub nodes: Vec<NodeDoc>,
    pub listen: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    pub version: String,
    pub pid: u32,
    pub started: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningSwitchDoc {
    pub from: ModeDoc,
    pub to: ModeDoc,
    pub revision: u64,
    pub began: String,
    pub fenced: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeDoc {
    pub id: String,
    pub address: String,
    pub resolved: Vec<String>,
    pub role: String,
    pub weight: u16,
    pub state: String,
    pub reason: String,
    pub since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<AnswerDoc>,
    /// Does the present mode route to it?
    pub routed: bool,
    /// Does it get new requests now? Not where it is routed to and down.
    #[serde(default)]
    pub takes_requests: bool,
    pub ejected: bool,
    pub in_flight: usize,
    pub tunnels: usize,
    pub abandoned: u64,
}

/// A node that a call which changes what runs passed by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MustRestartDoc {
    pub node: String,
    /// When the call passed.
    pub since: String,
    /// Where it passed to.
    pub kept: String,
}

/// What a node last said to a probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerDoc {
    pub at: String,
    pub text: String,
}

/// `GET /v1/nodes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodesDoc {
    pub revision: u64,
    pub mode: ModeDoc,
    pub nodes: Vec<NodeDoc>,
}

/// `GET /v1/history`: the last switches and procedures, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryDoc {
    pub revision: u64,
    pub history: Vec<PastSwitchDoc>,
    #[serde(default)]
    pub procedures: Vec<PastProcedureDoc>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PastSwitchDoc {
    pub revision: u64,
    pub at: String,
    pub by: String,
    pub from: ModeDoc,
    pub to: ModeDoc,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Id of the procedure that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure: Option<u64>,
    pub forced: bool,
    /// Did it come to its end? Not where it runs, was superseded or interrupted.
    pub finished: bool,
    /// `running`, `drained`, `by_marker`, `at_start`, `superseded`, `interrupted` or `unrecorded`.
    #[serde(default)]
    pub ending: String,
}

impl From<&Status> for StatusDoc {
    fn from(status: &Status) -> Self {
        let (journal, journal_detail) = match &status.journal {
            JournalState::Ok => ("ok", None),
            JournalState::Degraded(cause) => ("degraded", Some(cause.clone())),
        };
        Self {
            taken: status.taken.to_string(),
            mode: (&status.mode).into(),
            revision: status.revision.0,
            generation: status.generation.0,
            since: status.since.to_string(),
            by: status.by.clone(),
            why: status.why.clone(),
            doubt: status.doubt.clone(),
            doubt_remedy: status.doubt.as_ref().map(|_| status.before_doubt.remedy()),
            mode_before: status.doubt.as_ref().map(|_| {
                let before = status.before_doubt.mode.as_ref();
                before.map_or_else(ModeDoc::unknown, ModeDoc::from)
            }),
            damaged_journal: status.before_doubt.damaged_journal.clone(),
            switch: status.switch.as_ref().map(RunningSwitchDoc::from),
            journal: journal.to_owned(),
            journal_detail,
            sick_workers: status.unfenced_workers.clone(),
            must_restart: status.must_restart.iter().map(MustRestartDoc::from).collect(),
            procedure: status.procedure.as_deref().map(ProcedureDoc::from),
            excluded: status.excluded.iter().map(ExcludedDoc::from).collect(),
            warnings: status.warnings.clone(),
            nodes: status.nodes.iter().map(NodeDoc::from).collect(),
            listen: status.listen.iter().map(ToString::to_string).collect(),
            admin: status.admin.map(|address| address.to_string()),
            version: status.version.to_owned(),
            pid: status.pid,
            started: status.started.to_string(),
        }
    }
}

impl From<&RunningSwitch> for RunningSwitchDoc {
    fn from(switch: &RunningSwitch) -> Self {
        Self {
            from: (&switch.from).into(),
            to: (&switch.to).into(),
            revision: switch.revision.0,
            began: switch.began.to_string(),
            fenced: switch.fenced,
        }
    }
}

impl From<&MustRestart> for MustRestartDoc {
    fn from(must: &MustRestart) -> Self {
        let MustRestart { node, since, kept } = must;
        Self { node: node.to_string(), since: since.to_string(), kept: kept.to_string() }
    }
}

impl From<&BackNode> for NodeDoc {
    fn from(node: &BackNode) -> Self {
        let answer = |(at, text): &(Timestamp, String)| AnswerDoc {
            at: Timestamp::to_string(at),
            text: text.clone(),
        };
        Self {
            id: node.id.to_string(),
            address: node.address.clone(),
            resolved: node.resolved.iter().map(ToString::to_string).collect(),
            role: node.role.to_string(),
            weight: node.weight.value(),
            state: node.state.to_string(),
            reason: node.reason.clone(),
            since: node.since.to_string(),
            last_answer: node.last_answer.as_ref().map(answer),
            routed: node.routed,
            takes_requests: node.takes_requests,
            ejected: node.ejected,
            in_flight: node.in_flight,
            tunnels: node.tunnels,
            abandoned: node.abandoned,
        }
    }
}

impl From<&Status> for NodesDoc {
    fn from(status: &Status) -> Self {
        Self {
            revision: status.revision.0,
            mode: (&status.mode).into(),
            nodes: status.nodes.iter().map(NodeDoc::from).collect(),
        }
    }
}

impl HistoryDoc {
    pub fn new(revision: Revision, entries: &[HistoryEntry], procedures: &[PastProcedure]) -> Self {
        let past = |entry: &HistoryEntry| PastSwitchDoc {
            revision: entry.revision.0,
            at: entry.at.to_string(),
            by: entry.by.clone(),
            from: entry.from.as_ref().map_or_else(ModeDoc::unknown, ModeDoc::from),
            to: (&entry.to).into(),
            why: entry.why.clone(),
            procedure: entry.procedure,
            forced: entry.forced,
            finished: entry.ending.is_finished(),
            ending: entry.ending.as_str().to_owned(),
        };
        let history = entries.iter().map(past).collect();
        let procedures = procedures.iter().map(PastProcedureDoc::from).collect();
        Self { revision: revision.0, history, procedures }
    }
}
