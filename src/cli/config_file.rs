//! Reads what a configuration is made from: its file, and who runs the program.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::{self, Environment, Flags, Loaded, Problems};
use crate::model::limits::CONFIG_BYTES_MAX;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}; {}", .path.display(), remedy(.source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {CONFIG_BYTES_MAX} bytes; name a drawspan.toml", .path.display())]
    TooBig { path: PathBuf },
    #[error(
        "{} is no UTF-8 text (byte {at} is not); save it as UTF-8, or name a drawspan.toml",
        .path.display()
    )]
    NotText { path: PathBuf, at: usize },
    /// One line for each problem, each beginning with the file or the flag.
    #[error("{}", .problems.within(.from).join("\n"))]
    Wrong { from: String, problems: Problems },
}

impl ConfigError {
    /// For a terminal: each line is headed as an error.
    pub fn told(&self) -> String {
        let text = self.to_string();
        let lines: Vec<String> = text.lines().map(|line| format!("error: {line}")).collect();
        lines.join("\n")
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "write one after drawspan.example.toml, or name another file",
        io::ErrorKind::PermissionDenied => "let this user read it, or run as one who may",
        io::ErrorKind::IsADirectory => "name the file inside it",
        _ => "name a file that can be read",
    }
}

/// The configuration of the file at `path`; flags replace what it says.
///
/// # Errors
/// The file cannot be read, or all of its problems.
pub fn load(path: &Path, flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let text = read(path)?;
    config::parse(&text, flags, environment).map_err(|problems| {
        let from = path.display().to_string();
        ConfigError::Wrong { from, problems }
    })
}

/// The configuration that flags alone make.
///
/// # Errors
/// All of their problems.
pub fn from_flags(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    config::from_flags(flags, environment)
        .map_err(|problems| ConfigError::Wrong { from: "drawspan".to_owned(), problems })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too big, a device that never ends included.
    let most = CONFIG_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if CONFIG_BYTES_MAX < bytes.len() {
        return Err(ConfigError::TooBig { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|wrong| {
        let at = wrong.utf8_error().valid_up_to() + 1;
        ConfigError::NotText { path: path.to_owned(), at }
    })
}

/// Who runs this process, and the folders that the system gave that user.
pub fn environment() -> Environment {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    // A unit may have several; the first is the one that it is named after.
    let of_unit = |name: &str| std::env::split_paths(&std::env::var_os(name)?).next();
    Environment {
        uid: rustix::process::geteuid().as_raw(),
        home: folder("HOME"),
        xdg_state_home: folder("XDG_STATE_HOME"),
        xdg_runtime_dir: folder("XDG_RUNTIME_DIR"),
        state_directory: of_unit("STATE_DIRECTORY"),
        runtime_directory: of_unit("RUNTIME_DIRECTORY"),
    }
}
