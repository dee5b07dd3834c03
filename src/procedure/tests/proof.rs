//! What proves that a node is down, restarted and of the right build.

use super::super::*;
use super::play::*;
use crate::model::{Mode, NodeRole, Timestamp};

#[test]
fn a_refused_port_is_down_only_when_it_lasted_since_the_stop_command_ended() {
    let mut play = Play::upgrade_in(Phase::Stop);
    play.refuses("n1");
    play.wait(100);
    let number = play.begins(&Work::Stop(id("n1")));
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping, "its command still runs");
    play.ends(number, 0);
    play.wait(29);
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping);
    play.wait(1);
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn time_outs_prove_nothing_and_may_be_waived() {
    let mut play = Play::upgrade_in(Phase::Stop);
    for name in ["n1", "n2"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.ends(number, 0);
    }
    play.wait(60);
    play.refuses("n2");
    play.times_out("n1");
    play.digest();
    assert_eq!(play.objections(), ["not_down:n1"]);
    play.says(Choice::Waive("not_down:n1".to_owned()));
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn a_node_that_answers_after_its_stop_cannot_be_waived() {
    let mut play = Play::upgrade_in(Phase::Stop);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.wait(60);
    play.up("n1", "old");
    play.digest();
    assert_eq!(play.objections(), ["not_down:n1"]);
    assert_eq!(play.refused(Choice::Waive("not_down:n1".to_owned())), ["not_down:n1"]);
}

#[test]
fn a_status_command_that_says_stopped_is_proof_at_once_but_not_from_before() {
    let mut play = Play::upgrade_in(Phase::Stop);
    play.reports("n1", NodeStatus::Stopped);
    play.wait(1);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping);
    play.reports("n1", NodeStatus::Stopped);
    play.digest();
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn no_phase_goes_on_while_a_stop_command_was_not_begun() {
    let mut play = Play::upgrade_in(Phase::Stop);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.refuses("n1");
    play.wait(31);
    play.refuses("n1");
    play.digest();
    assert_eq!((play.course("n1"), play.procedure.phase), (Course::Down, Phase::Stop));
}

#[test]
fn narrowing_waits_for_a_kept_node_that_is_ready() {
    let mut play = Play::of(begin(Kind::Maintenance));
    play.refuses("n1");
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["not_ready:n1"]);
    play.up("n1", "old");
    assert_eq!(play.wanted(), Some(Effect::Switch(Mode::Single(id("n1")))));
}

#[test]
fn an_upgrade_that_changed_nothing_is_named() {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    let number = play.begins(&Work::Start(id("n1")));
    play.ends(number, 0);
    play.wait(1);
    play.up("n1", "old");
    play.refuses("n2");
    play.digest();
    assert_eq!(play.objections(), ["nothing_changed"]);
    play.known("n1").image = Image::Known("sha256:2".to_owned());
    assert_eq!(play.objections(), ["nothing_changed"], "no image is known of before");
    play.procedure.begin.before.image = Some("sha256:1".to_owned());
    assert_eq!(play.objections(), [""; 0], "the image outranks the page");
}

#[test]
fn what_a_node_runs_is_waited_for_where_its_command_has_not_answered() {
    let mut begin = begin(Kind::Upgrade);
    begin.members.iter_mut().for_each(|member| member.means.build = true);
    let runs = |image: &str| Image::Known(image.to_owned());
    let mut play = Play::of(begin).until(Phase::StartOthers);
    let number = play.begins(&Work::Start(id("n2")));
    play.ends(number, 0);
    play.wait(1);
    play.up("n1", "new");
    play.up("n2", "new");
    play.digest();
    play.known("n1").image = runs("B");
    assert_eq!(play.procedure.phase, Phase::StartOthers, "n2 has not told");
    assert_eq!(play.objections(), [""; 0]);
    play.known("n2").image = Image::Unknown("exit code 1".to_owned());
    play.digest();
    assert_eq!(play.objections(), ["build_unknown:n2"]);
    play.known("n2").image = runs("A");
    play.digest();
    assert_eq!(play.objections(), ["mixed_builds"]);
    play.known("n2").image = runs("B");
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Lower);
}

#[test]
fn the_version_row_must_be_the_one_wanted_and_plugins_must_not_be_lost() {
    let mut play = Play::of(Begin { to: Some("3".to_owned()), ..begin(Kind::Upgrade) });
    play.procedure.begin.to = None;
    let mut play = play.until(Phase::Verify);
    play.procedure.begin.to = Some("3".to_owned());
    play.known("n1").plugins = Some(Vec::new());
    assert_eq!(play.objections(), ["wrong_version", "plugins_lost"]);
    assert_eq!(play.refused(Choice::Waive("wrong_version".to_owned())), ["wrong_version"]);
    play.says(Choice::Waive("plugins_lost".to_owned()));
    assert_eq!(play.refused(Choice::Confirm), ["wrong_version"]);
}

#[test]
fn mixed_builds_are_not_let_in_and_unknown_ones_only_with_a_reason() {
    let mut play = Play::upgrade_in(Phase::Lower);
    play.known("n2").build = Some("old".to_owned());
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["mixed_builds"]);
    play.known("n2").build = None;
    assert_eq!(play.objections(), ["build_unknown:n2"]);
    play.says(Choice::Waive("build_unknown:n2".to_owned()));
    assert_eq!(play.wanted(), Some(Effect::Switch(Mode::Cluster)));
}

