//! What lies in the folder of one command.
//!
//! `order` what is to run; `waiting`, renamed to `begun` before it runs; `child`, who it is;
//! `output`; `result`. The result's space is taken when the folder is made, so that a disk that is
//! full by then does not hide how the command ended.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DriverError, Ending, Order, Ticket, Until};
use crate::{clock, failpoint};

/// Longer than any result: a reason is cut.
const RESULT_BYTES: usize = 4096;

/// The folder of one command; its paths.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// What the supervisor is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) argv: Vec<String>,
    limit_ms: u64,
    /// It is over when its whole group is.
    #[serde(default)]
    pub(super) group: bool,
}

impl Orders {
    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// `None`: it was never begun.
    ending: Option<Ending>,
    /// Milliseconds since 1970.
    at: i64,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn output(&self) -> PathBuf {
        self.at("output")
    }

    pub(super) fn order(&self) -> PathBuf {
        self.at("order")
    }

    /// # Errors
    /// It cannot be told. What cannot be told counts as begun.
    pub(super) fn is_begun(&self) -> io::Result<bool> {
        self.at("begun").try_exists()
    }

    /// Was it made in full, and not begun?
    pub(super) fn is_waiting(&self) -> bool {
        self.at("waiting").exists()
    }

    /// Makes the folder and all that a command needs until its end, on disk.
    ///
    /// A folder of this number whose command was not begun is thrown away: nobody can begin it any
    /// more, because its supervisor works in the folder that is gone.
    pub(super) fn make(&self, order: &Order) -> Result<(), DriverError> {
        let failed = |action| DriverError::folder(action, &self.0);
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&self.0).map_err(failed("remove"))?;
                DirBuilder::new().mode(0o700).create(&self.0).map_err(failed("make"))?;
            }
            made => made.map_err(failed("make"))?,
        }
        failpoint::hit("drivers.folder_made");
        let limit_ms = u64::try_from(order.limit.as_millis()).unwrap_or(u64::MAX);
        let orders =
            Orders { argv: order.argv.clone(), limit_ms, group: order.until == Until::Group };
        let text = serde_json::to_vec(&orders).map_err(io::Error::from);
        text.and_then(|text| put(&self.order(), &text)).map_err(failed("write the order in"))?;
        put(&self.at("result.new"), &[b' '; RESULT_BYTES]).map_err(failed("take space in"))?;
        put(&self.at("waiting"), b"").map_err(failed("write to"))?;
        put(&self.output(), b"").map_err(failed("write to"))?;
        sync_folder(&self.0).map_err(failed("sync"))?;
        let above = self.0.parent().unwrap_or(&self.0);
        sync_folder(above).map_err(DriverError::folder("sync", above))
    }

    pub(super) fn open_output(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(self.output())
    }

    pub(super) fn orders(&self) -> io::Result<Orders> {
        Ok(serde_json::from_slice(&fs::read(self.order())?)?)
    }

    /// From here on it counts as begun, over a loss of power too.
    pub(super) fn begin(&self) -> io::Result<()> {
        fs::rename(self.at("waiting"), self.at("begun"))?;
        sync_folder(&self.0)
    }

    /// Notes who runs, for the case that the supervisor is killed.
    pub(super) fn note_child(&self, child: &Ticket) -> io::Result<()> {
        fs::write(self.at("child"), serde_json::to_vec(child)?)
    }

    pub(super) fn child(&self) -> Option<Ticket> {
        serde_json::from_slice(&fs::read(self.at("child")).ok()?).ok()
    }

    /// Writes how it ended, all of it or nothing.
    pub(super) fn end(&self, ending: Option<&Ending>) -> io::Result<()> {
        let record = Record { ending: ending.cloned(), at: clock::now().as_millis() };
        let mut text = serde_json::to_vec(&record)?;
        // Overwrites the space that was taken; blanks after JSON are JSON.
        text.resize(text.len().max(RESULT_BYTES), b' ');
        let path = self.at("result.new");
        let file = OpenOptions::new().write(true).open(&path)?;
        file.write_all_at(&text, 0)?;
        file.sync_all()?;
        fs::rename(&path, self.at("result"))?;
        sync_folder(&self.0)
    }

    /// `None`: no result yet, or none that can be read. `Some(None)`: it was never begun.
    pub(super) fn ending(&self) -> Option<Option<Ending>> {
        let text = fs::read(self.at("result")).ok()?;
        serde_json::from_slice::<Record>(&text).ok().map(|record| record.ending)
    }
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_takes_the_space_that_was_taken_for_it() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(top.path().join("1"));
        let order = Order {
            argv: vec!["x".into()],
            limit: Duration::from_millis(1_500),
            pass_env: vec![],
            env: std::collections::BTreeMap::new(),
            until: Until::Itself,
        };
        folder.make(&order).expect("made");
        assert_eq!(folder.orders().expect("an order").limit(), order.limit);
        assert_eq!((folder.ending(), folder.is_begun().ok()), (None, Some(false)));
        folder.begin().expect("begun");
        let reason = "\\\"".repeat(500);
        let ending = Ending::CouldNotStart { reason };
        folder.end(Some(&ending)).expect("ended");
        assert_eq!(folder.ending(), Some(Some(ending)));
        let bytes = fs::metadata(folder.at("result")).expect("it is there").len();
        assert_eq!(bytes, RESULT_BYTES as u64);
        assert!(!folder.is_waiting() && !folder.at("result.new").exists());
    }

    #[test]
    fn a_result_that_cannot_be_read_is_none() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(top.path().to_owned());
        for text in ["", "{", "{\"ending\":{\"how\":\"sideways\"},\"at\":1}"] {
            fs::write(folder.at("result"), text).expect("written");
            assert_eq!(folder.ending(), None, "{text}");
        }
    }
}
