//! Commands for the mode while a procedure runs.

use serde_json::json;

use crate::world::{Load, Wish, World};

#[test]
fn other_modes_are_refused_while_a_procedure_runs_and_raising_pauses_it() {
    let mut world = World::started(&Wish::default());
    let load = Load::on(world.public());
    world.upgrade_to("back-up");
    world.until_offered("back-up", "continue");
    for mode in [json!({"kind": "cluster"}), json!({"kind": "single", "node": "n1"})] {
        let answer = world.put_mode(&mode);
        assert_eq!((answer.status, &answer.body["code"]), (409, &json!("procedure_runs")));
        let remedy = answer.body["remedy"].to_string();
        assert!(remedy.contains("abort") && remedy.contains("rollback"), "{remedy}");
    }
    assert_eq!(world.put_mode(&json!({"kind": "maintenance"})).status, 200);
    world.wait_until("it is paused", |world| world.procedure()["hold"] == "paused");
    let procedure = world.procedure();
    assert_eq!(procedure["phase"], "back-up");
    assert!(procedure["waiting_for"].to_string().contains("`continue`"), "{procedure:#}");
    world.says("continue", &json!({}));
    assert_eq!(world.procedure()["phase"], "back-up", "it resumes, and goes on by another word");
    world.go_on_to("done");
    assert_eq!(load.end().2, 0);
    world.ends("completed");
}

#[test]
fn raising_pauses_a_procedure_that_goes_by_itself_and_nothing_begins_before_continue() {
    let mut world = World::started(&Wish::default());
    world.put("slow.backup", "2");
    world.upgrade_by_itself();
    world.wait_for_job("backup", "running");
    assert_eq!(world.put_mode(&json!({"kind": "maintenance"})).status, 200);
    // What runs goes on to its end.
    world.wait_for_job("backup", "ended");
    assert_eq!(world.procedure()["hold"], "paused");
    assert_eq!(world.ran("data verify") + world.ran("data update"), 0);
    world.says("continue", &json!({}));
    world.ends("completed");
    let past = world.past();
    let paused = past.iter().position(|one| one.what == "paused").expect("on record");
    let continued = past.iter().position(|one| one.detail.starts_with("continue")).expect("so");
    let between = &past[paused..continued];
    assert!(!between.iter().any(|one| one.what == "command_began"), "{between:#?}");
}

#[test]
fn raising_closes_the_kept_node_of_a_maintenance_until_continue() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("work");
    assert_eq!(world.mode(), "single n1");
    assert_eq!(world.put_mode(&json!({"kind": "maintenance"})).status, 200);
    assert_eq!(world.mode(), "maintenance");
    assert_eq!(world.get("/api/app:getLang"), Some(503));
    world.wait_until("it is paused", |world| world.procedure()["hold"] == "paused");
    world.says("continue", &json!({}));
    world.until_offered("work", "continue");
    assert_eq!(world.mode(), "single n1");
    world.go_on_to("done");
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
}
