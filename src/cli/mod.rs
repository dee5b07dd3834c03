//! The command line: one file for each verb, and what they share.

pub mod check;
pub mod config_file;
pub mod exit;
pub mod flags;
mod open_ports;

pub use exit::Exit;
