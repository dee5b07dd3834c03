//! Trouble with the backup, the restore and the commands around them.

use std::fs;
use std::io::Write;

use serde_json::json;

use crate::hands::found;
use crate::world::{Load, Wish, World, offers};

#[test]
fn a_backup_that_fails_is_run_again_by_retry_and_nothing_is_updated_before() {
    let mut world = World::started(&Wish::default());
    world.put("fail.backup", "");
    world.upgrade_by_itself();
    world.told("command_failed", "`retry`");
    let procedure = world.procedure();
    assert_eq!(procedure["phase"], "back-up");
    let output = procedure["output"]["lines"].to_string();
    assert!(output.contains("backup was asked to fail"), "{output}");
    assert_eq!(world.ran("data update"), 0);
    world.wait_until("somebody is told", |world| {
        world.notices().contains("failed with exit code 1")
    });
    world.remove("fail.backup");
    world.says("retry", &json!({}));
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 2);
}

#[test]
fn an_empty_backup_is_no_backup_though_its_command_succeeded() {
    let mut world = World::started(&Wish::default());
    world.put("empty.backup", "");
    world.upgrade_by_itself();
    world.told("backup_flawed", "`retry`");
    let procedure = world.procedure();
    assert_eq!(procedure["phase"], "back-up");
    let what = found(&procedure, "backup_flawed")["detail"].to_string();
    assert!(what.contains("is empty"), "{what}");
    world.refused("waive", &json!({"objection": "backup_flawed", "why": "x"}), "backup_flawed");
    assert_eq!(world.ran("data update"), 0);
    world.remove("empty.backup");
    world.says("retry", &json!({}));
    world.ends("completed");
}

#[test]
fn a_backup_of_less_than_half_the_last_one_is_asked_about() {
    let mut world = World::started(&Wish::default());
    world.put("long.backup", "");
    world.upgrade_by_itself();
    world.ends("completed");
    world.remove("long.backup");
    world.node_is("n2", "ready");
    world.begun(&json!({"kind": "upgrade", "to": "2.4.0", "auto": true}));
    world.told("much_smaller", "`waive`");
    assert_eq!(world.ran("data update"), 1);
    let why = json!({"objection": "much_smaller"});
    assert_eq!(world.say("waive", &why).status, 400, "a waiver needs a reason");
    // Nobody looks at what goes by itself: it is told, once.
    let told = |world: &World| world.notices().matches("does not go on: the backup has").count();
    world.wait_until("it is told", |world| told(world) == 1);
    world.says("waive", &json!({"objection": "much_smaller", "why": "the old logs were deleted"}));
    world.ends("completed");
    let waived = world.past().into_iter().find(|past| past.detail.starts_with("waive"));
    assert!(waived.expect("on record").detail.contains("the old logs were deleted"));
    assert_eq!(told(&world), 1);
    assert!(world.read("database").contains("2.4.0"));
}

