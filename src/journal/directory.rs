//! The state directory: made where absent, held by one gateway, on a disk that outlives it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, accessat, statfs};

use super::JournalError;
use super::sync_directory;

const LOCK: &str = "lock";
/// Bytes of the lock file: the holder's pid, padded, so that writing it again needs no space.
const LOCK_BYTES: usize = 16;

/// The state directory, locked for as long as this value, a clone of it, or a journal opened in it
/// lives.
#[derive(Clone, Debug)]
pub struct StateDir(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// File system that forgets, if it stands on one.
    forgetful: Option<&'static str>,
    lock: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error(
        "state directory {} is held by another process{}: stop that gateway, or give this one a \
         state directory of its own",
        .path.display(), holder(*.pid)
    )]
    Held { path: PathBuf, pid: Option<u32> },
    #[error(
        "state directory {} is not a directory: name another path or move the file away",
        .path.display()
    )]
    NotADirectory { path: PathBuf },
    #[error(
        "state directory {} is not writable: {source}; give it to the gateway's user, or mount \
         its file system writable",
        .path.display()
    )]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Sync(#[from] JournalError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl StateDir {
    /// Makes the directory where it is absent, open to its owner alone, and locks it.
    ///
    /// # Errors
    /// [`StateDirError::Held`] while another process, or another value of this one, holds it.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let path = std::path::absolute(path).map_err(|source| StateDirError::Io {
            action: "find state directory",
            path: path.to_owned(),
            source,
        })?;
        create(&path)?;
        if !path.is_dir() {
            return Err(StateDirError::NotADirectory { path });
        }
        let lock = lock(&path)?;
        // The directory's own entries can be unwritable where its lock file is not.
        accessat(CWD, &path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(
            |error| StateDirError::NotWritable { path: path.clone(), source: error.into() },
        )?;
        let forgetful = forgetful(&path)?;
        Ok(Self(Arc::new(Held { path, forgetful, lock })))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// A text for log and status where the file system may forget the mode.
    pub fn warning(&self) -> Option<String> {
        let name = self.0.forgetful?;
        let path = self.path().display();
        Some(format!(
            "state directory {path} stands on {name}, which may not outlive a restart: mount a \
             volume there, or set initial_mode = \"maintenance\""
        ))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing alone would leave it held for as long as a child that is just being started has
        // a copy of the descriptor. An error leaves exactly that.
        let _ = self.lock.unlock();
    }
}

fn create(path: &Path) -> Result<(), StateDirError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
    for part in missing.into_iter().rev() {
        let made = DirBuilder::new().mode(0o700).create(part);
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed("make state directory", part, source)),
        }
        if let Some(parent) = part.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, StateDirError> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed("open lock file", directory, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StateDirError::Held { path: directory.to_owned(), pid: pid_in(&file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
    }
    let mut pid = std::process::id().to_string().into_bytes();
    pid.resize(LOCK_BYTES, b' ');
    // Only a courtesy to whoever finds the directory held: a full disk must not stop the gateway.
    let _ = file.write_all_at(&pid, 0);
    sync_directory(directory)?;
    Ok(file)
}

fn pid_in(lock: &File) -> Option<u32> {
    let mut text = [0; LOCK_BYTES];
    let read = lock.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..read)?).ok()?.trim().parse().ok()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StateDirError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StateDirError::NotWritable { path, source }
        }
        io::ErrorKind::NotADirectory => StateDirError::NotADirectory { path },
        _ => StateDirError::Io { action, path, source },
    }
}

/// The magic numbers of statfs(2).
fn forgetful(path: &Path) -> Result<Option<&'static str>, StateDirError> {
    let found = statfs(path).map_err(|error| StateDirError::Io {
        action: "look at the file system of",
        path: path.to_owned(),
        source: error.into(),
    })?;
    // The kernel gives 32 bits; the field's width and sign differ between machines.
    Ok(match found.f_type as u32 {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        0x794c_7630 => Some("an overlay"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_made_for_its_owner_alone_and_held_by_one() {
        let top = tempfile::tempdir().expect("a directory");
        let path = top.path().join("a/b");
        let first = StateDir::open(&path).expect("it is made");
        for made in ["a", "a/b"] {
            let mode = top.path().join(made).metadata().expect("it exists").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
        let held = StateDir::open(&path).expect_err("it is held").to_string();
        assert!(held.contains(&format!("held by another process (pid {})", std::process::id())));
        assert!(held.contains("a/b"), "{held}");
        drop(first);
        StateDir::open(&path).expect("it is free again");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let top = tempfile::tempdir().expect("a directory");
        let path = top.path().join("state");
        std::fs::write(&path, "x").expect("written");
        for place in [path.clone(), path.join("below")] {
            let refused = StateDir::open(&place).expect_err("it is a file");
            assert!(matches!(refused, StateDirError::NotADirectory { .. }), "{refused}");
        }
    }

    #[test]
    fn a_directory_in_memory_gives_a_warning() {
        // Linux keeps POSIX shared memory on a tmpfs.
        let shm = Path::new("/dev/shm");
        if forgetful(shm).is_ok_and(|name| name == Some("tmpfs")) {
            let top = tempfile::tempdir_in(shm).expect("a directory");
            let state = StateDir::open(&top.path().join("state")).expect("it is made");
            assert!(state.warning().is_some_and(|text| text.contains("tmpfs")));
        }
    }
}
