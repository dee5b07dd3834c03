//! What the records amount to. The same function runs when a record is written and when the
//! journal is read at a start.

use serde::{Deserialize, Serialize};

use super::{Ending, Entry, Finished, GuardedStep, Origin, Raised, Record, Seq, Switch};
use crate::model::limits::NODES_MAX;
use crate::model::{Mode, NodeId, Revision, Timestamp};
use crate::procedure::{self, Choice, Event, Excluded, Phase, Procedure, Said};

/// The state that the journal's records amount to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub mode: Mode,
    /// Address of the kept node in single mode, as it was configured at the switch.
    pub address: Option<String>,
    revision: u64,
    /// When the mode was set.
    pub since: Timestamp,
    /// Who set it: a user's name, `initial_mode`, `restart` or `doubt`.
    pub by: String,
    pub why: Option<String>,
    /// Why the bridge is raised without a command; ends with the next switch.
    pub doubt: Option<String>,
    /// The mode before the doubt, where it is known.
    #[serde(default)]
    pub mode_before: Option<Mode>,
    /// Where the journal that could not be read was moved to.
    #[serde(default)]
    pub kept_as: Option<String>,
    /// The last switch, while its end is not recorded.
    pub unfinished: Option<Unfinished>,
    /// The last guarded call that passed to each node, since the bridge was last lowered.
    pub guarded: Vec<GuardedCall>,
    /// Nodes to which a guarded call may be under way, and since when.
    #[serde(default)]
    pub guarded_open: Vec<GuardedCall>,
    /// The last procedure that was begun; it may be over.
    #[serde(default)]
    pub procedure: Option<Procedure>,
    /// Nodes that are left out of every table.
    #[serde(default)]
    pub excluded: Vec<Excluded>,
    /// Size of the last backup that a procedure rested on.
    #[serde(default)]
    pub backup_bytes: Option<u64>,
}

/// A switch whose end is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    pub switch: Seq,
    pub from: Mode,
    /// Address of the node that was kept before.
    pub from_address: Option<String>,
    pub to: Mode,
    pub began: Timestamp,
    /// Who had set the mode before, why and when.
    #[serde(default)]
    pub before: Option<Setting>,
}

/// Who set a mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub by: String,
    pub why: Option<String>,
    pub since: Timestamp,
}

/// A call that changes what runs passed to this node while it was the kept one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardedCall {
    pub node: NodeId,
    pub at: Timestamp,
}

impl State {
    /// Before the first record: raised, because nothing says otherwise.
    pub fn empty() -> Self {
        Self {
            mode: Mode::Maintenance,
            address: None,
            revision: 0,
            since: Timestamp::from_millis(0),
            by: "nobody".to_owned(),
            why: None,
            doubt: None,
            mode_before: None,
            kept_as: None,
            unfinished: None,
            guarded: Vec::new(),
            guarded_open: Vec::new(),
            procedure: None,
            excluded: Vec::new(),
            backup_bytes: None,
        }
    }

    /// What the marker alone says, while the journal cannot be read.
    pub(in crate::journal) fn raised(revision: Revision, raised: &Raised) -> Self {
        let (by, why, doubt) = match &raised.origin {
            Origin::Command { by, why } => (by.name.clone(), why.clone(), None),
            Origin::Doubt { reason } => ("doubt".to_owned(), None, Some(reason.clone())),
        };
        Self { revision: revision.0, since: raised.at, by, why, doubt, ..Self::empty() }
    }

