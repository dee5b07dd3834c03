//! The one function that moves a procedure: live, and when the journal is read again.

mod again;
mod resume;

use super::{
    Artefact, Backup, Choice, Course, Ending, Event, Flaw, FoundJob, Hold, Job, JobState,
    ObjectionKind, Phase, Procedure, Road, Said, Ticket, Waiver, Work,
};
use crate::model::{Mode, NodeId, Timestamp};

/// The event has no place in the procedure as it stands: the journal, or the caller, is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has no place in phase {phase}")]
pub struct Misplaced {
    pub what: &'static str,
    pub phase: Phase,
}

/// What the procedure is after `event`, which is record `seq` of the journal. Pure: the same
/// records give the same procedure, whenever they are read.
///
/// # Errors
/// [`Misplaced`]; nothing happened then.
pub fn step(
    before: &Procedure,
    seq: u64,
    at: Timestamp,
    event: &Event,
) -> Result<Procedure, Misplaced> {
    let misplaced = |what| Err(Misplaced { what, phase: before.phase });
    if before.is_over() {
        return misplaced("an event after the end");
    }
    let mut next = before.clone();
    match event {
        Event::Said(said) => {
            next.said(said, at);
            next.stamp = seq;
        }
        Event::NodeDown { node, how: _ } => {
            next.node_down(node, at);
            // It is proven now.
            next.forget_waiver(ObjectionKind::NotDown, node);
        }
        Event::NodeCameBack { node, what: _ } => {
            next.came_back(node);
            next.stamp = seq;
        }
        Event::NodeStarted { node, how: _ } => next.set_course(node, Course::Started),
        Event::JobBegins { work, ticket } => next.job_begins(work, ticket, at)?,
        Event::JobEnded { number, ending } => next.job_ended(*number, ending, at)?,
        Event::JobLost { number } => {
            next.found(&FoundJob::Gone { number: *number }, at);
            next.stamp = seq;
        }
        Event::Measured { number, artefacts, flaws } => {
            next.measured(*number, (artefacts, flaws), at)?;
        }
        Event::Advanced { to, proof: _ } => {
            if *to != next.begin.next(next.road, next.phase) {
                return misplaced("a step to another phase than the next");
            }
            next.enter(*to, at);
            next.stamp = seq;
        }
        Event::Overdue => next.overdue = true,
        Event::ClosedTooLong => next.closed_too_long = true,
        // What was said in view of the time before a pause does not end it.
        Event::Switched { to, own } => {
            next.switched(to, *own, at);
            next.stamp = if *own { next.stamp } else { seq };
        }
        Event::Paused { by: _ } => {
            next.hold = Some(Hold::Paused);
            next.stamp = seq;
        }
        Event::Restarted { jobs, means, nodes_changed } => {
            next.restarted(jobs, *means, at);
            next.nodes_changed.clone_from(nodes_changed);
            next.stamp = seq;
        }
    }
    Ok(next)
}

impl Procedure {
    fn said(&mut self, said: &Said, at: Timestamp) {
        match &said.choice {
            Choice::Continue if self.hold.is_some() => self.hold = None,
            Choice::Continue => self.go_on(),
            Choice::Confirm => self.word = true,
            Choice::Retry => self.retry(),
            Choice::Rollback => self.take_road(Road::Back, at),
            Choice::Abort => self.take_road(Road::Abort, at),
            Choice::Waive(objection) => self.waive(objection, said, at),
            Choice::Exclude(node) => {
                let why = said.why.clone().unwrap_or_default();
                if let Some(record) = self.record_mut(node) {
                    record.excluded = Some(why);
                }
                self.jobs.retain(|job| {
                    job.work != Work::Start(node.clone()) || job.state != JobState::Wanted
                });
            }
            Choice::Include(node) => self.include(node),
            Choice::ChangeFirst(node) => self.change_first(node, at),
            Choice::ChangeKeep(node) => self.change_keep(node, at),
            Choice::StopAgain => self.stop_again(at),
            Choice::Adopt => self.adopt(at),
        }
    }

