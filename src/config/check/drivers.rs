//! The operator's commands: argv lists, in either form, each with the placeholders it may hold.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::document::{Form, Section};
use super::super::placeholders::{InvalidTemplate, Placeholder, needs};
use super::super::problems::{At, Place, shown};
use super::super::{CommandLine, Drivers, NodeDrivers};
use super::nodes::Declared;
use crate::model::limits::{COMMAND_ARGUMENT_BYTES_MAX, COMMAND_ARGUMENTS_MAX};

/// Names that one command's environment may have.
const NAMES_MAX: usize = 64;
const LONG: Duration = Duration::from_secs(2 * 3600);
const MINUTES: Duration = Duration::from_secs(300);
const VERIFY: Duration = Duration::from_secs(600);
const QUICK: Duration = Duration::from_secs(10);

/// What a command is told, and how long it may take by default.
struct Kind {
    placeholders: &'static [Placeholder],
    limit: Duration,
}

const RUNS: Kind = Kind {
    placeholders: &[Placeholder::Node, Placeholder::Address, Placeholder::Version],
    limit: MINUTES,
};
const LOOKS: Kind = Kind { placeholders: &[Placeholder::Node, Placeholder::Address], limit: QUICK };
const BACKUPS: Kind =
    Kind { placeholders: &[Placeholder::Backup, Placeholder::Version], limit: LONG };
const VERIFIES: Kind = Kind { limit: VERIFY, ..RUNS };
const NOTIFIES: Kind = Kind {
    placeholders: &[Placeholder::Message, Placeholder::Phase, Placeholder::Procedure],
    limit: QUICK,
};

type Written = Option<At<CommandLine>>;

/// The five commands of nodes, where they are written.
#[derive(Default)]
pub(super) struct PerNode {
    start: Written,
    stop: Written,
    status: Written,
    build: Written,
    logs: Written,
}

impl PerNode {
    /// These, and where one is missing the general one.
    pub(super) fn or(&self, general: &Self) -> NodeDrivers {
        let either = |own: &Written, general: &Written| {
            own.as_ref().or(general.as_ref()).map(|at| at.value.clone())
        };
        NodeDrivers {
            start: either(&self.start, &general.start),
            stop: either(&self.stop, &general.stop),
            status: either(&self.status, &general.status),
            build: either(&self.build, &general.build),
            logs: either(&self.logs, &general.logs),
        }
    }

    fn each(&self) -> [&Written; 5] {
        [&self.start, &self.stop, &self.status, &self.build, &self.logs]
    }
}

pub(super) fn per_node(s: &mut Section) -> PerNode {
    PerNode {
        start: command(s, "start", &RUNS),
        stop: command(s, "stop", &RUNS),
        status: command(s, "status", &LOOKS),
        build: command(s, "build", &LOOKS),
        logs: command(s, "logs", &LOOKS),
    }
}

/// The general commands of nodes, and the rest.
pub(super) fn drivers(s: &mut Section) -> (PerNode, Drivers) {
    let general = per_node(s);
    let mut read = |key, kind| command(s, key, kind).map(|at| at.value);
    let drivers = Drivers {
        stop_all: read("stop_all", &RUNS),
        start_first: read("start_first", &RUNS),
        stop_others: read("stop_others", &RUNS),
        start_others: read("start_others", &RUNS),
        backup: read("backup", &BACKUPS),
        verify_backup: read("verify_backup", &BACKUPS),
        update: read("update", &BACKUPS),
        restore: read("restore", &BACKUPS),
        revert: read("revert", &BACKUPS),
        verify: read("verify", &VERIFIES),
        notify: read("notify", &NOTIFIES),
    };
    (general, drivers)
}

/// Holds the commands of nodes against the nodes: a general one that does not say which node it
/// means would do the same for each, and a node without an address has none to tell.
pub(super) fn check_general(top: &mut Section, general: &PerNode, nodes: &[Declared]) {
    for (i, general) in general.each().into_iter().enumerate() {
        let takers = nodes.iter().filter(|node| node.own.each()[i].is_none()).count();
        if let Some(At { place, value }) = general
            && 1 < takers
            && value.needs().is_disjoint(&[Placeholder::Node, Placeholder::Address].into())
        {
            let message = format!(
                "does the same for each of {takers} nodes; say which one is meant, by {{node}} or \
                 {{address}}, or write the command under each node's [nodes.drivers]"
            );
            top.problem(place, message);
        }
        for node in nodes.iter().filter(|node| node.config.is_some() && node.address.is_none()) {
            let command = node.own.each()[i].as_ref().or(general.as_ref());
            let Some(At { place, value }) = command else { continue };
            if value.needs().contains(&Placeholder::Address) {
                let id = node.id.as_ref().map(ToString::to_string).unwrap_or_default();
                let message = format!(
                    "tells {{address}}, and node {id} has none; write {{node}}, or a command of \
                     its own under its [nodes.drivers]"
                );
                top.problem(place, message);
            }
        }
    }
}

/// `key = ["program", "argument"]`, or a table with `run` and more.
fn command(s: &mut Section, key: &'static str, kind: &Kind) -> Written {
    let place = s.place(key);
    match s.form(key) {
        Form::Absent => None,
        Form::List => {
            let argv = argv(s, key, kind)?;
            let (limit, pass_env, env) = (kind.limit, Vec::new(), BTreeMap::new());
            Some(At { place, value: CommandLine { argv, limit, pass_env, env } })
        }
        Form::Table => s.section_called(key, "drivers.COMMAND", |s| long_form(s, kind)),
        Form::Other(is) => {
            let message = format!(
                "is {is}; write a list of the program and its arguments, as \
                 [\"systemctl\", \"start\", \"nocobase@{{node}}\"] (no shell reads it)"
            );
            s.problem(&place, message);
            None
        }
    }
}