#[test]
fn a_worker_without_an_address_needs_two_reasons_and_no_more() {
    let mut begin = begin(Kind::Upgrade);
    begin.members.push(Member {
        id: id("w1"),
        role: NodeRole::Worker,
        address: None,
        means: NodeMeans { start: true, stop: true, status: false, build: false },
    });
    let mut play = Play::of(begin).until(Phase::Stop);
    for name in ["n1", "n2", "w1"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.ends(number, 0);
    }
    play.wait(1);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    assert_eq!(play.objections(), ["not_down:w1"]);
    play.says(Choice::Waive("not_down:w1".to_owned()));
    play.restarts(Vec::new());
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"not_down:w1".to_owned()), "seen anew after a restart");
    play.says(Choice::Waive("not_down:w1".to_owned()));
    let mut play = play.until(Phase::StartOthers);
    for _ in 0..8 {
        play.goes_well();
    }
    assert_eq!(play.objections(), ["not_ready:w1"]);
    play.says(Choice::Waive("not_ready:w1".to_owned()));
    assert_eq!(play.until(Phase::Done).procedure.outcome, Some(Outcome::Completed));
}

#[test]
fn by_hand_each_part_waits_for_the_operators_word() {
    let mut by_hand = Begin { means: Means::default(), ..begin(Kind::Upgrade) };
    for member in &mut by_hand.members {
        member.means = NodeMeans::default();
    }
    let mut play = Play::of(by_hand).until(Phase::Stop);
    play.wait(1);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.wait(30);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!((play.procedure.phase, play.wanted()), (Phase::BackUp, None));
    play.file = Some((1_000, "good"));
    play.says(Choice::Continue);
    let number = play.begins(&Work::Measure);
    play.measured(number);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Update);
    assert!(play.procedure.touched.is_some(), "by hand nobody knows when");
    assert_eq!(play.refused(Choice::Abort), ["no_way_back"]);
    play.says(Choice::Continue);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartFirst);
    play.says(Choice::Rollback);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Stop, "n1 may be starting");
    play.wait(30);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Restore);
}

#[test]
fn on_the_way_back_by_hand_a_started_node_is_seen_down_again() {
    let mut play = Play::upgrade_in(Phase::Verify);
    for member in &mut play.procedure.begin.members {
        member.means = NodeMeans::default();
    }
    play.says(Choice::Rollback);
    play.refuses("n1");
    play.wait(31);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Restore);
}

#[test]
fn a_verify_command_lets_auto_go_on_and_its_failure_may_be_waived_once() {
    let mut verified = begin(Kind::Upgrade);
    verified.means.verify = true;
    let mut play = Play::of(verified).until(Phase::Verify);
    let number = play.begins(&Work::Verify);
    play.ends(number, 1);
    assert_eq!(play.objections(), ["command_failed"]);
    play.says(Choice::Waive("command_failed".to_owned()));
    assert_eq!(play.objections(), [""; 0]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Verify);
    play.ends(number, 1);
    assert_eq!(play.objections(), ["command_failed"]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Verify);
    play.ends(number, 0);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartOthers);
}

#[test]
fn a_node_that_a_word_alone_made_down_was_not_seen_to_restart() {
    let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Stop);
    let number = play.begins(&Work::Stop(id("n2")));
    play.ends(number, 1);
    play.wait(60);
    play.up("n1", "old");
    play.times_out("n2");
    play.says(Choice::Waive("not_down:n2".to_owned()));
    let mut play = play.until(Phase::StartOthers);
    let number = play.begins(&Work::Start(id("n2")));
    play.ends(number, 1);
    play.wait(5);
    for name in ["n1", "n2"] {
        play.up(name, "old");
    }
    play.digest();
    assert_eq!(play.course("n2"), Course::Down, "the same process may answer again");
    assert!(play.objections().contains(&"not_restarted:n2".to_owned()));
}

#[test]
fn a_node_that_comes_back_is_seen_though_the_clock_was_set_back() {
    let mut play = Play::upgrade_in(Phase::Update);
    // A minute back, and everything was probed since.
    play.facts.now = Timestamp::from_millis(play.facts.now.as_millis() - 60_000);
    play.refuses("n1");
    play.up("n2", "old");
    play.digest();
    assert_eq!(play.course("n2"), Course::CameBack);
    assert_eq!(play.objections(), ["came_back:n2"]);
}

#[test]
fn how_long_a_port_is_refused_is_not_known_where_the_clock_was_set_back() {
    let mut play = Play::upgrade_in(Phase::Stop);
    for name in ["n1", "n2"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.ends(number, 0);
    }
    play.facts.now = Timestamp::from_millis(play.facts.now.as_millis() - 60_000);
    play.refuses("n1");
    play.refuses("n2");
    play.wait(1);
    play.refuses("n1");
    play.refuses("n2");
    play.digest();
    assert_eq!(play.objections(), ["not_down:n1", "not_down:n2"]);
    play.says(Choice::Waive("not_down:n1".to_owned()));
    play.wait(60);
    play.refuses("n2");
    play.wait(31);
    play.refuses("n2");
    play.digest();
    assert_eq!(play.procedure.phase, Phase::BackUp, "the clock has caught up");
}
