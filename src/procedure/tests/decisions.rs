//! Pauses, restarts, alarms, and what moves the stamp that a choice answers.

use super::super::*;
use super::play::*;
use crate::model::Mode;

#[test]
fn a_phase_is_overdue_once_and_traffic_closed_too_long_once() {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    play.wait(4_000);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    let mut alarms = Vec::new();
    while let Some(event) = digest(&play.procedure, &play.facts) {
        play.happens(&event);
        alarms.push(event);
    }
    assert_eq!(alarms, [Event::Overdue, Event::ClosedTooLong]);
    assert!(play.objections().contains(&"not_ready:n1".to_owned()));
}

#[test]
fn a_pause_holds_everything_until_continue() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    play.happens(&Event::Paused { by: "bob".to_owned() });
    assert_eq!(play.wanted(), None);
    play.says(Choice::Continue);
    assert_eq!(play.wanted(), Some(Effect::Run(Work::Backup)));
}

#[test]
fn what_is_found_of_a_command_after_a_restart_decides_what_may_be_said() {
    let begun = || {
        let mut play = Play::upgrade_in(Phase::BackUp);
        let number = play.begins(&Work::Backup);
        (play, number)
    };
    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::Running { number }]);
    assert_eq!(play.refused(Choice::Retry), ["command_running"]);
    play.ends(number, 0);

    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::Ended { number, ending: Ending::Exited(1) }]);
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"command_failed".to_owned()));

    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::NeverRan { number }]);
    assert_eq!(play.wanted(), None, "nothing is begun before the operator says so");

    for found in [vec![FoundJob::Gone { number }], Vec::new()] {
        let (mut play, _) = begun();
        play.restarts(found);
        assert!(play.objections().contains(&"command_unknown".to_owned()));
        play.says(Choice::Adopt);
        assert!(!play.objections().contains(&"command_unknown".to_owned()));
    }
}

#[test]
fn a_command_that_came_with_the_configuration_is_run_and_not_skipped() {
    let mut by_hand = begin(Kind::Upgrade);
    by_hand.means.update = false;
    let mut play = Play::of(by_hand).until(Phase::Update);
    let means = Means { update: true, ..play.procedure.begin.means };
    play.happens(&Event::Restarted { jobs: Vec::new(), means, nodes_changed: None });
    play.says(Choice::Continue);
    let update = |job: &Job| job.work == Work::Update && job.state == JobState::Wanted;
    assert!(play.procedure.jobs.iter().any(update));
}

#[test]
fn other_nodes_in_the_configuration_stop_a_procedure() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let means = play.procedure.begin.means;
    let nodes_changed = Some("n9 is new".to_owned());
    play.happens(&Event::Restarted { jobs: Vec::new(), means, nodes_changed });
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"nodes_changed".to_owned()));
    assert_eq!(play.wanted(), None);
}

#[test]
fn each_decision_moves_the_stamp_that_a_choice_answers() {
    let mut play = Play::upgrade_in(Phase::Verify);
    let stamp = play.procedure.stamp;
    play.happens(&Event::Overdue);
    assert_eq!(play.procedure.stamp, stamp, "an alarm is no decision");
    play.says(Choice::Confirm);
    assert!(stamp < play.procedure.stamp);
}

#[test]
fn nothing_happens_after_the_end() {
    let play = Play::upgrade_in(Phase::Done);
    let late = step(&play.procedure, 99, play.now(), &Event::Overdue);
    assert!(late.is_err());
    assert_eq!(play.refused(Choice::StopAgain), ["not_here"]);
    assert_eq!(digest(&play.procedure, &play.facts), None);
}

#[test]
fn a_procedure_and_its_events_read_back_what_they_wrote() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.says(Choice::Rollback);
    let text = serde_json::to_string(&play.procedure).expect("it can be written");
    let back: Procedure = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(back, play.procedure);
}

#[test]
fn what_was_said_in_view_of_the_time_before_a_pause_is_out_of_date() {
    for pause in [
        Event::Paused { by: "bob".to_owned() },
        Event::Switched { to: Mode::Maintenance, own: false },
    ] {
        let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Work);
        let stamp = play.procedure.stamp;
        play.happens(&pause);
        assert!(stamp < play.procedure.stamp, "{pause:?}");
    }
}

#[test]
fn a_pause_outlives_a_restart_of_the_gateway() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    play.happens(&Event::Paused { by: "bob".to_owned() });
    play.restarts(Vec::new());
    assert_eq!(play.procedure.hold, Some(Hold::Paused));
}
