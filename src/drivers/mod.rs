//! Running the operator's commands: argv lists, never a shell string.
//!
//! A command of a procedure must outlive the gateway, and how it ended must be known afterwards. So
//! it is run by a *supervisor*, a small process of our own binary in a session of its own, and what
//! is known about it lies in a folder of its own ([`Runner`]). What is asked between times (status,
//! build, logs, notify) is a quick command, a child of the gateway that ends with it
//! ([`Runner::quick`]).
//!
//! Either kind runs in its own process group, in the folder `/`, with a minimal environment and
//! nothing on stdin. What takes too long is ended with its group. A process that left the group (as
//! a node that `setsid` started) is never touched, and nobody waits for it; it should keep its
//! output apart, since nobody bounds it once the command has ended.

pub mod artefact;
mod folder;
mod group;
mod order;
mod output;
mod process;
mod quick;
mod runner;
mod status;
pub mod supervisor;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::procedure::{NodeStatus, Ticket};

pub use order::{Order, Until, fill, search_path};
pub use quick::Quick;
pub use runner::{Found, Outcome, Prepared, Runner};
pub use status::parse_status;

/// How a command that was run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// It took longer than its limit and was ended with its group.
    TimedOut,
    /// [`Runner::kill`] ended it with its group.
    ByOperator,
    CouldNotStart {
        reason: String,
    },
}

impl Ending {
    pub fn is_success(&self) -> bool {
        *self == Self::Exited { code: 0 }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "ended with {code}"),
            Self::Signalled { signal } => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("took longer than its limit and was ended"),
            Self::ByOperator => f.write_str("was ended by the operator"),
            Self::CouldNotStart { reason } => write!(f, "could not be started: {reason}"),
        }
    }
}

/// Why a command could not be prepared, let go, or ended. Nothing ran, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("cannot {action} {}: {source}; {}", .path.display(), remedy(.source))]
    Folder { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "command {number} was begun before ({} says so); it is not run again under this number",
        .path.display()
    )]
    Begun { number: u64, path: PathBuf },
    #[error("cannot start the supervisor {}: {source}; {}", .program.display(), remedy(.source))]
    Supervisor { program: PathBuf, source: io::Error },
    #[error("the supervisor of command {number} ended before it began: {source}; try again")]
    Go { number: u64, source: io::Error },
    #[error("cannot start {program}: {source}; {}", remedy(.source))]
    Start { program: String, source: io::Error },
    #[error("cannot signal process {pid} of command {number}, which still runs: {source}")]
    Signal { number: u64, pid: u32, source: io::Error },
}

impl DriverError {
    fn folder(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { action, path, source }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space there",
        io::ErrorKind::FileTooLarge => "raise the limit on the size of files",
        io::ErrorKind::NotFound => "install it, or name another",
        io::ErrorKind::PermissionDenied => "let the gateway's user do that",
        io::ErrorKind::ReadOnlyFilesystem => "mount the file system writable",
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => "end what uses the machine up",
        _ => "look at the machine",
    }
}
