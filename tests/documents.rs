//! The README says what the program does: its verbs, its exit codes, its settings.

use std::fs;

use clap::CommandFactory;
use drawspan::cli::{Cli, Exit};
use drawspan::config::{self, Environment, Flags};

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    fs::read_to_string(path).expect("the README")
}

#[test]
fn the_readme_shows_every_verb() {
    let readme = readme();
    for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        let shown = [format!("drawspan {name}"), format!("-- {name}")];
        assert!(shown.iter().any(|words| readme.contains(words)), "{name}");
    }
}

#[test]
fn the_readme_has_the_table_of_exit_codes() {
    let readme = readme();
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn the_configuration_that_the_readme_begins_with_is_right() {
    let readme = readme();
    let lines = readme.lines().skip_while(|line| !line.starts_with("    listen = ["));
    let lines = lines.take_while(|line| *line != "    END");
    let text: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
    let loaded = config::parse(&text, &Flags::default(), &Environment::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{:?}", problems.within("README"))).config;
    assert_eq!(config.nodes.len(), 2, "{text}");
    assert_eq!(config.admin.map(|admin| admin.port()), Some(9090));
}

#[test]
fn the_unit_of_systemd_is_installed_where_the_readme_and_it_itself_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/drawspan.service");
    let unit = fs::read_to_string(path).expect("the unit");
    let readme = readme();
    for place in ["/usr/local/bin/drawspan", "/etc/drawspan/drawspan.toml"] {
        assert!(unit.contains(place) && readme.contains(place), "{place}");
    }
    // Else systemd gives up for good after some ends in a row.
    assert!(unit.contains("\nStartLimitIntervalSec=0\n"));
    // It gives the folders that a user without a home has by default.
    let environment = Environment {
        uid: 999,
        state_directory: Some("/var/lib/drawspan".into()),
        runtime_directory: Some("/run/drawspan".into()),
        ..Environment::default()
    };
    for (set, folder) in [
        ("StateDirectory=drawspan", environment.state_dir()),
        ("RuntimeDirectory=drawspan", environment.control_path()),
    ] {
        assert!(unit.contains(set), "{set}");
        assert!(readme.contains(&folder.display().to_string()), "{folder:?}");
    }
}
