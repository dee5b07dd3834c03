//! The thin binary: the command line, one verb to a file.

use std::process::ExitCode;

use clap::Parser;
use drawspan::cli::{self, Exit};

/// Requests allocate; the system's allocator costs more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match cli::Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            // A reader that has gone has seen enough.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::True }
        }
    };
    ExitCode::from(exit.code())
}
