//! The journal as the engine uses it: append, read, and go on after the disk failed.

use tokio::sync::broadcast;

use super::keys::{Keys, Remembered};
use super::record::{Base, Entry, Record, Seq, State, Witness};
use super::store::{Contents, Pruning, Store};
use super::{JournalError, Marker, StateDir, start};
use crate::failpoint;
use crate::model::limits::{
    JOURNAL_READ_MAX, JOURNAL_RECORDS_MAX, JOURNAL_RECORDS_PRUNED, JOURNAL_TOLD_KEPT,
};
use crate::model::{Mode, Revision, Timestamp};

/// An ordered, durable log of records and the state that they amount to.
pub trait Log: Send {
    /// Writes a record. When this returns, it survives everything that the disk survives.
    ///
    /// # Errors
    /// Nothing of it counts: where a part reached the disk, it is taken back before the next
    /// record, or a start finds a switch without an end.
    fn append(&mut self, at: Timestamp, record: Record) -> Result<Seq, JournalError>;

    /// As [`Log::append`], where the state is still at `expected`.
    ///
    /// # Errors
    /// Besides, [`JournalError::Moved`].
    fn append_if(
        &mut self,
        expected: Revision,
        at: Timestamp,
        record: Record,
    ) -> Result<Seq, JournalError>;

    /// Records after `after`, in order: at most `limit`, and at most [`JOURNAL_READ_MAX`]. Old ones
    /// are pruned: the first may have a higher number than the one after `after`.
    ///
    /// # Errors
    /// The log cannot be read.
    fn read_after(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, JournalError>;

    /// Every record that is appended from here on, in order, when it is on disk. A reader that falls
    /// behind by [`JOURNAL_TOLD_KEPT`] is told how many it missed; [`Log::read_after`] has them.
    fn subscribe(&self) -> broadcast::Receiver<Entry>;

    /// What the records amount to.
    fn state(&self) -> &State;

    /// The last record.
    fn last(&self) -> Seq;

    /// The command that was given under `key` within the last day.
    fn remembered(&self, key: &str, now: Timestamp) -> Option<&Remembered>;
}

/// The log in the state directory.
#[derive(Debug)]
pub struct Journal {
    /// Nobody else may write there while this can.
    pub(super) dir: StateDir,
    pub(super) marker: Marker,
    pub(super) health: Health,
    pub(super) loaded: Loaded,
    told: broadcast::Sender<Entry>,
    /// Records that are kept; a number of its own so that a test need not write thousands.
    records_max: usize,
}

/// Can it be written?
#[derive(Debug)]
pub(super) enum Health {
    Writes(Store),
    /// It failed, and what is loaded is what was answered for.
    Failed(String),
    /// It failed already at the start, which is taken up again with the first start's mode.
    NotStarted {
        reason: String,
        initial: Mode,
    },
}

/// What is in it, as far as it was answered for.
#[derive(Debug)]
pub(super) struct Loaded {
    pub id: String,
    pub base: Base,
    pub last: Seq,
    pub state: State,
    pub keys: Keys,
}

impl Loaded {
    /// Folds the records up to `until`.
    pub(super) fn new(contents: Contents, until: Seq) -> Self {
        let Contents { id, base, entries } = contents;
        let (mut state, mut keys, mut last) = (base.state.clone(), Keys::default(), base.seq);
        for entry in entries.iter().filter(|entry| entry.seq <= until) {
            state.apply(entry);
            keys.note(entry);
            last = entry.seq;
        }
        Self { id, base, last, state, keys }
    }

    /// While nothing can be read.
    pub(super) fn nothing(state: State, last: Seq) -> Self {
        let base = Base { seq: last, state: state.clone() };
        Self { id: String::new(), base, last, state, keys: Keys::default() }
    }
}

impl Journal {
    pub(super) fn new(dir: StateDir, marker: Marker, health: Health, loaded: Loaded) -> Self {
        let (told, _) = broadcast::channel(JOURNAL_TOLD_KEPT);
        Self { dir, marker, health, loaded, told, records_max: JOURNAL_RECORDS_MAX }
    }

