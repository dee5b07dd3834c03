//! The command line: one file per verb, from arguments through one call to a rendered answer.

pub mod client;
pub mod events;
pub mod exit;
pub mod mode;
pub mod status;
pub mod wait;
