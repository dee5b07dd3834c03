//! What the nodes of a cluster share: which plugins are enabled, and the version of the data.
//!
//! A node reads it when it starts or ends a command, and lists it at any time; that gap is
//! NocoBase's split state.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Some plugins of a stock install (the real one has 76).
const STOCK_PLUGINS: [&str; 12] = [
    "acl",
    "auth",
    "backups",
    "client",
    "data-source-main",
    "file-manager",
    "license",
    "localization",
    "logger",
    "mobile",
    "users",
    "workflow",
];

/// The rows that matter to a gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rows {
    version: String,
    enabled: BTreeSet<String>,
}

/// One database, shared by the nodes of one process by `Arc`, or by several processes in a file.
#[derive(Debug)]
pub struct Database {
    rows: Mutex<Rows>,
    file: Option<PathBuf>,
}

impl Default for Database {
    fn default() -> Self {
        let enabled = STOCK_PLUGINS.iter().map(ToString::to_string).collect();
        Self { rows: Mutex::new(Rows { version: String::new(), enabled }), file: None }
    }
}

impl Database {
    /// A database in a file, which is made where there is none.
    ///
    /// # Errors
    /// The file can be neither read nor written, or holds something else.
    pub fn file(path: &Path) -> io::Result<Self> {
        let mut database = Self::default();
        match fs::read(path) {
            Ok(bytes) => database.rows = Mutex::new(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(path, serde_json::to_vec(&*database.lock())?)?;
            }
            Err(error) => return Err(error),
        }
        database.file = Some(path.to_owned());
        Ok(database)
    }

    /// Enabled plugins, in the order of their names.
    pub fn enabled(&self) -> BTreeSet<String> {
        self.current().enabled.clone()
    }

    /// The version of the data: the same on all nodes, whatever code they run.
    pub fn version(&self) -> String {
        self.current().version.clone()
    }

    pub fn enable(&self, plugin: &str) {
        self.change(|rows| {
            rows.enabled.insert(plugin.to_owned());
        });
    }

    pub fn disable(&self, plugin: &str) {
        self.change(|rows| {
            rows.enabled.remove(plugin);
        });
    }

    /// A node that starts moves the data to its version. It never goes back.
    pub(super) fn upgrade_to(&self, version: &str) {
        self.change(|rows| {
            if numbers(&rows.version) < numbers(version) {
                rows.version = version.to_owned();
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Rows)) {
        let mut rows = self.current();
        change(&mut rows);
        let Some(path) = &self.file else { return };
        // Renamed into place, so that another process never reads half of it.
        let mut fresh = path.clone().into_os_string();
        fresh.push(format!(".{}", std::process::id()));
        let written = serde_json::to_vec(&*rows)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&fresh, bytes))
            .and_then(|()| fs::rename(&fresh, path));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the stand-in's database is not kept");
        }
    }

    /// The rows as another process may have left them.
    fn current(&self) -> MutexGuard<'_, Rows> {
        let mut rows = self.lock();
        let fresh = self.file.as_ref().and_then(|path| fs::read(path).ok());
        if let Some(fresh) = fresh.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            *rows = fresh;
        }
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `2.10.1` is above `2.9.0`; a part that is no number counts as 0.
fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_data_never_goes_back() {
        let database = Database::default();
        database.upgrade_to("2.9.0");
        database.upgrade_to("2.10.0");
        database.upgrade_to("2.9.9");
        assert_eq!(database.version(), "2.10.0");
    }

    #[test]
    fn two_processes_see_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        let (one, two) = (Database::file(&path).unwrap(), Database::file(&path).unwrap());
        one.enable("embed");
        assert!(two.enabled().contains("embed"));
        two.disable("embed");
        assert!(!one.enabled().contains("embed"));
    }
}
