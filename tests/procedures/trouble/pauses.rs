//! What raising by hand says and does while a procedure runs.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Wish, World};

const PAUSED: &str = "is paused; `drawspan continue` goes on";

fn warns(answer: &Value, procedure: &str) -> bool {
    let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().filter_map(Value::as_str).any(|text| text.contains(procedure))
}

/// `drawspan mode maintenance --why TEXT`; what it writes.
fn raise(world: &World) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawspan"));
    command.args(["mode", "maintenance", "--why", "the disk smokes", "--control"]);
    command.arg(world.path("control.sock"));
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn raising_says_that_it_pauses_the_procedure() {
    let mut world = World::started(&Wish::default());
    assert!(!raise(&world).contains("paused"), "no procedure runs");
    world.wait_until("what the nodes run is known", |world| {
        world.put_mode(&json!({"kind": "cluster"})).status == 200
    });

    // Raised already: nothing changes but the pause.
    let id = world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    world.go_on_to("back-up");
    world.until_offered("back-up", "continue");
    let answer = world.put_mode(&json!({"kind": "maintenance"}));
    assert_eq!((answer.status, &answer.body["changed"]), (200, &json!(false)));
    assert!(warns(&answer.body, &format!("upgrade {id} {PAUSED}")), "{:#}", answer.body);
    assert_eq!(world.procedure()["hold"], "paused");
    let said = raise(&world);
    assert!(said.contains("nothing to change"), "{said}");
    assert!(said.contains(&format!("the procedure upgrade {id} {PAUSED}")), "{said}");
    world.says("continue", &json!({}));
    world.until_offered("back-up", "abort");
    world.says("abort", &json!({}));
    world.go_on_to("done");
    world.ends("aborted");
    world.node_is("n1", "ready");
    world.node_is("n2", "ready");

    // From single: the mode changes too.
    let id = world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("work");
    let said = raise(&world);
    assert!(said.contains(&format!("the procedure maintenance {id} {PAUSED}")), "{said}");
    world.wait_until("it is paused", |world| world.procedure()["hold"] == "paused");
    let answer = world.put_mode(&json!({"kind": "maintenance"}));
    assert!(warns(&answer.body, &format!("maintenance {id} {PAUSED}")), "{:#}", answer.body);
    world.says("continue", &json!({}));
    world.go_on_to("done");
    assert_eq!(world.outcome(), "completed");
}

#[test]
fn a_pause_is_a_pause_still_after_the_gateway_was_killed() {
    let mut world = World::started(&Wish::default());
    world.put("late.backup", "");
    world.upgrade_by_itself();
    world.wait_for_job("backup", "running");
    raise(&world);
    world.remove("late.backup");
    world.wait_for_job("backup", "ended");
    assert_eq!(world.procedure()["hold"], "paused");
    let ran = world.commands();
    world.restart_gateway();
    world.wait_until("it is taken up", |world| world.happened("resumed") == 1);
    let procedure = world.procedure();
    assert_eq!(procedure["hold"], "paused", "{procedure:#}");
    assert_eq!(procedure["phase"], "back-up");
    assert!(procedure["waiting_for"].to_string().contains("`continue`"), "{procedure:#}");
    assert_eq!(world.commands(), ran);
    world.says("continue", &json!({}));
    world.ends("completed");
    assert_eq!(world.ran("data backup"), 1);
}
