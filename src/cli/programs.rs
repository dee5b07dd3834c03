//! Looks whether the programs of the operator's commands are there for this process's user.
//!
//! A warning only: a program may be installed later, and PATH may be another one when the gateway
//! runs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::{CommandLine, Loaded, Place, Warning};

/// One warning for each command whose program cannot be run. `path` is the PATH to look in.
pub(super) fn warnings(loaded: &Loaded, path: &OsStr) -> Vec<Warning> {
    // A general command belongs to many nodes and is told once.
    let mut warnings = BTreeMap::new();
    for (place, command) in commands(loaded) {
        let program = command.argv.first().filter(|program| !program.contains(['{', '}']));
        if let Some(message) = program.and_then(|program| wrong(program, path)) {
            warnings.insert(place.to_string(), Warning { place, message });
        }
    }
    warnings.into_values().collect()
}

fn commands(loaded: &Loaded) -> Vec<(Place, &CommandLine)> {
    let mut commands = Vec::new();
    for (key, command) in loaded.config.drivers.each() {
        let place = loaded.place(&format!("drivers.{key}"));
        commands.extend(command.map(|command| (place, command)));
    }
    for (i, node) in loaded.config.nodes.iter().enumerate() {
        for (key, command) in node.drivers.each() {
            let own = loaded.place(&format!("nodes[{i}].drivers.{key}"));
            let place = match own {
                Place::Key { line: None, .. } => loaded.place(&format!("drivers.{key}")),
                Place::Key { .. } | Place::Text { .. } | Place::Flag(_) => own,
            };
            commands.extend(command.map(|command| (place, command)));
        }
    }
    commands
}

fn wrong(program: &str, path: &OsStr) -> Option<String> {
    if program.starts_with('/') {
        let why = runnable(Path::new(program)).err()?;
        return Some(format!("{program} {why}; install it, or name another program"));
    }
    if std::env::split_paths(path).any(|folder| runnable(&folder.join(program)).is_ok()) {
        return None;
    }
    let path = path.to_string_lossy();
    Some(format!("{program} is in no folder of PATH ({path}); install it, or write its path"))
}

fn runnable(path: &Path) -> Result<(), &'static str> {
    match path.metadata() {
        Err(_) => Err("cannot be found"),
        Ok(found) if !found.is_file() => Err("is no file"),
        Ok(_) => accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|_| "may not be run by this user"),
    }
}