    /// Why it does not write, if it does not.
    pub fn degraded(&self) -> Option<&str> {
        match &self.health {
            Health::Writes(_) => None,
            Health::Failed(reason) | Health::NotStarted { reason, .. } => Some(reason),
        }
    }

    pub const fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Tries to write again after a failure; does nothing where it writes. Records that failed are
    /// taken back first. Where the bridge was raised by the marker meanwhile, or came up raised
    /// because the journal failed already at the start, the raise is recorded and the marker
    /// cleared: [`Log::state`] has another revision afterwards.
    ///
    /// # Errors
    /// It still fails.
    pub fn reopen(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let reopened = match &self.health {
            Health::Writes(_) => return Ok(()),
            Health::Failed(_) => {
                self.open_again().and_then(|()| start::settle_marker(self).map(drop))
            }
            Health::NotStarted { initial, .. } => {
                start::attempt(&self.dir, &self.marker, initial, now)
                    .map(|(journal, _)| *self = journal)
            }
        };
        if let Err(error) = &reopened {
            let why = error.to_string();
            match &mut self.health {
                // It writes, but the marker could not be cleared: the next try does both.
                Health::Writes(_) => self.health = Health::Failed(why),
                Health::Failed(reason) | Health::NotStarted { reason, .. } => *reason = why,
            }
        }
        reopened
    }

    fn open_again(&mut self) -> Result<(), JournalError> {
        let path = start::journal_in(self.dir.path());
        let witness = self.marker.witnessed();
        let (mut store, contents) = Store::open(&path, &self.marker, witness.bytes)?;
        let last = contents.entries.last().map_or(contents.base.seq, |entry| entry.seq);
        if contents.id != self.loaded.id || last < self.loaded.last {
            let reason = format!("it ends at {last}, before {}", self.loaded.last);
            return Err(JournalError::Damaged { path, reason });
        }
        if self.loaded.last < last {
            store.cut_after(self.loaded.last)?;
        }
        self.loaded = Loaded::new(contents, self.loaded.last);
        self.witness(&store, self.loaded.last)?;
        self.health = Health::Writes(store);
        Ok(())
    }

    fn witness(&self, store: &Store, last: Seq) -> Result<(), JournalError> {
        let journal = self.loaded.id.clone();
        self.marker.witness(Witness { journal, last, bytes: store.bytes()? })
    }

    fn write(&mut self, entry: &Entry) -> Result<Option<Base>, JournalError> {
        let Health::Writes(store) = &mut self.health else {
            let reason = self.degraded().unwrap_or_default().to_owned();
            return Err(JournalError::Degraded { reason });
        };
        let kept = self.loaded.last.0.saturating_sub(self.loaded.base.seq.0);
        let pruning = if u64::try_from(self.records_max).is_ok_and(|max| kept < max) {
            Pruning::None
        } else {
            Pruning::Into(Box::new(pruned(store, &self.loaded.base)?))
        };
        store.append(entry, &pruning)?;
        failpoint::hit("journal.committed");
        let Health::Writes(store) = &self.health else {
            return Ok(None);
        };
        self.witness(store, entry.seq)?;
        failpoint::hit("journal.witnessed");
        Ok(match pruning {
            Pruning::None => None,
            Pruning::Into(base) => Some(*base),
        })
    }
}

/// The base after the oldest records went into it.
fn pruned(store: &Store, base: &Base) -> Result<Base, JournalError> {
    let mut base = base.clone();
    for entry in store.read_after(base.seq, JOURNAL_RECORDS_PRUNED)? {
        base.state.apply(&entry);
        base.seq = entry.seq;
    }
    Ok(base)
}

impl Log for Journal {
    fn append(&mut self, at: Timestamp, record: Record) -> Result<Seq, JournalError> {
        let entry = Entry { seq: self.loaded.last.next(), at, record };
        match self.write(&entry) {
            Ok(base) => {
                if let Some(base) = base {
                    self.loaded.base = base;
                }
                self.loaded.last = entry.seq;
                self.loaded.state.apply(&entry);
                self.loaded.keys.note(&entry);
                let seq = entry.seq;
                // Nobody may be listening.
                let _ = self.told.send(entry);
                Ok(seq)
            }
            Err(error) => {
                match &error {
                    // The record's own fault, or known before: nothing was written.
                    JournalError::Unstorable { .. }
                    | JournalError::Degraded { .. }
                    | JournalError::Moved { .. } => {}
                    JournalError::Io { .. } | JournalError::Damaged { .. } => {
                        self.health = Health::Failed(error.to_string());
                    }
                }
                Err(error)
            }
        }
    }

