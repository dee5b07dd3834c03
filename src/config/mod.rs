//! The configuration: from the text of `drawspan.toml`, or from flags, to a checked [`Config`].
//!
//! Every problem is found at once, each with its place, what is wrong and what would be right.
//! Pure: reading the file and asking the system who runs the program is left to the command line.

mod address;
mod check;
mod commands;
mod document;
mod environment;
mod flags;
mod network;
mod placeholders;
mod problems;
mod settings;
mod suggest;
mod units;
mod values;

pub use address::{InvalidNodeAddress, NodeAddress};
pub use commands::{CommandLine, Drivers, NodeDrivers, PhaseLimits, Procedures};
pub use environment::Environment;
pub use flags::Flags;
pub use network::{InvalidNet, IpNet};
pub use placeholders::{InvalidTemplate, Placeholder, Placeholders, Unfilled, fill, needs};
pub use problems::{Place, Problem, Problems, Warning};
pub use settings::{
    AccessLog, Config, Control, GroupRole, Health, Limits, Log, LogFormat, LogLevel, NodeConfig,
    Notice, QueryLogging, Timeouts,
};
pub use units::{HumanDuration, HumanSize, InvalidDuration, InvalidSize};

use std::collections::BTreeMap;

use document::{Findings, Origin, Section};
use toml::de::DeTable;

/// A configuration that can be used, and what its owner should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
    places: BTreeMap<String, Place>,
}

impl Loaded {
    /// Where a setting was made, as `notice.page`: its line in the file, or its flag. One that was
    /// not made has its name alone.
    pub fn place(&self, key: &str) -> Place {
        let unset = || Place::Key { path: key.to_owned(), line: None };
        self.places.get(key).cloned().unwrap_or_else(unset)
    }
}

/// Reads the text of a `drawspan.toml`; flags replace what it says.
///
/// # Errors
/// Every problem. Where the text is no TOML, that alone: the rest cannot be trusted.
pub fn parse(text: &str, flags: &Flags, environment: &Environment) -> Result<Loaded, Problems> {
    let table = document::parse(text)?;
    checked(Some(&table), Findings::new(Origin::File, text), flags, environment)
}

/// The configuration that flags alone make, the rest by default.
///
/// # Errors
/// Every problem, under the name of its flag.
pub fn from_flags(flags: &Flags, environment: &Environment) -> Result<Loaded, Problems> {
    checked(None, Findings::new(Origin::Flags, ""), flags, environment)
}

fn checked(
    table: Option<&DeTable<'_>>,
    mut findings: Findings,
    flags: &Flags,
    environment: &Environment,
) -> Result<Loaded, Problems> {
    let config = Section::top(table, &mut findings, |top| check::config(top, flags, environment));
    let (problems, warnings, places) = findings.into_problems();
    if problems.is_empty() { Ok(Loaded { config, warnings, places }) } else { Err(problems) }
}
