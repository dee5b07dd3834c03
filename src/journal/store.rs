//! The records in a redb file: an ordered table from number to record, and a few named values.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, Durability, ReadableDatabase, TableDefinition};

use super::catching::catching;
use super::file::{JournalFile, Seal};
use super::record::{Base, Entry, Seq};
use super::{JournalError, Marker};
use crate::failpoint;
use crate::model::limits::{JOURNAL_CACHE_BYTES, JOURNAL_RECORD_BYTES_MAX};

const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const NAMED: TableDefinition<&str, &[u8]> = TableDefinition::new("named");
const ID: &str = "id";
const BASE: &str = "base";

/// How every redb file begins.
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\n\xa9\r\n";

/// An open journal file. After an error of [`Store::append`] or [`Store::cut_after`] nothing is
/// known of it: drop it and open it again.
#[derive(Debug)]
pub(super) struct Store {
    /// Absent only while this is dropped.
    database: Option<Database>,
    seal: Seal,
    path: PathBuf,
}

/// Everything in it, verified.
#[derive(Debug)]
pub(super) struct Contents {
    pub id: String,
    pub base: Base,
    pub entries: Vec<Entry>,
}

/// What an append does besides adding the record.
#[derive(Debug)]
pub(super) enum Pruning {
    None,
    /// The records up to the new base's last go into it.
    Into(Box<Base>),
}

impl Store {
    /// Makes a new file that holds `first`, durable but for its name.
    pub(super) fn create(
        path: &Path,
        marker: &Marker,
        id: &str,
        first: (&Base, &Entry),
    ) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(JournalError::io("make", path))?;
        let store = Self::database(file, path, marker)?;
        let (base, entry) = first;
        let (base, record) = (stored(path, base.encode())?, storable(entry)?);
        store.guarded("write", |database| {
            let transaction = database.begin_write()?;
            {
                let mut named = transaction.open_table(NAMED)?;
                named.insert(ID, id.as_bytes())?;
                named.insert(BASE, base.as_slice())?;
                transaction.open_table(ENTRIES)?.insert(entry.seq.0, record.as_slice())?;
            }
            Ok(transaction.commit()?)
        })?;
        store.seal.sync_all().map_err(JournalError::io("sync", path))?;
        Ok(store)
    }

    /// Opens a file and reads all of it. `bytes` is the length that it had at least.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] where it is anything but a whole journal of ours; a missing file
    /// is [`JournalError::Io`] with `NotFound`.
    pub(super) fn open(
        path: &Path,
        marker: &Marker,
        bytes: u64,
    ) -> Result<(Self, Contents), JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(JournalError::io("open", path))?;
        // redb takes an empty file for a new one, and believes the length of one that was not
        // closed.
        looks_whole(&file, bytes).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                JournalError::Damaged { path: path.to_owned(), reason: error.to_string() }
            }
            _ => JournalError::io("read", path)(error),
        })?;
        let store = Self::database(file, path, marker)?;
        let contents = store.read_all()?;
        Ok((store, contents))
    }

    fn database(file: File, path: &Path, marker: &Marker) -> Result<Self, JournalError> {
        let (file, seal) = JournalFile::new(file, marker.clone());
        let mut builder = Builder::new();
        builder.set_cache_size(JOURNAL_CACHE_BYTES).set_check_integrity_on_open(true);
        let opened = catching(|| builder.create_with_backend(file));
        let database = opened
            .map_err(|reason| JournalError::Damaged { path: path.to_owned(), reason })?
            .map_err(|error| classify("open", path, error.into()))?;
        Ok(Self { database: Some(database), seal, path: path.to_owned() })
    }

    /// The file got another name.
    pub(super) fn moved_to(&mut self, path: &Path) {
        self.path = path.to_owned();
    }

    pub(super) fn bytes(&self) -> Result<u64, JournalError> {
        self.seal.bytes().map_err(JournalError::io("measure", &self.path))
    }

    /// Adds a record; it is on disk when this returns.
    pub(super) fn append(&mut self, entry: &Entry, pruning: &Pruning) -> Result<(), JournalError> {
        let record = storable(entry)?;
        let base = match pruning {
            Pruning::None => None,
            Pruning::Into(base) => Some((base.seq, stored(&self.path, base.encode())?)),
        };
        self.guarded("write", |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut entries = transaction.open_table(ENTRIES)?;
                entries.insert(entry.seq.0, record.as_slice())?;
                if let Some((pruned, base)) = &base {
                    entries.retain_in(..=pruned.0, |_, _| false)?;
                    transaction.open_table(NAMED)?.insert(BASE, base.as_slice())?;
                }
            }
            failpoint::hit("journal.before_commit");
            Ok(transaction.commit()?)
        })
    }

    /// Takes back records that nobody was answered for.
    pub(super) fn cut_after(&mut self, last: Seq) -> Result<(), JournalError> {
        self.guarded("write", |database| {
            let transaction = database.begin_write()?;
            transaction.open_table(ENTRIES)?.retain_in(last.next().0.., |_, _| false)?;
            Ok(transaction.commit()?)
        })
    }

    /// At most `limit` records after `after`, in order.
    pub(super) fn read_after(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let stored: Vec<(u64, Vec<u8>)> = self.guarded("read", |database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let range = entries.range(after.next().0..)?.take(limit);
            range
                .map(|entry| entry.map(|(seq, bytes)| (seq.value(), bytes.value().to_vec())))
                .collect::<Result<_, _>>()
                .map_err(redb::Error::from)
        })?;
        let decode = |(seq, bytes): (u64, Vec<u8>)| {
            Entry::decode(Seq(seq), &bytes)
                .map_err(|error| self.damaged(format!("record {seq}: {error}")))
        };
        stored.into_iter().map(decode).collect()
    }

    fn read_all(&self) -> Result<Contents, JournalError> {
        let (id, base) = self.guarded("read", |database| {
            let named = database.begin_read()?.open_table(NAMED)?;
            let id = named.get(ID)?.map(|bytes| bytes.value().to_vec());
            let base = named.get(BASE)?.map(|bytes| bytes.value().to_vec());
            Ok((id, base))
        })?;
        let id = id.and_then(|id| String::from_utf8(id).ok());
        let (Some(id), Some(base)) = (id, base) else {
            return Err(self.damaged("it is not drawspan's".to_owned()));
        };
        let base = Base::decode(&base)
            .map_err(|error| self.damaged(format!("the base of its records: {error}")))?;
        let entries = self.read_after(Seq(0), usize::MAX)?;
        let mut expected = base.seq;
        for entry in &entries {
            expected = expected.next();
            if entry.seq != expected {
                return Err(self.damaged(format!("record {expected} is missing")));
            }
        }
        Ok(Contents { id, base, entries })
    }

    /// Runs `work` on the database; a panic in it is damage.
    fn guarded<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, JournalError> {
        let Some(database) = &self.database else {
            return Err(JournalError::Degraded { reason: "its file is closed".to_owned() });
        };
        catching(|| work(database))
            .map_err(|reason| self.damaged(reason))?
            .map_err(|error| classify(action, &self.path, error))
    }

    fn damaged(&self, reason: String) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), reason }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.seal.close();
        let database = self.database.take();
        // Its closing fails on the sealed file, as it is meant to; after a panic of the store its
        // locks are poisoned, and closing may panic too. Nothing is left to be said of either.
        let _ = catching(move || drop(database));
    }
}

