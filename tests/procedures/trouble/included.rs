//! Taking a node back after the procedure that it was left out of.

use serde_json::json;

use crate::hands::found;
use crate::world::{Answer, Wish, World};

const SHORT: &str = "[procedures.limits]\nstart_others = \"2s\"\n";

/// An upgrade that is over and left n2 out, which was restarted since.
fn left_out(prepare: impl FnOnce(&World)) -> World {
    let mut world = World::started(&Wish { procedures: SHORT, ..Wish::default() });
    world.upgrade_to_the_others_without("n2");
    world.says("exclude", &json!({"node": "n2", "why": "its disk is broken"}));
    world.stop_node(2);
    world.node_is("n2", "down");
    world.remove("n2.trouble");
    prepare(&world);
    world.start_node(2);
    world.node_is("n2", "ready");
    let asked = |world: &World| {
        let all = world.read("commands");
        all.lines().filter(|line| line.starts_with("node build n2")).count()
    };
    let until = asked(&world) + 2;
    world.wait_until("what it runs is known", |world| until <= asked(world));
    world.go_on_to("done");
    world.ends("completed");
    assert_eq!(world.status()["excluded"][0]["node"], "n2");
    world
}

fn include(world: &World) -> Answer {
    world.call("POST", "/v1/nodes/n2/include", "", Some(&json!({}))).expect("it answers")
}

#[test]
fn a_node_of_another_image_is_not_taken_back_though_its_page_is_the_same() {
    let world = left_out(|world| world.put("n2.image", "sha256:another\n"));
    let refused = include(&world);
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    let what = found(&refused.body, "mixed_builds:n2")["detail"].to_string();
    assert!(what.contains("n2 runs image sha256:another, n1 runs 2.3.0"), "{:#}", refused.body);
    assert_eq!(world.status()["excluded"][0]["node"], "n2");
}

#[test]
fn a_node_of_the_same_image_is_taken_back_at_once() {
    let world = left_out(|_| {});
    let taken = include(&world);
    assert_eq!(taken.status, 200, "{:#}", taken.body);
    assert_eq!(world.status()["excluded"].as_array().map_or(0, Vec::len), 0);
}
