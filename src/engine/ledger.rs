//! The engine's journal, off its own thread: it blocks on the disk.

use super::{HistoryEntry, PastProcedure, history, past};
use crate::clock;
use crate::journal::record::{
    Commander, Ending, Finished, GuardedCall, GuardedStep, Origin, Raised, Record, Same, Seq,
    State, Switch,
};
use crate::journal::{Journal, JournalError, Log, Remembered};
use crate::model::limits::JOURNAL_READ_MAX;
use crate::model::{Mode, Revision, Timestamp};
use crate::procedure::{Excluded, Procedure};

/// Lends the journal to a blocking thread for one piece of work at a time.
#[derive(Debug)]
pub(super) struct Ledger {
    journal: Option<Journal>,
    /// Why the journal does not write, while it does not.
    degraded: Option<String>,
}

impl Ledger {
    pub(super) fn new(journal: Journal) -> Self {
        let degraded = journal.degraded().map(str::to_owned);
        Self { journal: Some(journal), degraded }
    }

    pub(super) fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }

    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let Some(mut journal) = self.journal.take() else {
            return Err(JournalError::Degraded { reason: "its thread was lost".into() });
        };
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut journal);
            (journal, result)
        });
        match worked.await {
            Ok((journal, result)) => {
                self.degraded = journal.degraded().map(|reason| match &result {
                    Err(error) => format!("{reason}; {}", error.remedy()),
                    Ok(_) => reason.to_owned(),
                });
                self.journal = Some(journal);
                result
            }
            Err(error) => Err(JournalError::Degraded { reason: error.to_string() }),
        }
    }

    /// Writes a record and syncs it. After a failure nothing is written until
    /// [`Self::try_again`] succeeds.
    pub(super) async fn append(&mut self, record: Record) -> Result<Seq, JournalError> {
        self.append_at(clock::now(), record).await
    }

    /// As [`Self::append`], for what happened at a known moment.
    pub(super) async fn append_at(
        &mut self,
        at: Timestamp,
        record: Record,
    ) -> Result<Seq, JournalError> {
        self.with(move |journal| journal.append(at, record)).await
    }

    /// As [`Self::append`], where the state is still the one that it was decided in view of.
    pub(super) async fn append_if(
        &mut self,
        expected: Revision,
        record: Record,
    ) -> Result<Seq, JournalError> {
        let at = clock::now();
        self.with(move |journal| journal.append_if(expected, at, record)).await
    }

    /// Raises without the journal: by the marker, which needs no space.
    pub(super) async fn raise(
        &mut self,
        by: Commander,
        why: Option<String>,
    ) -> Result<(), JournalError> {
        let raised = Raised { at: clock::now(), origin: Origin::Command { by, why } };
        self.with(move |journal| journal.marker().raise(raised)).await
    }

    /// Opens the journal anew after a failure and writes what it lacks. Returns what it amounts to
    /// then: never more open than the mode that is held.
    pub(super) async fn try_again(&mut self, missing: Missing) -> Result<State, JournalError> {
        let at = clock::now();
        self.with(move |journal| {
            // Records the raise that the marker holds, too.
            journal.reopen(at)?;
            missing.write(journal, at)?;
            Ok(journal.state().clone())
        })
        .await
    }

    /// The procedure that was begun last; it may be over.
    pub(super) fn procedure(&self) -> Option<&Procedure> {
        self.journal.as_ref()?.state().procedure.as_ref()
    }

    /// The nodes that are left out of every table.
    pub(super) fn excluded(&self) -> Vec<Excluded> {
        self.journal.as_ref().map(|journal| journal.state().excluded.clone()).unwrap_or_default()
    }

    /// Size of the last backup that a procedure rested on.
    pub(super) fn backup_bytes(&self) -> Option<u64> {
        self.journal.as_ref()?.state().backup_bytes
    }

    /// Number of the next record.
    pub(super) fn next(&self) -> Option<Seq> {
        self.journal.as_ref().map(|journal| journal.last().next())
    }

    /// What became of an earlier command under this key.
    pub(super) fn remembered(&self, key: &str, now: Timestamp) -> Option<Remembered> {
        self.journal.as_ref()?.remembered(key, now).cloned()
    }

    /// The last procedures, the youngest first, or the one with this id.
    pub(super) async fn procedures(&mut self, id: Option<u64>) -> Vec<PastProcedure> {
        let read = self.with(move |journal| past_procedures(journal, id)).await;
        read.unwrap_or_default()
    }

    /// The last switches, the youngest first; none where the journal cannot be read.
    pub(super) async fn history(
        &mut self,
        limit: usize,
        running: Option<Revision>,
    ) -> Vec<HistoryEntry> {
        let read = self.with(move |journal| last_switches(journal, limit, running)).await;
        read.unwrap_or_default()
    }
}