/// Is it long enough, and a redb file at all?
fn looks_whole(file: &File, bytes: u64) -> io::Result<()> {
    let present = file.metadata()?.len();
    let wrong = |text: String| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    if present == 0 {
        return wrong("it is empty".to_owned());
    }
    if present < bytes {
        return wrong(format!("it was cut from {bytes} bytes to {present}"));
    }
    let mut start = [0; REDB_MAGIC.len()];
    file.read_exact_at(&mut start, 0)?;
    if start != *REDB_MAGIC {
        return wrong("it is no journal".to_owned());
    }
    Ok(())
}

/// Tells a disk that failed from a file that is wrong.
fn classify(action: &'static str, path: &Path, error: redb::Error) -> JournalError {
    let damaged = |reason: String| JournalError::Damaged { path: path.to_owned(), reason };
    match error {
        redb::Error::Io(source) => match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                damaged(source.to_string())
            }
            _ => JournalError::io(action, path)(source),
        },
        redb::Error::PreviousIo => {
            JournalError::io(action, path)(io::Error::other("an earlier write failed"))
        }
        other => damaged(other.to_string()),
    }
}

fn storable(entry: &Entry) -> Result<Vec<u8>, JournalError> {
    let unstorable = |reason| JournalError::Unstorable { what: "the journal", reason };
    let bytes = entry.encode().map_err(|error| unstorable(error.to_string()))?;
    if JOURNAL_RECORD_BYTES_MAX < bytes.len() {
        return Err(unstorable(format!("{} bytes are too many", bytes.len())));
    }
    Ok(bytes)
}

fn stored(
    path: &Path,
    encoded: Result<Vec<u8>, serde_json::Error>,
) -> Result<Vec<u8>, JournalError> {
    encoded.map_err(|error| JournalError::io("write", path)(io::Error::other(error)))
}
