//! Another node first, and stopping again what runs against the phase.

use super::is_stop;
use crate::model::{NodeId, Timestamp};
use crate::procedure::{
    Course, Job, JobState, Kind, NodeRecord, ObjectionKind, Phase, Procedure, Road, Work,
};

impl Procedure {
    pub(super) fn change_first(&mut self, node: &NodeId, at: Timestamp) {
        let old = std::mem::replace(&mut self.first, node.clone());
        self.hold = None;
        // Those were about the other one.
        self.forget_waivers(&[ObjectionKind::NothingChanged, ObjectionKind::PluginsLost]);
        let is_open = |job: &Job| job.work == Work::Rehash && !job.has_succeeded();
        let look_is_owed = self.jobs.iter().any(is_open);
        self.enter(Phase::StartFirst, at);
        let mut jobs = self.stops_of([&old].into_iter());
        if jobs.is_empty()
            && let Some(record) = self.record_mut(&old)
        {
            record.stop_ended = Some(at);
        }
        // Down or not: it may be starting.
        if let Some(record) = self.record_mut(&old) {
            record.course = Course::Stopping;
        }
        jobs.append(&mut self.jobs);
        self.jobs = jobs;
        if look_is_owed {
            self.look_at_backup_again();
        }
    }

    pub(super) fn change_keep(&mut self, node: &NodeId, at: Timestamp) {
        let old = std::mem::replace(&mut self.first, node.clone());
        self.hold = None;
        if let Some(record) = self.record_mut(&old)
            && record.course == Course::Down
        {
            // It may be starting: to be stopped and seen down anew, in its turn.
            (record.course, record.stop_ended) = (Course::Stopping, Some(at));
        }
        self.enter(Phase::StartFirst, at);
    }

    /// Before the version is touched everything is stopped and backed up anew; later only those that
    /// came back are stopped again.
    pub(super) fn stop_again(&mut self, at: Timestamp) {
        self.hold = None;
        if self.rests_on_new_backup() {
            return self.enter(Phase::Stop, at);
        }
        let back: Vec<NodeId> = self.to_stop_again().cloned().collect();
        let mut jobs = self.stops_again(&back);
        let by_command: Vec<NodeId> =
            jobs.iter().flat_map(|job| self.stopped_by(&job.work)).collect();
        for node in self.nodes.iter_mut().filter(|node| back.contains(&node.id)) {
            node.course = Course::Stopping;
            node.stop_ended = (!by_command.contains(&node.id)).then_some(at);
        }
        let anew = |old: &Job| jobs.iter().any(|job| job.work == old.work);
        let overtaken = |job: &Job| job.state == JobState::Wanted && is_stop(&job.work);
        self.jobs.retain(|job| !anew(job) && !overtaken(job));
        if matches!(self.phase, Phase::StartOthers | Phase::StartFirst) {
            self.start_after(&back);
        }
        jobs.append(&mut self.jobs);
        self.jobs = jobs;
    }

    /// What was told to start and is not as it should be is stopped, seen down and started anew: a
    /// start command alone does nothing for a node that runs. `false` where nothing stops it.
    pub(super) fn start_again(&mut self) -> bool {
        let wrong = self.to_start_again();
        let mut jobs = self.stops_of(wrong.iter());
        let (means, maintenance) = (&self.begin.means, self.kind() == Kind::Maintenance);
        if jobs.is_empty() && self.phase == Phase::StartFirst && means.stop_all && !maintenance {
            jobs.push(Job::wanted(Work::StopAll));
        }
        if jobs.is_empty() {
            return false;
        }
        let stopped: Vec<NodeId> = jobs.iter().flat_map(|job| self.stopped_by(&job.work)).collect();
        for node in self.nodes.iter_mut().filter(|node| wrong.contains(&node.id)) {
            if stopped.contains(&node.id) {
                (node.course, node.stop_ended) = (Course::Stopping, None);
            }
        }
        let looks = self.jobs.iter().filter(|job| job.work == Work::Rehash);
        let mut all: Vec<Job> = looks.map(|job| Job::wanted(job.work.clone())).collect();
        all.append(&mut jobs);
        all.extend(self.jobs_of(self.phase));
        self.jobs = all;
        true
    }

    /// Would a `retry` stop nodes, to start them again?
    pub(in crate::procedure) fn restarts(&self) -> bool {
        !self.to_start_again().is_empty() && self.clone().start_again()
    }

