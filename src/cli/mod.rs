//! The command line: one file for each verb, and what they share.

pub mod check;
pub mod client;
pub mod config_file;
mod control_folder;
mod demo;
pub mod events;
pub mod exit;
pub mod flags;
mod generate;
pub mod keyboard;
pub mod mode;
mod open_ports;
pub mod procedure;
mod programs;
mod run;
pub mod status;
mod supervise;
mod surroundings;
mod text;
pub mod wait;

use clap::{Parser, Subcommand};

use crate::standin::process;
use client::{Called, ControlArgs};
pub use exit::Exit;

/// A movable bridge in front of a NocoBase cluster: load balancer and maintenance gateway.
///
/// `run` is the gateway. `status`, `mode`, `wait` and `events` talk to a running one over its control
/// socket. `plan`, `begin`, `follow` and the words after them are for the three procedures: first start,
/// version upgrade and in-app maintenance. `demo` shows the modes on this machine.
#[derive(Debug, Parser)]
#[command(name = "drawspan", version, max_term_width = 100, after_help = exit_codes())]
pub struct Cli {
    #[command(flatten)]
    control: ControlArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// The table of exit codes, as help and manual show it.
fn exit_codes() -> String {
    let line = |exit: &Exit| format!("\n  {}  {}", exit.code(), exit.meaning());
    format!("Exit codes:{}", Exit::ALL.iter().map(line).collect::<String>())
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway.
    ///
    /// It takes its settings from a file (--config), or from flags alone: then --node is needed, and
    /// without --listen it listens on 0.0.0.0:8080. It comes back in the mode in which it was left, or
    /// raised where that is in doubt.
    ///
    /// SIGTERM and SIGINT stop it in order; a second one cuts at once what is still under way. SIGHUP
    /// has the file of the access log opened anew; there is no reload of the configuration: restart for
    /// that. SIGUSR1 and SIGUSR2 are ignored.
    #[command(after_help = RUN_EXAMPLES)]
    Run(flags::RunArgs),
    /// Look a configuration file over: every problem at once, and what would run.
    Check(check::Check),
    /// What is true now: mode, nodes, what is in flight.
    Status(Called<status::StatusArgs>),
    /// Change the mode, and return when the change is true.
    ///
    /// True means: every worker routes by the new mode, and nothing is left on the nodes that it closes;
    /// what did not end within the drain time was cut and is counted in the answer.
    #[command(after_help = MODE_EXAMPLES)]
    Mode(Called<mode::ModeArgs>),
    #[command(flatten)]
    Procedure(procedure::Verb),
    /// Wait until a condition is true, can never be, or time is over.
    #[command(after_help = WAIT_EXAMPLES)]
    Wait(Called<wait::WaitArgs>),
    /// What happens, as it happens.
    Events(Called<events::EventsArgs>),
    /// Show it all at work on this machine: stand-in nodes, a gateway, load, and every mode.
    ///
    /// It needs no root and leaves nothing behind. After the tour, which takes about ten seconds, the
    /// gateway stays for you to try it, until ctrl-C.
    Demo(demo::DemoArgs),
    #[command(name = "stand-in", hide = true)]
    StandIn(Box<process::Args>),
    #[command(hide = true)]
    Supervise(supervise::SuperviseArgs),
    /// Write completions for a shell to stdout.
    Completions(generate::CompletionsArgs),
    /// Write the man page to stdout.
    Man,
}

const RUN_EXAMPLES: &str = "\
Examples:
  drawspan run --config /etc/drawspan/drawspan.toml
  drawspan run --listen :8080 --node n1=http://10.0.0.1:13000 --node n2=http://10.0.0.2:13000";

const MODE_EXAMPLES: &str = "\
Examples:
  drawspan mode single n1 --why 'installing a plugin'
  drawspan mode maintenance --drain-timeout 2m
  drawspan mode cluster";

const WAIT_EXAMPLES: &str = "\
Examples:
  drawspan wait node=n2:ready --timeout 10m
  drawspan wait node=n2:drained
  drawspan wait mode=single:n1
  drawspan wait phase=verify --timeout 2h
  drawspan wait procedure=done --timeout 4h";

impl Cli {
    pub fn run(self) -> Exit {
        let control = |nearer| ControlArgs::or_in_front(nearer, self.control);
        match self.verb {
            Verb::Run(args) => run::run(&args),
            Verb::Check(args) => check::run(&args),
            Verb::Status(verb) => status::run(&verb.args, &control(verb.control)),
            Verb::Mode(verb) => mode::run(&verb.args, &control(verb.control)),
            Verb::Procedure(verb) => verb.run(control),
            Verb::Wait(verb) => wait::run(&verb.args, &control(verb.control)),
            Verb::Events(verb) => events::run(&verb.args, &control(verb.control)),
            Verb::Demo(args) => demo::run(&args),
            Verb::StandIn(args) => stand_in(&args),
            Verb::Supervise(args) => supervise::run(&args),
            Verb::Completions(args) => generate::completions(&args),
            Verb::Man => generate::man(),
        }
    }
}

fn stand_in(args: &process::Args) -> Exit {
    match process::run(args) {
        Ok(()) => Exit::True,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_socket_may_be_named_before_the_verb_or_after_it() {
        for words in ["drawspan --control /a status", "drawspan status --control /a"] {
            let cli = Cli::try_parse_from(words.split(' ')).expect("right words");
            let Verb::Status(verb) = cli.verb else { panic!("another verb") };
            let meant = ControlArgs::or_in_front(verb.control, cli.control);
            assert_eq!(meant.control, Some("/a".into()), "{words}");
        }
    }
}