fn long_form(s: &mut Section, kind: &Kind) -> Written {
    let place = s.place("run");
    let argv = match s.form("run") {
        Form::List => argv(s, "run", kind),
        Form::Absent => {
            s.problem(&place, "is missing; write run = [\"/path/of/program\", \"argument\"]");
            None
        }
        Form::Table | Form::Other(_) => {
            s.problem(&place, "is no list; write run = [\"/path/of/program\", \"argument\"]");
            None
        }
    };
    let bounds = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
    let limit = s.duration("limit", kind.limit, &bounds);
    let pass_env = pass_env(s);
    let env = env(s, &pass_env);
    Some(At { place, value: CommandLine { argv: argv?, limit, pass_env, env } })
}

/// `None` where something is wrong with it, which is noted.
fn argv(s: &mut Section, key: &'static str, kind: &Kind) -> Option<Vec<String>> {
    let At { place, value: texts } = s.texts(key, "/path/of/program")?;
    if COMMAND_ARGUMENTS_MAX < texts.len() {
        let has = texts.len();
        let message = format!("has {has} entries; write at most {COMMAND_ARGUMENTS_MAX}");
        s.problem(&place, message);
        return None;
    }
    match texts.first() {
        None => s.problem(&place, "is empty; write the program and its arguments"),
        Some(At { place, value }) => check_program(s, place, value),
    }
    for At { place, value } in &texts {
        check_text(s, place, value);
        check_placeholders(s, place, value, kind.placeholders);
    }
    Some(texts.into_iter().map(|at| at.value).collect())
}

fn check_program(s: &mut Section, place: &Place, program: &str) {
    if program.is_empty() {
        s.problem(place, "names no program; write its path, or a name that PATH knows");
    } else if program.contains('/') && !program.starts_with('/') {
        let message = format!(
            "{} is a relative path; write an absolute one, or a bare name that is looked up in PATH",
            shown(program)
        );
        s.problem(place, message);
    }
}

/// What no argument and no variable can hold.
fn check_text(s: &mut Section, place: &Place, text: &str) {
    if text.contains('\0') {
        s.problem(place, "holds a NUL byte, which no program can be told; take it out");
    }
    if COMMAND_ARGUMENT_BYTES_MAX < text.len() {
        let has = text.len();
        let most = COMMAND_ARGUMENT_BYTES_MAX;
        s.problem(place, format!("has {has} bytes; write at most {most}, or a script of its own"));
    }
}

/// Notes a placeholder that is none, or that is not told here.
pub(super) fn check_placeholders(
    s: &mut Section,
    place: &Place,
    text: &str,
    allowed: &[Placeholder],
) {
    let list: Vec<String> = allowed.iter().map(|known| format!("{{{}}}", known.as_str())).collect();
    let list = list.join(", ");
    match needs(text) {
        Ok(needed) => {
            if let Some(other) = needed.iter().find(|needed| !allowed.contains(needed)) {
                let other = other.as_str();
                let message =
                    format!("holds {{{other}}}, which it is not told; it may hold {list}");
                s.problem(place, message);
            }
        }
        Err(wrong @ InvalidTemplate::Brace(_)) => s.problem(place, wrong.to_string()),
        Err(wrong @ InvalidTemplate::Unknown(_)) => {
            let message = format!(
                "holds {wrong} that is known here; it may hold {list} ({{{{ and }}}} are braces)"
            );
            s.problem(place, message);
        }
    }
}

fn pass_env(s: &mut Section) -> Vec<String> {
    let Some(written) = s.texts("pass_env", "PGPASSWORD") else { return Vec::new() };
    check_count(s, &written.place, written.value.len());
    for At { place, value } in &written.value {
        check_name(s, place, value);
    }
    written.value.into_iter().map(|at| at.value).collect()
}

fn env(s: &mut Section, passed: &[String]) -> BTreeMap<String, String> {
    let written = s.named_texts("env", "VALUE");
    let place = s.place("env");
    check_count(s, &place, written.len());
    let mut env = BTreeMap::new();
    for (name, At { place, value }) in written {
        check_name(s, &place, &name);
        check_text(s, &place, &value);
        if passed.contains(&name) {
            s.problem(&place, "is also in pass_env; write it in one of the two");
        }
        if looks_secret(&name) {
            let message = format!(
                "looks like a secret, and whoever reads this file can read it; give it to the \
                 gateway's own environment and write pass_env = [{}]",
                shown(&name)
            );
            s.warn(&place, message);
        }
        env.insert(name, value);
    }
    env
}

fn check_count(s: &mut Section, place: &Place, names: usize) {
    if NAMES_MAX < names {
        s.problem(place, format!("has {names} names; write at most {NAMES_MAX}"));
    }
}

fn check_name(s: &mut Section, place: &Place, name: &str) {
    if name.is_empty() || name.contains(['=', '\0']) || COMMAND_ARGUMENT_BYTES_MAX < name.len() {
        let message = format!("{} is no name of a variable; write one, as PGHOST", shown(name));
        s.problem(place, message);
    }
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "KEY"].iter().any(|word| name.contains(word))
}
