//! What a start makes of the state directory.
//!
//! * Nothing of ours in it: the configured mode, as the first record.
//! * A guarded call was under way: it may have run, recorded.
//! * The last switch has no recorded end: the less open of its two modes, recorded.
//! * The marker is raised: raised, recorded; then the marker is cleared.
//! * The journal or the marker is missing, cut short, damaged, another's or newer, or the journal
//!   ends before what the marker witnessed: raised. First the marker says so, then a journal that
//!   cannot be read is moved aside, then a new one begins with this doubt. A crash between any
//!   two of these finds the marker raised, and ends in the same state.
//! * The disk refuses: raised, and the journal is degraded until [`Journal::reopen`] succeeds.

use std::io;
use std::path::{Path, PathBuf};

use super::directory::StateDir;
use super::log::{Health, Journal, Loaded, Log};
use super::marker::{Found, Marker};
use super::record::{Base, Ending, Entry, Finished, GuardedStep, Origin, Raised, Record};
use super::record::{Seq, Slot, State, Switch, Witness};
use super::store::Store;
use super::{JournalError, sync_directory};
use crate::failpoint;
use crate::model::limits::{DAMAGED_JOURNALS_KEPT, DOUBT_CHARS_MAX};
use crate::model::{Mode, Revision, Timestamp, counted};

const JOURNAL: &str = "journal.redb";
/// Under this name a journal is made complete before it takes its place.
const JOURNAL_WHILE_MADE: &str = "journal.redb.new";
const DAMAGED: &str = "journal.redb.damaged-";

/// A journal that was opened, or that stands degraded with the bridge raised.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The journal's own marker, for raising while the journal cannot be written.
    pub marker: Marker,
    /// The state to come up in; the same as the journal's.
    pub recovered: State,
    pub start: Start,
}

/// Which of the cases a start was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first start in this directory.
    First,
    /// The mode of the last run.
    Continued,
    /// The last switch had no recorded end.
    Recovered { from: Mode, to: Mode },
    /// An operator raised by the marker while the journal could not be written.
    RaisedByMarker,
    /// Raised in doubt, now or before; where a journal could not be read, `kept_as` holds it.
    Doubt { reason: String, kept_as: Option<PathBuf> },
    /// Raised, because the disk refuses the journal.
    Degraded { reason: String },
}

/// Opens the journal of a state directory and settles what the last run left open.
///
/// # Errors
/// Only where nothing can be remembered at all: a first start on a disk that refuses. Later, a disk
/// that refuses gives a degraded journal and [`Start::Degraded`].
pub fn open(dir: &StateDir, initial: &Mode, now: Timestamp) -> Result<Opened, JournalError> {
    let marker = find_marker(dir.path(), now)?;
    let first = is_first(dir.path(), &marker);
    let (journal, start) = match attempt(dir, &marker, initial, now) {
        Ok(opened) => opened,
        Err(error) if first => return Err(error),
        Err(error) => degraded(dir, &marker, initial, (now, error)),
    };
    let recovered = journal.state().clone();
    Ok(Opened { journal, marker, recovered, start })
}

pub(super) fn journal_in(directory: &Path) -> PathBuf {
    directory.join(JOURNAL)
}

fn find_marker(directory: &Path, now: Timestamp) -> Result<Marker, JournalError> {
    let reason = match Marker::find(directory) {
        Found::Valid(marker) => return Ok(marker),
        Found::Damaged(reason) => reason,
        Found::Missing if has_journal_files(directory)? => {
            "the marker beside the journal is missing".to_owned()
        }
        Found::Missing => {
            let witness = Witness::none(new_id());
            return Ok(Marker::unwritten(directory, Slot { witness, raised: None }));
        }
    };
    // Which journal it witnessed, and how far, is lost: any name will do, any end is late enough.
    let witness = Witness::none(String::new());
    let raised = Some(doubt(&reason, now));
    Ok(Marker::unwritten(directory, Slot { witness, raised }))
}

/// The journal, or a damaged one that a start moved aside. The lock is made before anything else
/// and what is made under another name is not in place yet: neither counts.
fn has_journal_files(directory: &Path) -> Result<bool, JournalError> {
    let path = journal_in(directory);
    let present = path.try_exists().map_err(JournalError::io("look for", &path))?;
    Ok(present || !damaged_journals(directory)?.is_empty())
}

/// Nothing was ever answered for: the marker was made, at most.
fn is_first(directory: &Path, marker: &Marker) -> bool {
    let missing = matches!(journal_in(directory).try_exists(), Ok(false));
    missing && marker.witnessed().last == Seq(0) && marker.raised().is_none()
}

