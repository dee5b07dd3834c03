//! Two operators at once, late answers, and the same thing said twice.

use serde_json::json;

use crate::world::{Wish, World};

#[test]
fn a_second_begin_is_refused_and_told_how_to_go_on() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("stop");
    let answer = world.begin(&json!({"kind": "maintenance", "keep": "n1"}));
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("procedure_runs")));
    let remedy = answer.body["remedy"].to_string();
    assert!(remedy.contains("abort"), "{remedy}");
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn a_raised_bridge_is_not_opened_by_a_begin() {
    let world = World::started(&Wish::default());
    assert_eq!(world.put_mode(&json!({"kind": "maintenance"})).status, 200);
    let answer = world.begin(&json!({"kind": "maintenance", "keep": "n1"}));
    assert_eq!(answer.status, 409, "{:#}", answer.body);
    let told = answer.body["objections"].to_string();
    assert!(told.contains("would open it to n1") && told.contains("`mode single n1`"), "{told}");
    assert_eq!((world.mode().as_str(), world.procedure().is_null()), ("maintenance", true));
    let plan = world.call("GET", "/v1/plan?procedure=upgrade&to=2.3.0", "", None);
    let warnings = plan.expect("it answers").body["warnings"].to_string();
    assert!(warnings.contains("opens the cluster"), "{warnings}");
}

#[test]
fn a_late_confirm_of_another_operator_is_told_what_changed() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    world.until_offered("verify", "confirm");
    let seen = world.procedure();
    world.says("confirm", &json!({}));
    world.until("start-others");
    let late = world.answer(&seen, "confirm", &json!({}));
    assert_eq!((late.status, &late.body["code"]), (412, &json!("lost_race")), "{:#}", late.body);
    assert_eq!(late.body["given"]["phase"], "verify");
    assert_eq!(late.body["now"]["phase"], "start-others");
    assert!(late.body["now"]["revision"].as_u64() > seen["revision"].as_u64());
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn an_answer_to_an_older_revision_of_the_same_phase_is_refused() {
    let mut world = World::started(&Wish::default());
    world.put("fail.backup", "");
    world.upgrade_to("back-up");
    world.told("command_failed", "`retry`");
    let seen = world.procedure();
    world.says("retry", &json!({}));
    world.told("command_failed", "`retry`");
    let late = world.answer(&seen, "retry", &json!({}));
    assert_eq!((late.status, &late.body["now"]["phase"]), (412, &json!("back-up")));
    assert_eq!(world.ran("data backup"), 2);
    let without = world.call(
        "POST",
        &format!("/v1/procedures/{}/retry", seen["id"]),
        "",
        Some(&json!({"phase": "back-up"})),
    );
    assert_eq!(without.expect("it answers").status, 428);
    world.remove("fail.backup");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn the_same_key_twice_is_one_begin_and_one_choice() {
    let mut world = World::started(&Wish::default());
    let post = |world: &World, path: &str, headers: &str, body: &serde_json::Value| {
        world.call("POST", path, headers, Some(body)).expect("it answers")
    };
    let key = "Idempotency-Key: first\r\n";
    let upgrade = json!({"kind": "upgrade", "to": "2.3.0"});
    let first = post(&world, "/v1/procedures", key, &upgrade);
    let again = post(&world, "/v1/procedures", key, &upgrade);
    assert_eq!(first.status, 201, "{:#}", first.body);
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!((&first.body["replayed"], &again.body["replayed"]), (&json!(false), &json!(true)));
    let other = json!({"kind": "upgrade", "to": "2.4.0"});
    assert_eq!(post(&world, "/v1/procedures", key, &other).status, 422);

    world.put("fail.backup", "");
    world.go_on_to("back-up");
    world.told("command_failed", "`retry`");
    let (id, revision) = (first.body["id"].clone(), world.procedure()["revision"].clone());
    let path = format!("/v1/procedures/{id}/retry");
    let headers = format!("Idempotency-Key: second\r\nIf-Match: \"{revision}\"\r\n");
    let body = json!({"phase": "back-up"});
    let said = post(&world, &path, &headers, &body);
    assert_eq!(said.status, 200, "{:#}", said.body);
    world.told("command_failed", "`retry`");
    let again = post(&world, &path, &headers, &body);
    assert_eq!((again.status, &again.body["replayed"]), (200, &json!(true)), "{:#}", again.body);
    assert_eq!(world.ran("data backup"), 2);
    world.remove("fail.backup");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn other_nodes_in_the_configuration_stop_a_procedure_until_those_of_before_are_back() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    let (was, other) = (world.ports[1].to_string(), "1".to_owned());
    world.reconfigure(|text| text.replace(&format!(":{was}\""), &format!(":{other}\"")));
    world.restart_gateway();
    world.told("nodes_changed", "put the nodes of before back");
    world.wait_until("it is held", |world| world.procedure()["hold"] == "restarted");
    world.says("continue", &json!({}));
    world.refused("confirm", &json!({}), "nodes_changed");
    let ran = world.commands().len();
    world.reconfigure(|text| text.replace(&format!(":{other}\""), &format!(":{was}\"")));
    world.restart_gateway();
    assert_eq!(world.commands().len(), ran);
    world.says("continue", &json!({}));
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}
