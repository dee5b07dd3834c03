//! What is proven in a phase, what it waits for, and what speaks against going on.

mod build;
mod first;
mod work;

use super::facts::{Downness, is_since};
use super::{
    Course, Facts, Job, JobState, Kind, Member, NodeFacts, NodeRecord, Objection, ObjectionKind,
    Phase, Procedure, Road, Work,
};
use crate::model::{Mode, NodeId, NodeRole, NodeState, Timestamp};

/// A fact that is proven, where from, and of which time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub what: String,
    pub source: &'static str,
    pub at: Option<Timestamp>,
}

/// How a phase stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub proven: Vec<Proof>,
    /// What will come by itself, or by the operator's hand, and has not yet.
    pub waiting_for: Vec<String>,
    /// What speaks against going on, and was not waived.
    pub objections: Vec<Objection>,
}

impl Standing {
    pub const fn is_complete(&self) -> bool {
        self.waiting_for.is_empty() && self.objections.is_empty()
    }

    fn proven(&mut self, what: impl Into<String>, source: &'static str, at: Option<Timestamp>) {
        self.proven.push(Proof { what: what.into(), source, at });
    }

    fn wait(&mut self, what: impl Into<String>) {
        self.waiting_for.push(what.into());
    }
}

/// How the present phase stands by these facts. The operator's own word, where a phase needs it,
/// is not part of it.
pub fn standing(procedure: &Procedure, facts: &Facts) -> Standing {
    let mut look = Look { procedure, facts, standing: Standing::default() };
    look.everywhere();
    match procedure.phase {
        Phase::Raise | Phase::Narrow => look.mode_is_in_force(),
        Phase::Stop => look.those_down(),
        Phase::BackUp => {
            look.those_down();
            look.backed_up();
        }
        Phase::Update | Phase::Revert => look.those_down(),
        Phase::Restore => {
            look.those_down();
            look.another_backup();
        }
        Phase::StartFirst => look.first_started(),
        Phase::Work => {
            look.those_down();
            look.mode_is_in_force();
            look.node_ready(&procedure.first);
        }
        Phase::Verify => {
            look.those_down();
            look.node_ready(&procedure.first);
            look.first_is_right();
        }
        Phase::StartOthers => look.all_may_serve(),
        Phase::Lower if facts.mode == Mode::Cluster => look.mode_is_in_force(),
        Phase::Lower => {
            look.all_may_serve();
            look.mode_is_in_force();
        }
        Phase::Done => {}
    }
    look.jobs();
    let Look { mut standing, .. } = look;
    let (waived, open) = std::mem::take(&mut standing.objections)
        .into_iter()
        .partition(|objection| procedure.went_over(objection).is_some());
    standing.objections = open;
    for objection in waived {
        if let Some(waiver) = procedure.went_over(&objection) {
            let what = format!("waived by {}: {} ({})", waiver.by, objection.detail, waiver.why);
            standing.proven(what, "operator", Some(waiver.at));
        }
    }
    standing
}

/// Everything that speaks against lowering now, the mode itself left aside.
pub(super) fn against_lowering(procedure: &Procedure, facts: &Facts) -> Standing {
    let mut look = Look { procedure, facts, standing: Standing::default() };
    look.everywhere();
    look.all_may_serve();
    look.standing.objections.retain(|objection| procedure.went_over(objection).is_none());
    look.standing
}

struct Look<'a> {
    procedure: &'a Procedure,
    facts: &'a Facts,
    standing: Standing,
}

impl<'a> Look<'a> {
    fn object(&mut self, objection: Objection) {
        self.standing.objections.push(objection);
    }

    fn node(&self, id: &NodeId) -> NodeFacts {
        self.facts.of(id)
    }

