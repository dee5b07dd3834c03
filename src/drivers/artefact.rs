//! What a backup left behind: measured, hashed, dated; and the space for the next one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, statvfs};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::model::Timestamp;
use crate::model::limits::{ARTEFACT_DEPTH_MAX, ARTEFACT_ENTRIES_MAX};

/// A file, or a folder with all that is in it, as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    pub path: PathBuf,
    /// Of all files together; at least 1.
    pub bytes: u64,
    /// In hexadecimal. Of a file, that of its content, as `sha256sum` has it. Of a folder, over the
    /// kind, name and content of all that is in it, in the order of the names.
    pub sha256: String,
    /// The newest time of a change in it.
    pub modified: Timestamp,
}

/// Why something is no artefact.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    #[error("{} is neither a file nor a folder (links are not followed)", .0.display())]
    NotAFile(PathBuf),
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    #[error("cannot read {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Measures each path, on a thread where blocking harms nobody.
///
/// # Cancel safety
/// Dropping the future ends the work soon.
pub async fn measure(paths: Vec<PathBuf>) -> Vec<Result<Artefact, ArtefactError>> {
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let (flag, asked) = (wanted.0.clone(), paths.clone());
    let work = spawn_blocking(move || {
        paths.iter().map(|path| measure_one(path, &flag)).collect::<Vec<_>>()
    });
    let given_up = |path| Err(ArtefactError::Io { path, source: interrupted() });
    work.await.unwrap_or_else(|_| asked.into_iter().map(given_up).collect())
}

/// Bytes that this user may still write where `path` lies or is to lie.
///
/// # Errors
/// No folder above it can be asked.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find(|part| part.exists()).unwrap_or(&path);
    let disk = statvfs(there)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn interrupted() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

/// What was found so far.
struct Measure<'a> {
    wanted: &'a AtomicBool,
    hash: Sha256,
    bytes: u64,
    modified_ms: i64,
    entries: usize,
}

