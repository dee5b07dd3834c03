//! The first node, or the kept one, is not what it should be.

use serde_json::json;

use crate::hands::found;
use crate::world::{Load, Wish, World};

const SHORT: &str = "[procedures.limits]\nstart_first = \"3s\"\n";

fn short() -> Wish {
    Wish { procedures: SHORT, ..Wish::default() }
}

/// An upgrade whose first node meets this trouble when it starts.
fn troubled(wish: &Wish, trouble: &str) -> World {
    let mut world = World::started(wish);
    world.upgrade_to("update");
    world.until_offered("update", "continue");
    world.put("n1.trouble", trouble);
    world.said("continue", &json!({}));
    world.until("start-first");
    world
}

#[test]
fn a_first_node_that_does_not_come_up_is_overdue_shows_its_log_and_can_be_rolled_back() {
    let mut world = troubled(&short(), "never-ready");
    assert_eq!(world.metric("drawspan_procedure_overdue"), Some(0));
    world.told("not_ready:n1", "log");
    let procedure = world.procedure();
    assert_eq!(procedure["overdue"], true, "{procedure:#}");
    world.refused("waive", &json!({"objection": "not_ready:n1", "why": "x"}), "not_ready:n1");
    assert_eq!(world.metric("drawspan_procedure_overdue"), Some(1));
    world.wait_until("somebody is told", |world| world.notices().contains("is overdue"));
    assert_eq!(world.happened("overdue"), 1);
    world.wait_until("its log is shown", |world| {
        let logs = world.procedure()["logs"].clone();
        logs.to_string().contains("listening on")
    });
    world.remove("n1.trouble");
    world.says("rollback", &json!({}));
    world.go_on_to("done");
    world.ends("rolled_back");
    assert!(world.read("database").contains("2.2.15"));
    world.wait_until("no alarm", |world| world.metric("drawspan_procedure_overdue") == Some(0));
}

#[test]
fn a_first_node_that_crashes_is_started_again_by_retry() {
    let mut world = troubled(&short(), "crash");
    world.told("not_ready:n1", "`retry`");
    world.remove("n1.trouble");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn a_first_node_in_a_crash_loop_never_counts_as_started() {
    let mut world = troubled(&short(), "crash-loop");
    world.told("not_ready:n1", "log");
    assert_eq!(world.happened("node_started"), 0);
    world.refused("continue", &json!({}), "not_ready:n1");
    world.remove("n1.trouble");
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn another_node_starts_first_where_the_first_one_dies() {
    let mut world = troubled(&short(), "crash");
    let load = Load::on(world.public());
    world.told("not_ready:n1", "`change-first`");
    world.refused("change-first", &json!({"node": "n1"}), "not_here");
    world.says("change-first", &json!({"node": "n2"}));
    world.go_on_to("verify");
    assert_eq!(world.procedure()["first"], "n2");
    world.remove("n1.trouble");
    world.go_on_to("done");
    assert_eq!(load.end().2, 0);
    world.ends("completed");
}

#[test]
fn another_node_is_kept_where_the_kept_one_dies() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("work");
    world.until_offered("work", "continue");
    world.stop_node(1);
    world.told("not_ready:n1", "`change-keep`");
    world.refused("continue", &json!({}), "not_ready:n1");
    world.says("change-keep", &json!({"node": "n2"}));
    world.go_on_to("work");
    assert_eq!(world.mode(), "single n2");
    world.until_offered("work", "continue");
    assert_eq!(world.get("/api/app:getLang"), Some(200));
    world.go_on_to("done");
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
    world.node_is("n1", "ready");
}

#[test]
fn an_upgrade_that_changed_nothing_is_found_out() {
    let mut world = World::started(&Wish::default());
    world.put("n1.version", "2.2.15");
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    world.go_on_to("start-first");
    world.told("nothing_changed", "`retry`");
    world.told("wrong_version", "`rollback`");
    world.refused("waive", &json!({"objection": "wrong_version", "why": "x"}), "wrong_version");
    world.remove("n1.version");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
    assert!(world.read("database").contains("2.3.0"));
}

#[test]
fn a_database_that_is_down_is_named_and_nothing_is_confirmed_over_it() {
    let mut world = World::started(&Wish::default());
    let load = Load::on(world.public());
    world.upgrade_to("verify");
    world.until_offered("verify", "confirm");
    world.put("n1.trouble", "database-down");
    world.told("not_ready:n1", "log");
    let what = found(&world.procedure(), "not_ready:n1")["detail"].to_string();
    assert!(what.contains("database"), "{what}");
    world.refused("confirm", &json!({}), "not_ready:n1");
    world.remove("n1.trouble");
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    assert_eq!(load.end().2, 0);
    world.ends("completed");
}
