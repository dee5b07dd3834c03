//! What somebody hears of who does not look.

use serde_json::json;

use crate::world::{Wish, World};

fn hears(world: &mut World, text: &str) {
    world.wait_until(&format!("somebody hears: {text}"), |world| {
        world.notices().lines().any(|line| line == text)
    });
}

fn times(world: &World, text: &str) -> usize {
    world.notices().lines().filter(|line| *line == text).count()
}

#[test]
fn who_must_verify_or_go_on_after_a_restart_hears_of_it_and_of_the_end() {
    let mut world = World::started(&Wish { without: &["verify"], ..Wish::default() });
    let id = world.upgrade_by_itself();
    let verify = format!("upgrade {id}: waits for somebody to verify n1");
    hears(&mut world, &verify);
    world.until_offered("verify", "confirm");
    world.restart_gateway();
    let restart = format!("upgrade {id}: the gateway restarted and waits for `continue`");
    hears(&mut world, &restart);
    world.says("continue", &json!({}));
    world.says("confirm", &json!({}));
    world.ends("completed");
    let end = format!("upgrade {id}: completed");
    hears(&mut world, &end);
    for text in [verify, restart, end] {
        assert_eq!(times(&world, &text), 1, "{text}\n{}", world.notices());
    }
}

#[test]
fn what_goes_by_itself_is_heard_of_at_its_end_alone() {
    let mut world = World::started(&Wish::default());
    let id = world.upgrade_by_itself();
    world.ends("completed");
    hears(&mut world, &format!("upgrade {id}: completed"));
    assert_eq!(world.notices().lines().count(), 1, "{}", world.notices());

    world.node_is("n2", "ready");
    let id = world.begun(&json!({"kind": "upgrade", "to": "2.4.0"}));
    world.go_on_to("stop");
    world.says("abort", &json!({}));
    world.go_on_to("done");
    world.ends("aborted");
    hears(&mut world, &format!("upgrade {id}: aborted"));
}

#[test]
fn overdue_phases_failed_commands_and_nodes_that_come_back_are_heard_of() {
    let limits = "[procedures.limits]\nback_up = \"1s\"\n";
    let mut world = World::started(&Wish { procedures: limits, ..Wish::default() });
    world.put("fail.backup", "");
    let id = world.upgrade_by_itself();
    hears(&mut world, &format!("upgrade {id}: in phase back-up, backup failed with exit code 1"));
    hears(&mut world, &format!("upgrade {id}: the phase back-up is overdue"));
    world.start_node(2);
    world.wait_until("somebody hears of n2", |world| {
        let came_back = format!("upgrade {id}: n2 came back before its turn (");
        world.notices().lines().any(|line| line.starts_with(&came_back))
    });
    world.remove("fail.backup");
    world.says("stop-again", &json!({}));
    world.ends("completed");
}
