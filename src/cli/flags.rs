//! The settings that `drawspan run` takes from its command line.

use std::path::PathBuf;

use super::config_file::{self, ConfigError};
use crate::config::{Environment, Flags, Loaded};

/// Settings of `run`: a file, flags, or a file with flags over it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Read the settings from this file; other flags replace what it says.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take public traffic at this address, as `0.0.0.0:8080` or `:8080`. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Carry traffic to this node, as `http://10.0.0.1:13000` or `n1=http://...`. May be repeated.
    #[arg(long, value_name = "[ID=]URL", conflicts_with = "config")]
    pub node: Vec<String>,
    /// Keep the journal in this folder.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take commands at this socket.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Serve metrics, liveness and readiness at this address.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// Worker threads; one per core unless given.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
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