    fn append_if(
        &mut self,
        expected: Revision,
        at: Timestamp,
        record: Record,
    ) -> Result<Seq, JournalError> {
        let current = self.loaded.state.revision();
        if current != expected {
            return Err(JournalError::Moved { expected, current });
        }
        self.append(at, record)
    }

    fn read_after(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, JournalError> {
        match &self.health {
            Health::Writes(store) => {
                let mut entries = store.read_after(after, limit.min(JOURNAL_READ_MAX))?;
                entries.retain(|entry| entry.seq <= self.loaded.last);
                Ok(entries)
            }
            Health::Failed(reason) | Health::NotStarted { reason, .. } => {
                Err(JournalError::Degraded { reason: reason.clone() })
            }
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<Entry> {
        self.told.subscribe()
    }

    fn state(&self) -> &State {
        &self.loaded.state
    }

    fn last(&self) -> Seq {
        self.loaded.last
    }

    fn remembered(&self, key: &str, now: Timestamp) -> Option<&Remembered> {
        self.loaded.keys.find(key, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Timestamp {
        Timestamp::from_millis(i64::try_from(seq).expect("few"))
    }

    #[test]
    fn who_subscribes_hears_of_every_record_that_is_on_disk_and_of_no_other() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(&top.path().join("state")).expect("it is made");
        let mut opened = start::open(&dir, &Mode::Cluster, at(1)).expect("it starts");
        let mut records = opened.journal.subscribe();
        let same = |revision| Record::GuardedCall {
            node: "n1".parse().expect("legal"),
            step: if revision == 1 {
                crate::journal::record::GuardedStep::Began
            } else {
                crate::journal::record::GuardedStep::Ran
            },
        };
        opened.journal.append(at(2), same(1)).expect("it writes");
        assert!(opened.journal.append_if(Revision(9), at(3), same(2)).is_err());
        opened.journal.append_if(Revision(1), at(4), same(2)).expect("it writes");
        let heard = [records.try_recv(), records.try_recv()];
        let heard = heard.map(|entry| entry.expect("told"));
        assert_eq!(heard.map(|entry| (entry.seq, entry.at)), [(Seq(2), at(2)), (Seq(3), at(4))]);
        assert!(records.try_recv().is_err(), "nothing else");
    }

    #[test]
    fn pruning_keeps_the_state_and_the_numbers() {
        let top = tempfile::tempdir().expect("a directory");
        let path = top.path().join("state");
        let call = Record::GuardedCall {
            node: "n1".parse().expect("legal"),
            step: crate::journal::record::GuardedStep::Ran,
        };
        let expected = {
            let dir = StateDir::open(&path).expect("it is made");
            let mut opened = start::open(&dir, &Mode::Cluster, at(1)).expect("it starts");
            opened.journal.records_max = 1_010;
            for seq in 2..=1_020 {
                assert_eq!(opened.journal.append(at(seq), call.clone()).ok(), Some(Seq(seq)));
            }
            assert_eq!(opened.journal.loaded.base.seq, Seq(1_000));
            let first = opened.journal.read_after(Seq(0), 1).expect("it reads");
            assert_eq!(first[0].seq, Seq(1_001));
            opened.journal.state().clone()
        };
        assert_eq!((expected.mode.clone(), expected.revision()), (Mode::Cluster, Revision(1)));
        let dir = StateDir::open(&path).expect("it is free");
        let opened = start::open(&dir, &Mode::Maintenance, at(2_000)).expect("it starts");
        assert_eq!(*opened.journal.state(), expected);
        assert_eq!(opened.journal.last(), Seq(1_020));
    }
}
