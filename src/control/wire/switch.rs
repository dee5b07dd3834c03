//! A switch as it is asked for and answered, and a wait that was met.

use serde::{Deserialize, Serialize};

use super::ModeDoc;
use crate::engine::{Acknowledged, NodeLeft, Objection, Replayed, SwitchReply};
use crate::procedure;

/// Body of `PUT /v1/mode`, as a client writes it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SwitchBody {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// As `30s`, or a number of seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<String>,
    /// `drained` or `fenced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Answer to `PUT /v1/mode`: the effect is true.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwitchDoc {
    /// `false` where the mode was already the one asked for.
    pub changed: bool,
    pub mode: ModeDoc,
    pub revision: u64,
    pub generation: u64,
    /// `drained` or `fenced`: how far the switch had come.
    pub acknowledged: String,
    pub removed: Vec<NodeLeftDoc>,
    pub forced_over: Vec<ObjectionDoc>,
    /// `ok` or `degraded`.
    pub journal: String,
    pub took_ms: u64,
    /// What the operator should know beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// This is the reply of then: the command was carried out before, under the same key. What
    /// is true now stands in `now`.
    #[serde(default)]
    pub replayed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<NowDoc>,
}

/// What is true when a reply is given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NowDoc {
    pub mode: ModeDoc,
    pub revision: u64,
}

impl SwitchDoc {
    /// Is what was asked for true now? Not where a reply is given again and the mode has moved on.
    pub fn effect_is_true(&self) -> bool {
        self.now.as_ref().is_none_or(|now| now.mode == self.mode)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeLeftDoc {
    pub node: String,
    pub in_flight: usize,
    pub cut: usize,
    pub tunnels_closed: usize,
    pub abandoned: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectionDoc {
    /// As `waive` names it; only in a procedure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub detail: String,
    /// What an objection of this code means, for somebody who meets it for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    pub remedy: String,
    /// May `force` with a reason go over it? Never in a procedure.
    #[serde(default)]
    pub may_be_forced: bool,
    /// May `waive` with a reason go over it, here and now? Only in a procedure.
    #[serde(default)]
    pub may_be_waived: bool,
}

/// Answer to `GET /v1/wait` where the condition is met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitDoc {
    pub condition: String,
    /// `met`; the other two outcomes are problems.
    pub outcome: String,
    pub revision: u64,
    pub mode: ModeDoc,
    pub took_ms: u64,
}

impl From<&SwitchReply> for SwitchDoc {
    fn from(reply: &SwitchReply) -> Self {
        let acknowledged = match reply.acknowledged {
            Acknowledged::Drained => "drained",
            Acknowledged::Fenced => "fenced",
        };
        Self {
            changed: reply.changed,
            mode: (&reply.mode).into(),
            revision: reply.revision.0,
            generation: reply.generation.0,
            acknowledged: acknowledged.to_owned(),
            removed: reply.removed.iter().map(NodeLeftDoc::from).collect(),
            forced_over: reply.forced_over.iter().map(ObjectionDoc::from).collect(),
            journal: if reply.journal_degraded { "degraded" } else { "ok" }.to_owned(),
            took_ms: u64::try_from(reply.took.as_millis()).unwrap_or(u64::MAX),
            warnings: reply.warnings.clone(),
            replayed: reply.replayed.is_some(),
            now: reply.replayed.as_ref().map(NowDoc::from),
        }
    }
}

impl From<&Replayed> for NowDoc {
    fn from(now: &Replayed) -> Self {
        Self { mode: (&now.mode).into(), revision: now.revision.0 }
    }
}

impl From<&NodeLeft> for NodeLeftDoc {
    fn from(left: &NodeLeft) -> Self {
        Self {
            node: left.node.to_string(),
            in_flight: left.in_flight,
            cut: left.cut,
            tunnels_closed: left.tunnels_closed,
            abandoned: left.abandoned,
        }
    }
}

impl From<&Objection> for ObjectionDoc {
    fn from(objection: &Objection) -> Self {
        Self {
            id: None,
            code: objection.code().to_owned(),
            node: None,
            detail: objection.to_string(),
            meaning: None,
            remedy: objection.remedy(),
            may_be_forced: objection.may_be_forced(),
            may_be_waived: false,
        }
    }
}

impl From<&procedure::Objection> for ObjectionDoc {
    fn from(objection: &procedure::Objection) -> Self {
        Self {
            id: Some(objection.id()),
            code: objection.kind.code().to_owned(),
            node: objection.node.as_ref().map(ToString::to_string),
            detail: objection.detail.clone(),
            meaning: Some(objection.kind.meaning().to_owned()),
            remedy: objection.remedy.clone(),
            may_be_forced: false,
            may_be_waived: objection.waivable,
        }
    }
}
