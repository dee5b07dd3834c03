//! The socket file: bound out of sight, opened to its group, and moved into place in one step, so
//! that no moment exists at which it is there with other rights; removed only while it is ours.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::peer::peer_pid;
use crate::model::limits::SOCKET_PATH_BYTES_MAX;

/// Owner and group speak through the socket; what each of them may is a matter of roles.
const SOCKET_MODE: u32 = 0o660;

/// Why the control socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "the control socket's path {} has {} bytes, more than the {SOCKET_PATH_BYTES_MAX} that a \
         Unix socket may have; choose a shorter one", .path.display(), .path.as_os_str().len()
    )]
    TooLong { path: PathBuf },
    #[error("the control socket's path `{}` names no file in a folder", .path.display())]
    NoFile { path: PathBuf },
    #[error(
        "the control socket's folder {} does not exist; create it \
         (`install -d -m 0750 {}`)", .folder.display(), .folder.display()
    )]
    NoFolder { folder: PathBuf },
    #[error(
        "a gateway (pid {}) already serves {}; stop it, or choose another control socket",
        .pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()), .path.display()
    )]
    AlreadyServed { path: PathBuf, pid: Option<i32> },
    #[error("{} is there and is no socket; move it away, or choose another path", .path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot {action} {}: {source}{}", .path.display(), remedy(.source))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; give this user the right to write there and to use that group"
        }
        io::ErrorKind::StorageFull => "; free space on that file system",
        io::ErrorKind::ReadOnlyFilesystem => "; choose a folder that can be written",
        _ => "",
    }
}

/// The bound control socket. Dropping it closes the socket and leaves the file, as a crash would:
/// the next start replaces it. `serve` removes it at an orderly stop.
#[derive(Debug)]
pub struct ControlListener {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
    /// The socket's group.
    pub(super) gid: u32,
}

