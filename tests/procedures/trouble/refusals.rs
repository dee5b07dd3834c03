//! What is refused before anything is touched.

use std::fs;

use serde_json::{Value, json};

use crate::hands::found;
use crate::world::{Wish, World, objects};

fn plan(world: &World, query: &str) -> Value {
    let path = format!("/v1/plan?procedure=upgrade{query}");
    let answer = world.call("GET", &path, "", None).expect("the gateway answers");
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    answer.body
}

/// An upgrade does not begin for this objection, and its plan says the same; gives what it says.
fn does_not_begin(world: &World, to: Option<&str>, id: &str) -> String {
    let mut body = json!({"kind": "upgrade"});
    body["to"] = to.map_or(Value::Null, Value::from);
    let answer = world.begin(&body);
    assert_eq!(answer.status, 409, "{:#}", answer.body);
    assert!(objects(&answer.body, id), "{:#}", answer.body);
    assert!(world.procedure().is_null(), "nothing was begun");
    let query = to.map_or_else(String::new, |to| format!("&to={to}"));
    let (said, planned) = (found(&answer.body, id), found(&plan(world, &query), id));
    if id == "wrong_version" {
        assert_eq!(said, planned);
    }
    said["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_upgrade_without_a_version_is_refused_where_a_command_needs_one() {
    let world = World::started(&Wish::default());
    let what = does_not_begin(&world, None, "wrong_version");
    assert!(what.contains("update needs {version}"), "{what}");
    assert!(!objects(&plan(&world, "&to=2.3.0"), "wrong_version"));

    let world = World::started(&Wish { without: &["update"], ..Wish::default() });
    assert!(!objects(&plan(&world, ""), "wrong_version"));
    world.begun(&json!({"kind": "upgrade"}));
}

#[test]
fn an_upgrade_is_refused_where_its_backup_would_overwrite_another_one() {
    let world = World::started(&Wish::default());
    // Its number is the journal's next one, which nobody can know for sure.
    let next = world.status()["revision"].as_u64().expect("a number");
    let others: Vec<_> = (next..next + 20)
        .map(|id| (world.path("backups").join(id.to_string()), format!("the backup of {id}")))
        .collect();
    for (path, text) in &others {
        fs::write(path, text).expect("written");
    }
    let answer = world.begin(&json!({"kind": "upgrade", "to": "2.3.0", "auto": true}));
    assert_eq!(answer.status, 409, "{:#}", answer.body);
    let what = found(&answer.body, "backup_flawed")["detail"].to_string();
    let (named, _) = others
        .iter()
        .find(|(path, _)| what.contains(&format!("{} is there already", path.display())))
        .unwrap_or_else(|| panic!("{:#}", answer.body));
    assert!(world.procedure().is_null(), "nothing was begun");
    assert_eq!((world.mode().as_str(), world.ran("node stop")), ("cluster", 0));
    for (path, text) in &others {
        assert_eq!(&fs::read_to_string(path).expect("it is there"), text);
    }
    fs::rename(named, world.path("aside")).expect("moved away");
    let id = world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
    assert_eq!(*named, world.path("backups").join(id.to_string()));
}

#[test]
fn an_upgrade_is_refused_where_no_node_tells_the_version_to_go_back_to() {
    let dead = Wish { running: false, initial_mode: "maintenance", ..Wish::default() };
    let mut world = World::started(&dead);
    world.node_is("n1", "down");
    world.node_is("n2", "down");
    let what = does_not_begin(&world, Some("2.3.0"), "wrong_version");
    assert!(what.contains("which the command revert needs"), "{what}");
    world.start_node(1);
    world.wait_until("it begins", |world| {
        world.begin(&json!({"kind": "upgrade", "to": "2.3.0"})).status == 201
    });

    let mut world = World::started(&Wish { without: &["revert"], ..dead });
    world.node_is("n1", "down");
    world.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
}

#[test]
fn a_word_in_view_of_a_revision_that_is_not_there_yet_is_refused() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("back-up");
    world.until_offered("back-up", "continue");
    let mut seen = world.procedure();
    let revision = world.status()["revision"].as_u64().expect("a number");
    seen["revision"] = json!(revision + 1);
    let early = world.answer(&seen, "continue", &json!({}));
    assert_eq!((early.status, &early.body["code"]), (412, &json!("lost_race")), "{:#}", early.body);
    assert_eq!(early.body["given"]["revision"], json!(revision + 1), "{:#}", early.body);
    assert!(early.body["now"]["revision"].as_u64() <= Some(revision), "{:#}", early.body);
    assert_eq!(world.procedure()["phase"], "back-up");
    seen["revision"] = json!(revision);
    assert_eq!(world.answer(&seen, "continue", &json!({})).status, 200);
    world.go_on_to("done");
    world.ends("completed");
}
