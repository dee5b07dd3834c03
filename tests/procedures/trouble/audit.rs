//! Every word to the gateway, taken or refused, is in its log.

use serde_json::json;

use crate::world::{Wish, World};

/// Waits for the line of an attempt.
fn audited(world: &mut World, parts: &[&str]) {
    world.wait_until(&format!("the audit has {parts:?}"), |world| {
        let log = world.gateway.as_ref().map(|gateway| gateway.stderr()).unwrap_or_default();
        let mut lines = log.lines().filter(|line| line.contains("change attempted"));
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    });
}

#[test]
fn begins_and_choices_are_in_the_audit_with_what_became_of_them() {
    let mut world = World::started(&Wish::default());
    assert_eq!(world.begin(&json!({"kind": "upgrade"})).status, 409);
    audited(&mut world, &["what=begin upgrade", "outcome=\"refused\""]);
    let id = world.begun(&json!({"kind": "upgrade", "to": "2.3.0", "why": "ticket 4711"}));
    audited(
        &mut world,
        &["what=begin upgrade to 2.3.0", "why=\"ticket 4711\"", "uid=", "outcome=\"done\""],
    );
    world.until_offered("raise", "continue");
    world.refused("rollback", &json!({"why": "second thoughts"}), "not_here");
    let rollback = format!("what=rollback to procedure {id} in phase raise");
    audited(&mut world, &[&rollback, "why=\"second thoughts\"", "outcome=\"refused\""]);
    world.said("continue", &json!({"why": "all is quiet"}));
    let on = format!("what=continue to procedure {id} in phase raise");
    audited(&mut world, &[&on, "why=\"all is quiet\"", "outcome=\"done\""]);
    world.until_offered("stop", "abort");
    world.says("abort", &json!({}));
    world.go_on_to("done");
    world.ends("aborted");
}
