//! Each procedure, and each way back, from begin to done.

use serde_json::json;

use crate::world::{Load, Wish, World, objects};

#[test]
fn an_upgrade_goes_by_itself_from_begin_to_done_and_no_request_reaches_a_closed_node() {
    let mut world = World::started(&Wish::default());
    // Nobody makes it before the first backup.
    std::fs::remove_dir(world.path("backups")).expect("it is empty");
    let load = Load::on(world.public());
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0", "auto": true}));
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
    world.node_is("n2", "ready");
    let (served, notices, failed) = load.end();
    assert!(0 < served && 0 < notices, "{served} {notices}");
    assert_eq!(failed, 0);
    let expected = [
        "node stop n1",
        "node stop n2",
        "data backup",
        "data verify",
        "data update 2.3.0",
        "node start n1",
        "data verify",
        "node start n2",
    ];
    let ran = world.commands();
    // The first two are the test's own.
    assert_eq!(ran.len(), 2 + expected.len(), "{ran:#?}");
    for (ran, expected) in ran[2..].iter().zip(expected) {
        assert!(ran.starts_with(expected), "{ran} is not {expected}");
    }
    assert!(world.read("database").contains("2.3.0"));
}

#[test]
fn an_upgrade_step_by_step_asks_at_every_gate() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    for phase in ["raise", "stop", "back-up", "update", "start-first"] {
        world.until_offered(phase, "continue");
        world.said("continue", &json!({}));
    }
    world.until_offered("verify", "confirm");
    assert_eq!(world.mode(), "maintenance");
    assert_eq!(world.say("continue", &json!({})).status, 409);
    world.said("confirm", &json!({}));
    world.until_offered("start-others", "continue");
    world.said("continue", &json!({}));
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
}

#[test]
fn a_rollback_restores_the_data_and_the_version_of_before() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    world.go_on_to("verify");
    assert!(world.read("database").contains("new_in_2_3_0"));
    world.until_offered("verify", "rollback");
    world.said("rollback", &json!({}));
    world.go_on_to("done");
    assert_eq!(world.outcome(), "rolled_back");
    assert_eq!(world.mode(), "cluster");
    assert!(!world.read("database").contains("new_in_2_3_0"), "{}", world.read("database"));
    assert!(world.read("database").contains("2.2.15"));
}

#[test]
fn an_upgrade_can_be_given_up_before_the_update() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    world.go_on_to("back-up");
    world.until_offered("back-up", "abort");
    world.said("abort", &json!({}));
    world.go_on_to("done");
    assert_eq!(world.outcome(), "aborted");
    assert_eq!(world.mode(), "cluster");
    assert!(!world.commands().iter().any(|line| line.starts_with("data update")));
}

#[test]
fn in_app_maintenance_keeps_one_node_and_restarts_the_others() {
    let mut world = World::started(&Wish::default());
    world.begun(&json!({"kind": "maintenance", "keep": "n1"}));
    world.go_on_to("work");
    assert_eq!(world.mode(), "single n1");
    let public = world.public();
    let enable = "POST /api/pm:enable?filterByTk=embed HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                  Connection: close\r\n\r\n";
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let answer = runtime.block_on(crate::common::http(public, enable)).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.go_on_to("done");
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
    let ran = world.commands();
    let own: Vec<_> = ran[2..].iter().map(String::as_str).collect();
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(own[0].starts_with("node stop n2") && own[2].starts_with("node start n2"), "{own:?}");
}

#[test]
fn a_first_start_starts_one_node_before_the_others() {
    let wish = Wish { running: false, initial_mode: "maintenance", ..Wish::default() };
    let mut world = World::started(&wish);
    world.begun(&json!({"kind": "first-start", "auto": true}));
    assert_eq!(world.outcome(), "completed");
    assert_eq!(world.mode(), "cluster");
    let ran = world.commands();
    assert!(ran[0].starts_with("node start n1"), "{ran:?}");
    assert!(ran.last().is_some_and(|last| last.starts_with("node start n2")), "{ran:?}");
    assert!(!objects(&world.procedure(), "not_ready:n2"));
}