    pub const fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    pub fn apply(&mut self, entry: &Entry) {
        match &entry.record {
            Record::Initial { mode } => self.enter(entry, mode.clone(), "initial_mode"),
            Record::Doubt { mode_before, reason, kept_as } => {
                self.enter(entry, Mode::Maintenance, "doubt");
                self.doubt = Some(reason.clone());
                self.mode_before.clone_from(mode_before);
                self.kept_as.clone_from(kept_as);
            }
            Record::Switch(switch) => {
                self.begin(entry, switch);
                if let Some(id) = self.running_procedure().map(|procedure| procedure.id) {
                    let own = switch.procedure == Some(id);
                    self.step(id, entry, &Event::Switched { to: switch.to.clone(), own });
                }
            }
            Record::Recovered { switch: _, mode, address } => {
                let set = self.setting_of(mode, entry.at);
                self.enter(entry, mode.clone(), &set.by);
                self.address.clone_from(address);
                (self.why, self.since) = (set.why, set.since);
            }
            Record::Finished(finished) => self.finish(finished),
            Record::Same(_) => {}
            Record::Begun { begin, idempotency: _ } => {
                self.revision = entry.seq.0;
                let begin = procedure::Begin::clone(begin);
                let mut procedure = Procedure::new(entry.seq.0, begin, entry.at);
                for excluded in &self.excluded {
                    let record = procedure.nodes.iter_mut().find(|node| node.id == excluded.node);
                    if let Some(record) = record {
                        record.excluded = Some(excluded.why.clone());
                    }
                }
                self.procedure = Some(procedure);
            }
            Record::Procedure { id, event, idempotency: _ } => {
                self.revision = entry.seq.0;
                self.step(*id, entry, event);
            }
            Record::Included { node, by: _, idempotency: _ } => {
                self.revision = entry.seq.0;
                self.excluded.retain(|excluded| excluded.node != *node);
            }
            Record::GuardedCall { node, step } => self.guard(node, *step, entry.at),
        }
    }

    /// The procedure that is not over.
    pub fn running_procedure(&self) -> Option<&Procedure> {
        self.procedure.as_ref().filter(|procedure| !procedure.is_over())
    }

    /// Folds an event into its procedure. The journal holds no event that was not taken once.
    fn step(&mut self, id: u64, entry: &Entry, event: &Event) {
        let Some(procedure) = self.procedure.as_ref().filter(|procedure| procedure.id == id) else {
            return;
        };
        let Ok(next) = procedure::step(procedure, entry.seq.0, entry.at, event) else { return };
        if procedure.phase == Phase::BackUp && next.phase != Phase::BackUp {
            let backup = procedure.backup.as_ref();
            self.backup_bytes = backup.map(procedure::Backup::bytes).or(self.backup_bytes);
        }
        self.procedure = Some(next);
        if let Event::Said(said) = event {
            self.said(said, entry.at);
        }
    }

    /// A node that is left out stays out when the procedure is over.
    fn said(&mut self, said: &Said, at: Timestamp) {
        match &said.choice {
            Choice::Exclude(node) => {
                let (node, by) = (node.clone(), said.by.clone());
                let why = said.why.clone().unwrap_or_default();
                self.excluded.retain(|excluded| excluded.node != node);
                self.excluded.push(Excluded { node, why, by, at });
            }
            Choice::Include(node) => self.excluded.retain(|excluded| excluded.node != *node),
            Choice::Continue
            | Choice::Confirm
            | Choice::Retry
            | Choice::Rollback
            | Choice::Abort
            | Choice::Waive(_)
            | Choice::ChangeFirst(_)
            | Choice::ChangeKeep(_)
            | Choice::StopAgain
            | Choice::Adopt => {}
        }
    }

    fn enter(&mut self, entry: &Entry, mode: Mode, by: &str) {
        self.mode = mode;
        self.address = None;
        self.revision = entry.seq.0;
        self.since = entry.at;
        self.by = by.to_owned();
        self.why = None;
        self.doubt = None;
        (self.mode_before, self.kept_as) = (None, None);
        self.unfinished = None;
    }

    fn setting(&self) -> Setting {
        Setting { by: self.by.clone(), why: self.why.clone(), since: self.since }
    }

    /// Who set the mode that an interrupted switch comes back to: whoever commanded that switch,
    /// or the one before. A restart sets only what nobody did.
    fn setting_of(&self, mode: &Mode, now: Timestamp) -> Setting {
        match &self.unfinished {
            Some(running) if running.to == *mode => self.setting(),
            Some(Unfinished { from, before: Some(before), .. }) if from == mode => before.clone(),
            // Why the switch was made still explains the mode that it left behind.
            Some(_) | None => Setting { by: "restart".into(), since: now, ..self.setting() },
        }
    }

    fn begin(&mut self, entry: &Entry, switch: &Switch) {
        let before = Some(self.setting());
        let from_address = self.address.take();
        self.enter(entry, switch.to.clone(), &switch.by.name);
        self.address.clone_from(&switch.address);
        self.why.clone_from(&switch.why);
        self.unfinished = Some(Unfinished {
            switch: entry.seq,
            from: switch.from.clone(),
            from_address,
            to: switch.to.clone(),
            began: entry.at,
            before,
        });
    }