    /// The operator's part of this phase is done; what was measured before that counts no more.
    fn go_on(&mut self) {
        self.word = true;
        if self.phase == Phase::BackUp && self.is_by_hand() && self.backup.is_none() {
            self.renew_jobs();
        }
    }

    fn renew_jobs(&mut self) {
        self.flaws.clear();
        for job in &mut self.jobs {
            job.state = JobState::Wanted;
        }
    }

    /// A phase whose steps rest on each other begins anew; of the others only what did not succeed,
    /// unless all of it did and did not help.
    fn retry(&mut self) {
        self.hold = None;
        // What was gone over is found out anew.
        self.forget_waivers(&[
            ObjectionKind::CommandFailed,
            ObjectionKind::NoBackup,
            ObjectionKind::MuchSmaller,
            ObjectionKind::NothingChanged,
            ObjectionKind::PluginsLost,
        ]);
        if self.phase == Phase::BackUp {
            self.void_backup();
            return self.renew_jobs();
        }
        if self.start_again() {
            return self.flaws.clear();
        }
        if self.phase == Phase::Restore {
            return self.restore_again();
        }
        if self.jobs.iter().all(Job::has_succeeded) {
            return self.renew_jobs();
        }
        self.flaws.clear();
        for job in self.jobs.iter_mut().filter(|job| !job.has_succeeded()) {
            job.state = JobState::Wanted;
        }
    }

