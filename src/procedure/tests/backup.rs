//! The backup: what counts, what voids it, what rests on it.

use super::super::*;
use super::play::*;
use crate::model::Timestamp;

/// On the way back, with every node down and nothing restored yet.
fn restoring() -> Play {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    play.says(Choice::Rollback);
    play.until(Phase::Restore)
}

/// After a restart, when both were refused for long enough again.
fn seen_down_again(play: &mut Play) {
    for seconds in [60, 31, 0] {
        play.refuses("n1");
        play.refuses("n2");
        play.wait(seconds);
    }
    play.digest();
}

#[test]
fn a_node_that_comes_back_voids_the_backup_until_the_update_is_begun() {
    for phase in [Phase::BackUp, Phase::Update] {
        let mut play = Play::upgrade_in(phase);
        if phase == Phase::BackUp {
            for _ in 0..3 {
                play.goes_well();
            }
        }
        play.wait(1);
        play.up("n2", "old");
        play.digest();
        assert_eq!(play.procedure.phase, phase);
        assert_eq!(play.course("n2"), Course::CameBack, "{phase}");
        assert_eq!(play.procedure.backup, None, "{phase}");
        assert_eq!(play.wanted(), None, "{phase}");
        assert!(play.objections().contains(&"came_back:n2".to_owned()));
        play.says(Choice::StopAgain);
        assert_eq!(play.procedure.phase, Phase::Stop);
        let play = play.until(Phase::StartFirst);
        assert!(play.procedure.backup.is_some());
    }
}

#[test]
fn once_the_update_was_begun_the_backup_stays_when_a_node_comes_back() {
    let mut play = Play::upgrade_in(Phase::Update);
    let number = play.begins(&Work::Update);
    play.wait(1);
    play.up("n2", "old");
    play.digest();
    assert!(play.procedure.backup.is_some());
    play.says(Choice::StopAgain);
    assert_eq!(play.procedure.phase, Phase::Update);
    let stop = play.begins(&Work::Stop(id("n2")));
    play.ends(stop, 0);
    play.ends(number, 0);
    assert_eq!(play.course("n2"), Course::Stopping);
}

#[test]
fn an_update_that_never_ran_touched_nothing() {
    let mut play = Play::upgrade_in(Phase::Update);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    let number = play.begins(&Work::Update);
    assert!(play.procedure.touched.is_some());
    play.restarts(vec![FoundJob::NeverRan { number }]);
    assert_eq!(play.procedure.touched, None);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    play.says(Choice::Continue);
    let play = play.until(Phase::StartFirst);
    assert_eq!(play.refused(Choice::Abort), ["no_way_back"]);
}

#[test]
fn a_backup_of_less_than_half_is_objected_to_and_asked_again_after_a_retry() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    play.file = Some((499, "good"));
    let number = play.begins(&Work::Measure);
    play.measured(number);
    assert_eq!(play.objections(), ["much_smaller"]);
    play.says(Choice::Waive("much_smaller".to_owned()));
    assert_eq!(play.objections(), [""; 0]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    let number = play.begins(&Work::Measure);
    play.measured(number);
    assert_eq!(play.objections(), ["much_smaller"]);
}

#[test]
fn a_file_from_before_the_backup_is_none() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    let number = play.begins(&Work::Measure);
    let modified = Timestamp::from_millis(play.procedure.since.as_millis() - 1);
    let old = Artefact { path: "/b".into(), bytes: 1_000, sha256: "x".into(), modified };
    play.happens(&Event::Measured { number, artefacts: vec![old], flaws: Vec::new() });
    assert_eq!(play.procedure.backup, None);
    assert!(play.objections().contains(&"backup_flawed".to_owned()));
}

#[test]
fn too_little_space_keeps_the_backup_from_beginning_until_it_is_waived() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    play.facts.free_bytes = Some(999);
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["little_space"]);
    play.says(Choice::Waive("little_space".to_owned()));
    play.begins(&Work::Backup);
}

#[test]
fn after_a_restart_a_backup_that_changed_is_named_and_nothing_rests_on_it() {
    let mut play = Play::upgrade_in(Phase::Update);
    play.restarts(Vec::new());
    play.file = Some((1_000, "other"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"backup_changed".to_owned()));
    play.wait(60);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!((play.wanted(), play.procedure.phase), (None, Phase::Update));
}

#[test]
fn a_second_look_does_not_bring_back_a_backup_that_was_given_up() {
    let mut play = Play::upgrade_in(Phase::Update);
    play.restarts(Vec::new());
    let number = play.begins(&Work::Rehash);
    play.wait(1);
    play.up("n2", "old");
    play.digest();
    play.measured(number);
    assert_eq!(play.procedure.backup, None);
}

#[test]
fn without_a_backup_there_is_no_rollback() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 1);
    play.says(Choice::Waive("no_backup".to_owned()));
    let play = play.until(Phase::StartFirst);
    assert_eq!(play.refused(Choice::Rollback), ["no_way_back"]);
}