/// Everything that a start does, from whatever a crash left. It can be taken up again.
pub(super) fn attempt(
    dir: &StateDir,
    marker: &Marker,
    initial: &Mode,
    now: Timestamp,
) -> Result<(Journal, Start), JournalError> {
    let directory = dir.path();
    let first = is_first(directory, marker);
    marker.persist()?;
    failpoint::hit("start.marker_written");
    let left_over = directory.join(JOURNAL_WHILE_MADE);
    match std::fs::remove_file(&left_over) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(JournalError::io("remove", &left_over)(error));
        }
        Ok(()) | Err(_) => {}
    }
    if first {
        let record = Record::Initial { mode: initial.clone() };
        return Ok((make(dir, marker, (now, record))?, Start::First));
    }
    match load(dir, marker) {
        Ok(journal) => settle(journal, now),
        Err(JournalError::Damaged { path: _, reason }) => replace(dir, marker, (now, reason)),
        Err(error) => Err(error),
    }
}

fn load(dir: &StateDir, marker: &Marker) -> Result<Journal, JournalError> {
    let path = journal_in(dir.path());
    let witness = marker.witnessed();
    let damaged = |reason: String| JournalError::Damaged { path: path.clone(), reason };
    let opened = Store::open(&path, marker, witness.bytes);
    let (store, contents) = opened.map_err(|error| match error {
        JournalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            damaged("it is missing".to_owned())
        }
        other => other,
    })?;
    if !witness.journal.is_empty() && contents.id != witness.journal {
        return Err(damaged("it is the journal of another state directory".to_owned()));
    }
    let Some(last) = contents.entries.last().map(|entry| entry.seq) else {
        return Err(damaged("it has no records".to_owned()));
    };
    if last < witness.last {
        let lost = witness.last.0.saturating_sub(last.0);
        return Err(damaged(format!("it has lost {} at its end", counted(lost, "record"))));
    }
    let loaded = Loaded::new(contents, last);
    let witness = Witness { journal: loaded.id.clone(), last, bytes: store.bytes()? };
    marker.witness(witness)?;
    Ok(Journal::new(dir.clone(), marker.clone(), Health::Writes(store), loaded))
}

/// Records what the last run left open.
fn settle(mut journal: Journal, now: Timestamp) -> Result<(Journal, Start), JournalError> {
    // Nobody counts them any more: they may have run until this moment.
    for open in journal.state().guarded_open.clone() {
        journal.append(now, Record::GuardedCall { node: open.node, step: GuardedStep::Ran })?;
    }
    if let Some(start) = settle_marker(&mut journal)? {
        return Ok((journal, start));
    }
    let state = journal.state();
    if let Some(running) = state.unfinished.clone() {
        let record = running.recovered(state.address.as_ref());
        journal.append(now, record)?;
        return Ok((journal, Start::Recovered { from: running.from, to: running.to }));
    }
    let start = match state.doubt.clone() {
        Some(reason) => Start::Doubt { reason, kept_as: None },
        None => Start::Continued,
    };
    Ok((journal, start))
}

/// Records the raise that the marker holds, if it holds one, and clears the marker.
pub(super) fn settle_marker(journal: &mut Journal) -> Result<Option<Start>, JournalError> {
    let Some(raised) = journal.marker.raised() else { return Ok(None) };
    let start = settle_raised(journal, raised)?;
    failpoint::hit("start.raise_recorded");
    journal.marker.clear()?;
    Ok(Some(start))
}

fn settle_raised(journal: &mut Journal, raised: Raised) -> Result<Start, JournalError> {
    let Raised { at, origin } = raised;
    let state = journal.state().clone();
    // A crash after the record and before the marker was cleared comes here again.
    let recorded = state.since == at && state.mode == Mode::Maintenance;
    match origin {
        Origin::Doubt { reason } => {
            if !recorded || state.doubt.as_ref() != Some(&reason) {
                let mode_before = Some(state.mode);
                journal.append(
                    at,
                    Record::Doubt { mode_before, reason: reason.clone(), kept_as: None },
                )?;
            }
            Ok(Start::Doubt { reason, kept_as: None })
        }
        Origin::Command { by, why } => {
            if !recorded || state.by != by.name {
                let switch = Switch {
                    from: state.mode,
                    to: Mode::Maintenance,
                    address: None,
                    by,
                    why,
                    procedure: None,
                    forced: false,
                    forced_over: Vec::new(),
                    idempotency: None,
                };
                journal.append(at, Record::Switch(switch))?;
            }
            if let Some(running) = journal.state().unfinished.clone() {
                let finished = Finished { switch: running.switch, ending: Ending::FromMarker };
                journal.append(at, Record::Finished(finished))?;
            }
            Ok(Start::RaisedByMarker)
        }
    }
}

