//! One line of `GET /v1/events`.

use serde::{Deserialize, Serialize};

use super::ModeDoc;
use crate::engine::{Event, EventKind};

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDoc {
    /// Grows with each event: `after_seq` goes on from here, to the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it happened; absent in [`What::Lagged`], which nobody but this reader met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The revision in force when it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    Started {
        mode: ModeDoc,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<String>,
        /// `gone`: what happened before this start is not told; `/v1/history` has the switches.
        #[serde(default)]
        earlier_events: String,
    },
    SwitchBegan {
        from: ModeDoc,
        to: ModeDoc,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        forced: bool,
    },
    SwitchFenced {
        to: ModeDoc,
        generation: u64,
    },
    SwitchFinished {
        to: ModeDoc,
        cut: usize,
        tunnels_closed: usize,
    },
    FenceIncomplete {
        to: ModeDoc,
        workers: Vec<usize>,
    },
    NodeChanged {
        node: String,
        from: String,
        to: String,
        reason: String,
    },
    JournalChanged {
        /// `ok` or `degraded`.
        journal: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    GuardedCall {
        node: String,
    },
    /// Something happened to a procedure.
    Procedure {
        id: u64,
        procedure: String,
        phase: String,
        /// A stable name, as `advanced`.
        what: String,
        detail: String,
    },
    /// A node that was left out is taken back.
    Included {
        node: String,
        by: String,
    },
    Stopping,
    /// This reader was too slow: so many events were not kept for it.
    Lagged {
        missed: u64,
    },
}

impl EventDoc {
    pub const fn lagged(missed: u64) -> Self {
        Self { seq: None, at: None, revision: None, what: What::Lagged { missed } }
    }
}

impl From<&Event> for EventDoc {
    fn from(event: &Event) -> Self {
        Self {
            seq: Some(event.seq),
            at: Some(event.at.to_string()),
            revision: Some(event.revision.0),
            what: What::from(&event.kind),
        }
    }
}

impl From<&EventKind> for What {
    fn from(kind: &EventKind) -> Self {
        match kind {
            EventKind::Started { mode, doubt } => {
                let earlier_events = "gone".to_owned();
                Self::Started { mode: mode.into(), doubt: doubt.clone(), earlier_events }
            }
            EventKind::SwitchBegan { from, to, by, why, forced } => Self::SwitchBegan {
                from: from.into(),
                to: to.into(),
                by: by.clone(),
                why: why.clone(),
                forced: *forced,
            },
            EventKind::SwitchFenced { to, generation } => {
                Self::SwitchFenced { to: to.into(), generation: generation.0 }
            }
            EventKind::SwitchFinished { to, cut, tunnels_closed } => {
                Self::SwitchFinished { to: to.into(), cut: *cut, tunnels_closed: *tunnels_closed }
            }
            EventKind::FenceIncomplete { to, workers } => {
                Self::FenceIncomplete { to: to.into(), workers: workers.clone() }
            }
            EventKind::NodeChanged { node, from, to, reason } => Self::NodeChanged {
                node: node.to_string(),
                from: from.to_string(),
                to: to.to_string(),
                reason: reason.clone(),
            },
            EventKind::JournalChanged { degraded } => Self::JournalChanged {
                journal: if degraded.is_some() { "degraded" } else { "ok" }.to_owned(),
                detail: degraded.clone(),
            },
            EventKind::GuardedCall { node } => Self::GuardedCall { node: node.to_string() },
            EventKind::Procedure { id, kind, phase, what, detail } => Self::Procedure {
                id: *id,
                procedure: kind.to_string(),
                phase: phase.to_string(),
                what: (*what).to_owned(),
                detail: detail.clone(),
            },
            EventKind::Included { node, by } => {
                Self::Included { node: node.to_string(), by: by.clone() }
            }
            EventKind::Stopping => Self::Stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, NodeState, Revision, Timestamp};

    #[test]
    fn a_line_names_its_kind_and_reads_back_as_it_was() {
        let event = Event {
            seq: 9,
            at: Timestamp::from_millis(0),
            revision: Revision(4),
            kind: EventKind::NodeChanged {
                node: "n1".parse().expect("a legal id"),
                from: NodeState::Ready,
                to: NodeState::Down,
                reason: "refused".into(),
            },
        };
        let doc = EventDoc::from(&event);
        let line = serde_json::to_string(&doc).expect("serialises");
        assert!(line.contains(r#""kind":"node_changed""#), "{line}");
        assert_eq!(serde_json::from_str::<EventDoc>(&line).expect("reads back"), doc);

        let kind = EventKind::SwitchFinished { to: Mode::Maintenance, cut: 2, tunnels_closed: 3 };
        let doc = EventDoc { what: What::from(&kind), ..doc };
        let line = serde_json::to_string(&doc).expect("serialises");
        assert_eq!(serde_json::from_str::<EventDoc>(&line).expect("reads back"), doc);
    }

    #[test]
    fn a_lagged_line_holds_nothing_but_the_count() {
        let line = serde_json::to_string(&EventDoc::lagged(7)).expect("serialises");
        assert_eq!(line, r#"{"kind":"lagged","missed":7}"#);
    }
}
