//! Nodes that do not stop, or do not stay down.

use serde_json::json;

use crate::world::{Load, Wish, World, objects};

#[test]
fn a_stop_command_that_hangs_is_ended_at_its_limit_and_run_again_by_retry() {
    let mut world = World::started(&Wish { limit: "2s", ..Wish::default() });
    world.put("n2.trouble", "stubborn");
    world.upgrade_by_itself();
    world.told("not_down:n2", "`retry`");
    world.told("command_failed", "`retry`");
    let procedure = world.procedure();
    assert_eq!(procedure["phase"], "stop");
    assert!(procedure["jobs"].to_string().contains("longer than its time limit"), "{procedure:#}");
    assert_eq!(world.ran("data backup"), 0);
    world.refused("waive", &json!({"objection": "not_down:n2", "why": "x"}), "not_down:n2");
    world.remove("n2.trouble");
    world.says("retry", &json!({}));
    world.ends("completed");
}

/// Another hand, or a reboot, starts a node again.
fn comes_back(world: &mut World, k: usize) {
    world.start_node(k);
    let id = format!("came_back:n{k}");
    world.told(&id, "`stop-again`");
    assert_eq!(world.mode(), "maintenance");
    world.wait_until("somebody is told", |world| {
        world.notices().contains(&format!("n{k} came back"))
    });
}

#[test]
fn a_node_that_comes_back_during_the_backup_voids_it() {
    let mut world = World::started(&Wish::default());
    let load = Load::on(world.public());
    world.put("slow.backup", "2");
    world.upgrade_by_itself();
    world.wait_for_job("backup", "running");
    comes_back(&mut world, 2);
    world.remove("slow.backup");
    // It still writes: begun anew only when it has ended.
    world.says("stop-again", &json!({}));
    assert_eq!(world.outcome(), "completed");
    assert_eq!(load.end().2, 0);
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 2);
    assert_eq!(world.ran("data update"), 1);
}

#[test]
fn a_node_that_comes_back_after_the_backup_voids_it() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("back-up");
    world.until_offered("back-up", "continue");
    comes_back(&mut world, 2);
    world.refused("continue", &json!({}), "came_back:n2");
    assert!(objects(&world.procedure(), "no_backup"), "{:#}", world.procedure());
    world.says("stop-again", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 2);
}

#[test]
fn a_node_that_comes_back_during_the_update_is_stopped_again_and_the_backup_stays() {
    let mut world = World::started(&Wish::default());
    world.put("slow.update", "3");
    world.upgrade_by_itself();
    world.wait_for_job("update", "running");
    comes_back(&mut world, 2);
    world.says("stop-again", &json!({}));
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 1);
    assert_eq!(world.ran("data update"), 1);
}

#[test]
fn a_node_that_comes_back_while_the_first_is_verified_is_stopped_again() {
    let mut world = World::started(&Wish::default());
    let load = Load::on(world.public());
    world.upgrade_to("verify");
    world.until_offered("verify", "confirm");
    comes_back(&mut world, 2);
    world.refused("confirm", &json!({}), "came_back:n2");
    world.says("stop-again", &json!({}));
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    assert_eq!(load.end().2, 0);
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 1);
}

#[test]
fn a_node_that_only_times_out_is_not_down_until_somebody_says_so_and_is_watched_then() {
    let mut world = World::started(&Wish { without: &["stop", "status"], ..Wish::default() });
    world.upgrade_to("stop");
    world.stop_node(1);
    world.put("n2.trouble", "hang");
    world.told("not_down:n2", "`waive`");
    world.refused("continue", &json!({}), "not_down:n2");
    let why = "its host is off";
    world.says("waive", &json!({"objection": "not_down:n2", "why": why}));
    world.says("continue", &json!({}));
    world.until_offered("back-up", "continue");
    // It was not off at all.
    world.remove("n2.trouble");
    world.told("came_back:n2", "`stop-again`");
    world.says("stop-again", &json!({}));
    world.stop_node(2);
    world.go_on_to("done");
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 2);
}
