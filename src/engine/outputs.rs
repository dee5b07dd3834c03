//! What the commands of a phase wrote last: that of one that failed is what people look for.

use crate::procedure::{Job, Work};

/// The last lines of the commands of this phase; until it has any, of the last one before.
#[derive(Debug, Default)]
pub(super) struct Outputs(Vec<Output>);

#[derive(Debug)]
struct Output {
    number: u64,
    work: Work,
    lines: Vec<String>,
}

impl Outputs {
    /// A command begins; what it wrote when it ran before is gone.
    pub(super) fn begins(&mut self, number: u64, work: Work) {
        self.0.retain(|output| output.work != work);
        self.0.push(Output { number, work, lines: Vec::new() });
    }

    pub(super) fn wrote(&mut self, number: u64, lines: Vec<String>) {
        if let Some(output) = self.0.iter_mut().find(|output| output.number == number) {
            output.lines = lines;
        }
    }

    /// Another phase begins.
    pub(super) fn keep_last(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// The output of the command that failed; where none did, of the last one.
    pub(super) fn shown(&self, jobs: &[Job]) -> Option<(Work, Vec<String>)> {
        let failed =
            |output: &&Output| jobs.iter().any(|job| job.work == output.work && job.has_failed());
        let shown = self.0.iter().find(failed).or(self.0.last())?;
        Some((shown.work.clone(), shown.lines.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::procedure::{Ending, JobState};

    fn ended(work: Work, code: i32) -> Job {
        let state = JobState::Ended { ending: Ending::Exited(code), at: Timestamp::from_millis(0) };
        Job { work, state }
    }

    #[test]
    fn the_one_that_failed_is_shown_until_it_runs_again() {
        let mut outputs = Outputs::default();
        outputs.begins(1, Work::Backup);
        outputs.wrote(1, vec!["no space".to_owned()]);
        outputs.begins(2, Work::Update);
        outputs.wrote(2, vec!["done".to_owned()]);
        let failed = [ended(Work::Backup, 1), ended(Work::Update, 0)];
        assert_eq!(outputs.shown(&failed), Some((Work::Backup, vec!["no space".to_owned()])));
        let well = [ended(Work::Backup, 0), ended(Work::Update, 0)];
        assert_eq!(outputs.shown(&well), Some((Work::Update, vec!["done".to_owned()])));
        outputs.begins(3, Work::Backup);
        outputs.wrote(1, vec!["late".to_owned()]);
        assert_eq!(outputs.shown(&failed), Some((Work::Backup, Vec::new())));
    }

    #[test]
    fn another_phase_shows_the_last_one_until_it_has_its_own() {
        let mut outputs = Outputs::default();
        assert_eq!(outputs.shown(&[]), None);
        outputs.begins(1, Work::Backup);
        outputs.begins(2, Work::VerifyBackup);
        outputs.keep_last();
        assert_eq!(outputs.shown(&[ended(Work::Backup, 1)]), Some((Work::VerifyBackup, vec![])));
        outputs.forget();
        assert_eq!(outputs.shown(&[]), None);
    }
}
