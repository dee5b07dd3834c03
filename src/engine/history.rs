//! The last switches, as the journal's records tell them.

use super::HistoryEntry;
use super::api::HistoryEnding;
use crate::journal::record::{Ending, Entry, Finished, Record, Seq};
use crate::model::{Mode, Revision};

/// The switches and raises among `entries`, the youngest first. `running` is the switch that this
/// process carries out now.
pub(super) fn of(entries: Vec<Entry>, running: Option<Revision>) -> Vec<HistoryEntry> {
    let mut history: Vec<HistoryEntry> = Vec::new();
    for entry in entries {
        take(&mut history, entry);
    }
    for entry in &mut history {
        if entry.ending == HistoryEnding::Running && Some(entry.revision) != running {
            entry.ending = HistoryEnding::Unrecorded;
        }
    }
    history.reverse();
    history
}

fn take(history: &mut Vec<HistoryEntry>, entry: Entry) {
    let Entry { seq, at, record } = entry;
    let (revision, ending) = (Revision(seq.0), HistoryEnding::AtStart);
    let raised = |by: &str, from, to, why| {
        let (by, why) = (by.to_owned(), Some(why));
        let (procedure, forced) = (None, false);
        HistoryEntry { revision, at, by, from, to, why, procedure, forced, ending }
    };
    match record {
        Record::Switch(switch) => {
            end_running(history, HistoryEnding::Superseded);
            history.push(HistoryEntry {
                revision,
                at,
                by: switch.by.name,
                from: Some(switch.from),
                to: switch.to,
                why: switch.why,
                procedure: switch.procedure,
                forced: switch.forced,
                ending: HistoryEnding::Running,
            });
        }
        Record::Finished(Finished { switch, ending }) => end(
            history,
            switch,
            match ending {
                Ending::Drained { .. } => HistoryEnding::Drained,
                Ending::Superseded { .. } => HistoryEnding::Superseded,
                Ending::FromMarker => HistoryEnding::ByMarker,
            },
        ),
        Record::Recovered { switch, mode, address: _ } => {
            end(history, switch, HistoryEnding::Interrupted);
            let interrupted = history.iter().find(|entry| entry.revision.0 == switch.0);
            let from = interrupted.map(|entry| entry.to.clone());
            let why = format!("the switch of revision {switch} had no recorded end");
            history.push(raised("restart", from, mode, why));
        }
        Record::Doubt { mode_before, reason, kept_as: _ } => {
            end_running(history, HistoryEnding::Interrupted);
            history.push(raised("doubt", mode_before, Mode::Maintenance, reason));
        }
        Record::Initial { .. }
        | Record::Same(_)
        | Record::Begun { .. }
        | Record::Procedure { .. }
        | Record::Included { .. }
        | Record::GuardedCall { .. } => {}
    }
}

fn end(history: &mut [HistoryEntry], switch: Seq, ending: HistoryEnding) {
    for entry in history.iter_mut().filter(|entry| entry.revision.0 == switch.0) {
        entry.ending = ending;
    }
}

/// Only one switch runs at a time: another one, or a raise, ended it.
fn end_running(history: &mut [HistoryEntry], ending: HistoryEnding) {
    for entry in history.iter_mut().filter(|entry| entry.ending == HistoryEnding::Running) {
        entry.ending = ending;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{Commander, Switch};
    use crate::model::Timestamp;

    fn single(id: &str) -> Mode {
        Mode::Single(id.parse().expect("a legal id"))
    }

    fn switch(from: Mode, to: Mode) -> Record {
        Record::Switch(Switch {
            from,
            to,
            address: None,
            by: Commander { uid: 0, name: "ada".into() },
            why: None,
            procedure: None,
            forced: false,
            forced_over: Vec::new(),
            idempotency: None,
        })
    }

    fn drained(switch: u64) -> Record {
        let ending = Ending::Drained { generation: 1, removed: Vec::new(), took_ms: 1 };
        Record::Finished(Finished { switch: Seq(switch), ending })
    }

    fn told(records: Vec<Record>, running: Option<u64>) -> Vec<(u64, HistoryEnding, String)> {
        let entry = |(record, seq)| Entry { seq: Seq(seq), at: Timestamp::from_millis(0), record };
        let entries = records.into_iter().zip(1..).map(entry).collect();
        let history = of(entries, running.map(Revision));
        history.into_iter().map(|entry| (entry.revision.0, entry.ending, entry.by)).collect()
    }

    #[test]
    fn a_switch_says_how_it_ended_and_raises_at_a_start_stand_among_them() {
        let recovered =
            Record::Recovered { switch: Seq(5), mode: Mode::Maintenance, address: None };
        let lost = Record::Doubt { mode_before: None, reason: "lost".into(), kept_as: None };
        let records = vec![
            Record::Initial { mode: Mode::Cluster },
            switch(Mode::Cluster, single("n1")),
            drained(2),
            switch(single("n1"), Mode::Cluster),
            switch(Mode::Cluster, single("n2")),
            recovered,
            switch(Mode::Maintenance, Mode::Cluster),
            lost,
            switch(Mode::Maintenance, Mode::Cluster),
        ];
        let expected = |last| {
            let entry = |revision, ending, by: &str| (revision, ending, by.to_owned());
            vec![
                entry(9, last, "ada"),
                entry(8, HistoryEnding::AtStart, "doubt"),
                entry(7, HistoryEnding::Interrupted, "ada"),
                entry(6, HistoryEnding::AtStart, "restart"),
                entry(5, HistoryEnding::Interrupted, "ada"),
                entry(4, HistoryEnding::Superseded, "ada"),
                entry(2, HistoryEnding::Drained, "ada"),
            ]
        };
        assert_eq!(told(records.clone(), Some(9)), expected(HistoryEnding::Running));
        assert_eq!(told(records, None), expected(HistoryEnding::Unrecorded));
    }
}
