//! The fragments name what is there and ask for what they get; the scripts keep the house's rules.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use drawspan::config::{self, Environment, Flags};

use super::scene::{Driver, INSTALLED, driver, fragment, recipes, which};

const FOR_NODES: [&str; 5] = ["plain", "systemd", "compose", "ssh", "kubernetes"];
const FOR_DATABASES: [&str; 2] = ["postgres", "mysql"];

/// The placeholders that each command gets.
fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "start" | "stop" => &["{node}", "{address}", "{version}"],
        "status" | "build" | "logs" => &["{node}", "{address}"],
        "stop_all" | "start_first" | "stop_others" | "start_others" => &["{node}", "{address}"],
        "backup" | "verify_backup" | "restore" | "update" | "revert" => &["{backup}", "{version}"],
        "verify" => &["{node}", "{address}", "{version}"],
        "notify" => &["{message}", "{phase}", "{procedure}"],
        other => panic!("there is no command {other}"),
    }
}

fn commands(recipe: &str) -> Vec<(String, Driver)> {
    let fragment = fragment(recipe);
    let names = fragment["drivers"].as_table().expect("[drivers]").keys();
    names.map(|name| (name.clone(), driver(&fragment, name))).collect()
}

/// All scripts: the files without an ending that may be executed.
fn scripts() -> Vec<PathBuf> {
    let folders = fs::read_dir(recipes()).expect("the recipes");
    let inside = |folder: PathBuf| fs::read_dir(folder).expect("a recipe");
    let folders = folders.map(|entry| entry.expect("an entry").path());
    let files = folders.flat_map(inside).map(|entry| entry.expect("an entry").path());
    let executable =
        |path: &PathBuf| path.metadata().expect("its mode").permissions().mode() & 0o111 != 0;
    let mut found: Vec<_> = files.filter(executable).collect();
    found.sort();
    found
}

#[test]
fn every_command_of_a_fragment_is_there_and_asks_only_for_what_it_gets() {
    for recipe in FOR_NODES.into_iter().chain(FOR_DATABASES) {
        for (name, driver) in commands(recipe) {
            let at = format!("{recipe}: {name}: {:?}", driver.argv);
            let program = &driver.argv[0];
            if let Some(inside) = program.strip_prefix(INSTALLED) {
                assert!(scripts().contains(&recipes().join(inside)), "{at}");
            } else {
                assert!(!program.contains('/'), "a path that others need not have: {at}");
            }
            for word in &driver.argv {
                let mut rest = word.as_str();
                while let Some(begin) = rest.find('{') {
                    let end = rest.find('}').expect("a placeholder ends");
                    let placeholder = &rest[begin..=end];
                    assert!(allowed(&name).contains(&placeholder), "{placeholder}: {at}");
                    rest = &rest[end + 1..];
                }
            }
            // What would do the same thing for each node is a mistake.
            if matches!(name.as_str(), "start" | "stop" | "status" | "build" | "logs") {
                assert!(driver.argv.iter().any(|word| word.contains("{node}")), "{at}");
            }
        }
    }
}

#[test]
fn a_fragment_for_nodes_and_one_for_a_database_make_one_configuration() {
    for nodes in FOR_NODES {
        for database in FOR_DATABASES {
            let text = [nodes, database].map(|recipe| {
                fs::read_to_string(recipes().join(recipe).join("drawspan.toml")).expect("it")
            });
            let table: toml::Table = text.concat().parse().expect("TOML");
            for name in ["backup", "verify_backup", "restore", "status"] {
                assert!(table["drivers"].get(name).is_some(), "{nodes} {database}: {name}");
            }
            let artefacts = table["procedures"]["artefacts"].as_array().expect("a list");
            assert_eq!(artefacts.len(), 2, "the database and the storage");
            the_gateway_takes(&text.concat(), &format!("{nodes} and {database}"));
        }
    }
}

/// Below what every configuration has.
fn the_gateway_takes(fragments: &str, which: &str) {
    let head = "listen = [\"127.0.0.1:8080\"]\n";
    let nodes: String = (1..=2)
        .map(|k| format!("\n[[nodes]]\nid = \"app-{k}\"\naddress = \"http://10.0.0.{k}:13000\"\n"))
        .collect();
    let text = format!("{head}{fragments}{nodes}");
    let loaded = config::parse(&text, &Flags::default(), &Environment::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{which}: {:?}", problems.within(which)));
    assert!(config.config.drivers.backup.is_some(), "{which}");
}

#[test]
fn every_script_is_plain_sh_that_stops_at_an_error_and_evaluates_no_text() {
    let scripts = scripts();
    assert!(9 <= scripts.len(), "{scripts:?}");
    for path in scripts {
        let text = fs::read_to_string(&path).expect("a script");
        let at = path.display();
        assert!(text.starts_with("#!/bin/sh\n# "), "{at}: says what it is for");
        assert!(text.contains("\nset -eu"), "{at}");
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert!(!code.clone().any(|line| line.contains("eval ")), "{at}");
        // Without a terminal a question would wait for ever; /tmp is not shared with what survives.
        assert!(!code.clone().any(|line| line.contains("/tmp")), "{at}");
        let read = Command::new("sh").arg("-n").arg(&path).status().expect("sh");
        assert!(read.success(), "{at}");
        shellcheck(&path);
    }
}

fn shellcheck(path: &Path) {
    if let Some(program) = which("shellcheck") {
        let checked = Command::new(program).args(["-s", "sh"]).arg(path).output().expect("runs");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
    }
}

#[test]
fn the_unit_lets_a_running_command_outlive_the_gateway() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/drawspan.service");
    let unit = fs::read_to_string(path).expect("the unit");
    // With control-group or mixed, a restart of the gateway would kill pg_dump half-way.
    assert!(unit.contains("\nKillMode=process\n"));
    // With stop, a pg_dump that the kernel kills would take the gateway along.
    assert!(unit.contains("\nOOMPolicy=continue\n"));
}