#[test]
fn an_upgrade_without_a_backup_needs_a_reason_and_has_no_rollback() {
    let mut world = World::started(&Wish::default());
    world.put("fail.backup", "");
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    world.go_on_to("back-up");
    world.told("no_backup", "`waive`");
    world.says("waive", &json!({"objection": "no_backup", "why": "a snapshot of the disk"}));
    world.go_on_to("verify");
    world.refused("rollback", &json!({}), "no_way_back");
    let procedure = world.procedure();
    let offered = procedure["choices"].as_array().cloned().unwrap_or_default();
    let rollback = offered.iter().find(|choice| choice["choice"] == "rollback");
    let shown = rollback.expect("shown with what speaks against it").to_string();
    assert!(shown.contains("no proven backup"), "{shown}");
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn a_verify_command_that_fails_is_run_again_or_gone_over_with_a_reason() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("start-first");
    world.put("fail.verify", "");
    world.go_on_to("verify");
    world.told("command_failed", "`retry`");
    world.refused("confirm", &json!({}), "command_failed");
    assert!(offers(&world.procedure(), "rollback"));
    world.says("retry", &json!({}));
    world.told("command_failed", "`rollback`");
    world.remove("fail.verify");
    world.says("retry", &json!({}));
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    world.ends("completed");

    let mut world = World::started(&Wish::default());
    world.upgrade_to("start-first");
    world.put("fail.verify", "");
    world.go_on_to("verify");
    world.told("command_failed", "`waive`");
    world.says("waive", &json!({"objection": "command_failed", "why": "the script is too old"}));
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn a_restore_that_fails_is_run_again_from_the_start_and_nothing_starts_before() {
    let mut world = World::started(&Wish::default());
    let load = Load::on(world.public());
    world.upgrade_to("verify");
    world.put("fail.restore", "");
    world.says("rollback", &json!({}));
    world.go_on_to("restore");
    world.told("command_failed", "`retry`");
    let starts = world.ran("node start");
    world.refused("abort", &json!({}), "no_way_back");
    world.refused("rollback", &json!({}), "not_here");
    world.refused("continue", &json!({}), "command_failed");
    assert_eq!(world.ran("node start"), starts);
    world.remove("fail.restore");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    assert_eq!(load.end().2, 0);
    world.ends("rolled_back");
    assert!(world.read("database").contains("2.2.15"), "{}", world.read("database"));
    assert!(!world.read("database").contains("new_in_2_3_0"));
}

#[test]
fn a_backup_that_was_changed_is_not_restored_until_the_true_one_is_put_back() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    let (backup, aside) = (world.backup(), world.path("aside"));
    fs::copy(&backup, &aside).expect("copied");
    let mut file = fs::OpenOptions::new().append(true).open(&backup).expect("it is there");
    file.write_all(b" ").expect("written");
    // Seen before anything is stopped for it.
    world.refused("rollback", &json!({}), "no_way_back");
    let mut other = fs::read(&aside).expect("it is there");
    other[0] ^= 1;
    fs::write(&backup, other).expect("as long as it was");
    world.says("rollback", &json!({}));
    world.go_on_to("restore");
    world.told("backup_changed", "put it back");
    fs::remove_file(&backup).expect("it was there");
    world.says("retry", &json!({}));
    world.told("backup_changed", "put it there");
    world.refused("waive", &json!({"objection": "backup_changed", "why": "x"}), "backup_changed");
    assert_eq!(world.ran("data restore"), 0);
    fs::copy(&aside, &backup).expect("copied");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("rolled_back");
    assert_eq!(world.ran("data restore"), 1);
    assert!(world.read("database").contains("2.2.15"));
}

#[test]
fn where_the_backup_is_lost_another_one_is_restored_on_an_operators_word() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    let backup = world.backup();
    let true_one = fs::read(&backup).expect("it is there");
    let mut broken = true_one.clone();
    broken.fill(b'x');
    fs::write(&backup, broken).expect("as long as it was");
    world.says("rollback", &json!({}));
    world.go_on_to("restore");
    let other = json!({"objection": "backup_changed", "why": "the nightly one"});
    world.told("backup_changed", "`waive` this");
    // What is no backup is not restored on anybody's word.
    world.says("waive", &other);
    world.told("command_failed", "`retry` runs it again");
    let mut nightly = true_one;
    nightly.push(b'\n');
    fs::write(&backup, nightly).expect("written");
    world.says("retry", &json!({}));
    world.told("backup_changed", "`waive` this");
    assert_eq!(world.ran("data restore"), 0);
    world.says("waive", &other);
    world.go_on_to("done");
    world.ends("rolled_back");
    assert_eq!(world.ran("data restore"), 1);
    assert!(world.read("database").contains("2.2.15"));
}

#[test]
fn an_upgrade_cannot_be_given_up_once_the_version_is_touched() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("start-first");
    world.refused("abort", &json!({}), "no_way_back");
    let answer = world.say("abort", &json!({}));
    let remedy = found(&answer.body, "no_way_back")["remedy"].to_string();
    assert!(remedy.contains("`rollback`"), "{remedy}");
    world.says("rollback", &json!({}));
    world.go_on_to("done");
    world.ends("rolled_back");
}
