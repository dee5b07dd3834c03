//! What must be remembered, and what happens while the journal does not write.

use super::super::ledger::Missing;
use super::super::{EventKind, JournalState, SwitchCommand, SwitchError};
use super::{Engine, commander};
use crate::journal::JournalError;
use crate::journal::record::State;
use crate::model::{Mode, Revision};

impl Engine {
    /// The journal does not write: raising goes by the marker, everything else is refused.
    pub(super) async fn raise_unjournalled(
        &mut self,
        command: &SwitchCommand,
    ) -> Result<Revision, SwitchError> {
        let degraded = |cause: &str| SwitchError::JournalDegraded { cause: cause.to_owned() };
        if command.target != Mode::Maintenance {
            return Err(degraded(self.ledger.degraded().unwrap_or("unknown")));
        }
        let why = command.why.as_ref().map(|why| why.as_str().to_owned());
        let raised = self.ledger.raise(commander(command), why).await;
        raised.map_err(|error| degraded(&error.to_string()))?;
        // No record, no new number: the revision moves when the journal writes again.
        Ok(self.revision())
    }

    pub(super) fn journal_failed(&self, error: &JournalError) {
        tracing::error!(%error, remedy = error.remedy(), "the journal does not write");
        self.metrics.journal_failed();
        self.metrics.journal_degraded();
        // With what the operator can do about it.
        let cause = format!("{error}; {}", error.remedy());
        self.stand(|standing| standing.journal = JournalState::Degraded(cause.clone()));
        let kind = EventKind::JournalChanged { degraded: Some(cause) };
        self.events.tell(self.revision(), kind);
    }

    /// Tries a journal that failed once more, and gives it what only the marker knew.
    pub(super) async fn retry_journal(&mut self) {
        // A raise that is still draining comes first.
        if self.ledger.degraded().is_none() || self.running.is_some() {
            return;
        }
        let missing = Missing {
            mode: self.mode(),
            finished: self.unended.clone(),
            raise: self.unwritten.clone(),
            guarded: self.guarded.ran.clone(),
        };
        match self.ledger.try_again(missing).await {
            Err(error) => tracing::debug!(%error, "the journal still does not write"),
            Ok(state) => {
                self.journal_recovered(state);
                self.resume().await;
                self.settle_again().await;
            }
        }
    }

    fn journal_recovered(&mut self, state: State) {
        tracing::warn!("the journal writes again");
        let revision = state.revision();
        self.metrics.journal_recovered();
        self.metrics.revision(revision);
        (self.unwritten, self.unended) = (None, None);
        // After a start that could not read it, the journal knows more than we do.
        self.guarded.recovered(state, &self.nodes);
        self.show_guarded();
        self.stand(|standing| {
            standing.revision = revision;
            standing.journal = JournalState::Ok;
        });
        self.events.tell(revision, EventKind::JournalChanged { degraded: None });
    }
}