#[test]
fn a_restore_that_was_cut_short_is_not_taken_for_done() {
    let mut play = restoring();
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    let number = play.begins(&Work::Restore);
    play.restarts(vec![FoundJob::Gone { number }]);
    assert_eq!(play.refused(Choice::Adopt), ["no_way_back"]);
    play.says(Choice::Retry);
    let job = |job: &Job| (job.work.clone(), job.state.clone());
    let jobs: Vec<_> = play.procedure.jobs.iter().map(job).collect();
    let anew = [(Work::Rehash, JobState::Wanted), (Work::Restore, JobState::Wanted)];
    assert_eq!(jobs, anew, "the backup is looked at again first");
}

#[test]
fn a_backup_that_is_lost_takes_the_way_back_and_not_the_way_on() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.restarts(Vec::new());
    play.file = Some((1_000, "other"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Continue);
    assert_eq!(play.refused(Choice::Rollback), ["no_way_back"]);
    play.says(Choice::Waive("backup_changed".to_owned()));
    assert_eq!(play.refused(Choice::Rollback), ["no_way_back"]);
    play.wait(60);
    play.refuses("n2");
    play.up("n1", "new");
    let play = play.until(Phase::Done);
    assert_eq!(play.procedure.outcome, Some(Outcome::Completed));
}

#[test]
fn an_update_that_could_not_be_started_touched_nothing() {
    let mut play = Play::upgrade_in(Phase::Update);
    let number = play.begins(&Work::Update);
    let ending = Ending::CouldNotStart("no program".to_owned());
    play.happens(&Event::JobEnded { number, ending });
    assert!(play.refused(Choice::Abort).is_empty());
}

#[test]
fn what_was_to_be_taken_for_the_backup_and_is_not_there_makes_way_for_the_true_one() {
    let mut play = restoring();
    let true_one = play.file.replace((1_000, "other"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Waive("backup_changed".to_owned()));
    play.file = None;
    let number = play.begins(&Work::Measure);
    play.measured(number);
    assert_eq!(play.objections(), ["backup_changed"]);
    assert_eq!(play.refused(Choice::Waive("backup_changed".to_owned())), ["backup_changed"]);
    // A third one is asked about again.
    play.says(Choice::Retry);
    play.file = Some((1_000, "third"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    assert_eq!(play.objections(), ["backup_changed"]);
    play.says(Choice::Retry);
    play.file = true_one;
    let play = play.until(Phase::Done);
    assert_eq!(play.procedure.outcome, Some(Outcome::RolledBack));
}

#[test]
fn a_command_that_failed_and_went_with_the_configuration_is_done_by_hand() {
    let mut play = restoring();
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    let number = play.begins(&Work::Restore);
    play.ends(number, 1);
    let means = Means { restore: false, ..play.procedure.begin.means };
    play.happens(&Event::Restarted { jobs: Vec::new(), means, nodes_changed: None });
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Continue);
    seen_down_again(&mut play);
    assert!(!play.objections().contains(&"command_failed".to_owned()), "{:?}", play.objections());
    play.says(Choice::Continue);
    let play = play.until(Phase::Done);
    assert_eq!(play.procedure.outcome, Some(Outcome::RolledBack));
}

#[test]
fn another_backup_is_not_taken_while_a_restore_runs_and_each_restart_looks_again() {
    let mut play = restoring();
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.restarts(Vec::new());
    let again = play.begins(&Work::Rehash);
    play.file = Some((1_000, "other"));
    play.measured(again);
    play.says(Choice::Continue);
    seen_down_again(&mut play);
    play.says(Choice::Waive("backup_changed".to_owned()));
    for work in [Work::Measure, Work::VerifyBackup] {
        let number = play.begins(&work);
        if work == Work::Measure { play.measured(number) } else { play.ends(number, 0) }
    }
    let restore = play.begins(&Work::Restore);
    // It is restored: what lies there now says nothing of it.
    play.restarts(vec![FoundJob::Running { number: restore }]);
    let open = play.procedure.jobs.iter().any(|job| job.state == JobState::Wanted);
    assert!(!open, "{:?}", play.procedure.jobs);
    // Whatever finds it changed once more.
    let state = JobState::Ended { ending: Ending::Exited(1), at: play.now() };
    play.procedure.jobs.insert(0, Job { work: Work::Rehash, state });
    play.procedure.flaws = vec![Flaw::Changed { path: "/b".to_owned() }];
    play.procedure.waivers.clear();
    let taken = play.refused(Choice::Waive("backup_changed".to_owned()));
    assert_eq!(taken, ["command_running"]);
}

#[test]
fn another_first_node_does_not_go_over_a_lost_backup() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.restarts(Vec::new());
    play.file = Some((1_000, "other"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Continue);
    play.says(Choice::ChangeFirst(id("n2")));
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    assert!(play.objections().contains(&"backup_changed".to_owned()), "{:?}", play.objections());
}
