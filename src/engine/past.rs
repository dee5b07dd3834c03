//! Procedures as the journal's records tell them, and what each event is called.

use super::procedure::{PastEvent, PastProcedure};
use crate::journal::record::{Entry, Record};
use crate::model::Revision;
use crate::procedure::{Event, Procedure, step};

/// The procedures that were begun among `entries`, the youngest first.
pub(super) fn of(entries: Vec<Entry>) -> Vec<PastProcedure> {
    let mut all: Vec<(PastProcedure, Procedure)> = Vec::new();
    for entry in entries {
        take(&mut all, &entry);
    }
    all.into_iter().rev().map(|(past, _)| past).collect()
}

fn take(all: &mut Vec<(PastProcedure, Procedure)>, entry: &Entry) {
    match &entry.record {
        Record::Begun { begin, idempotency: _ } => {
            let running = Procedure::new(entry.seq.0, (**begin).clone(), entry.at);
            let past = PastProcedure {
                id: entry.seq.0,
                kind: begin.kind,
                by: begin.by.clone(),
                why: begin.why.clone(),
                began: entry.at,
                outcome: None,
                events: Vec::new(),
            };
            all.push((past, running));
        }
        Record::Procedure { id, event, idempotency: _ } => happened(all, Some(*id), entry, event),
        Record::Switch(switch) => {
            let event = Event::Switched { to: switch.to.clone(), own: switch.procedure.is_some() };
            happened(all, switch.procedure, entry, &event);
        }
        Record::Initial { .. }
        | Record::Doubt { .. }
        | Record::Recovered { .. }
        | Record::Finished(_)
        | Record::Same(_)
        | Record::Included { .. }
        | Record::GuardedCall { .. } => {}
    }
}

fn happened(all: &mut [(PastProcedure, Procedure)], id: Option<u64>, entry: &Entry, event: &Event) {
    let Some((past, running)) = all.last_mut() else { return };
    if running.is_over() || id.is_some_and(|id| id != running.id) {
        return;
    }
    let (what, detail) = words(event);
    let (revision, phase) = (Revision(entry.seq.0), running.phase);
    past.events.push(PastEvent { revision, at: entry.at, phase, what, detail });
    if let Ok(next) = step(running, entry.seq.0, entry.at, event) {
        past.outcome = next.outcome;
        *running = next;
    }
}

/// A record in words, for the audit: its stable name, and what it says.
pub fn describe(record: &Record) -> (&'static str, String) {
    match record {
        Record::Initial { mode } => ("initial", mode.to_string()),
        Record::Doubt { reason, .. } => ("doubt", reason.clone()),
        Record::Switch(switch) => {
            let forced = if switch.forced { " by force" } else { "" };
            ("switch", format!("{} -> {} by {}{forced}", switch.from, switch.to, switch.by.name))
        }
        Record::Recovered { switch, mode, .. } => ("recovered", format!("switch {switch}: {mode}")),
        Record::Finished(finished) => ("finished", format!("switch {}", finished.switch)),
        Record::Same(same) => ("same", format!("{} by {}", same.mode, same.by.name)),
        Record::Begun { begin, .. } => ("begun", format!("{} by {}", begin.kind, begin.by)),
        Record::Procedure { id, event, .. } => {
            let (what, detail) = words(event);
            (what, format!("procedure {id}: {detail}"))
        }
        Record::Included { node, by, .. } => ("included", format!("{node} by {}", by.name)),
        Record::GuardedCall { node, step } => ("guarded_call", format!("{node}: {step:?}")),
    }
}

/// The stable name of an event, and what it says to people.
pub(super) fn words(event: &Event) -> (&'static str, String) {
    match event {
        Event::Said(said) => {
            let why = said.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            ("said", format!("{} by {}{why}", said.choice, said.by))
        }
        Event::NodeDown { node, how } => ("node_down", format!("{node}: {how}")),
        Event::NodeCameBack { node, what } => ("came_back", format!("{node}: {what}")),
        Event::NodeStarted { node, how } => ("node_started", format!("{node}: {how}")),
        Event::JobBegins { work, ticket } => {
            ("command_began", format!("{work} (command {})", ticket.number))
        }
        Event::JobEnded { number, ending } => {
            ("command_ended", format!("command {number} {ending}"))
        }
        Event::JobLost { number } => {
            ("command_ended", format!("command {number} is gone; its outcome is unknown"))
        }
        Event::Measured { number: _, artefacts, flaws } => ("measured", measured(artefacts, flaws)),
        Event::Advanced { to, proof } => ("advanced", format!("to {to}: {}", proof.join("; "))),
        Event::Overdue => ("overdue", "takes longer than its limit".to_owned()),
        Event::ClosedTooLong => {
            ("closed_too_long", "traffic is closed for longer than its limit".to_owned())
        }
        Event::Switched { to, own: true } => ("switched", format!("to {to}")),
        Event::Switched { to, own: false } => ("paused", format!("by a command to switch to {to}")),
        Event::Paused { by } => ("paused", format!("by {by}")),
        Event::Restarted { jobs, nodes_changed, means: _ } => {
            let changed = nodes_changed.as_ref().map_or_else(String::new, |c| format!("; {c}"));
            (
                "resumed",
                format!("the gateway restarted; {} commands looked up{changed}", jobs.len()),
            )
        }
    }
}

fn measured(artefacts: &[crate::procedure::Artefact], flaws: &[crate::procedure::Flaw]) -> String {
    let good = artefacts.iter().map(|artefact| {
        format!("{}: {} bytes, SHA-256 {}", artefact.path, artefact.bytes, artefact.sha256)
    });
    good.chain(flaws.iter().map(ToString::to_string)).collect::<Vec<_>>().join("; ")
}
