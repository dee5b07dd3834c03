//! Clusters that the gateway has few commands for, or other ones: by hand, by groups, with a worker
//! that no probe reaches.

use serde_json::json;

use crate::world::{Wish, World};

const ALL: &[&str] = &[
    "start",
    "stop",
    "status",
    "build",
    "logs",
    "backup",
    "verify_backup",
    "update",
    "restore",
    "revert",
    "verify",
    "notify",
];

fn nothing() -> Wish {
    Wish { without: ALL, ..Wish::default() }
}

/// It says what to do by hand.
fn asks(world: &mut World, phase: &str, does: &str) {
    world.until(phase);
    let procedure = world.procedure();
    let text = procedure["does"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains(does), "{phase}: {text}");
}

/// Stops both by hand, after it was asked for.
fn stop_both(world: &mut World) {
    asks(world, "stop", "by hand: stop every node");
    world.wait_until("it says by whose hand", |world| {
        world.procedure()["waiting_for"].to_string().contains("n2 is stopped, by your hand")
    });
    world.refused("continue", &json!({}), "not_yet");
    world.stop_node(1);
    world.stop_node(2);
}

fn up_to_verify(world: &mut World) {
    world.upgrade_to("stop");
    stop_both(world);
    world.says("continue", &json!({}));
    asks(world, "back-up", "by hand: back up to ");
    let backup = world.backup();
    let backup = backup.to_str().expect("UTF-8").to_owned();
    // Said too early: nothing is there.
    world.says("continue", &json!({}));
    world.told("backup_flawed", "`retry`");
    assert!(world.script("data", &["backup", &backup]));
    world.says("continue", &json!({}));
    asks(world, "update", "by hand: put version 2.3.0 in place");
    assert!(world.script("data", &["update", "2.3.0"]));
    world.says("continue", &json!({}));
    asks(world, "start-first", "by hand: start n1");
    world.start_node(1);
    world.says("continue", &json!({}));
    asks(world, "verify", "by hand: verify n1");
}

#[test]
fn an_upgrade_without_any_command_is_watched_step_by_step() {
    let mut world = World::started(&nothing());
    up_to_verify(&mut world);
    world.says("confirm", &json!({}));
    asks(&mut world, "start-others", "by hand: start the other nodes");
    assert_eq!(world.mode(), "maintenance");
    world.start_node(2);
    world.says("continue", &json!({}));
    world.ends("completed");
}

#[test]
fn a_rollback_without_any_command_is_watched_step_by_step() {
    let mut world = World::started(&nothing());
    up_to_verify(&mut world);
    world.says("rollback", &json!({}));
    asks(&mut world, "stop", "by hand: stop every node");
    world.stop_node(1);
    world.says("continue", &json!({}));
    asks(&mut world, "restore", "by hand: restore");
    let backup = world.backup();
    assert!(world.script("data", &["restore", backup.to_str().expect("UTF-8")]));
    world.says("continue", &json!({}));
    asks(&mut world, "revert", "by hand: put the old version (2.2.15) back");
    assert!(world.script("data", &["update", "2.2.15"]));
    world.says("continue", &json!({}));
    asks(&mut world, "start-first", "by hand: start n1");
    world.start_node(1);
    world.says("continue", &json!({}));
    world.says("confirm", &json!({}));
    world.until("start-others");
    world.start_node(2);
    world.says("continue", &json!({}));
    world.ends("rolled_back");
    assert!(!world.read("database").contains("new_in_2_3_0"));
}

#[test]
fn a_maintenance_without_any_command_is_watched_step_by_step() {
    let mut world = World::started(&nothing());
    world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("stop");
    asks(&mut world, "stop", "by hand: stop every other node");
    world.stop_node(2);
    world.says("continue", &json!({}));
    world.go_on_to("start-others");
    world.refused("continue", &json!({}), "not_yet");
    world.start_node(2);
    world.says("continue", &json!({}));
    world.ends("completed");
}

#[test]
fn a_first_start_without_any_command_is_watched_step_by_step() {
    let wish = Wish { running: false, initial_mode: "maintenance", ..nothing() };
    let mut world = World::started(&wish);
    world.begun(&json!({"kind": "first-start"}));
    world.go_on_to("start-first");
    asks(&mut world, "start-first", "by hand: start n1");
    world.start_node(1);
    world.says("continue", &json!({}));
    world.until("start-others");
    world.start_node(2);
    world.says("continue", &json!({}));
    world.ends("completed");
}

#[test]
fn commands_for_groups_stop_and_start_in_the_same_order() {
    let mut world = World::started(&Wish { groups: true, ..Wish::default() });
    world.upgrade_by_itself();
    world.ends("completed");
    let groups: Vec<String> =
        world.commands().into_iter().filter(|line| line.starts_with("group ")).collect();
    assert_eq!(groups.len(), 3, "{groups:#?}");
    assert!(groups[0].starts_with("group stop n1:") && groups[0].contains(" n2:"), "{groups:#?}");
    assert!(groups[1].starts_with("group start n1:") && !groups[1].contains("n2:"), "{groups:#?}");
    assert!(groups[2].starts_with("group start n2:"), "{groups:#?}");

    world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("done");
    world.ends("completed");
    assert_eq!(world.ran("group stop n2:"), 1);
    assert_eq!(world.ran("group start n2:"), 2);
}

#[test]
fn a_worker_without_an_address_is_proven_by_its_status_command() {
    let mut world = World::started(&Wish { worker: true, ..Wish::default() });
    world.upgrade_by_itself();
    world.ends("completed");
    assert_eq!(world.ran("node stop w1"), 1);
    let past = world.past();
    let proof = |what: &str| {
        past.iter().any(|one| one.what == what && one.detail.starts_with("w1: its status command"))
    };
    assert!(proof("node_down") && proof("node_started"), "{past:#?}");
}

#[test]
fn a_worker_that_nothing_tells_of_is_waived_with_a_reason() {
    let wish = Wish { worker: true, without: &["status"], ..Wish::default() };
    let mut world = World::started(&wish);
    world.upgrade_by_itself();
    world.told("not_down:w1", "`waive`");
    assert_eq!(world.ran("data backup"), 0);
    world.says("waive", &json!({"objection": "not_down:w1", "why": "docker ps says so"}));
    world.told("not_ready:w1", "`waive`");
    assert_eq!(world.procedure()["phase"], "start-others");
    world.says("waive", &json!({"objection": "not_ready:w1", "why": "it takes jobs"}));
    world.ends("completed");
}