    fn finish(&mut self, finished: &Finished) {
        let Some(running) = self.unfinished.take_if(|running| running.switch == finished.switch)
        else {
            return;
        };
        match finished.ending {
            // The lowering was allowed because the others were restarted, or it was forced:
            // what passed before is settled either way.
            Ending::Drained { .. } | Ending::FromMarker if running.to == Mode::Cluster => {
                self.guarded.clear();
                self.guarded_open.clear();
            }
            Ending::Drained { .. } | Ending::FromMarker | Ending::Superseded { .. } => {}
        }
    }

    fn guard(&mut self, node: &NodeId, step: GuardedStep, at: Timestamp) {
        self.guarded_open.retain(|call| call.node != *node);
        let calls = match step {
            GuardedStep::Began => &mut self.guarded_open,
            GuardedStep::Ran => &mut self.guarded,
            GuardedStep::CameToNothing => return,
        };
        calls.retain(|call| call.node != *node);
        // More only if nodes were renamed again and again without lowering once.
        if NODES_MAX <= calls.len() {
            calls.remove(0);
        }
        calls.push(GuardedCall { node: node.clone(), at });
    }
}

impl Unfinished {
    /// What a restart makes of it: the less open of its two modes, with the kept node's address.
    pub fn recovered(&self, to_address: Option<&String>) -> Record {
        let mode = self.from.less_open(&self.to);
        let address = match &mode {
            Mode::Single(_) if mode == self.to => to_address.cloned(),
            Mode::Single(_) => self.from_address.clone(),
            Mode::Cluster | Mode::Maintenance => None,
        };
        Record::Recovered { switch: self.switch, mode, address }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commander;
    use super::*;

    fn single(id: &str) -> Mode {
        Mode::Single(id.parse().expect("a legal id"))
    }

    fn switch(from: Mode, to: Mode, address: Option<&str>) -> Record {
        Record::Switch(Switch {
            from,
            to,
            address: address.map(str::to_owned),
            by: Commander { uid: 0, name: "root".into() },
            why: Some("upgrade".into()),
            procedure: None,
            forced: false,
            forced_over: Vec::new(),
            idempotency: None,
        })
    }

    fn finished(switch: u64) -> Record {
        let ending = Ending::Drained { generation: 1, removed: Vec::new(), took_ms: 1 };
        Record::Finished(Finished { switch: Seq(switch), ending })
    }

    fn guarded(id: &str, step: GuardedStep) -> Record {
        Record::GuardedCall { node: id.parse().expect("a legal id"), step }
    }

    fn replay(records: &[Record]) -> State {
        let mut state = State::empty();
        for (record, seq) in records.iter().zip(1..) {
            let at = Timestamp::from_millis(1000 * i64::try_from(seq).expect("few"));
            state.apply(&Entry { seq: Seq(seq), at, record: record.clone() });
        }
        state
    }

    #[test]
    fn only_records_that_change_the_state_move_the_revision() {
        let initial = Record::Initial { mode: Mode::Cluster };
        let to_single = switch(Mode::Cluster, single("n1"), Some("a:1"));
        let state = replay(&[initial, to_single, finished(2), guarded("n1", GuardedStep::Ran)]);
        assert_eq!(state.revision(), Revision(2));
        assert_eq!((state.mode, state.address.as_deref()), (single("n1"), Some("a:1")));
        assert_eq!((state.by.as_str(), state.why.as_deref()), ("root", Some("upgrade")));
        assert_eq!(state.since, Timestamp::from_millis(2000));
        assert_eq!(state.unfinished, None);
    }

    #[test]
    fn a_switch_is_unfinished_until_its_own_end_is_recorded() {
        let initial = Record::Initial { mode: Mode::Cluster };
        let raise = switch(Mode::Cluster, Mode::Maintenance, None);
        let state = replay(&[initial.clone(), raise.clone(), finished(1)]);
        assert_eq!(state.unfinished.map(|running| running.switch), Some(Seq(2)));
        assert_eq!(replay(&[initial, raise, finished(2)]).unfinished, None);
    }

    #[test]
    fn a_recovered_switch_keeps_the_address_of_the_node_that_it_comes_back_to() {
        let initial = Record::Initial { mode: Mode::Cluster };
        let narrow = switch(Mode::Cluster, single("n1"), Some("a:1"));
        let lower = switch(single("n1"), Mode::Cluster, None);

        let narrowing = replay(&[initial.clone(), narrow.clone()]);
        let lowering = replay(&[initial, narrow, finished(2), lower]);

        for (state, switch) in [(narrowing, 2), (lowering, 4)] {
            let running = state.unfinished.clone().expect("it runs");
            let address = Some("a:1".to_owned());
            let expected = Record::Recovered { switch: Seq(switch), mode: single("n1"), address };
            assert_eq!(running.recovered(state.address.as_ref()), expected);
        }
    }

    #[test]
    fn who_set_the_mode_survives_a_restart_that_leaves_it_in_force() {
        let recovered = |mode| Record::Recovered { switch: Seq(4), mode, address: None };
        let records = |to: Mode, mode: Mode| {
            let initial = Record::Initial { mode: Mode::Cluster };
            let narrowed = switch(Mode::Cluster, single("n1"), None);
            let by = Commander { uid: 1, name: "ada".into() };
            let Record::Switch(last) = switch(single("n1"), to, None) else { unreachable!() };
            let last = Record::Switch(Switch { by, ..last });
            replay(&[initial, narrowed, finished(2), last, recovered(mode)])
        };
        let at = |seq: i64| Timestamp::from_millis(1000 * seq);
        let state = records(Mode::Cluster, single("n1"));
        assert_eq!((state.by.as_str(), state.since), ("root", at(2)), "it was in force before");
        let state = records(Mode::Maintenance, Mode::Maintenance);
        assert_eq!((state.by.as_str(), state.since), ("ada", at(4)), "it was commanded");
        let state = records(single("n2"), Mode::Maintenance);
        assert_eq!((state.by.as_str(), state.since), ("restart", at(5)), "nobody asked for it");
    }

    #[test]
    fn guarded_calls_are_remembered_until_the_bridge_was_lowered() {
        let call = guarded("n1", GuardedStep::Ran);
        let mut records = vec![
            Record::Initial { mode: Mode::Cluster },
            switch(Mode::Cluster, single("n1"), None),
            finished(2),
            call.clone(),
            call,
            switch(single("n1"), Mode::Maintenance, None),
            finished(6),
            switch(Mode::Maintenance, Mode::Cluster, None),
        ];
        let guarded = replay(&records).guarded;
        assert_eq!(guarded.len(), 1);
        assert_eq!(guarded[0].at, Timestamp::from_millis(5000));
        records.push(finished(8));
        assert_eq!(replay(&records).guarded, []);
    }

    #[test]
    fn a_guarded_call_is_open_until_its_end_is_known_and_only_then_counts_or_not() {
        let narrowed = [
            Record::Initial { mode: Mode::Cluster },
            switch(Mode::Cluster, single("n1"), None),
            finished(2),
            guarded("n1", GuardedStep::Began),
        ];
        let state = replay(&narrowed);
        assert_eq!((state.guarded.len(), state.guarded_open.len()), (0, 1));
        for (step, calls) in [(GuardedStep::Ran, 1), (GuardedStep::CameToNothing, 0)] {
            let state = replay(&[&narrowed[..], &[guarded("n1", step)]].concat());
            assert_eq!((state.guarded.len(), state.guarded_open.len()), (calls, 0));
        }
        let mut lowered = narrowed.to_vec();
        lowered.extend([switch(single("n1"), Mode::Cluster, None), finished(5)]);
        assert_eq!(replay(&lowered).guarded_open, []);
    }

    #[test]
    fn doubt_raises_and_ends_with_the_next_command() {
        let (reason, kept_as) = ("lost".to_owned(), Some("/state/damaged".to_owned()));
        let doubt = Record::Doubt { mode_before: None, reason, kept_as };
        let same = switch(Mode::Maintenance, Mode::Maintenance, None);
        let state = replay(&[Record::Initial { mode: Mode::Cluster }, doubt.clone()]);
        assert_eq!((state.mode, state.doubt.as_deref()), (Mode::Maintenance, Some("lost")));
        assert_eq!(state.kept_as.as_deref(), Some("/state/damaged"));
        let ended = replay(&[doubt, same]);
        assert_eq!((ended.doubt, ended.kept_as), (None, None));
    }
}