    fn members(&self) -> impl Iterator<Item = (&'a Member, &'a NodeRecord)> + use<'a> {
        self.procedure.members()
    }

    /// What speaks against every phase.
    fn everywhere(&mut self) {
        // Giving up, every node has its turn.
        let giving_up = self.procedure.road == Road::Abort;
        let back = |(_, node): &(_, &NodeRecord)| node.course == Course::CameBack && !giving_up;
        for (_, node) in self.members().filter(back) {
            let what = format!("{} was down and answers before its turn", node.id);
            let remedy = "`stop-again` stops it; look for a restart policy that started it";
            self.object(Objection::new(ObjectionKind::CameBack, what, remedy).of(&node.id));
        }
        if let Some(changed) = &self.procedure.nodes_changed {
            let remedy = "put the nodes of before back into the configuration and restart";
            self.object(Objection::new(ObjectionKind::NodesChanged, changed.clone(), remedy));
        }
        if let Some(why) = &self.facts.switch_refused {
            let what = format!("the mode could not be changed: {why}");
            let remedy = "mend what it names; it is tried again every second";
            self.object(Objection::new(ObjectionKind::SwitchRefused, what, remedy));
        }
    }

    fn mode_is_in_force(&mut self) {
        let Some(mode) = self.procedure.mode() else { return };
        if self.facts.mode != mode {
            if let Some(kept) = mode.node()
                && !super::want::carries(self.facts, kept, self.procedure)
            {
                self.node_ready(kept);
            }
            return self.standing.wait(format!("mode {mode} (now {})", self.facts.mode));
        }
        if self.facts.switching {
            return self.standing.wait(format!("mode {mode}: every worker fenced and drained"));
        }
        let what = format!("mode {mode}: every worker is fenced and drained");
        self.standing.proven(what, "workers", Some(self.facts.now));
        for node in &self.facts.nodes {
            if 0 < node.in_flight || 0 < node.abandoned {
                let (id, held, lost) = (&node.id, node.in_flight, node.abandoned);
                let what = format!("{id}: {held} requests in flight, {lost} abandoned");
                self.standing.proven(what, "workers", Some(self.facts.now));
            }
        }
    }

    /// The nodes that this phase wants down.
    fn those_down(&mut self) {
        for (member, node) in self.members() {
            if self.procedure.must_be_down(&node.id) {
                self.down(member, node);
            }
        }
    }

    fn down(&mut self, member: &Member, node: &NodeRecord) {
        let id = &node.id;
        if node.course == Course::CameBack {
            return; // Objected to already.
        }
        if node.course == Course::Down && !node.unproven {
            return match self.procedure.waived(ObjectionKind::NotDown, Some(id)) {
                Some(waiver) => {
                    let what = format!("{id} counts as down by {}: {}", waiver.by, waiver.why);
                    self.standing.proven(what, "operator", Some(waiver.at));
                }
                None => self.standing.proven(format!("{id} is down"), "node", node.down_at),
            };
        }
        let Some(after) = self.procedure.stop_asked(node) else {
            // Its command runs, or is about to: nothing before its end proves anything.
            return self.standing.wait(format!("{id} is stopped"));
        };
        let known = self.node(id);
        match known.downness(self.facts.now, after, self.procedure.enough()) {
            Downness::Proven(how) => self.standing.wait(format!("{id} is down ({how})")),
            Downness::Refused { since } => {
                let (for_now, enough) =
                    (self.facts.now.since(since), self.procedure.enough().down_after);
                self.standing.wait(format!(
                    "{id} is refused without a break for {} s (for {} s until now)",
                    enough.as_secs(),
                    for_now.as_secs()
                ));
            }
            Downness::Unseen => self.standing.wait(format!("a probe of {id} since its stop")),
            Downness::Answers(what) if !self.has_stop_command(member) => {
                self.standing.wait(format!("{id} is stopped, by your hand (now {what})"));
            }
            Downness::Answers(what) => {
                let what = format!("{id} is not down: {what}");
                let remedy = "stop it; `retry` runs the stop command again";
                let objection = Objection::new(ObjectionKind::NotDown, what, remedy);
                self.object(objection.of(id).not_waivable());
            }
            Downness::Unclear(what) => {
                let what = if member.address.is_none() {
                    format!("{id} has no address, and no status command says that it is stopped")
                } else {
                    format!("{id} is not proven down: {what}")
                };
                let remedy = "see yourself that it is stopped, then `waive` this with your reason; \
                              a `status` command proves it";
                self.object(Objection::new(ObjectionKind::NotDown, what, remedy).of(id));
            }
        }
    }

    fn has_stop_command(&self, member: &Member) -> bool {
        let means = &self.procedure.begin.means;
        member.means.stop
            || match self.procedure.kind() {
                Kind::Maintenance => means.stop_others,
                Kind::FirstStart | Kind::Upgrade => means.stop_all,
            }
    }

    fn node_ready(&mut self, id: &NodeId) {
        let known = self.node(id);
        let enough = self.procedure.enough();
        let has_address = self.procedure.begin.member(id).is_some_and(|m| m.address.is_some());
        if !has_address {
            if known.is_running(self.facts.now, enough) {
                let at = Some(self.facts.now);
                return self.standing.proven(format!("{id} runs"), "status command", at);
            }
            let what = format!("{id} has no address, and no status command says that it runs");
            let remedy = "see yourself that it runs, then `waive` this with your reason";
            return self.object(Objection::new(ObjectionKind::NotReady, what, remedy).of(id));
        }
        if known.is_ready(self.facts.now, enough) {
            if !self.procedure.is_ready_for_good(&known, self.facts.now) {
                return self.standing.wait(format!("{id} is ready still, after its stop"));
            }
            let what = format!("{id} is ready, {} times in a row", known.ready_in_a_row);
            return self.standing.proven(what, "probe", known.taken);
        }
        if known.is_fresh(self.facts.now, enough.stale_after) && known.state == NodeState::Ready {
            let (times, of) = (known.ready_in_a_row, enough.ready_in_a_row);
            return self
                .standing
                .wait(format!("{id} is ready {of} times in a row ({times} so far)"));
        }
        let what = format!("{id} is {}: {}", known.state, known.reason);
        // A node that starts, or runs a command of its own, comes to its end by itself.
        let starting = matches!(self.procedure.phase, Phase::StartFirst | Phase::StartOthers);
        let comes = starting || known.state == NodeState::Busy;
        if comes && !self.procedure.overdue {
            return self.standing.wait(format!("{id} is ready ({what})"));
        }
        let remedy = self.remedy_of_not_ready();
        let objection = Objection::new(ObjectionKind::NotReady, what, remedy).of(id);
        self.object(objection.not_waivable());
    }

    fn remedy_of_not_ready(&self) -> &'static str {
        match (self.procedure.kind(), self.procedure.phase) {
            (Kind::Maintenance, Phase::Narrow | Phase::Stop | Phase::Work | Phase::Verify) => {
                "look at its log and bring it up; `change-keep` keeps another node"
            }
            (_, Phase::Verify) => {
                "look at its log and bring it up; `change-first` starts another node first, \
                 `rollback` goes back"
            }
            (_, Phase::StartFirst) => self.by_hand_or(
                "look at its log and start it again; `change-first` takes another node first, \
                 `rollback` goes back",
                "look at its log; `retry` starts it again, `change-first` starts another node \
                 first, `rollback` goes back",
            ),
            (_, Phase::StartOthers) => self.by_hand_or(
                "look at its log and start it again; `exclude` goes on without it",
                "look at its log; `retry` starts it again, `exclude` goes on without it",
            ),
            (
                _,
                Phase::Raise
                | Phase::Narrow
                | Phase::Stop
                | Phase::BackUp
                | Phase::Update
                | Phase::Restore
                | Phase::Revert
                | Phase::Work
                | Phase::Lower
                | Phase::Done,
            ) => "look at its log and bring it up; `exclude` goes on without one of the others",
        }
    }

    /// Words for a phase without commands, where there is nothing to `retry`; and for others.
    const fn by_hand_or(&self, by_hand: &'static str, command: &'static str) -> &'static str {
        if self.procedure.jobs.is_empty() { by_hand } else { command }
    }

    fn restarted(&mut self, node: &NodeRecord) {
        let known = self.node(&node.id);
        if self.procedure.must_have_restarted(&node.id) && node.course != Course::Started {
            let (facts, enough) = (self.facts, self.procedure.enough());
            let comes = node.course == Course::Down && !self.procedure.is_down_by_word(&node.id);
            if comes || !known.is_ready(facts.now, enough) {
                return self.standing.wait(format!("{} is restarted", node.id));
            }
            let what = format!("{} was not seen down and then ready", node.id);
            self.not_restarted(&node.id, what);
        } else if known.must_restart {
            let what = format!("{} was not restarted since a call changed what runs", node.id);
            self.not_restarted(&node.id, what);
        }
    }

    fn not_restarted(&mut self, id: &NodeId, what: String) {
        let remedy = self.by_hand_or(
            "restart it (stop, wait until it is down, start), or `exclude` it",
            "`retry` stops it and starts it again; or `exclude` it",
        );
        self.object(Objection::new(ObjectionKind::NotRestarted, what, remedy).of(id));
    }

    /// Every node that is not left out: ready, restarted, and of one build.
    fn all_may_serve(&mut self) {
        for (_, node) in self.members().filter(|(_, node)| node.excluded.is_none()) {
            self.node_ready(&node.id);
            self.restarted(node);
        }
        for (_, node) in self.members() {
            if let Some(why) = &node.excluded {
                self.standing.proven(format!("{} is left out: {why}", node.id), "operator", None);
            }
        }
        self.one_build();
    }

    fn first_started(&mut self) {
        self.those_down();
        let first = self.procedure.first.clone();
        self.node_ready(&first);
        if self.procedure.kind() == Kind::Maintenance {
            let record = self.procedure.record(&first);
            let taken_back =
                record.filter(|node| !matches!(node.course, Course::Untouched | Course::Started));
            if taken_back.is_some() {
                self.standing.wait(format!("{first} is restarted"));
            } else if self.node(&first).must_restart
                && record.is_some_and(|node| node.course == Course::Untouched)
            {
                let what = format!("{first} was not restarted since a call changed what runs");
                self.not_restarted(&first, what);
            }
            return;
        }
        if let Some(node) = self.procedure.record(&first) {
            self.restarted(node);
        }
        self.first_is_right();
    }
}

