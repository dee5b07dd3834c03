//! The gateway came up again.

use crate::model::Timestamp;
use crate::procedure::{
    Course, Ending, FoundJob, Hold, Job, JobState, Means, ObjectionKind, Phase, Procedure, Work,
};

impl Procedure {
    pub(super) fn restarted(&mut self, jobs: &[FoundJob], means: Means, at: Timestamp) {
        // An operator's pause is one still.
        self.hold = self.hold.filter(|hold| *hold == Hold::Paused).or(Some(Hold::Restarted));
        self.resumed = Some(at);
        for found in jobs {
            self.found(found, at);
        }
        self.lose_unnamed(jobs);
        self.change_means(means);
        for node in &mut self.nodes {
            node.unproven = node.course == Course::Down;
        }
        // The operator saw it then; whoever resumes sees for themselves.
        self.forget_waivers(&[ObjectionKind::NotDown]);
        let rests_on_it = self.backup.is_some() && self.phase != Phase::Lower;
        if rests_on_it {
            self.look_at_backup_again();
        }
    }

    /// Whatever was seen of it before: it lay unwatched.
    pub(super) fn look_at_backup_again(&mut self) {
        let restores = |job: &Job| job.is_running() || job.has_succeeded();
        if self.jobs.iter().any(|job| job.work == Work::Restore && restores(job)) {
            return; // It was looked at before that.
        }
        match self.jobs.iter_mut().find(|job| job.work == Work::Rehash) {
            Some(look) if look.is_running() => {}
            Some(look) => look.state = JobState::Wanted,
            None => self.jobs.insert(0, Job::wanted(Work::Rehash)),
        }
    }

    /// A command that nobody looked for is as good as gone.
    fn lose_unnamed(&mut self, named: &[FoundJob]) {
        let numbers: Vec<u64> = named.iter().map(FoundJob::number).collect();
        for job in &mut self.jobs {
            if let JobState::Running { ticket, .. } = &job.state
                && !numbers.contains(&ticket.number)
            {
                job.state = if matches!(job.work, Work::Measure | Work::Rehash) {
                    JobState::Wanted
                } else {
                    JobState::Unknown { number: ticket.number }
                };
            }
        }
    }

    /// Commands that came with the configuration count at once where nothing of the phase was begun
    /// or said yet, else from the next phase on. Of one that went, what did not succeed is the
    /// operator's hand now.
    fn change_means(&mut self, means: Means) {
        if self.begin.means == means {
            return;
        }
        self.begin.means = means;
        let untouched = self.jobs.iter().all(|job| job.state == JobState::Wanted);
        if untouched && !self.word {
            self.jobs = self.jobs_of(self.phase);
            return;
        }
        let gone = |job: &Job| !means.has(&job.work) && !job.is_running() && !job.has_succeeded();
        self.jobs.retain(|job| !gone(job));
    }

    pub(super) fn found(&mut self, found: &FoundJob, at: Timestamp) {
        let Some(job) = self.job_of(found.number()) else { return };
        let before = job.state.clone();
        job.state = match (found, &job.work) {
            (FoundJob::Running { .. }, _) => return,
            (FoundJob::Ended { ending, .. }, _) if *ending != Ending::NotRun => {
                JobState::Ended { ending: ending.clone(), at }
            }
            // Looking again harms nothing.
            (FoundJob::Ended { .. } | FoundJob::NeverRan { .. }, _)
            | (FoundJob::Gone { .. }, Work::Measure | Work::Rehash) => JobState::Wanted,
            (FoundJob::Gone { number }, _) => JobState::Unknown { number: *number },
        };
        let (work, not_run) = (job.work.clone(), job.state == JobState::Wanted);
        if not_run {
            self.was_not_run(&work, &before);
        }
        for node in self.stopped_by(&work) {
            if let Some(record) = self.record_mut(&node) {
                record.stop_ended = Some(at);
            }
        }
    }
}
