//! The settings that `drawspan run` takes from its command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::config_file::{self, ConfigError};
use crate::config::{Environment, Flags, HumanDuration, InvalidDuration, Loaded};

/// A duration of the command line: with its unit, as in a file.
pub(super) fn written_duration(text: &str) -> Result<Duration, InvalidDuration> {
    text.parse().map(|HumanDuration(duration)| duration)
}

/// A whole number of the command line.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "write a whole number, as 4")
}

/// Settings of `run`: a file, flags, or a file with flags over it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Read the settings from this file; other flags replace what it says.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take public traffic at this address, as `127.0.0.1:8080` or `:8080`; without a file, else
    /// 0.0.0.0:8080. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Carry traffic to this node, as `http://10.0.0.1:13000` or `n1=http://...`. May be repeated.
    #[arg(long, value_name = "[ID=]URL", conflicts_with = "config")]
    pub node: Vec<String>,
    /// Keep the journal in this folder; else $STATE_DIRECTORY, for root /var/lib/drawspan, for others
    /// drawspan below $XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take commands at this socket; else in $RUNTIME_DIRECTORY, for root
    /// /run/drawspan/control.sock, for others below $XDG_RUNTIME_DIR or /tmp/drawspan-UID.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Serve metrics, liveness and readiness at this address.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// Worker threads; one per core unless given.
    #[arg(long, value_name = "N", value_parser = number::<i64>, allow_negative_numbers = true)]
    pub workers: Option<i64>,
}

impl RunArgs {
    /// The configuration that these arguments make.
    ///
    /// # Errors
    /// The file cannot be read, or all problems of file and flags.
    pub fn load(&self, environment: &Environment) -> Result<Loaded, ConfigError> {
        let flags = Flags {
            listen: self.listen.clone(),
            nodes: self.node.clone(),
            state_dir: self.state_dir.clone(),
            control: self.control.clone(),
            admin: self.admin.clone(),
            workers: self.workers,
        };
        match &self.config {
            Some(path) => config_file::load(path, &flags, environment),
            None => config_file::from_flags(&flags, environment),
        }
    }
}