fn measure_one(path: &Path, wanted: &AtomicBool) -> Result<Artefact, ArtefactError> {
    let mut measure =
        Measure { wanted, hash: Sha256::new(), bytes: 0, modified_ms: i64::MIN, entries: 0 };
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ArtefactError::Missing(path.to_owned()));
        }
        other => other.map_err(failed(path))?,
    };
    if found.is_dir() {
        measure.date(&found);
        measure.folder(path, 0)?;
    } else {
        measure.file(path)?;
    }
    if measure.bytes == 0 {
        return Err(ArtefactError::Empty(path.to_owned()));
    }
    let digest = measure.hash.finalize();
    Ok(Artefact {
        path: path.to_owned(),
        bytes: measure.bytes,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        modified: Timestamp::from_millis(measure.modified_ms),
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ArtefactError {
    let path = path.to_owned();
    move |source| ArtefactError::Io { path, source }
}

impl Measure<'_> {
    fn date(&mut self, found: &Metadata) {
        let modified = found.mtime().saturating_mul(1_000) + found.mtime_nsec() / 1_000_000;
        self.modified_ms = self.modified_ms.max(modified);
    }

    fn folder(&mut self, path: &Path, depth: usize) -> Result<(), ArtefactError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed(path))? {
            names.push(entry.map_err(failed(path))?.file_name());
            self.entries += 1;
            if ARTEFACT_ENTRIES_MAX < self.entries || ARTEFACT_DEPTH_MAX < depth {
                let source = io::Error::other("too many files, or too deep, for one artefact");
                return Err(failed(path)(source));
            }
        }
        names.sort();
        for name in names {
            let path = path.join(&name);
            let found = fs::symlink_metadata(&path).map_err(failed(&path))?;
            self.date(&found);
            if found.is_dir() {
                self.part(b"folder", name.as_bytes());
                self.folder(&path, depth + 1)?;
                self.part(b"end", b"");
            } else if found.is_symlink() {
                let target = fs::read_link(&path).map_err(failed(&path))?;
                self.part(b"link", name.as_bytes());
                self.part(b"to", target.as_os_str().as_bytes());
            } else if found.is_file() {
                self.part(b"file", name.as_bytes());
                self.hash.update(found.len().to_le_bytes());
                self.file(&path)?;
            } else {
                return Err(ArtefactError::NotAFile(path));
            }
        }
        Ok(())
    }

    /// Lengths stand before names, so that no two folders read the same.
    fn part(&mut self, kind: &[u8], name: &[u8]) {
        for bytes in [kind, name] {
            self.hash.update((bytes.len() as u64).to_le_bytes());
            self.hash.update(bytes);
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), ArtefactError> {
        // A link is not followed, and a pipe that stands there does not hold us.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let is_other = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
        if is_other {
            return Err(ArtefactError::NotAFile(path.to_owned()));
        }
        let mut file = opened.map_err(failed(path))?;
        let before = file.metadata().map_err(failed(path))?;
        if !before.is_file() {
            return Err(ArtefactError::NotAFile(path.to_owned()));
        }
        let read = self.content(&mut file).map_err(failed(path))?;
        let after = file.metadata().map_err(failed(path))?;
        let state = |found: &Metadata| (found.len(), found.mtime(), found.mtime_nsec());
        if state(&before) != state(&after) || read != after.len() {
            return Err(ArtefactError::Changed(path.to_owned()));
        }
        self.date(&after);
        Ok(())
    }

    fn content(&mut self, file: &mut File) -> io::Result<u64> {
        let mut buffer = vec![0; 256 * 1024];
        let mut bytes = 0;
        loop {
            if !self.wanted.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    self.hash.update(&buffer[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn measured(path: &Path) -> Result<Artefact, ArtefactError> {
        measure_one(path, &AtomicBool::new(true))
    }

    fn top() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[tokio::test]
    async fn a_file_has_its_size_its_time_and_the_digest_of_sha256sum() {
        let top = top();
        let path = top.path().join("dump");
        fs::write(&path, "abc").expect("written");
        let wanted = Timestamp::from_millis(1_763_800_000_000);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_763_800_000_000);
        File::open(&path).and_then(|file| file.set_modified(time)).expect("dated");
        let mut all = measure(vec![path.clone(), top.path().join("none")]).await;
        assert!(matches!(all.pop(), Some(Err(ArtefactError::Missing(_)))));
        let artefact = all.pop().expect("two").expect("a file");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        assert_eq!(artefact, Artefact { path, bytes: 3, sha256, modified: wanted });
    }

    #[test]
    fn what_is_empty_or_no_file_is_no_artefact() {
        let top = top();
        let at = |name: &str| top.path().join(name);
        fs::write(at("empty"), "").expect("written");
        fs::create_dir_all(at("folder/below")).expect("made");
        fs::write(at("full"), "x").expect("written");
        symlink(at("full"), at("link")).expect("made");
        let fifo = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(fifo.expect("it ran").success());
        assert!(matches!(measured(&at("empty")), Err(ArtefactError::Empty(_))));
        assert!(matches!(measured(&at("folder")), Err(ArtefactError::Empty(_))));
        assert!(matches!(measured(&at("link")), Err(ArtefactError::NotAFile(_))));
        assert!(matches!(measured(&at("pipe")), Err(ArtefactError::NotAFile(_))));
        assert!(matches!(measured(Path::new("/dev/zero")), Err(ArtefactError::NotAFile(_))));
    }

    #[test]
    fn a_folder_is_one_artefact_of_all_its_names_and_contents() {
        let make = |change: &dyn Fn(&Path)| {
            let top = top();
            fs::create_dir(top.path().join("b")).expect("made");
            fs::write(top.path().join("b/1"), "one").expect("written");
            fs::write(top.path().join("a"), "two").expect("written");
            symlink("/nowhere", top.path().join("link")).expect("made");
            change(top.path());
            let artefact = measured(top.path()).expect("an artefact");
            (artefact.bytes, artefact.sha256)
        };
        let same = make(&|_| {});
        assert_eq!(same, make(&|_| {}));
        assert_eq!(same.0, 6);
        let rename = |top: &Path| fs::rename(top.join("a"), top.join("c")).expect("renamed");
        let edit = |top: &Path| fs::write(top.join("b/1"), "0ne").expect("written");
        let shift = |top: &Path| fs::rename(top.join("b/1"), top.join("1")).expect("renamed");
        let relink = |top: &Path| {
            fs::remove_file(top.join("link")).expect("removed");
            symlink("/elsewhere", top.join("link")).expect("made");
        };
        let changes: [&dyn Fn(&Path); 4] = [&rename, &edit, &shift, &relink];
        for (i, change) in changes.into_iter().enumerate() {
            assert_ne!(same.1, make(change).1, "change {i}");
        }
    }

    #[test]
    fn work_that_nobody_wants_any_more_ends() {
        let top = top();
        let path = top.path().join("dump");
        fs::write(&path, "abc").expect("written");
        let error = measure_one(&path, &AtomicBool::new(false)).expect_err("given up");
        assert!(matches!(error, ArtefactError::Io { .. }), "{error}");
    }

    #[test]
    fn free_space_is_that_of_the_nearest_folder_there_is() {
        let top = top();
        let deep = top.path().join("not/yet/there");
        assert!(0 < free_space(&deep).expect("a disk"));
        assert_eq!(free_space(Path::new("/proc/x")).expect("a file system"), 0);
    }
}