/// Raises for a journal that cannot be read, and begins a new one with this doubt.
fn replace(
    dir: &StateDir,
    marker: &Marker,
    found: (Timestamp, String),
) -> Result<(Journal, Start), JournalError> {
    let (now, damage) = found;
    let earlier = marker.raised().is_some();
    let raised = match marker.raised() {
        // An earlier attempt, or the lost marker, said it first.
        Some(raised @ Raised { origin: Origin::Doubt { .. }, .. }) => raised,
        Some(Raised { origin: Origin::Command { .. }, .. }) | None => {
            let raised = doubt(&format!("{JOURNAL}: {damage}"), now);
            marker.raise(raised.clone())?;
            raised
        }
    };
    failpoint::hit("start.raised");
    let mut kept_as = move_aside(dir.path(), now)?;
    if kept_as.is_none() && earlier {
        // It was that attempt which moved it.
        kept_as = damaged_journals(dir.path())?.into_iter().max();
    }
    failpoint::hit("start.moved_aside");
    let reason = match raised.origin {
        Origin::Doubt { reason } => reason,
        Origin::Command { .. } => damage,
    };
    let shown = kept_as.as_ref().map(|path| path.display().to_string());
    let record = Record::Doubt { mode_before: None, reason: reason.clone(), kept_as: shown };
    let journal = make(dir, marker, (raised.at, record))?;
    failpoint::hit("start.raise_recorded");
    journal.marker.clear()?;
    Ok((journal, Start::Doubt { reason, kept_as }))
}

/// Makes a journal with its first record. Its numbers and its name go on from the one before, so
/// that a revision never names two states.
fn make(
    dir: &StateDir,
    marker: &Marker,
    first: (Timestamp, Record),
) -> Result<Journal, JournalError> {
    let directory = dir.path();
    let witness = marker.witnessed();
    let id = if witness.journal.is_empty() { new_id() } else { witness.journal };
    let base = Base { seq: witness.last, state: State::empty() };
    let (at, record) = first;
    let entry = Entry { seq: base.seq.next(), at, record };
    let (made, place) = (directory.join(JOURNAL_WHILE_MADE), journal_in(directory));
    let mut store = Store::create(&made, marker, &id, (&base, &entry))?;
    failpoint::hit("start.journal_made");
    // The old one may have been longer than the new one is.
    marker.announce_length(store.bytes()?)?;
    std::fs::rename(&made, &place).map_err(JournalError::io("put in place", &place))?;
    sync_directory(directory)?;
    store.moved_to(&place);
    failpoint::hit("start.journal_placed");
    let bytes = store.bytes()?;
    marker.witness(Witness { journal: id.clone(), last: entry.seq, bytes })?;
    let contents = super::store::Contents { id, base, entries: vec![entry.clone()] };
    let loaded = Loaded::new(contents, entry.seq);
    Ok(Journal::new(dir.clone(), marker.clone(), Health::Writes(store), loaded))
}

/// Raised, because the disk refuses the journal.
fn degraded(
    dir: &StateDir,
    marker: &Marker,
    initial: &Mode,
    failure: (Timestamp, JournalError),
) -> (Journal, Start) {
    let (now, error) = failure;
    let reason = error.to_string();
    // Where the marker fails too, the next start meets the same disk and comes to the same end.
    let raised = marker.raised().unwrap_or_else(|| doubt(&reason, now));
    let _ = marker.raise(raised.clone());
    let last = marker.witnessed().last;
    let state = State::raised(Revision(last.0), &raised);
    let loaded = Loaded::nothing(state, last);
    let health = Health::NotStarted { reason: reason.clone(), initial: initial.clone() };
    let journal = Journal::new(dir.clone(), marker.clone(), health, loaded);
    (journal, Start::Degraded { reason })
}

fn doubt(reason: &str, at: Timestamp) -> Raised {
    let reason = reason.chars().take(DOUBT_CHARS_MAX).collect();
    Raised { at, origin: Origin::Doubt { reason } }
}

/// Keeps the journal's file for the operator, and only the last few of such.
fn move_aside(directory: &Path, now: Timestamp) -> Result<Option<PathBuf>, JournalError> {
    let path = journal_in(directory);
    // Fixed width, so that the names sort by time.
    let kept_as = directory.join(format!("{DAMAGED}{:015}", now.as_millis()));
    match std::fs::rename(&path, &kept_as) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(JournalError::io("move aside", &path)(error)),
    }
    let mut damaged = damaged_journals(directory)?;
    damaged.sort_unstable();
    let surplus = damaged.len().saturating_sub(DAMAGED_JOURNALS_KEPT);
    for old in damaged.iter().take(surplus) {
        // It is a convenience: a file that cannot be removed must not keep the gateway down.
        let _ = std::fs::remove_file(old);
    }
    sync_directory(directory)?;
    Ok(Some(kept_as))
}

fn damaged_journals(directory: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let read = JournalError::io("list", directory);
    let names = std::fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()
    });
    let ours = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED))
    };
    Ok(names.map_err(read)?.into_iter().filter(ours).collect())
}

/// A name that tells this directory's journal from another's: not a secret.
fn new_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
