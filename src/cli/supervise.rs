//! `drawspan supervise`: not for people. Runs one of the operator's commands beside the gateway, so
//! that the gateway may die and its command go on.

use std::path::PathBuf;

use super::Exit;
use crate::drivers::supervisor;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SuperviseArgs {
    /// Folder of the command, as the gateway made it.
    folder: PathBuf,
}

pub(super) fn run(args: &SuperviseArgs) -> Exit {
    match supervisor::run(&args.folder) {
        Ok(()) => Exit::True,
        Err(error) => {
            // Its stderr is the command's output file.
            eprintln!("drawspan supervise: {error}");
            Exit::Internal
        }
    }
}
