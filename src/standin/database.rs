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

/// Some tables of a stock install.
const STOCK_TABLES: [&str; 4] = ["applicationPlugins", "collections", "fields", "users"];

/// The rows that matter to a gateway, and the names of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rows {
    /// Empty until a node has installed itself.
    version: String,
    enabled: BTreeSet<String>,
    #[serde(default)]
    tables: BTreeSet<String>,
}

/// The data is of a newer version than the code: there is no way back down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database is of version {data}, and this code is {code}: there is no downgrade")]
pub struct Downgrade {
    pub data: String,
    pub code: String,
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
        let tables = STOCK_TABLES.iter().map(ToString::to_string).collect();
        Self { rows: Mutex::new(Rows { version: String::new(), enabled, tables }), file: None }
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

    /// Names of the tables.
    pub fn tables(&self) -> BTreeSet<String> {
        self.current().tables.clone()
    }

    /// What a node does when it starts: it installs itself where there is nothing, and moves older
    /// data to its version, which leaves a table `new_in_2_3_0` (of version 2.3.0) behind.
    ///
    /// # Errors
    /// The data is newer.
    pub(super) fn migrate(&self, code: &str) -> Result<(), Downgrade> {
        let data = self.version();
        if numbers(code) < numbers(&data) {
            return Err(Downgrade { data, code: code.to_owned() });
        }
        self.change(|rows| {
            if !rows.version.is_empty() && numbers(&rows.version) < numbers(code) {
                rows.tables.insert(format!("new_in_{}", code.replace('.', "_")));
            }
            rows.version = code.to_owned();
        });
        Ok(())
    }

    /// Two processes that change at the same moment may lose one of the changes.
    fn change(&self, change: impl FnOnce(&mut Rows)) {
        let mut rows = self.current();
        let before = rows.clone();
        change(&mut rows);
        if *rows == before {
            return;
        }
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
        assert_eq!(database.migrate("2.9.0"), Ok(()));
        assert_eq!(database.migrate("2.10.0"), Ok(()));
        let refused = Downgrade { data: "2.10.0".into(), code: "2.9.9".into() };
        assert_eq!(database.migrate("2.9.9"), Err(refused));
        assert_eq!(database.version(), "2.10.0");
    }

    #[test]
    fn an_upgrade_leaves_a_table_behind_and_an_install_or_a_restart_none() {
        let database = Database::default();
        database.migrate("2.2.15").unwrap();
        database.migrate("2.2.15").unwrap();
        assert!(database.tables().iter().all(|table| STOCK_TABLES.contains(&table.as_str())));
        database.migrate("2.3.0").unwrap();
        assert!(database.tables().contains("new_in_2_3_0"));
    }

    #[test]
    fn a_file_that_was_put_back_is_what_it_was_tables_included() {
        let folder = tempfile::tempdir().unwrap();
        let (path, backup) = (folder.path().join("rows.json"), folder.path().join("backup"));
        let database = Database::file(&path).unwrap();
        database.migrate("2.2.15").unwrap();
        fs::copy(&path, &backup).unwrap();
        database.migrate("2.3.0").unwrap();
        fs::rename(&backup, &path).unwrap();
        assert_eq!(database.version(), "2.2.15");
        assert!(!database.tables().contains("new_in_2_3_0"));
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
