//! What is on record of a running procedure.

use serde::{Deserialize, Serialize};

use super::facts::Enough;
use super::{
    Artefact, Begin, Flaw, Job, JobState, Kind, Member, ObjectionKind, Phase, Road, Waiver, Work,
};
use crate::model::{Mode, NodeId, NodeRole, Timestamp};

/// Numbers of commands that each procedure has for its own.
const COMMANDS_MAX: u64 = 10_000;

/// One procedure, from its begin to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Procedure {
    /// Number of the record that it began with.
    pub id: u64,
    pub begin: Begin,
    pub began: Timestamp,
    pub road: Road,
    pub phase: Phase,
    /// When the phase began.
    pub since: Timestamp,
    /// Revision of the last decision: a phase that began, something that an operator said, or what
    /// stopped the procedure (a pause, a restart, a node that came back, a lost command). A
    /// choice that was made in view of an older one is refused.
    pub stamp: u64,
    /// The first node; in in-app maintenance the kept one.
    pub first: NodeId,
    pub nodes: Vec<NodeRecord>,
    /// The work of this phase, in order.
    pub jobs: Vec<Job>,
    /// So many were begun; numbers them.
    pub jobs_begun: u32,
    pub hold: Option<Hold>,
    /// The operator said that this phase's part of theirs is done.
    pub word: bool,
    pub backup: Option<Backup>,
    /// What the last look at the backup found wrong.
    pub flaws: Vec<Flaw>,
    pub waivers: Vec<Waiver>,
    /// The update was begun at this moment (by hand: could have been). Before it the old version
    /// runs on this data, after it perhaps not.
    pub touched: Option<Timestamp>,
    /// The bridge was lowered at this moment: from here on the public writes.
    pub published: Option<Timestamp>,
    /// When the gateway came up last, if it did since the begin.
    pub resumed: Option<Timestamp>,
    pub overdue: bool,
    pub closed_too_long: bool,
    /// How the configured nodes differ from those that it began with.
    pub nodes_changed: Option<String>,
    pub outcome: Option<Outcome>,
}

/// What is on record of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeRecord {
    pub id: NodeId,
    pub course: Course,
    /// When its stop command ended.
    pub stop_ended: Option<Timestamp>,
    /// When it was proven down.
    pub down_at: Option<Timestamp>,
    /// It was down before the gateway restarted; to be proven again.
    pub unproven: bool,
    /// Why it is left out, where it is.
    pub excluded: Option<String>,
}

/// What a node went through in this procedure.
// Untouched -> (Stopping | Down); Stopping -> Down; Down -> (Started | CameBack);
// CameBack -> Stopping; Started -> Stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// As it was at the begin.
    Untouched,
    /// Its stop was begun.
    Stopping,
    /// Proven down.
    Down,
    /// It answered before its turn.
    CameBack,
    /// It was down, and then ready: restarted.
    Started,
}

/// Why nothing is begun until the operator says `continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// `mode maintenance` was commanded.
    Paused,
    /// The gateway restarted: everything is proven anew.
    Restarted,
}

/// A backup that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backup {
    pub artefacts: Vec<Artefact>,
    pub at: Timestamp,
}

/// A node that is left out of every table until it is included again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    pub node: NodeId,
    pub why: String,
    pub by: String,
    pub at: Timestamp,
}

/// How a procedure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Completed,
    RolledBack,
    Aborted,
}

