//! What happens, as it is told to everybody who listens on the control socket.

use crate::model::{Generation, Mode, NodeId, NodeState, Revision, Timestamp};
use crate::procedure::{Kind, Phase};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Grows by one with each event of a process, and over its restarts as long as the wall clock
    /// does not go back.
    pub seq: u64,
    pub at: Timestamp,
    /// The revision in force when it happened.
    pub revision: Revision,
    pub kind: EventKind,
}

/// Where a listener left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// What belongs to later revisions.
    Revision(Revision),
    /// What came after this event, to the event.
    Seq(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The gateway came up in this mode; `doubt` says why it is raised without a command. What
    /// happened before is not told any more.
    Started { mode: Mode, doubt: Option<String> },
    /// A switch is in the journal and will be published.
    SwitchBegan { from: Mode, to: Mode, by: String, why: Option<String>, forced: bool },
    /// Every worker routes by the new table.
    SwitchFenced { to: Mode, generation: Generation },
    /// The switch is done: nothing old is left on removed nodes, or it was cut.
    SwitchFinished { to: Mode, cut: usize, tunnels_closed: usize },
    /// Some workers did not confirm the new table in time.
    FenceIncomplete { to: Mode, workers: Vec<usize> },
    /// A node's state changed.
    NodeChanged { node: NodeId, from: NodeState, to: NodeState, reason: String },
    /// The journal stopped or resumed writing.
    JournalChanged { degraded: Option<String> },
    /// A call that changes what runs passed to the kept node in single mode.
    GuardedCall { node: NodeId },
    /// Something happened to a procedure: `what` is a stable name (`began`, `said`, `node_down`,
    /// `came_back`, `node_started`, `command_began`, `command_ended`, `output`, `measured`,
    /// `advanced`, `overdue`, `closed_too_long`, `paused`, `resumed`, `done`), `detail` is for people.
    Procedure { id: u64, kind: Kind, phase: Phase, what: &'static str, detail: String },
    /// A node is taken back into the tables.
    Included { node: NodeId, by: String },
    /// The gateway was told to stop.
    Stopping,
}
