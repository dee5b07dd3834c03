//! The backup is lost after the update: the way back is closed, and the way on is open.

use std::fs;

use serde_json::json;

use crate::hands::found;
use crate::world::{Wish, World, offers};

/// An upgrade that is to be verified, whose backup was touched while the gateway was not looking.
fn without_its_backup(touch: impl FnOnce(&World)) -> World {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    world.until_offered("verify", "confirm");
    assert!(offers(&world.procedure(), "rollback"));
    touch(&world);
    world.restart_gateway();
    world.wait_until("it is taken up", |world| world.procedure()["hold"] == "restarted");
    world.says("continue", &json!({}));
    world.told("backup_changed", "`waive`");
    assert_eq!(world.procedure()["phase"], "verify");
    world.refused("rollback", &json!({}), "no_way_back");
    world.refused("confirm", &json!({}), "backup_changed");
    assert_eq!(world.ran("data restore"), 0);
    world
}

fn goes_on_without(mut world: World) {
    assert_eq!(world.say("waive", &json!({"objection": "backup_changed"})).status, 400);
    let waiver = json!({"objection": "backup_changed", "why": "a snapshot of the disk"});
    world.says("waive", &waiver);
    let answer = world.say("rollback", &json!({}));
    let what = found(&answer.body, "no_way_back")["detail"].to_string();
    assert!(answer.status == 409 && what.contains("no proven backup"), "{:#}", answer.body);
    world.says("confirm", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
    assert_eq!((world.ran("data restore"), world.ran("data backup")), (0, 1));
}

#[test]
fn a_backup_that_is_gone_after_a_restart_closes_the_way_back_and_can_be_given_up() {
    let world = without_its_backup(|world| {
        fs::rename(world.backup(), world.path("aside")).expect("moved away");
    });
    goes_on_without(world);
}

#[test]
fn another_file_of_the_same_length_is_no_backup_after_a_restart() {
    let world = without_its_backup(|world| {
        let mut other = fs::read(world.backup()).expect("it is there");
        other[0] ^= 1;
        fs::write(world.backup(), other).expect("written");
    });
    let answer = world.say("rollback", &json!({}));
    let what = found(&answer.body, "no_way_back")["detail"].to_string();
    assert!(what.contains("not the one that was measured"), "{:#}", answer.body);
    goes_on_without(world);
}

#[test]
fn a_lost_backup_that_is_put_back_opens_the_way_back_again() {
    let mut world = without_its_backup(|world| {
        fs::rename(world.backup(), world.path("aside")).expect("moved away");
    });
    fs::rename(world.path("aside"), world.backup()).expect("put back");
    world.says("retry", &json!({}));
    world.says("rollback", &json!({}));
    world.go_on_to("done");
    world.ends("rolled_back");
    assert_eq!(world.ran("data restore"), 1);
}
