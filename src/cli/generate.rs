//! `drawspan completions SHELL` and `drawspan man`: made from the command line itself.

use std::io::{self, Write};

use clap::CommandFactory;

use super::{Cli, Exit};

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to write for.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn completions(args: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "drawspan", &mut text);
    print(&text)
}

pub fn man() -> Exit {
    let mut text = Vec::new();
    match clap_mangen::Man::new(Cli::command()).render(&mut text) {
        Ok(()) => print(&text),
        Err(error) => {
            eprintln!("cannot make the man page: {error}");
            Exit::Internal
        }
    }
}

fn print(text: &[u8]) -> Exit {
    match io::stdout().lock().write_all(text) {
        Ok(()) => Exit::True,
        // Whoever stopped reading has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::True,
        Err(error) => {
            eprintln!("cannot write to stdout: {error}");
            Exit::Internal
        }
    }
}