/// The socket's file, told apart from a later one at the same path.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl ControlListener {
    /// Binds `path`, open to its owner and to `group` (a gid; the process's own if `None`).
    /// Replaces a socket that nobody serves any more.
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self, SocketError> {
        if SOCKET_PATH_BYTES_MAX < path.as_os_str().len() {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(SocketError::NoFile { path: path.to_owned() });
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let locked = lock(folder)?;
        refuse_if_taken(path)?;
        let staging = Staging::create(folder)?;
        let listener = staging.bind()?;
        let bound = staging.socket();
        if let Some(gid) = group {
            chown(&bound, None, Some(gid)).map_err(|e| failed("give the group", path, e))?;
        }
        fs::set_permissions(&bound, fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(|e| failed("set the rights of", path, e))?;
        let metadata = fs::symlink_metadata(&bound).map_err(|e| failed("look at", path, e))?;
        fs::rename(&bound, path).map_err(|e| failed("put the control socket at", path, e))?;
        drop(locked);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = SocketFile { path, device: metadata.dev(), inode: metadata.ino() };
        Ok(Self { listener, file, gid: metadata.gid() })
    }

    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl SocketFile {
    pub(super) fn failed(&self, action: &'static str, source: io::Error) -> SocketError {
        failed(action, &self.path, source)
    }

    /// Removes the file, unless somebody put another one there meanwhile.
    pub(super) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot remove the control socket; the next start will");
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> SocketError {
    SocketError::Io { action, path: path.to_owned(), source }
}

/// Between "nobody serves it" and the rename no other gateway may come to the same conclusion.
fn lock(folder: &Path) -> Result<OwnedFd, SocketError> {
    let opened = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|error| match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => {
            SocketError::NoFolder { folder: folder.to_owned() }
        }
        other => failed("open the control socket's folder", folder, other.into()),
    })?;
    flock(&opened, FlockOperation::LockExclusive)
        .map_err(|e| failed("lock the control socket's folder", folder, e.into()))?;
    Ok(opened)
}

fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path, error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let io = |error| failed("ask whether a gateway serves", path, error);
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(io)?;
    // With a full backlog a blocking connect would wait for a gateway that hangs.
    probe.set_nonblocking(true).map_err(io)?;
    let served = |pid| SocketError::AlreadyServed { path: path.to_owned(), pid };
    match probe.connect(&SockAddr::unix(path).map_err(io)?) {
        Ok(()) => Err(served(peer_pid(probe.as_fd()))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(served(None)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
    }
}

/// A folder beside the target, closed to everybody else; it goes with this value.
struct Staging {
    folder: PathBuf,
    opened: OwnedFd,
}

impl Staging {
    fn create(beside: &Path) -> Result<Self, SocketError> {
        let name = format!(".drawspan-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = beside.join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| failed("create a folder for the control socket in", beside, e))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(&folder, flags, Mode::empty()) {
            Ok(opened) => Ok(Self { folder, opened }),
            Err(error) => {
                let _ = fs::remove_dir(&folder);
                Err(failed("open", &folder, error.into()))
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// The folder's path may be too long for `bind` although the target's is not; through the
    /// descriptor it is always short.
    fn bind(&self) -> Result<UnixListener, SocketError> {
        let short = PathBuf::from(format!("/proc/self/fd/{}/s", self.opened.as_raw_fd()));
        UnixListener::bind(&short)
            // Without /proc the plain path may still fit.
            .or_else(|error| UnixListener::bind(self.socket()).map_err(|_| error))
            .map_err(|error| failed("bind the control socket in", &self.folder, error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn left_in(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).expect("listed");
        names.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_socket_is_open_to_owner_and_group_only_and_nothing_else_is_left() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let bound = ControlListener::bind(&path, None).expect("binds");
        let metadata = fs::metadata(&path).expect("is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
        assert_eq!(left_in(folder.path()), ["control.sock"]);
        UnixStream::connect(&path).expect("it listens");
        bound.file.remove();
        assert!(left_in(folder.path()).is_empty());
    }

    #[test]
    fn a_live_gateway_is_not_replaced_and_is_named() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let _live = ControlListener::bind(&path, None).expect("binds");
        match ControlListener::bind(&path, None) {
            Err(SocketError::AlreadyServed { pid: Some(pid), .. }) => {
                assert_eq!(u32::try_from(pid).ok(), Some(std::process::id()));
            }
            other => panic!("bound over a live gateway: {other:?}"),
        }
        assert_eq!(left_in(folder.path()), ["control.sock"]);
    }

    #[test]
    fn a_dead_socket_is_replaced() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        drop(ControlListener::bind(&path, None).expect("binds"));
        assert!(path.exists(), "a crash leaves the file");
        let _new = ControlListener::bind(&path, None).expect("replaces");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(ControlListener::bind(&path, None), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(matches!(ControlListener::bind(&link, None), Err(SocketError::NotASocket { .. })));
    }

    #[test]
    fn a_path_of_107_bytes_works_and_of_108_is_a_clear_error() {
        let folder = folder();
        let base = folder.path().as_os_str().len() + 1;
        let longest = folder.path().join("x".repeat(SOCKET_PATH_BYTES_MAX - base));
        let _bound = ControlListener::bind(&longest, None).expect("binds");
        UnixStream::connect(&longest).expect("it listens");
        let longer = folder.path().join("x".repeat(SOCKET_PATH_BYTES_MAX - base + 1));
        let error = ControlListener::bind(&longer, None).expect_err("too long");
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }

    #[test]
    fn a_missing_folder_is_named_with_its_remedy() {
        let error = ControlListener::bind(Path::new("/nonexistent/d/control.sock"), None)
            .expect_err("no folder");
        let text = error.to_string();
        assert!(text.contains("/nonexistent/d does not exist"), "{text}");
        assert!(text.contains("install -d"), "{text}");
    }

    #[test]
    fn a_successor_s_socket_is_not_removed() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let old = ControlListener::bind(&path, None).expect("binds");
        fs::remove_file(&path).expect("somebody removed it");
        let _new = ControlListener::bind(&path, None).expect("a successor came");
        old.file.remove();
        UnixStream::connect(&path).expect("the successor still listens");
    }
}
