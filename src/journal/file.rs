//! The journal's file, as redb sees it.
//!
//! It differs from redb's own in three things. Growth allocates its blocks, so that a full disk
//! refuses growth and nothing else. The marker hears of a shorter length before the file gets it,
//! so that a file found shorter than witnessed was cut by somebody else. And it can be *sealed*:
//! then no write reaches it any more, closing included, so every open takes the path of an open
//! after a crash, which verifies every page. There is one path, and the tests take it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::Marker;
use crate::failpoint;

#[derive(Debug)]
pub(super) struct JournalFile {
    file: Arc<File>,
    sealed: Arc<AtomicBool>,
    marker: Marker,
}

/// Keeps the file from being written; held by the store that owns it.
#[derive(Debug)]
pub(super) struct Seal {
    file: Arc<File>,
    sealed: Arc<AtomicBool>,
}

impl JournalFile {
    pub(super) fn new(file: File, marker: Marker) -> (Self, Seal) {
        let (file, sealed) = (Arc::new(file), Arc::new(AtomicBool::new(false)));
        let seal = Seal { file: file.clone(), sealed: sealed.clone() };
        (Self { file, sealed, marker }, seal)
    }

    fn writable(&self, point: &str) -> io::Result<()> {
        if self.sealed.load(Ordering::Acquire) {
            return Err(io::Error::other("the journal's file is sealed"));
        }
        failpoint::check(point)
    }
}

impl Seal {
    pub(super) fn close(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl StorageBackend for JournalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable("journal.resize")?;
        let present = self.len()?;
        if len < present {
            self.marker.announce_length(len).map_err(io::Error::other)?;
            failpoint::hit("journal.shrink_announced");
            return self.file.set_len(len);
        }
        match fallocate(&self.file, FallocateFlags::empty(), present, len - present) {
            Ok(()) => Ok(()),
            // Nothing to add (redb asks for the length that it has), or a file system without it.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(len),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable("journal.sync")?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable("journal.write")?;
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Seq, Slot, Witness};
    use super::*;

    fn scene(directory: &std::path::Path) -> (Marker, JournalFile, Seal) {
        let witness = Witness { journal: "ab".into(), last: Seq(1), bytes: 16_384 };
        let marker = Marker::unwritten(directory, Slot { witness, raised: None });
        let (file, seal) = JournalFile::new(tempfile::tempfile().expect("a file"), marker.clone());
        file.set_len(16_384).expect("it grows");
        (marker, file, seal)
    }

    #[test]
    fn the_marker_hears_of_a_shorter_length_first() {
        let top = tempfile::tempdir().expect("a directory");
        let (marker, file, _seal) = scene(top.path());
        assert_eq!(marker.witnessed().bytes, 16_384);
        file.set_len(8_192).expect("it shrinks");
        assert_eq!((marker.witnessed().bytes, file.len().ok()), (8_192, Some(8_192)));

        // A marker that cannot be written: the file keeps its length.
        let (_, file, _seal) = scene(&top.path().join("absent"));
        file.set_len(8_192).expect_err("the marker comes first");
        assert_eq!(file.len().ok(), Some(16_384));
    }

    #[test]
    fn growth_allocates_its_blocks() {
        use std::os::unix::fs::MetadataExt;
        let top = tempfile::tempdir().expect("a directory");
        let (_, file, _seal) = scene(top.path());
        assert!(16_384 <= 512 * file.file.metadata().expect("it is there").blocks());
    }

    #[test]
    fn a_sealed_file_takes_no_writes() {
        let top = tempfile::tempdir().expect("a directory");
        let (_, file, seal) = scene(top.path());
        file.write(0, b"before").expect("it is written");
        seal.close();
        file.write(0, b"after").expect_err("it is sealed");
        file.set_len(4_096).expect_err("it is sealed");
        let mut bytes = [0; 6];
        file.read(0, &mut bytes).expect("it reads");
        assert_eq!((&bytes, file.len().ok()), (b"before", Some(16_384)));
    }
}
