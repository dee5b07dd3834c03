//! The folder of the default control socket. The state directory is made where it is absent, and so
//! is this; a folder that the operator named is the operator's to make.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Its owner and its group enter; the socket's own mode says who speaks.
const FOLDER_MODE: u32 = 0o750;

/// Why the socket has no folder to stand in.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(
        "cannot make {} for the control socket: {source}; make it for this user, or name another \
         socket with --control", .folder.display()
    )]
    Make { folder: PathBuf, source: io::Error },
    #[error(
        "{}, for the control socket, is no folder of this user (it belongs to uid {owner}): name \
         another socket with --control", .folder.display()
    )]
    Foreign { folder: PathBuf, owner: u32 },
}

/// Makes the folder of `socket`, open to the owner and the group. One that is there must be this
/// user's: where everybody may make folders, a stranger's would let the stranger take commands.
///
/// # Errors
/// [`FolderError`] names the folder and the remedy.
pub fn make(socket: &Path, uid: u32) -> Result<(), FolderError> {
    let Some(folder) = socket.parent() else { return Ok(()) };
    let failed = |source| FolderError::Make { folder: folder.to_owned(), source };
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(failed),
    }
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    // Root's folder with a right for this user is as good.
    if found.is_dir() && (found.uid() == uid || found.uid() == 0) {
        return Ok(());
    }
    Err(FolderError::Foreign { folder: folder.to_owned(), owner: found.uid() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_folder_is_made_for_owner_and_group_and_an_own_one_is_left_alone() {
        let top = tempfile::tempdir().expect("a folder");
        let socket = top.path().join("drawspan/control.sock");
        let uid = rustix::process::geteuid().as_raw();
        make(&socket, uid).expect("made");
        let folder = top.path().join("drawspan");
        let mode = || folder.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode() & !0o750, 0);
        assert_eq!(mode() & 0o700, 0o700);
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).expect("its owner");
        make(&socket, uid).expect("it is there");
        assert_eq!(mode(), 0o711);
    }

    #[test]
    fn a_strangers_folder_a_link_and_a_file_are_refused() {
        let top = tempfile::tempdir().expect("a folder");
        let target = top.path().join("target");
        std::fs::create_dir(&target).expect("made");
        std::os::unix::fs::symlink(&target, top.path().join("link")).expect("made");
        std::fs::write(top.path().join("file"), b"").expect("written");
        let stranger = target.metadata().expect("it is there").uid() + 1;
        for name in ["link", "file"] {
            let made = make(&top.path().join(name).join("s"), stranger);
            assert!(made.is_err(), "{name}");
        }
        if stranger != 1 {
            assert!(make(&target.join("s"), stranger).is_err());
        }
    }

    #[test]
    fn without_a_parent_it_says_what_to_do() {
        let top = tempfile::tempdir().expect("a folder");
        let error = make(&top.path().join("a/b/s"), 0).expect_err("a is missing");
        assert!(error.to_string().contains("--control"), "{error}");
    }
}
