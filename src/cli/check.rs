//! `drawspan check`: every problem and warning of a configuration, and what would run.

use std::io::{self, Write};
use std::path::PathBuf;

use super::config_file::{self, ConfigError};
use super::{Exit, open_ports, programs, surroundings};
use crate::config::{Config, Environment, Flags, HumanDuration, NodeConfig};
use crate::control::user_name;
use crate::drivers;
use crate::model::NodeRole;

/// Check a configuration without starting anything.
#[derive(Clone, Debug, clap::Args)]
pub struct Check {
    /// The configuration.
    #[arg(value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// The same, as `run` names it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Checks for this process's user; the summary goes to stdout, problems and warnings to stderr.
pub fn run(check: &Check) -> Exit {
    let environment = config_file::environment();
    match report(check, &environment, &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(exit) => exit,
        // Whoever stopped reading has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::True,
        Err(_) => Exit::Internal,
    }
}

/// As [`run`], to any two streams.
///
/// # Errors
/// A stream cannot be written.
pub fn report(
    check: &Check,
    environment: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let Some(path) = check.config.as_ref().or(check.file.as_ref()) else {
        writeln!(err, "name a file: drawspan check FILE")?;
        return Ok(Exit::Usage);
    };
    let file = path.display().to_string();
    match config_file::load(path, &Flags::default(), environment) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(err, "warning: {}", warning.within(&file))?;
            }
            for warning in open_ports::warnings(&loaded.config) {
                writeln!(err, "warning: {file}: {warning}")?;
            }
            for warning in programs::warnings(&loaded, &drivers::search_path()) {
                writeln!(err, "warning: {}", warning.within(&file))?;
            }
            let problems = surroundings::problems(&loaded, environment);
            if !problems.is_empty() {
                return wrong(&ConfigError::Wrong { from: file, problems }, err);
            }
            let user = user_name(rustix::process::geteuid().as_raw());
            writeln!(out, "{file} is right. As user {user} it would run:")?;
            summary(&loaded.config, out)?;
            Ok(Exit::True)
        }
        Err(error) => wrong(&error, err),
    }
}

fn wrong(error: &ConfigError, err: &mut impl Write) -> io::Result<Exit> {
    writeln!(err, "{}", error.told())?;
    if let ConfigError::Wrong { problems, .. } = error {
        let (count, s) = (problems.len(), if problems.len() == 1 { "" } else { "s" });
        writeln!(err, "{count} problem{s}; nothing would run with this file")?;
    }
    Ok(Exit::Usage)
}

fn summary(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    let admin = config.admin.map_or_else(|| "none".to_owned(), |admin| admin.to_string());
    let workers = config.workers.map_or_else(|| "one per core".to_owned(), |n| n.to_string());
    writeln!(out, "  listen    {}", listen.join(", "))?;
    writeln!(out, "  admin     {admin}")?;
    writeln!(out, "  control   {}", config.control.path.display())?;
    writeln!(out, "  state     {}", config.state_dir.display())?;
    writeln!(out, "  at first  {}", config.initial_mode)?;
    writeln!(out, "  workers   {workers}")?;
    writeln!(out, "  drain     {}", HumanDuration(config.timeouts.drain))?;
    for node in &config.nodes {
        writeln!(out, "  node      {}", of_node(node))?;
    }
    of_procedures(config, out)
}

fn of_node(node: &NodeConfig) -> String {
    let address = node.address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let own = match node.role {
        NodeRole::Request => format!("{} {address} weight {}", node.id, node.weight.value()),
        NodeRole::Worker => format!("{} {address} worker, takes no traffic", node.id),
    };
    let commands = names(node.drivers.each().into_iter().filter(|(_, command)| command.is_some()));
    if commands.is_empty() { own } else { format!("{own}; commands {commands}") }
}

/// What a procedure would run by itself, and what it would leave to a person.
fn of_procedures(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let (there, missing): (Vec<_>, Vec<_>) =
        config.drivers.each().into_iter().partition(|(_, command)| command.is_some());
    let steps = ["backup", "update", "restore", "revert", "verify"];
    let drivers = &config.drivers;
    let stops = drivers.stop_all.is_some() || config.nodes.iter().all(|n| n.drivers.stop.is_some());
    let starts = (drivers.start_first.is_some() && drivers.start_others.is_some())
        || config.nodes.iter().all(|node| node.drivers.start.is_some());
    let of_nodes = [("stop", stops), ("start", starts)].into_iter().filter(|(_, there)| !there);
    let of_nodes = of_nodes.map(|(name, _)| (name, None));
    let by_hand = of_nodes.chain(missing.into_iter().filter(|(name, _)| steps.contains(name)));
    let (commands, by_hand) = (names(there.into_iter()), names(by_hand));
    if !commands.is_empty() {
        writeln!(out, "  commands  {commands}")?;
    }
    if !by_hand.is_empty() {
        writeln!(out, "  by hand   {by_hand}")?;
    }
    writeln!(out, "  backup    {}", config.procedures.backup_path)
}

fn names<T>(commands: impl Iterator<Item = (&'static str, T)>) -> String {
    commands.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