/// What the engine holds while the journal cannot be written, and what of it the journal may lack.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub mode: Mode,
    /// The end of a switch that was carried out.
    pub finished: Option<Finished>,
    /// A raise that only the marker knows.
    pub raise: Option<Switch>,
    pub guarded: Vec<GuardedCall>,
}

impl Missing {
    fn write(self, journal: &mut Journal, at: Timestamp) -> Result<(), JournalError> {
        let Self { mode, finished, raise, guarded } = self;
        if let Some(finished) = finished
            && unfinished_in(journal.state()) == Some(finished.switch)
        {
            journal.append(at, Record::Finished(finished))?;
        }
        let is_raised = |journal: &Journal| journal.state().mode == Mode::Maintenance;
        match raise {
            // The marker's raise is recorded; it does not know the command's key.
            Some(Switch { by, idempotency: idempotency @ Some(_), .. }) if is_raised(journal) => {
                let (mode, revision) = (mode.clone(), journal.state().revision().0);
                journal.append(at, Record::Same(Same { mode, revision, by, idempotency }))?;
            }
            Some(switch) if !is_raised(journal) => {
                let switch = journal.append(at, Record::Switch(switch))?;
                let finished = Finished { switch, ending: Ending::FromMarker };
                journal.append(at, Record::Finished(finished))?;
            }
            Some(_) | None => {}
        }
        if mode == Mode::Maintenance && !is_raised(journal) {
            // It came up raised because nothing could be read, and not even the marker written.
            let mode_before = Some(journal.state().mode.clone());
            let reason = "the journal could not be read at the start".to_owned();
            journal.append(at, Record::Doubt { mode_before, reason, kept_as: None })?;
        }
        for call in guarded {
            if !journal.state().guarded.contains(&call) {
                let step = GuardedStep::Ran;
                journal.append(call.at, Record::GuardedCall { node: call.node, step })?;
            }
        }
        Ok(())
    }
}

/// The switches among the last records of the journal.
fn last_switches(
    journal: &Journal,
    limit: usize,
    running: Option<Revision>,
) -> Result<Vec<HistoryEntry>, JournalError> {
    let records = u64::try_from(JOURNAL_READ_MAX).unwrap_or(u64::MAX);
    let after = Seq(journal.last().0.saturating_sub(records));
    let mut switches = history::of(journal.read_after(after, JOURNAL_READ_MAX)?, running);
    switches.truncate(limit);
    Ok(switches)
}

/// The procedures among the last records of the journal.
fn past_procedures(journal: &Journal, id: Option<u64>) -> Result<Vec<PastProcedure>, JournalError> {
    let records = u64::try_from(JOURNAL_READ_MAX).unwrap_or(u64::MAX);
    let after = Seq(journal.last().0.saturating_sub(records));
    let mut past = past::of(journal.read_after(after, JOURNAL_READ_MAX)?);
    past.retain(|procedure| id.is_none_or(|id| procedure.id == id));
    Ok(past)
}

fn unfinished_in(state: &State) -> Option<Seq> {
    state.unfinished.as_ref().map(|unfinished| unfinished.switch)
}
