//! The operator's commands and what the procedures hold them to: checked, plain data.
//!
//! A command is a list of arguments that may hold placeholders ([`super::Placeholder`]); there is
//! never a shell in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::placeholders::{Placeholder, needs};

/// One command of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments, with their placeholders. The program is an absolute path, or a bare
    /// name that is looked up in PATH.
    pub argv: Vec<String>,
    /// It is ended when it takes longer.
    pub limit: Duration,
    /// Names taken over from the gateway's own environment.
    pub pass_env: Vec<String>,
    /// Set in addition; no name of `pass_env` among them.
    pub env: BTreeMap<String, String>,
}

impl CommandLine {
    /// The placeholders that it cannot be run without.
    pub fn needs(&self) -> BTreeSet<Placeholder> {
        self.argv.iter().flat_map(|text| needs(text).unwrap_or_default()).collect()
    }
}

/// The commands of one node: its own, else the general ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeDrivers {
    pub start: Option<CommandLine>,
    pub stop: Option<CommandLine>,
    /// Its answer is read by `drivers::parse_status`.
    pub status: Option<CommandLine>,
    /// Prints what the node runs, as the digest of its image.
    pub build: Option<CommandLine>,
    /// Prints the last lines of its log.
    pub logs: Option<CommandLine>,
}

impl NodeDrivers {
    /// Each with its key.
    pub fn each(&self) -> [(&'static str, Option<&CommandLine>); 5] {
        [
            ("start", self.start.as_ref()),
            ("stop", self.stop.as_ref()),
            ("status", self.status.as_ref()),
            ("build", self.build.as_ref()),
            ("logs", self.logs.as_ref()),
        ]
    }
}

/// The commands of groups of nodes, and those of a procedure as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drivers {
    pub stop_all: Option<CommandLine>,
    pub start_first: Option<CommandLine>,
    /// All but the kept node.
    pub stop_others: Option<CommandLine>,
    /// All but the first, or the kept, node.
    pub start_others: Option<CommandLine>,
    pub backup: Option<CommandLine>,
    pub verify_backup: Option<CommandLine>,
    pub update: Option<CommandLine>,
    pub restore: Option<CommandLine>,
    pub revert: Option<CommandLine>,
    pub verify: Option<CommandLine>,
    pub notify: Option<CommandLine>,
}

impl Drivers {
    /// Each with its key.
    pub fn each(&self) -> [(&'static str, Option<&CommandLine>); 11] {
        [
            ("stop_all", self.stop_all.as_ref()),
            ("start_first", self.start_first.as_ref()),
            ("stop_others", self.stop_others.as_ref()),
            ("start_others", self.start_others.as_ref()),
            ("backup", self.backup.as_ref()),
            ("verify_backup", self.verify_backup.as_ref()),
            ("update", self.update.as_ref()),
            ("restore", self.restore.as_ref()),
            ("revert", self.revert.as_ref()),
            ("verify", self.verify.as_ref()),
            ("notify", self.notify.as_ref()),
        ]
    }
}

/// What the procedures hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Procedures {
    /// What `{backup}` stands for; holds `{id}`, the id of the procedure, as a rule.
    pub backup_path: String,
    /// Files or folders that a backup must leave, with `{backup}`; at least one.
    pub artefacts: Vec<String>,
    /// A node that refuses without a break for this long is down.
    pub down_after: Duration,
    /// Good answers in a row that make a node ready in a procedure.
    pub ready_in_a_row: u32,
    /// An alarm where traffic is closed for longer.
    pub closed_max: Duration,
    pub limits: PhaseLimits,
}

/// A phase that takes longer is overdue: an alarm, and never an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseLimits {
    pub raise: Duration,
    pub narrow: Duration,
    pub stop: Duration,
    pub back_up: Duration,
    pub update: Duration,
    pub start_first: Duration,
    pub work: Duration,
    pub verify: Duration,
    pub start_others: Duration,
    pub restore: Duration,
    pub revert: Duration,
    pub lower: Duration,
}

impl Default for PhaseLimits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            raise: MINUTE.saturating_mul(2),
            narrow: MINUTE.saturating_mul(2),
            stop: MINUTE.saturating_mul(5),
            back_up: HOUR.saturating_mul(2),
            update: HOUR,
            start_first: MINUTE.saturating_mul(30),
            work: HOUR.saturating_mul(4),
            verify: HOUR,
            start_others: MINUTE.saturating_mul(30),
            restore: HOUR.saturating_mul(2),
            revert: HOUR,
            lower: MINUTE.saturating_mul(2),
        }
    }
}
