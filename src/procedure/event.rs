//! What happens to a procedure, as the journal keeps it.

use serde::{Deserialize, Serialize};

use super::{Artefact, Ending, Flaw, Means, Phase, Said, Ticket, Work};
use crate::model::{Mode, NodeId};

/// One thing that happened. Each was decided, or observed, when it was written; folding it in again
/// asks nothing of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An operator said something, and it was allowed.
    Said(Said),
    /// A node is proven down, by this.
    NodeDown {
        node: NodeId,
        how: String,
    },
    /// A node answers before its turn.
    NodeCameBack {
        node: NodeId,
        what: String,
    },
    /// A node is ready after it was down.
    NodeStarted {
        node: NodeId,
        how: String,
    },
    /// The command's process waits for its go; it gets it when this is in the journal.
    JobBegins {
        work: Work,
        ticket: Ticket,
    },
    JobEnded {
        number: u64,
        ending: Ending,
    },
    /// It is gone and left no word of its outcome: its supervisor was killed with it.
    JobLost {
        number: u64,
    },
    /// What a look at the backup's artefacts found.
    Measured {
        number: u64,
        artefacts: Vec<Artefact>,
        flaws: Vec<Flaw>,
    },
    /// The proof of a phase was complete.
    Advanced {
        to: Phase,
        proof: Vec<String>,
    },
    /// The phase took longer than its limit.
    Overdue,
    /// Traffic was closed for longer than the limit.
    ClosedTooLong,
    /// The mode was changed: by the procedure itself, or by an operator's `mode` command.
    Switched {
        to: Mode,
        own: bool,
    },
    /// An operator raised the bridge that was raised already.
    Paused {
        by: String,
    },
    /// The gateway came up again: what it found of the commands that ran, and what is configured now.
    Restarted {
        jobs: Vec<FoundJob>,
        means: Means,
        nodes_changed: Option<String>,
    },
}

/// What became of a command that ran when the gateway went away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FoundJob {
    /// It still runs, and is watched again.
    Running {
        number: u64,
    },
    Ended {
        number: u64,
        ending: Ending,
    },
    /// It had not begun.
    NeverRan {
        number: u64,
    },
    /// It is gone and left no word.
    Gone {
        number: u64,
    },
}

impl FoundJob {
    pub const fn number(&self) -> u64 {
        match self {
            Self::Running { number }
            | Self::Ended { number, .. }
            | Self::NeverRan { number }
            | Self::Gone { number } => *number,
        }
    }
}
