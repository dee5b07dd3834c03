//! The marker: a small file, preallocated, that is changed in place and so never needs free space.
//!
//! It has two slots with the same content. A change writes and syncs the first, then the second,
//! and is done when both are: so whichever slot a crash or a bad sector spoils, the other holds at
//! least everything that was ever answered for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{Raised, SLOT_BYTES, Seq, Slot, Witness};
use super::{JournalError, sync_directory};
use crate::failpoint;

const NAME: &str = "marker";
/// Under this name a marker is made complete before it takes its place.
const NAME_WHILE_MADE: &str = "marker.new";

/// A handle on the marker; clones are the same marker.
#[derive(Clone, Debug)]
pub struct Marker(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// Absent until the first write, where none was found.
    file: Option<File>,
    /// Counts writes of slots; the higher of two is the later.
    number: u64,
    slot: Slot,
}

/// What a start finds.
#[derive(Debug)]
pub(super) enum Found {
    Missing,
    Damaged(String),
    Valid(Marker),
}

impl Marker {
    /// Reads the marker of a state directory.
    pub(super) fn find(directory: &Path) -> Found {
        let path = directory.join(NAME);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(error) => return Found::Damaged(format!("the marker cannot be opened: {error}")),
        };
        let (first, second) = (read_slot(&file, 0), read_slot(&file, 1));
        let (number, slot) = match (first, second) {
            (Ok(first), Ok(second)) => {
                if first.0 < second.0 {
                    second
                } else {
                    first
                }
            }
            (Ok(slot), Err(_)) | (Err(_), Ok(slot)) => slot,
            (Err(first), Err(second)) => {
                return Found::Damaged(format!("the marker is damaged: {first}; {second}"));
            }
        };
        let directory = directory.to_owned();
        Found::Valid(Self::from(Inner { directory, file: Some(file), number, slot }))
    }

    /// A marker that is in memory until its first write makes the file.
    pub(super) fn unwritten(directory: &Path, slot: Slot) -> Self {
        Self::from(Inner { directory: directory.to_owned(), file: None, number: 0, slot })
    }

    fn from(inner: Inner) -> Self {
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Raises the bridge for this start and every later one, until [`Marker::clear`]. A second
    /// raise replaces the first.
    ///
    /// # Errors
    /// The disk refused. The raise is carried by every later write all the same.
    pub fn raise(&self, raised: Raised) -> Result<(), JournalError> {
        let mut inner = self.inner();
        inner.slot.raised = Some(raised);
        let slot = inner.slot.clone();
        inner.write(slot)
    }

    /// Lets the journal speak again. Call it when the journal has a record of the raise.
    ///
    /// # Errors
    /// The disk refused; the bridge counts as raised.
    pub fn clear(&self) -> Result<(), JournalError> {
        let mut inner = self.inner();
        if inner.slot.raised.is_none() {
            return Ok(());
        }
        let slot = Slot { raised: None, ..inner.slot.clone() };
        inner.write(slot)
    }

    pub fn raised(&self) -> Option<Raised> {
        self.inner().slot.raised.clone()
    }

    /// Notes how far the journal has come.
    pub(super) fn witness(&self, witness: Witness) -> Result<(), JournalError> {
        let mut inner = self.inner();
        let slot = Slot { witness, ..inner.slot.clone() };
        inner.write(slot)
    }

    /// Notes that the journal's file is about to become this short.
    pub(super) fn announce_length(&self, bytes: u64) -> Result<(), JournalError> {
        let mut inner = self.inner();
        if inner.slot.witness.bytes <= bytes {
            return Ok(());
        }
        let mut slot = inner.slot.clone();
        slot.witness.bytes = bytes;
        inner.write(slot)
    }

    pub(super) fn witnessed(&self) -> Witness {
        self.inner().slot.witness.clone()
    }

    /// Writes both slots as they are: makes the file where there is none, mends a spoilt slot.
    pub(super) fn persist(&self) -> Result<(), JournalError> {
        let mut inner = self.inner();
        let slot = inner.slot.clone();
        inner.write(slot)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; if it did, the slot is whole before each write.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, slot: Slot) -> Result<(), JournalError> {
        match self.file.take() {
            Some(file) => {
                let written = self.overwrite(&file, &slot, NAME);
                self.file = Some(file);
                written?;
            }
            None => self.file = Some(self.make(&slot)?),
        }
        self.slot = slot;
        Ok(())
    }

    fn overwrite(&mut self, file: &File, slot: &Slot, name: &str) -> Result<(), JournalError> {
        let path = self.directory.join(name);
        for place in [0, 1] {
            self.number += 1;
            let bytes = slot.encode(self.number).map_err(|error| JournalError::Unstorable {
                what: "the marker",
                reason: error.to_string(),
            })?;
            let offset = place * SLOT_BYTES as u64;
            let written = failpoint::check("marker.write")
                .and_then(|()| file.write_all_at(&bytes, offset))
                .and_then(|()| file.sync_data());
            written.map_err(JournalError::io("write", &path))?;
            failpoint::hit("marker.slot_written");
        }
        Ok(())
    }

    fn make(&mut self, slot: &Slot) -> Result<File, JournalError> {
        let path = self.directory.join(NAME_WHILE_MADE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(JournalError::io("make", &path))?;
        self.overwrite(&file, slot, NAME_WHILE_MADE)?;
        file.sync_all().map_err(JournalError::io("sync", &path))?;
        failpoint::hit("marker.made");
        let place = self.directory.join(NAME);
        std::fs::rename(&path, &place).map_err(JournalError::io("put in place", &place))?;
        sync_directory(&self.directory)?;
        Ok(file)
    }
}

fn read_slot(file: &File, place: u64) -> Result<(u64, Slot), String> {
    let mut bytes = vec![0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, place * SLOT_BYTES as u64)
        .map_err(|error| format!("slot {place}: {error}"))?;
    Slot::decode(&bytes).map_err(|error| format!("slot {place}: {error}"))
}

impl Witness {
    /// Before there is a journal.
    pub(super) fn none(journal: String) -> Self {
        Self { journal, last: Seq(0), bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Origin;
    use super::*;
    use crate::model::Timestamp;

    fn valid(directory: &Path) -> Marker {
        match Marker::find(directory) {
            Found::Valid(marker) => marker,
            other => panic!("{other:?}"),
        }
    }

    fn witness(last: u64) -> Witness {
        Witness { journal: "ab".into(), last: Seq(last), bytes: 10 * last }
    }

    fn doubt() -> Raised {
        Raised { at: Timestamp::from_millis(5), origin: Origin::Doubt { reason: "a test".into() } }
    }

    #[test]
    fn either_slot_alone_tells_what_was_answered_for() {
        for spoilt in [0, 1] {
            let top = tempfile::tempdir().expect("a directory");
            let slot = Slot { witness: witness(1), raised: None };
            let marker = Marker::unwritten(top.path(), slot);
            marker.witness(witness(2)).expect("written");
            marker.raise(doubt()).expect("written");
            drop(marker);

            let path = top.path().join(NAME);
            let mut bytes = std::fs::read(&path).expect("it is there");
            assert_eq!(bytes.len(), 2 * SLOT_BYTES);
            bytes[spoilt * SLOT_BYTES + 100] ^= 1;
            std::fs::write(&path, &bytes).expect("written");

            let marker = valid(top.path());
            assert_eq!(marker.witnessed(), witness(2));
            assert_eq!(marker.raised(), Some(doubt()));
            marker.persist().expect("mended");
            bytes = std::fs::read(&path).expect("it is there");
            bytes[(1 - spoilt) * SLOT_BYTES + 100] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(valid(top.path()).raised(), Some(doubt()));
        }
    }

    #[test]
    fn two_spoilt_slots_or_a_short_file_are_damage() {
        let top = tempfile::tempdir().expect("a directory");
        assert!(matches!(Marker::find(top.path()), Found::Missing));
        let slot = Slot { witness: witness(1), raised: None };
        Marker::unwritten(top.path(), slot).persist().expect("written");
        let path = top.path().join(NAME);
        let whole = std::fs::read(&path).expect("it is there");
        for length in [0, 1, SLOT_BYTES - 1] {
            std::fs::write(&path, &whole[..length]).expect("written");
            assert!(matches!(Marker::find(top.path()), Found::Damaged(_)), "{length}");
        }
        std::fs::write(&path, vec![0; 2 * SLOT_BYTES]).expect("written");
        assert!(matches!(Marker::find(top.path()), Found::Damaged(_)));
    }

    #[test]
    fn a_change_keeps_the_files_length_and_place() {
        use std::os::unix::fs::MetadataExt;
        let top = tempfile::tempdir().expect("a directory");
        let slot = Slot { witness: witness(1), raised: None };
        let marker = Marker::unwritten(top.path(), slot);
        marker.persist().expect("written");
        let path = top.path().join(NAME);
        let before = path.metadata().expect("it is there");
        marker.raise(doubt()).expect("written");
        marker.clear().expect("written");
        let after = path.metadata().expect("it is there");
        assert_eq!((before.ino(), before.len()), (after.ino(), after.len()));
        assert_eq!(before.blocks(), after.blocks());
        assert_eq!(valid(top.path()).raised(), None);
    }
}
