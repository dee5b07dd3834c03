//! What came of a phase's work: the backup, and the commands.

use super::Look;
use crate::procedure::{Flaw, Job, JobState, Objection, ObjectionKind, Phase, Work};

impl Look<'_> {
    pub(super) fn backed_up(&mut self) {
        let procedure = self.procedure;
        for flaw in &procedure.flaws {
            let remedy = if procedure.is_by_hand() {
                "back up to that path, then `retry` measures it again"
            } else {
                "look at the command's output; `retry` backs up again"
            };
            self.object(Objection::new(ObjectionKind::BackupFlawed, flaw.to_string(), remedy));
        }
        if let (Some(free), Some(last)) =
            (self.facts.free_bytes, procedure.begin.before.backup_bytes)
            && free < last
            && procedure.backup.is_none()
        {
            let what = format!("{free} bytes are free; the last backup took {last}");
            let remedy = "free space where the backup goes, or `waive` this with your reason";
            self.object(Objection::new(ObjectionKind::LittleSpace, what, remedy));
        }
        let Some(backup) = &procedure.backup else {
            if !self.backup_is_under_way()
                || procedure.waived(ObjectionKind::NoBackup, None).is_some()
            {
                let what = "there is no proven backup";
                let remedy = "back up, then `retry` (or `continue` where you do it by hand); without \
                              one there is no rollback: `waive` only with a reason that you can defend";
                self.object(Objection::new(ObjectionKind::NoBackup, what, remedy));
            }
            return;
        };
        for artefact in &backup.artefacts {
            let (path, bytes) = (&artefact.path, artefact.bytes);
            let digest: String = artefact.sha256.chars().take(16).collect();
            let what = format!("{path}: {bytes} bytes, SHA-256 {digest}...");
            self.standing.proven(what, "disk", Some(backup.at));
        }
        if let Some(last) = procedure.begin.before.backup_bytes
            && backup.bytes() < last / 2
        {
            let what = format!("the backup has {} bytes; the last one had {last}", backup.bytes());
            let remedy = "see what is missing; `retry`, or `waive` this with your reason";
            self.object(Objection::new(ObjectionKind::MuchSmaller, what, remedy));
        }
    }

    /// Whose word it is that this, and not the backup that was made, is restored.
    pub(super) fn another_backup(&mut self) {
        if let Some(waiver) = self.procedure.waived(ObjectionKind::BackupChanged, None) {
            let (by, why) = (&waiver.by, &waiver.why);
            let what = format!("waived by {by}: another backup is restored ({why})");
            self.standing.proven(what, "operator", Some(waiver.at));
        }
    }

    fn backup_is_under_way(&self) -> bool {
        let mut jobs = self.procedure.jobs.iter().filter(|job| !job.has_succeeded());
        // What comes after one that failed does not come by itself.
        let next = jobs.next().map(|job| (&job.state, self.waits_for_word(job)));
        matches!(next, Some((JobState::Wanted | JobState::Running { .. }, false)))
    }

    /// The commands of this phase.
    pub(super) fn jobs(&mut self) {
        let open = |objection: &Objection| self.procedure.went_over(objection).is_none();
        let nodes_say =
            self.standing.waiting_for.is_empty() && !self.standing.objections.iter().any(open);
        for job in &self.procedure.jobs {
            let proven_otherwise = job.work.is_proven_by_nodes() && nodes_say;
            match &job.state {
                _ if proven_otherwise && !job.is_running() => {}
                JobState::Wanted if self.waits_for_word(job) => {}
                JobState::Wanted => self.standing.wait(format!("the command: {}", job.work)),
                JobState::Running { since, .. } => {
                    self.standing.wait(format!("{} (runs since {since})", job.work));
                }
                JobState::Ended { ending, at } if ending.is_success() => {
                    let what = format!("{} {ending}", job.work);
                    self.standing.proven(what, "exit code", Some(*at));
                }
                JobState::Ended { ending, at: _ } => {
                    let failed = self.failure(job, &format!("{} {ending}", job.work));
                    self.object(failed);
                }
                JobState::Unknown { .. } => {
                    let what =
                        format!("{} ran when the gateway died; its outcome is unknown", job.work);
                    let remedy = if job.work == Work::Restore {
                        "half a restore is none: `retry` restores again from the start"
                    } else {
                        "see what it did; `adopt` takes it for done, `retry` runs it again"
                    };
                    self.object(Objection::new(ObjectionKind::CommandUnknown, what, remedy));
                }
            }
        }
    }

    /// Measuring a backup by hand begins with the operator's word.
    pub(super) fn waits_for_word(&self, job: &Job) -> bool {
        self.procedure.phase == Phase::BackUp
            && self.procedure.is_by_hand()
            && !self.procedure.word
            && matches!(job.work, Work::Measure | Work::VerifyBackup)
    }

    fn looks_at_known_backup(&self, job: &Job) -> bool {
        let measured_anew = job.work == Work::Measure && self.procedure.phase == Phase::Restore;
        measured_anew || job.work == Work::Rehash
    }

    /// Everything is stopped, and only a restore leads on: what lies there may be taken on the
    /// operator's word, where anything does.
    fn nothing_to_restore(&self, what: String) -> Objection {
        let differs = |flaw: &Flaw| matches!(flaw, Flaw::Changed { .. });
        let waivable = self.procedure.flaws.iter().all(differs);
        let remedy = if waivable {
            "find the backup that was made and put it back, then `retry`; or `waive` this with your \
             reason: what lies there now is restored instead"
        } else {
            "find the backup that was made, or another one of the same version, and put it there; \
             then `retry`"
        };
        Objection { waivable, ..Objection::new(ObjectionKind::BackupChanged, what, remedy) }
    }

    fn failure(&self, job: &Job, what: &str) -> Objection {
        if self.looks_at_known_backup(job) {
            let flaws = self.procedure.flaws.iter().map(ToString::to_string);
            let what = flaws.collect::<Vec<_>>().join("; ");
            if self.procedure.phase == Phase::Restore {
                return self.nothing_to_restore(what);
            }
            // On the way on nothing but the way back rests on it.
            let remedy = "find the backup that was made and put it back, then `retry`; or `waive` this \
                          with your reason: the backup is given up then, and with it the way back";
            let changed = Objection::new(ObjectionKind::BackupChanged, what, remedy);
            return Objection { waivable: true, ..changed };
        }
        let failed = |remedy| Objection::new(ObjectionKind::CommandFailed, what, remedy);
        if job.work == Work::Verify {
            // The operator's eye may know better than a script.
            let remedy = "look at its output; `retry` runs it again, `rollback` goes back; where the \
                          command is wrong, `waive` this with your reason";
            return Objection { waivable: true, ..failed(remedy) };
        }
        failed("look at its output; `retry` runs it again")
    }
}
