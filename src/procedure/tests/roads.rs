//! From begin to end, back, and given up; another node instead of one that fails.

use super::super::*;
use super::play::*;
use crate::model::Mode;

#[test]
fn every_procedure_that_goes_well_ends_in_service() {
    for kind in Kind::ALL {
        let mut play = Play::of(begin(kind));
        if kind == Kind::FirstStart {
            play.refuses("n1");
            play.refuses("n2");
        }
        let play = play.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::Completed), "{kind}");
        assert_eq!(play.facts.mode, Mode::Cluster, "{kind}");
    }
}

#[test]
fn a_rollback_leads_back_to_service_from_each_phase_after_the_update_was_begun() {
    for phase in [Phase::Update, Phase::StartFirst, Phase::Verify, Phase::StartOthers, Phase::Lower]
    {
        let mut play = Play::upgrade_in(phase);
        play.says(Choice::Rollback);
        let mut again = play.until(Phase::Verify);
        assert_eq!(again.procedure.road, Road::Back);
        // And once more, from the way back itself.
        again.says(Choice::Rollback);
        let play = again.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::RolledBack), "{phase}");
    }
}

#[test]
fn the_way_back_ends_where_the_public_wrote() {
    let mut play = Play::upgrade_in(Phase::Lower);
    play.digest();
    play.happens(&Event::Switched { to: Mode::Cluster, own: true });
    assert_eq!(play.refused(Choice::Rollback), ["public_has_written"]);
    assert_eq!(play.refused(Choice::Abort), ["public_has_written"]);
}

#[test]
fn giving_up_starts_only_what_was_stopped_and_serves_again() {
    for phase in [Phase::Raise, Phase::Stop, Phase::BackUp] {
        let mut play = Play::upgrade_in(phase);
        play.says(Choice::Abort);
        let play = play.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::Aborted), "{phase}");
        assert_eq!(play.facts.mode, Mode::Cluster, "{phase}");
    }
    let mut play = Play::upgrade_in(Phase::Stop);
    play.says(Choice::Abort);
    assert!(play.procedure.jobs.is_empty(), "nothing was stopped yet");
}

#[test]
fn giving_up_right_after_a_stop_waits_until_the_node_is_seen_to_serve() {
    let mut play = Play::upgrade_in(Phase::Stop);
    for name in ["n1", "n2"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.wait(1);
        play.ends(number, 0);
    }
    play.says(Choice::Abort);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartFirst, "its probes are of before the stop");
    play.wait(30);
    for name in ["n1", "n2"] {
        play.up(name, "old");
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Lower, "both stayed");
}

#[test]
fn another_first_node_is_started_when_the_first_one_is_down_again() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.says(Choice::ChangeFirst(id("n2")));
    assert_eq!(play.procedure.first, id("n2"));
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    assert_eq!(play.wanted(), None, "not before n1 is down");
    let play = play.until(Phase::Done);
    assert_eq!(play.procedure.outcome, Some(Outcome::Completed));
}

#[test]
fn another_node_is_kept_after_it_was_restarted() {
    let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Work);
    play.says(Choice::ChangeKeep(id("n2")));
    assert_eq!(play.facts.mode, Mode::Single(id("n1")), "the old one serves meanwhile");
    let play = play.until(Phase::Done);
    assert_eq!(play.course("n1"), Course::Started, "the old one was restarted too");
}

#[test]
fn the_last_ready_node_is_not_left_out_and_another_one_is() {
    let mut play = Play::upgrade_in(Phase::StartOthers);
    assert_eq!(play.refused(Choice::Exclude(id("n1"))), ["last_node"]);
    play.says(Choice::Exclude(id("n2")));
    let play = play.until(Phase::Done);
    assert!(play.procedure.record(&id("n2")).is_some_and(|node| node.excluded.is_some()));
}

#[test]
fn a_node_that_is_taken_back_is_started_and_proven() {
    let mut play = Play::upgrade_in(Phase::StartOthers);
    play.says(Choice::Exclude(id("n2")));
    play.says(Choice::Include(id("n2")));
    let play = play.until(Phase::Done);
    assert_eq!(play.course("n2"), Course::Started);
}

#[test]
fn work_that_was_seen_is_not_given_up() {
    let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Work);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    play.known("n1").plugins = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(play.refused(Choice::Abort), ["work_done"]);
    play.known("n1").plugins = None;
    play.known("n2").must_restart = true;
    assert_eq!(play.refused(Choice::Abort), ["work_done"]);
}
