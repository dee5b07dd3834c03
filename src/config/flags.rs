//! The settings that the command line can make, as it has them: unchecked.

use std::path::PathBuf;

/// Settings from flags. They go through the same checks as a file's, under the flag's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen ADDRESS`, any number of times; replaces the file's list.
    pub listen: Vec<String>,
    /// `--node [ID=]URL`, any number of times; not together with a file.
    pub nodes: Vec<String>,
    /// `--state-dir DIR`
    pub state_dir: Option<PathBuf>,
    /// `--control PATH`
    pub control: Option<PathBuf>,
    /// `--admin ADDRESS`
    pub admin: Option<String>,
    /// `--workers N`
    pub workers: Option<i64>,
}