impl Outcome {
    const fn of(road: Road) -> Self {
        match road {
            Road::Forward => Self::Completed,
            Road::Back => Self::RolledBack,
            Road::Abort => Self::Aborted,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}

impl Backup {
    pub fn bytes(&self) -> u64 {
        self.artefacts.iter().map(|artefact| artefact.bytes).sum()
    }
}

impl Procedure {
    /// One that begins. `id` is the number of its record.
    pub fn new(id: u64, begin: Begin, at: Timestamp) -> Self {
        let record = |member: &Member| NodeRecord {
            id: member.id.clone(),
            course: Course::Untouched,
            stop_ended: None,
            down_at: None,
            unproven: false,
            excluded: None,
        };
        Self {
            id,
            began: at,
            road: Road::Forward,
            phase: begin.kind.first_phase(),
            since: at,
            stamp: id,
            first: begin.first.clone(),
            nodes: begin.members.iter().map(record).collect(),
            jobs: Vec::new(),
            jobs_begun: 0,
            hold: None,
            word: false,
            backup: None,
            flaws: Vec::new(),
            waivers: Vec::new(),
            touched: None,
            published: None,
            resumed: None,
            overdue: false,
            closed_too_long: false,
            nodes_changed: None,
            outcome: None,
            begin,
        }
    }

    pub const fn kind(&self) -> Kind {
        self.begin.kind
    }

    pub const fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn enough(&self) -> Enough {
        let bounds = &self.begin.bounds;
        Enough {
            down_after: bounds.down_after,
            stale_after: bounds.stale_after,
            ready_in_a_row: bounds.ready_in_a_row,
        }
    }

    pub(super) fn record(&self, id: &NodeId) -> Option<&NodeRecord> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    pub(super) fn record_mut(&mut self, id: &NodeId) -> Option<&mut NodeRecord> {
        self.nodes.iter_mut().find(|node| node.id == *id)
    }

    pub(super) fn is_first(&self, id: &NodeId) -> bool {
        self.first == *id
    }

    pub fn members(&self) -> impl Iterator<Item = (&Member, &NodeRecord)> {
        self.begin.members.iter().zip(&self.nodes)
    }

    /// The mode that this phase is carried out in.
    pub fn mode(&self) -> Option<Mode> {
        match (self.kind(), self.phase) {
            (_, Phase::Done) => None,
            (_, Phase::Lower) => Some(Mode::Cluster),
            // What is closed stays closed, and what was never closed need not be.
            _ if self.road == Road::Abort => None,
            // The detour of `change-keep`: the mode stays until the new node is there.
            (Kind::Maintenance, Phase::StartFirst) => None,
            (Kind::Maintenance, _) => Some(Mode::Single(self.first.clone())),
            (Kind::FirstStart | Kind::Upgrade, _) => Some(Mode::Maintenance),
        }
    }

    /// Must this node be down for the phase to be proven?
    pub(super) fn must_be_down(&self, id: &NodeId) -> bool {
        if self.road == Road::Abort {
            return false;
        }
        match (self.kind(), self.phase) {
            (
                Kind::Upgrade,
                Phase::Stop | Phase::BackUp | Phase::Update | Phase::Restore | Phase::Revert,
            ) => true,
            (Kind::Upgrade | Kind::FirstStart, Phase::StartFirst | Phase::Verify)
            | (Kind::Maintenance, Phase::Stop | Phase::Work | Phase::Verify) => !self.is_first(id),
            (Kind::FirstStart | Kind::Upgrade | Kind::Maintenance, _) => false,
        }
    }

    /// Is each node that must be down on record as down?
    /// For a plan: whoever must be down is.
    pub(super) fn take_all_down(&mut self) {
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        for id in ids.into_iter().filter(|id| self.must_be_down(id)).collect::<Vec<_>>() {
            if let Some(record) = self.record_mut(&id) {
                record.course = Course::Down;
            }
        }
    }

    pub(super) fn are_all_down(&self) -> bool {
        self.nodes.iter().all(|node| !self.must_be_down(&node.id) || node.course == Course::Down)
    }

    /// May this node run now, if it was down?
    pub(super) fn has_its_turn(&self, id: &NodeId) -> bool {
        if self.road == Road::Abort {
            return true;
        }
        match self.phase {
            Phase::StartOthers | Phase::Lower | Phase::Done => true,
            Phase::StartFirst | Phase::Verify | Phase::Raise => self.is_first(id),
            Phase::Narrow | Phase::Work => self.is_first(id),
            Phase::Stop => self.kind() == Kind::Maintenance && self.is_first(id),
            Phase::BackUp | Phase::Update | Phase::Restore | Phase::Revert => false,
        }
    }

    /// Must this node have been restarted before the bridge is lowered?
    pub(super) fn must_have_restarted(&self, id: &NodeId) -> bool {
        match (self.road, self.kind()) {
            (Road::Abort, _) => {
                let course = self.record(id).map(|node| node.course);
                matches!(course, Some(Course::Down | Course::CameBack))
            }
            (Road::Forward | Road::Back, Kind::Upgrade) => true,
            (Road::Forward | Road::Back, Kind::FirstStart | Kind::Maintenance) => {
                !self.is_first(id)
            }
        }
    }

    pub fn running(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.is_running())
    }

    /// What a running command does.
    pub fn work_of(&self, number: u64) -> Option<&Work> {
        let runs = |job: &&Job| matches!(&job.state, JobState::Running { ticket, .. } if ticket.number == number);
        self.jobs.iter().find(runs).map(|job| &job.work)
    }

    pub(super) fn job_of(&mut self, number: u64) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| match &job.state {
            JobState::Running { ticket, .. } => ticket.number == number,
            JobState::Unknown { number: lost } => *lost == number,
            JobState::Wanted | JobState::Ended { .. } => false,
        })
    }

    /// The number that the next command gets. Unique in a gateway's life: ids are.
    pub fn next_number(&self) -> u64 {
        self.first_number().saturating_add(u64::from(self.jobs_begun))
    }

    /// The number that its first command got.
    pub const fn first_number(&self) -> u64 {
        self.id.saturating_mul(COMMANDS_MAX)
    }

    /// Is this phase done by hand, so that only the operator can say that it is?
    pub(super) fn is_by_hand(&self) -> bool {
        let means = &self.begin.means;
        match self.phase {
            Phase::Work => true,
            Phase::BackUp => !means.backup,
            Phase::Update => !means.update,
            Phase::Restore => !means.restore,
            Phase::Revert => !means.revert,
            Phase::Verify => !means.verify,
            Phase::Raise
            | Phase::Narrow
            | Phase::Stop
            | Phase::StartFirst
            | Phase::StartOthers
            | Phase::Lower
            | Phase::Done => false,
        }
    }

    /// Begins a phase.
    pub(super) fn enter(&mut self, phase: Phase, at: Timestamp) {
        self.phase = phase;
        self.since = at;
        self.word = false;
        self.overdue = false;
        self.flaws.clear();
        // It went over the failure of that phase's command.
        self.forget_waivers(&[ObjectionKind::CommandFailed]);
        self.jobs = self.jobs_of(phase);
        match phase {
            Phase::Stop => self.await_stops(at),
            Phase::BackUp => {
                self.backup = None;
                self.forget_waivers(&[ObjectionKind::NoBackup, ObjectionKind::MuchSmaller]);
            }
            Phase::Update if self.is_by_hand() => self.touched = Some(at),
            Phase::Update
            | Phase::Raise
            | Phase::Narrow
            | Phase::Restore
            | Phase::Revert
            | Phase::StartFirst
            | Phase::Work
            | Phase::Verify
            | Phase::StartOthers
            | Phase::Lower
            | Phase::Done => {}
        }
        self.await_lost_stops(at);
        if phase == Phase::Done {
            self.outcome = Some(Outcome::of(self.road));
        }
    }

    /// The backup is what it was when it was made: nothing was done since that it would not hold.
    pub(super) fn rests_on_new_backup(&self) -> bool {
        self.road == Road::Forward
            && match self.phase {
                Phase::BackUp => true,
                Phase::Update => self.touched.is_none(),
                Phase::Raise
                | Phase::Narrow
                | Phase::Stop
                | Phase::Restore
                | Phase::Revert
                | Phase::StartFirst
                | Phase::Work
                | Phase::Verify
                | Phase::StartOthers
                | Phase::Lower
                | Phase::Done => false,
            }
    }

    pub(super) fn jobs_of(&self, phase: Phase) -> Vec<Job> {
        let means = &self.begin.means;
        let only = |there: bool, work: Work| there.then(|| Job::wanted(work));
        match phase {
            Phase::Stop => self.stops(),
            Phase::BackUp => [
                only(means.backup, Work::Backup),
                only(true, Work::Measure),
                only(means.verify_backup, Work::VerifyBackup),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Phase::Update => only(means.update, Work::Update).into_iter().collect(),
            Phase::Restore => [only(true, Work::Rehash), only(means.restore, Work::Restore)]
                .into_iter()
                .flatten()
                .collect(),
            Phase::Revert => only(means.revert, Work::Revert).into_iter().collect(),
            Phase::StartFirst => self.start_of_first(),
            Phase::Verify => only(means.verify, Work::Verify).into_iter().collect(),
            Phase::StartOthers => self.starts_of_others(),
            Phase::Raise | Phase::Narrow | Phase::Work | Phase::Lower | Phase::Done => Vec::new(),
        }
    }

    fn stops(&self) -> Vec<Job> {
        let means = &self.begin.means;
        let (group, work) = match self.kind() {
            Kind::Maintenance => (means.stop_others, Work::StopOthers),
            Kind::FirstStart | Kind::Upgrade => (means.stop_all, Work::StopAll),
        };
        let open: Vec<&NodeRecord> = self
            .nodes
            .iter()
            .filter(|node| node.course != Course::Down)
            .filter(|node| self.kind() != Kind::Maintenance || !self.is_first(&node.id))
            .collect();
        if group {
            return if open.is_empty() { Vec::new() } else { vec![Job::wanted(work)] };
        }
        self.stops_of(open.into_iter().map(|node| &node.id))
    }

    /// Stop jobs of these nodes, where there is a command for each.
    pub(super) fn stops_of<'a>(&'a self, nodes: impl Iterator<Item = &'a NodeId>) -> Vec<Job> {
        let has_stop = |id: &&NodeId| self.begin.member(id).is_some_and(|m| m.means.stop);
        nodes.filter(has_stop).map(|id| Job::wanted(Work::Stop(id.clone()))).collect()
    }

    /// Start jobs of these nodes, where there is a command for each.
    pub(super) fn starts_of<'a>(&'a self, nodes: impl Iterator<Item = &'a NodeId>) -> Vec<Job> {
        let has_start = |id: &&NodeId| self.begin.member(id).is_some_and(|m| m.means.start);
        nodes.filter(has_start).map(|id| Job::wanted(Work::Start(id.clone()))).collect()
    }

    /// Does a node need a start command, by what it went through? Giving up leaves alone what was
    /// never stopped.
    pub(super) fn needs_start(&self, node: &NodeRecord) -> bool {
        let kept_running = self.road == Road::Abort || self.kind() == Kind::Maintenance;
        match node.course {
            Course::Untouched => !kept_running,
            Course::Stopping | Course::Down | Course::CameBack => true,
            Course::Started => false,
        }
    }

    fn start_of_first(&self) -> Vec<Job> {
        let Some(first) = self.record(&self.first).filter(|first| self.needs_start(first)) else {
            return Vec::new();
        };
        if self.begin.means.start_first && self.first == self.begin.first {
            return vec![Job::wanted(Work::StartFirst)];
        }
        self.starts_of([&first.id].into_iter())
    }

    pub(super) fn starts_of_others(&self) -> Vec<Job> {
        let others = || {
            let all = self.members().filter(|(_, node)| node.excluded.is_none());
            all.filter(|(_, node)| !self.is_first(&node.id) && self.needs_start(node))
        };
        if self.begin.means.start_others {
            let any = others().next().is_some();
            return any.then(|| Job::wanted(Work::StartOthers)).into_iter().collect();
        }
        self.starts_of(others().map(|(_, node)| &node.id))
    }

    /// Nodes of role request that are not left out.
    pub(super) fn serving(&self) -> impl Iterator<Item = &NodeId> {
        let serves = |(member, node): &(&Member, &NodeRecord)| {
            member.role == NodeRole::Request && node.excluded.is_none()
        };
        self.members().filter(serves).map(|(_, node)| &node.id)
    }
}
