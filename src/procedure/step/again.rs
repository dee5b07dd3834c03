//! Another node first, and stopping again what runs against the phase.

use super::is_stop;
use crate::model::{NodeId, Timestamp};
use crate::procedure::{Course, Job, JobState, Kind, NodeRecord, Phase, Procedure, Road, Work};

impl Procedure {
    pub(super) fn change_first(&mut self, node: &NodeId, at: Timestamp) {
        let old = std::mem::replace(&mut self.first, node.clone());
        self.hold = None;
        // Those were about the other one.
        self.forget_waivers(&["nothing_changed", "plugins_lost"]);
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
}
