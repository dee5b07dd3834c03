//! The command line: one file for each verb, and what they share.

pub mod check;
pub mod client;
pub mod config_file;
mod control_folder;
pub mod events;
pub mod exit;
pub mod flags;
mod generate;
pub mod mode;
mod open_ports;
mod run;
pub mod status;
pub mod wait;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// A movable bridge in front of a NocoBase cluster: load balancer and maintenance gateway.
///
/// `run` is the gateway. The other verbs talk to a running one over its control socket.
#[derive(Debug, Parser)]
#[command(name = "drawspan", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    control: client::ControlArgs,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 the effect is true, 1 internal error, 2 usage or configuration, 3 refused (objections),
4 somebody was faster, 5 timed out, 6 can never be met, 7 gateway unreachable, 8 not allowed.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway.
    Run(flags::RunArgs),
    /// Look a configuration file over: every problem at once.
    Check(check::Check),
    /// What is true now: mode, nodes, what is in flight.
    Status(status::StatusArgs),
    /// Change the mode, and return when the change is true.
    Mode(mode::ModeArgs),
    /// Wait until a condition is true, can never be, or time is over.
    Wait(wait::WaitArgs),
    /// What happens, as it happens.
    Events(events::EventsArgs),
    /// Write completions for a shell to stdout.
    Completions(generate::CompletionsArgs),
    /// Write the man page to stdout.
    Man,
}

impl Cli {
    pub fn run(self) -> Exit {
        match self.verb {
            Verb::Run(args) => run::run(&args),
            Verb::Check(args) => check::run(&args),
            Verb::Status(args) => status::run(&args, &self.control),
            Verb::Mode(args) => mode::run(&args, &self.control),
            Verb::Wait(args) => wait::run(&args, &self.control),
            Verb::Events(args) => events::run(&args, &self.control),
            Verb::Completions(args) => generate::completions(&args),
            Verb::Man => generate::man(),
        }
    }
}
