//! The work of a phase: the operator's commands, and what is measured between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{NodeId, Timestamp};

/// One piece of a phase's work. All but [`Work::Measure`] and [`Work::Rehash`] are commands of the
/// operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Stop(NodeId),
    StopAll,
    StopOthers,
    Start(NodeId),
    StartFirst,
    StartOthers,
    Backup,
    /// Looks at the backup's artefacts: there, not empty, new; their sizes and digests.
    Measure,
    VerifyBackup,
    Update,
    /// Digests the artefacts once more, before anything rests on them.
    Rehash,
    Restore,
    Revert,
    Verify,
}

impl Work {
    /// The command's name in the configuration; `None` for what the gateway does itself.
    pub const fn command(&self) -> Option<&'static str> {
        match self {
            Self::Stop(_) => Some("stop"),
            Self::StopAll => Some("stop_all"),
            Self::StopOthers => Some("stop_others"),
            Self::Start(_) => Some("start"),
            Self::StartFirst => Some("start_first"),
            Self::StartOthers => Some("start_others"),
            Self::Backup => Some("backup"),
            Self::VerifyBackup => Some("verify_backup"),
            Self::Update => Some("update"),
            Self::Restore => Some("restore"),
            Self::Revert => Some("revert"),
            Self::Verify => Some("verify"),
            Self::Measure | Self::Rehash => None,
        }
    }

    /// Does another proof than its exit code say whether it worked?
    pub const fn is_proven_by_nodes(&self) -> bool {
        match self {
            Self::Stop(_)
            | Self::StopAll
            | Self::StopOthers
            | Self::Start(_)
            | Self::StartFirst
            | Self::StartOthers => true,
            Self::Backup
            | Self::Measure
            | Self::VerifyBackup
            | Self::Update
            | Self::Rehash
            | Self::Restore
            | Self::Revert
            | Self::Verify => false,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Start(node) => write!(f, "start {node}"),
            Self::Measure => f.write_str("measure the backup"),
            Self::Rehash => f.write_str("digest the backup again"),
            other => f.write_str(other.command().unwrap_or_default()),
        }
    }
}

/// A piece of work and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    pub work: Work,
    pub state: JobState,
}

// Wanted -> Running -> (Ended | Unknown); Unknown -> (Ended | Wanted).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Wanted,
    /// Begun, or about to: what follows after the journal's record.
    Running {
        ticket: Ticket,
        since: Timestamp,
    },
    Ended {
        ending: Ending,
        at: Timestamp,
    },
    /// It ran when the gateway died; it is gone, and left no word of its outcome.
    Unknown {
        number: u64,
    },
}

/// What identifies a command's process, in this boot of the machine and later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// Of the command; no two share one.
    pub number: u64,
    /// 0 for what the gateway does itself.
    pub pid: u32,
    /// Start time of the process, in clock ticks since the boot.
    pub started: u64,
    /// Id of the machine's boot.
    pub boot: String,
}

impl Ticket {
    /// Of what has no process of its own.
    pub const fn of_ours(number: u64) -> Self {
        Self { number, pid: 0, started: 0, boot: String::new() }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Exited(i32),
    Signalled(i32),
    /// It was ended at its time limit.
    TimedOut,
    /// The program could not be started.
    CouldNotStart(String),
    /// It never began: the gateway went away before.
    NotRun,
    /// The operator says that it is done (`adopt`).
    Adopted,
}

impl Ending {
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0) | Self::Adopted)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("succeeded"),
            Self::Exited(code) => write!(f, "failed with exit code {code}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("took longer than its time limit and was ended"),
            Self::CouldNotStart(why) => write!(f, "could not be started: {why}"),
            Self::NotRun => f.write_str("was not run"),
            Self::Adopted => f.write_str("was taken for done by the operator"),
        }
    }
}

/// One file of a backup, as measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Artefact {
    pub path: String,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
    pub modified: Timestamp,
}

/// What is wrong with an artefact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    Missing {
        path: String,
    },
    Empty {
        path: String,
    },
    Unreadable {
        path: String,
        why: String,
    },
    /// It was written before the backup began.
    Old {
        path: String,
        modified: Timestamp,
    },
    /// It is not what it was when it was measured.
    Changed {
        path: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "{path} is not there"),
            Self::Empty { path } => write!(f, "{path} is empty"),
            Self::Unreadable { path, why } => write!(f, "{path} cannot be read: {why}"),
            Self::Old { path, modified } => {
                write!(f, "{path} was written at {modified}, before this backup began")
            }
            Self::Changed { path } => {
                write!(f, "{path} is not what it was when the backup was made")
            }
        }
    }
}

impl Job {
    pub const fn wanted(work: Work) -> Self {
        Self { work, state: JobState::Wanted }
    }

    pub const fn is_running(&self) -> bool {
        matches!(self.state, JobState::Running { .. })
    }

    pub const fn ending(&self) -> Option<&Ending> {
        match &self.state {
            JobState::Ended { ending, .. } => Some(ending),
            JobState::Wanted | JobState::Running { .. } | JobState::Unknown { .. } => None,
        }
    }

    pub fn has_succeeded(&self) -> bool {
        self.ending().is_some_and(Ending::is_success)
    }

    pub fn has_failed(&self) -> bool {
        self.ending().is_some_and(|ending| !ending.is_success())
    }
}
