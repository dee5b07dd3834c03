//! The idempotency keys of recent commands, and what became of each.

use std::collections::VecDeque;

use super::record::{Ending, Entry, IdempotencyKey, Record, Same, Seq, Switch};
use crate::model::limits::{IDEMPOTENCY_KEY_AGE_MAX, IDEMPOTENCY_KEYS_MAX};
use crate::model::{Mode, Timestamp};
use crate::procedure::Event;

/// A command that was given under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub key: IdempotencyKey,
    pub seq: Seq,
    pub at: Timestamp,
    pub answer: Answer,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Same(Same),
    Switch {
        switch: Switch,
        end: SwitchEnd,
    },
    /// A procedure was begun, or something was said to it.
    Procedure {
        id: u64,
        said: String,
    },
}

/// How far the switch of a remembered command has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchEnd {
    /// It runs.
    Running,
    Ended(Ending),
    /// The gateway died before it ended and came back in this mode.
    Recovered(Mode),
}

/// The last [`IDEMPOTENCY_KEYS_MAX`] keys, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(VecDeque<Remembered>);

impl Keys {
    pub(super) fn note(&mut self, entry: &Entry) {
        let at = entry.at;
        let seq = entry.seq;
        match &entry.record {
            Record::Switch(switch) => {
                if let Some(key) = switch.idempotency.clone() {
                    let answer = Answer::Switch { switch: switch.clone(), end: SwitchEnd::Running };
                    self.remember(Remembered { key, seq, at, answer });
                }
            }
            Record::Same(same) => {
                if let Some(key) = same.idempotency.clone() {
                    let answer = Answer::Same(same.clone());
                    self.remember(Remembered { key, seq, at, answer });
                }
            }
            Record::Finished(finished) => {
                self.end(finished.switch, &SwitchEnd::Ended(finished.ending.clone()));
            }
            Record::Recovered { switch, mode, address: _ } => {
                self.end(*switch, &SwitchEnd::Recovered(mode.clone()));
            }
            Record::Begun { begin, idempotency: Some(key) } => {
                let answer = Answer::Procedure { id: seq.0, said: format!("begin {}", begin.kind) };
                self.remember(Remembered { key: key.clone(), seq, at, answer });
            }
            Record::Procedure { id, event, idempotency: Some(key) } => {
                let said = match &**event {
                    Event::Said(said) => said.choice.to_string(),
                    _ => String::new(),
                };
                let answer = Answer::Procedure { id: *id, said };
                self.remember(Remembered { key: key.clone(), seq, at, answer });
            }
            Record::Included { node, idempotency: Some(key), by: _ } => {
                let answer = Answer::Procedure { id: 0, said: format!("include {node}") };
                self.remember(Remembered { key: key.clone(), seq, at, answer });
            }
            Record::Begun { .. }
            | Record::Procedure { .. }
            | Record::Included { .. }
            | Record::Initial { .. }
            | Record::Doubt { .. }
            | Record::GuardedCall { .. } => {}
        }
    }

    /// The last command under `key`, unless it is too old to be sure that the key is the same.
    pub(super) fn find(&self, key: &str, now: Timestamp) -> Option<&Remembered> {
        let found = self.0.iter().rev().find(|command| command.key.key == key)?;
        (now.since(found.at) <= IDEMPOTENCY_KEY_AGE_MAX).then_some(found)
    }

    fn remember(&mut self, command: Remembered) {
        if IDEMPOTENCY_KEYS_MAX <= self.0.len() {
            self.0.pop_front();
        }
        self.0.push_back(command);
    }

    fn end(&mut self, ended: Seq, how: &SwitchEnd) {
        for command in self.0.iter_mut().rev().filter(|command| command.seq == ended) {
            if let Answer::Switch { end, .. } = &mut command.answer {
                *end = how.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Commander;
    use super::*;

    fn same(seq: u64, at: i64, key: &str) -> Entry {
        let idempotency = Some(IdempotencyKey { key: key.into(), digest: "d".into() });
        let by = Commander { uid: 0, name: "root".into() };
        let record = Record::Same(Same { mode: Mode::Cluster, revision: 1, by, idempotency });
        Entry { seq: Seq(seq), at: Timestamp::from_millis(at), record }
    }

    #[test]
    fn a_key_is_forgotten_after_a_thousand_others_or_a_day() {
        let mut keys = Keys::default();
        for seq in 0..1001 {
            keys.note(&same(seq, 0, &format!("k{seq}")));
        }
        let day = 24 * 3600 * 1000;
        let (on_time, late) = (Timestamp::from_millis(day), Timestamp::from_millis(day + 1));
        assert!(keys.find("k0", on_time).is_none());
        assert!(keys.find("k1", on_time).is_some());
        assert!(keys.find("k1000", on_time).is_some());
        assert!(keys.find("k1000", late).is_none());
    }
}