impl Procedure {
    /// From when on a silent port counts for this node; `None` while its stop command runs or is
    /// about to.
    pub(super) fn stop_asked(&self, node: &NodeRecord) -> Option<Timestamp> {
        let stops = |job: &&Job| match &job.work {
            Work::Stop(other) => *other == node.id,
            Work::StopAll => true,
            Work::StopOthers => !self.is_first(&node.id),
            Work::Start(_)
            | Work::StartFirst
            | Work::StartOthers
            | Work::Backup
            | Work::Measure
            | Work::VerifyBackup
            | Work::Update
            | Work::Rehash
            | Work::Restore
            | Work::Revert
            | Work::Verify => false,
        };
        let under_way = self
            .jobs
            .iter()
            .filter(stops)
            .any(|job| matches!(job.state, JobState::Wanted | JobState::Running { .. }));
        if under_way {
            return None;
        }
        let asked = node.stop_ended.unwrap_or(self.began);
        // After a restart of the gateway the watch begins anew.
        Some(self.resumed.filter(|_| node.unproven).map_or(asked, |resumed| resumed.max(asked)))
    }

    /// What was seen before a node went down proves nothing after it. One that was told to stop, and
    /// was not seen down, is ready only if it still is when a refused port would have counted as down.
    fn is_ready_for_good(&self, known: &NodeFacts, now: Timestamp) -> bool {
        let (Some(node), Some(taken)) = (self.record(&known.id), known.taken) else { return false };
        match node.course {
            Course::Untouched | Course::CameBack | Course::Started => true,
            Course::Down => {
                node.down_at.is_none_or(|down| down != taken && is_since(taken, down, now))
            }
            Course::Stopping => {
                node.stop_ended.is_some_and(|asked| self.enough().down_after <= taken.since(asked))
            }
        }
    }

    pub(super) fn is_worker(&self, id: &NodeId) -> bool {
        self.begin.member(id).is_some_and(|member| member.role == NodeRole::Worker)
    }
}