    /// Those that a `retry` starts anew: who is not there yet; where all are, all of them. None
    /// where nothing is started, or what runs is what should run.
    pub(in crate::procedure) fn to_start_again(&self) -> Vec<NodeId> {
        if self.road == Road::Abort {
            return Vec::new();
        }
        let others = || {
            let all = self.nodes.iter().filter(|node| node.excluded.is_none());
            all.filter(|node| !self.is_first(&node.id))
        };
        let ids = |nodes: Vec<&NodeRecord>| nodes.into_iter().map(|n| n.id.clone()).collect();
        match self.phase {
            Phase::StartFirst => vec![self.first.clone()],
            Phase::StartOthers => {
                let open: Vec<_> = others().filter(|n| n.course != Course::Started).collect();
                ids(if open.is_empty() { others().collect() } else { open })
            }
            Phase::Raise
            | Phase::Narrow
            | Phase::Stop
            | Phase::BackUp
            | Phase::Update
            | Phase::Restore
            | Phase::Revert
            | Phase::Work
            | Phase::Verify
            | Phase::Lower
            | Phase::Done => Vec::new(),
        }
    }

    /// The starts of those that are stopped again come after it, anew.
    fn start_after(&mut self, stopped: &[NodeId]) {
        self.jobs.retain(|job| !matches!(&job.work, Work::Start(node) if stopped.contains(node)));
        for start in self.jobs_of(self.phase) {
            let concerned = match &start.work {
                Work::Start(node) => stopped.contains(node),
                _ => true,
            };
            if concerned {
                self.jobs.retain(|job| job.work != start.work);
                self.jobs.push(start);
            }
        }
    }

    /// Those that came back; and, where all may run, those that were never seen to restart.
    pub(in crate::procedure) fn to_stop_again(&self) -> impl Iterator<Item = &NodeId> {
        let again = |node: &&NodeRecord| match node.course {
            Course::CameBack => true,
            Course::Untouched | Course::Stopping => {
                let next_kept = self.phase == Phase::StartFirst
                    && self.kind() == Kind::Maintenance
                    && self.is_first(&node.id);
                let its_turn = self.phase == Phase::StartOthers
                    && node.excluded.is_none()
                    && self.must_have_restarted(&node.id);
                next_kept || its_turn
            }
            Course::Down | Course::Started => false,
        };
        // Giving up, every node has its turn.
        let any = self.road != Road::Abort;
        self.nodes.iter().filter(move |node| any && again(node)).map(|node| &node.id)
    }

    /// A command for a group serves where it stops none that may run; else there is one for each.
    fn stops_again(&self, back: &[NodeId]) -> Vec<Job> {
        let means = &self.begin.means;
        let down = |node: &NodeRecord| self.must_be_down(&node.id);
        let maintenance = self.kind() == Kind::Maintenance;
        if means.stop_all && self.nodes.iter().all(down) {
            return vec![Job::wanted(Work::StopAll)];
        }
        let mut others = self.nodes.iter().filter(|node| !self.is_first(&node.id));
        if maintenance && means.stop_others && others.all(down) {
            return vec![Job::wanted(Work::StopOthers)];
        }
        let each = self.stops_of(back.iter());
        if each.is_empty() && maintenance && means.stop_others && self.phase == Phase::StartOthers {
            return vec![Job::wanted(Work::StopOthers)];
        }
        each
    }

    /// What runs again must be seen down again. Where there is no command for a node, its port counts
    /// from now on.
    pub(in crate::procedure) fn await_stops(&mut self, at: Timestamp) {
        let with_command: Vec<NodeId> =
            self.jobs.iter().flat_map(|job| self.stopped_by(&job.work)).collect();
        let wanted: Vec<NodeId> = self
            .nodes
            .iter()
            .map(|node| &node.id)
            .filter(|id| self.must_be_down(id))
            .cloned()
            .collect();
        for node in self.nodes.iter_mut().filter(|node| wanted.contains(&node.id)) {
            if matches!(node.course, Course::Started | Course::CameBack) {
                node.course = Course::Stopping;
            }
            if !with_command.contains(&node.id) {
                node.stop_ended = Some(at);
            }
        }
    }

    /// A stop that is not wanted any more never ends: from here on the node is watched.
    pub(in crate::procedure) fn await_lost_stops(&mut self, at: Timestamp) {
        let with_command: Vec<NodeId> =
            self.jobs.iter().flat_map(|job| self.stopped_by(&job.work)).collect();
        let lost = |node: &&mut NodeRecord| {
            node.course == Course::Stopping
                && node.stop_ended.is_none()
                && !with_command.contains(&node.id)
        };
        for node in self.nodes.iter_mut().filter(lost) {
            node.stop_ended = Some(at);
        }
    }
}
