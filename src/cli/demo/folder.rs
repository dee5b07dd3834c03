//! A folder for one run of the demonstration.

use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Open to this user alone; removed, with all that is in it, when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// # Errors
    /// The system's folder for temporary files cannot be written.
    pub(super) fn make() -> io::Result<Self> {
        let name = format!("drawspan-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        // Not recursive: a folder that somebody else put there is refused.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, like everything in that folder.
        let _ = remove_dir_all(&self.0);
    }
}
