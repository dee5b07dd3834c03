//! The durable journal: what was commanded, written and synced before it takes effect.
//!
//! The state directory holds `journal.redb` (the records) and `marker` (two preallocated slots).
//! The marker says two things that the journal cannot say of itself: that the bridge is raised,
//! whatever the journal says; and how far the journal had come, so that one that lost records, was
//! cut short or was replaced is noticed. What a start makes of the two is in [`start`].
//!
//! Everything here blocks on the disk: the engine calls it on a thread of its own.

mod catching;
pub mod directory;
mod file;
mod keys;
mod log;
mod marker;
pub mod record;
pub mod start;
mod store;

use std::io;
use std::path::{Path, PathBuf};

use crate::model::Revision;

pub use directory::{StateDir, StateDirError};
pub use keys::{Answer, Remembered, SwitchEnd};
pub use log::{Journal, Log};
pub use marker::Marker;
pub use start::{Opened, Start, open};

/// Why the journal or its marker could not be opened, read or extended.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged { path: PathBuf, reason: String },
    /// Nothing was written: the journal failed before and was not reopened since.
    #[error("the journal is not written: {reason}")]
    Degraded { reason: String },
    /// Nothing was written: the state had moved.
    #[error("the state is at revision {current}, not at {expected}")]
    Moved { expected: Revision, current: Revision },
    /// Nothing was written: the record is beyond the limit, or has no JSON.
    #[error("a record of {what} cannot be stored: {reason}")]
    Unstorable { what: &'static str, reason: String },
}

impl JournalError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => {
                    "free space on the state directory's file system; it is tried every second"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make the state directory writable for the gateway's user"
                }
                _ => "look at the disk and the kernel's log; it is tried again every second",
            },
            Self::Damaged { .. } => {
                "restart the gateway when it may come up raised; the damaged file is kept"
            }
            Self::Degraded { .. } => "see why the journal failed; it is tried again every second",
            Self::Moved { .. } => "look at the state and decide again",
            Self::Unstorable { .. } => "shorten the command's texts",
        }
    }
}

/// Makes the entries of a directory durable: a file's own sync does not sync its name.
fn sync_directory(path: &Path) -> Result<(), JournalError> {
    let synced = std::fs::File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(JournalError::io("sync directory", path))
}
