//! One of the other nodes does not come up, or not on the same build.

use serde_json::json;

use crate::hands::found;
use crate::world::{Wish, World};

const SHORT: &str = "[procedures.limits]\nstart_others = \"2s\"\n";

fn is_not_met(world: &mut World, before: usize) {
    world.node_is("n2", "ready");
    world.node_is("n1", "ready");
    for _ in 0..20 {
        assert_eq!(world.get("/api/app:getLang"), Some(200));
    }
    assert_eq!(world.requests("n2"), before);
}

#[test]
fn a_node_that_never_comes_up_is_left_out_until_it_is_restarted_and_included() {
    let mut world = World::started(&Wish { procedures: SHORT, ..Wish::default() });
    world.upgrade_to_the_others_without("n2");
    assert_eq!(world.procedure()["phase"], "start-others");
    assert_eq!(world.say("exclude", &json!({"node": "n2"})).status, 400, "it needs a reason");
    world.refused("exclude", &json!({"node": "n1", "why": "x"}), "last_node");
    world.says("exclude", &json!({"node": "n2", "why": "its disk is broken"}));
    world.go_on_to("done");
    world.ends("completed");
    let excluded = world.status()["excluded"].clone();
    assert_eq!(excluded[0]["node"], "n2");
    assert_eq!(excluded[0]["why"], "its disk is broken");

    // It answers, and is left out all the same; over a restart of the gateway, too.
    world.remove("n2.trouble");
    let before = world.requests("n2");
    is_not_met(&mut world, before);
    world.restart_gateway();
    is_not_met(&mut world, before);
    let include = |world: &World| {
        world.call("POST", "/v1/nodes/n2/include", "", Some(&json!({}))).expect("it answers")
    };
    let refused = include(&world);
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    let objections = refused.body["objections"].to_string();
    assert!(objections.contains("not_restarted") && objections.contains("stop it"), "{objections}");

    world.stop_node(2);
    world.node_is("n2", "down");
    world.start_node(2);
    world.node_is("n2", "ready");
    world.wait_until("it may be included", |world| include(world).status == 200);
    assert_eq!(world.status()["excluded"].as_array().map_or(0, Vec::len), 0);
    world.wait_until("it is routed to", |world| {
        world.get("/api/app:getLang");
        before < world.requests("n2")
    });
}

/// The operator mends n2 and restarts it.
fn mended(mut world: World) {
    world.refused("waive", &json!({"objection": "mixed_builds", "why": "x"}), "mixed_builds");
    world.refused("continue", &json!({}), "mixed_builds");
    let answer = world.put_mode(&json!({"kind": "cluster"}));
    assert_eq!(answer.status, 409);
    world.remove("n2.options");
    world.stop_node(2);
    world.node_is("n2", "down");
    world.start_node(2);
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn mixed_builds_are_never_lowered_over() {
    let wish = Wish { without: &["build"], ..Wish::default() };
    let mut world = World::started(&wish);
    world.put("n2.options", "--build 0badbeef");
    world.upgrade_by_itself();
    world.told("mixed_builds", "`exclude`");
    let what = found(&world.procedure(), "mixed_builds")["detail"].to_string();
    assert!(what.contains("n1 ") && what.contains("n2 "), "{what}");
    mended(world);
}

#[test]
fn outside_a_procedure_the_build_command_outranks_the_page_too() {
    let mut world = World::new(&Wish { running: false, ..Wish::default() });
    for k in 1..=2 {
        // A page that both have, whatever they run.
        world.put(&format!("n{k}.options"), "--build 0badbeef");
        world.start_node(k);
    }
    world.start_gateway(&[]);
    world.node_is("n1", "ready");
    world.node_is("n2", "ready");
    assert_eq!(world.put_mode(&json!({"kind": "maintenance"})).status, 200);
    world.stop_node(2);
    world.node_is("n2", "down");
    world.put("n2.version", "2.3.0");
    world.start_node(2);
    world.node_is("n2", "ready");
    world.wait_until("it is refused by what the command says", |world| {
        let answer = world.put_mode(&json!({"kind": "cluster"}));
        let named = answer.body.to_string();
        // Not known yet: raised again.
        world.put_mode(&json!({"kind": "maintenance"}));
        let refused = answer.status == 409 && named.contains("mixed_builds");
        refused && named.contains("n1 2.2.15") && named.contains("n2 2.3.0")
    });
}

#[test]
fn what_the_build_command_says_is_waited_for_and_not_guessed_from_the_page() {
    let mut world = World::new(&Wish { running: false, ..Wish::default() });
    for k in 1..=2 {
        world.put(&format!("n{k}.options"), "--build 0badbeef");
        world.put(&format!("n{k}.image"), "A");
        world.start_node(k);
    }
    world.start_gateway(&[]);
    world.node_is("n1", "ready");
    world.node_is("n2", "ready");
    world.wait_until("what it runs before is known", |world| {
        let plan = world.call("GET", "/v1/plan?procedure=upgrade&to=2.3.0", "", None);
        plan.is_some_and(|plan| plan.body["before"]["image"] == "A")
    });
    world.upgrade_to("update");
    world.put("n1.image", "B");
    world.until_offered("update", "continue");
    world.says("continue", &json!({}));
    // The page is the same: by the page nothing changed, and by the command it did.
    world.go_on_to("start-others");
    world.told("mixed_builds", "restart them");
    let what = found(&world.procedure(), "mixed_builds")["detail"].to_string();
    assert!(what.contains("n1 B, n2 A"), "{what}");
    world.put("n2.image", "B");
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[test]
fn the_build_command_outranks_the_page_where_builds_are_compared() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    world.put("n2.version", "2.4.0");
    world.until_offered("verify", "confirm");
    world.says("confirm", &json!({}));
    world.told("mixed_builds", "restart them");
    world.wait_until("the builds are named as the command does", |world| {
        let what = found(&world.procedure(), "mixed_builds")["detail"].to_string();
        what.contains("n1 2.3.0") && what.contains("n2 2.4.0")
    });
    world.says("exclude", &json!({"node": "n2", "why": "the wrong package"}));
    world.go_on_to("done");
    world.ends("completed");
}