    /// A node whose turn to start had come may be starting, though its port is still refused: on the
    /// way back it is stopped and seen down anew.
    fn stop_what_may_start(&mut self) {
        let may_start: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.course == Course::Down)
            .map(|node| node.id.clone())
            .filter(|id| self.has_its_turn(id))
            .collect();
        for node in self.nodes.iter_mut().filter(|node| may_start.contains(&node.id)) {
            node.course = Course::Stopping;
        }
    }

    /// A look at a backup that counts no more is not owed any more either.
    fn void_backup(&mut self) {
        self.backup = None;
        self.jobs.retain(|job| job.work != Work::Rehash || job.is_running());
    }

    /// It is proven like the others, and started where it was not.
    fn include(&mut self, node: &NodeId) {
        if let Some(record) = self.record_mut(node) {
            record.excluded = None;
        }
        let needed = self.record(node).is_some_and(|record| self.needs_start(record));
        let own = Work::Start(node.clone());
        if !needed || self.jobs.iter().any(|job| job.work == own || job.is_running()) {
            return;
        }
        let own = self.starts_of([node].into_iter());
        let jobs = if own.is_empty() { self.starts_of_others() } else { own };
        self.jobs.retain(|old| !jobs.iter().any(|job| job.work == old.work));
        self.jobs.extend(jobs);
    }

    fn take_road(&mut self, road: Road, at: Timestamp) {
        if road == Road::Back {
            self.stop_what_may_start();
        }
        self.road = road;
        self.hold = None;
        // What was gone over on the way out says nothing about the way back.
        let of_backup =
            [ObjectionKind::NoBackup, ObjectionKind::MuchSmaller, ObjectionKind::LittleSpace];
        self.waivers.retain(|waiver| waiver.kind().is_some_and(|kind| of_backup.contains(&kind)));
        let first = self.kind().phases(road).first().copied().unwrap_or(Phase::Done);
        if first == Phase::Done {
            return self.enter(Phase::Done, at);
        }
        self.enter(first, at);
    }

    fn waive(&mut self, id: &str, said: &Said, at: Timestamp) {
        match ObjectionKind::named(id) {
            // From here on it counts as down, so that its restart can be seen.
            Some((ObjectionKind::NotDown, Some(node))) => self.node_down(&node, at),
            Some((ObjectionKind::NotReady, Some(node)))
                if self.record(&node).is_some_and(|record| record.course == Course::Down) =>
            {
                // Nothing else will ever tell that it was started.
                self.set_course(&node, Course::Started);
            }
            Some((ObjectionKind::BackupChanged, _)) if self.phase == Phase::Restore => {
                self.take_as_backup();
            }
            Some((ObjectionKind::BackupChanged, _)) => {
                self.backup = None;
                self.flaws.clear();
                self.jobs.retain(|job| job.work != Work::Rehash);
            }
            Some((ObjectionKind::NoBackup, _)) => {
                self.backup = None;
                self.jobs.clear();
            }
            _ => {}
        }
        let (objection, by) = (id.to_owned(), said.by.clone());
        let why = said.why.clone().unwrap_or_default();
        self.waivers.push(Waiver { objection, why, by, at });
    }

    /// Nothing else leads out of a restore whose backup was lost: what lies in its place now, by the
    /// operator's word, is measured, verified as a new one is, and restored.
    fn take_as_backup(&mut self) {
        self.flaws.clear();
        let mut jobs = vec![Job::wanted(Work::Measure)];
        if self.begin.means.verify_backup {
            jobs.push(Job::wanted(Work::VerifyBackup));
        }
        jobs.extend(
            self.jobs_of(Phase::Restore).into_iter().filter(|job| job.work != Work::Rehash),
        );
        self.jobs = jobs;
    }

    /// From the look at the backup on. What was taken for the backup is one then; where that failed,
    /// it is the one that was made still.
    fn restore_again(&mut self) {
        match self.jobs.iter_mut().find(|job| job.work == Work::Measure) {
            Some(taken) if taken.has_succeeded() => taken.work = Work::Rehash,
            Some(_) => self.jobs = self.jobs_of(Phase::Restore),
            None => {}
        }
        self.renew_jobs();
    }

    fn set_course(&mut self, node: &NodeId, course: Course) {
        if let Some(record) = self.record_mut(node) {
            record.course = course;
            record.unproven = false;
        }
    }

    fn node_down(&mut self, node: &NodeId, at: Timestamp) {
        self.set_course(node, Course::Down);
        if let Some(record) = self.record_mut(node) {
            record.down_at = Some(at);
        }
    }

    /// It may have written: until the version is touched, the backup is not what it was. Later the
    /// backup is what the way back rests on, and stays.
    fn came_back(&mut self, node: &NodeId) {
        self.set_course(node, Course::CameBack);
        self.word = false;
        self.forget_waiver(ObjectionKind::NotDown, node);
        if self.rests_on_new_backup() {
            self.void_backup();
        }
    }

    fn job_begins(&mut self, work: &Work, ticket: &Ticket, at: Timestamp) -> Result<(), Misplaced> {
        let phase = self.phase;
        let wanted = |job: &&mut Job| job.work == *work && job.state == JobState::Wanted;
        let Some(job) = self.jobs.iter_mut().find(wanted) else {
            return Err(Misplaced { what: "a command that is not wanted", phase });
        };
        job.state = JobState::Running { ticket: ticket.clone(), since: at };
        if *work == Work::Update && self.touched.is_none() {
            self.touched = Some(at);
        }
        self.jobs_begun = self.jobs_begun.saturating_add(1);
        for node in self.stopped_by(work) {
            if let Some(record) = self.record_mut(&node) {
                record.stop_ended = None;
                if record.course != Course::Down {
                    record.course = Course::Stopping;
                }
            }
        }
        Ok(())
    }

    pub(super) fn stopped_by(&self, work: &Work) -> Vec<NodeId> {
        match work {
            Work::Stop(node) => vec![node.clone()],
            Work::StopAll => self.nodes.iter().map(|node| node.id.clone()).collect(),
            Work::StopOthers => {
                let others = self.nodes.iter().filter(|node| !self.is_first(&node.id));
                others.map(|node| node.id.clone()).collect()
            }
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
            | Work::Verify => Vec::new(),
        }
    }

    fn job_ended(&mut self, number: u64, ending: &Ending, at: Timestamp) -> Result<(), Misplaced> {
        let phase = self.phase;
        let Some(job) = self.job_of(number) else {
            return Err(Misplaced { what: "the end of a command that does not run", phase });
        };
        let before = std::mem::replace(
            &mut job.state,
            match ending {
                Ending::NotRun => JobState::Wanted,
                ending => JobState::Ended { ending: ending.clone(), at },
            },
        );
        let work = job.work.clone();
        if matches!(ending, Ending::NotRun | Ending::CouldNotStart(_)) {
            self.was_not_run(&work, &before);
        }
        for node in self.stopped_by(&work) {
            if let Some(record) = self.record_mut(&node) {
                record.stop_ended = Some(at);
            }
        }
        Ok(())
    }

    /// The first update, which did not run after all, touched nothing.
    fn was_not_run(&mut self, work: &Work, before: &JobState) {
        if let JobState::Running { since, .. } = before
            && *work == Work::Update
            && self.touched == Some(*since)
        {
            self.touched = None;
        }
    }

    fn measured(
        &mut self,
        number: u64,
        (artefacts, flaws): (&[Artefact], &[Flaw]),
        at: Timestamp,
    ) -> Result<(), Misplaced> {
        let phase = self.phase;
        let (known, since) = (self.backup.clone(), self.since);
        let looks = |job: &&mut Job| matches!(job.work, Work::Measure | Work::Rehash);
        let Some(job) = self.job_of(number).filter(looks) else {
            return Err(Misplaced { what: "a measure that was not begun", phase });
        };
        let mut flaws = flaws.to_vec();
        let is_new = job.work == Work::Measure;
        // A clock that was set back since tells nothing of old and new.
        if is_new && phase == Phase::BackUp && since <= at {
            let old = artefacts.iter().filter(|artefact| artefact.modified < since);
            flaws.extend(
                old.map(|old| Flaw::Old { path: old.path.clone(), modified: old.modified }),
            );
        } else if let Some(known) = known.as_ref().filter(|_| !is_new) {
            flaws.extend(changed(&known.artefacts, artefacts));
        }
        let ending = Ending::Exited(i32::from(!flaws.is_empty()));
        job.state = JobState::Ended { ending, at };
        // A second look makes no backup of what was given up meanwhile.
        if flaws.is_empty() && (is_new || known.is_some()) {
            self.backup = Some(Backup { artefacts: artefacts.to_vec(), at });
        } else if is_new && phase == Phase::BackUp {
            (self.backup, self.word) = (None, false);
        }
        if !flaws.is_empty() {
            self.forget_waivers(&[ObjectionKind::BackupChanged]);
        }
        self.flaws = flaws;
        Ok(())
    }

    fn switched(&mut self, to: &Mode, own: bool, at: Timestamp) {
        if !own {
            self.hold = Some(Hold::Paused);
        } else if self.phase == Phase::Lower && *to == Mode::Cluster && self.published.is_none() {
            self.published = Some(at);
        }
    }

    fn adopt(&mut self, at: Timestamp) {
        for job in &mut self.jobs {
            if let JobState::Unknown { .. } = job.state {
                job.state = JobState::Ended { ending: Ending::Adopted, at };
            }
        }
    }
}

pub(super) const fn is_stop(work: &Work) -> bool {
    matches!(work, Work::Stop(_) | Work::StopAll | Work::StopOthers)
}

fn changed<'a>(known: &'a [Artefact], found: &'a [Artefact]) -> impl Iterator<Item = Flaw> + 'a {
    let same = |known: &&Artefact| {
        found.iter().any(|found| found.path == known.path && found.sha256 == known.sha256)
    };
    let differ = known.iter().filter(move |known| !same(known));
    differ.map(|known| Flaw::Changed { path: known.path.clone() })
}
