//! Taking up a procedure that an earlier process of the gateway conducted.

use super::super::EventKind;
use super::super::SwitchCommand;
use super::Engine;
use crate::drivers::Found;
use crate::model::Pace;
use crate::procedure::{Event, FoundJob, JobState, Member, Ticket};

impl Engine {
    /// Puts on record that the gateway restarted, and what became of the commands that ran; those
    /// that still run are watched again. None is run again. Done once, as soon as the journal writes.
    pub(super) async fn resume(&mut self) {
        if self.resumed || self.ledger.degraded().is_some() {
            return;
        }
        self.resumed = true;
        self.prune_commands();
        let Some(procedure) = self.running_procedure() else {
            return self.show_procedure();
        };
        self.evidence.hurry(Pace::Closely);
        let tickets: Vec<Ticket> = procedure.running().filter_map(ticket).collect();
        let jobs: Vec<FoundJob> = tickets.iter().map(|ticket| self.look_up(ticket)).collect();
        let still: Vec<Ticket> = tickets
            .into_iter()
            .zip(&jobs)
            .filter(|(_, found)| matches!(found, FoundJob::Running { .. }))
            .map(|(ticket, _)| ticket)
            .collect();
        let means = self.equipment.means();
        let nodes_changed = changed(&procedure.begin.members, &self.equipment.members());
        let restarted = Event::Restarted { jobs, means, nodes_changed };
        if self.happened(restarted, None).await.is_err() {
            self.resumed = false;
            return;
        }
        for ticket in still {
            if let Some(work) = procedure.work_of(ticket.number) {
                self.watch.outputs.begins(ticket.number, work.clone());
            }
            self.watch.follow(&self.equipment.runner, ticket);
        }
        self.conduct().await;
    }

    fn look_up(&self, ticket: &Ticket) -> FoundJob {
        let number = ticket.number;
        // What the gateway did itself died with it; so did what could not be started.
        if ticket.pid == 0 {
            return FoundJob::Gone { number };
        }
        match self.equipment.runner.find(number, Some(ticket)) {
            Found::Running => FoundJob::Running { number },
            Found::Ended(ending) => {
                FoundJob::Ended { number, ending: super::conduct::ending_of(ending) }
            }
            Found::NeverRan => FoundJob::NeverRan { number },
            Found::Gone => FoundJob::Gone { number },
        }
    }

    /// Old commands' folders go; those of the last procedure stay.
    fn prune_commands(&self) {
        let keep: Vec<u64> = self
            .ledger
            .procedure()
            .map(|procedure| (procedure.first_number()..procedure.next_number()).collect())
            .unwrap_or_default();
        let runner = self.equipment.runner.clone();
        self.tasks.spawn_blocking(move || {
            if let Err(error) = runner.prune(&keep) {
                tracing::warn!(%error, "old commands' folders are left");
            }
        });
    }

    /// `mode maintenance` pauses a procedure: whoever listens is told.
    pub(super) fn told_pause(&self, command: &SwitchCommand) {
        let Some(procedure) = self.running_procedure().filter(|_| command.procedure.is_none())
        else {
            return;
        };
        let (id, kind, phase) = (procedure.id, procedure.kind(), procedure.phase);
        let detail = format!("by {}", command.by.name);
        let kind = EventKind::Procedure { id, kind, phase, what: "paused", detail };
        self.events.tell(self.revision(), kind);
    }
}

fn ticket(job: &crate::procedure::Job) -> Option<Ticket> {
    match &job.state {
        JobState::Running { ticket, .. } => Some(ticket.clone()),
        JobState::Wanted | JobState::Ended { .. } | JobState::Unknown { .. } => None,
    }
}

/// How the nodes of the configuration differ from those that the procedure began with.
fn changed(before: &[Member], now: &[Member]) -> Option<String> {
    let same = |a: &Member, b: &Member| a.id == b.id && a.role == b.role && a.address == b.address;
    let gone = before.iter().filter(|b| !now.iter().any(|n| same(b, n))).map(|b| b.id.as_str());
    let new = now.iter().filter(|n| !before.iter().any(|b| same(b, n))).map(|n| n.id.as_str());
    let (gone, new): (Vec<_>, Vec<_>) = (gone.collect(), new.collect());
    if gone.is_empty() && new.is_empty() {
        return None;
    }
    let list = |ids: &[&str]| if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
    Some(format!(
        "the configured nodes are not those that the procedure began with: gone or changed: {}; \
         new or changed: {}",
        list(&gone),
        list(&new)
    ))
}
