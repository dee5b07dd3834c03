//! Who is at the other end of a Unix connection, as the kernel says it.
//!
//! The one module with `unsafe`: `SO_PEERGROUPS` has no safe wrapper.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use tokio::net::UnixStream;

/// Linux keeps at most this many supplementary groups of a process (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// The caller at the moment it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub pid: Option<i32>,
    /// Its primary and supplementary groups.
    pub gids: Vec<u32>,
}

/// Asks the kernel. What it says was recorded at `connect`: a process that changes its identity
/// later, or hands the socket on, stays who it was.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let [pid, uid, gid] = credentials(stream.as_fd())?;
    let mut gids = supplementary_groups(stream.as_fd())?;
    gids.push(gid);
    Ok(Peer { uid, pid: known(pid), gids })
}

/// The process at the other end; for a client, the one that listens.
pub fn peer_pid(socket: BorrowedFd<'_>) -> Option<i32> {
    credentials(socket).ok().and_then(|[pid, ..]| known(pid))
}

/// A process of a pid namespace that we do not see has pid 0 here. (Wrappers that promise a pid
/// which is never 0 must not be handed one: that is why this asks by itself.)
fn known(pid: u32) -> Option<i32> {
    i32::try_from(pid).ok().filter(|pid| *pid != 0)
}

/// `struct ucred`: pid, uid and gid, each of 32 bits.
fn credentials(socket: BorrowedFd<'_>) -> io::Result<[u32; 3]> {
    let mut words = [0; 3];
    match read_option(socket, libc::SO_PEERCRED, &mut words) {
        Ok(3) => Ok(words),
        Ok(_) | Err(Failed::TooSmall { .. }) => Err(io::ErrorKind::InvalidData.into()),
        Err(Failed::Other(error)) => Err(error),
    }
}

/// The first call usually fits; where it does not, the kernel says how much room it needs.
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 32];
    loop {
        match read_option(socket, libc::SO_PEERGROUPS, &mut groups) {
            Ok(filled) => {
                groups.truncate(filled);
                return Ok(groups);
            }
            Err(Failed::TooSmall { needed }) if groups.len() < needed && needed <= GROUPS_MAX => {
                groups = vec![0; needed];
            }
            Err(Failed::TooSmall { .. }) => return Err(io::ErrorKind::InvalidData.into()),
            // The kernel recorded no credentials, thus no groups either.
            Err(Failed::Other(error)) if error.raw_os_error() == Some(libc::ENODATA) => {
                return Ok(Vec::new());
            }
            Err(Failed::Other(error)) => return Err(error),
        }
    }
}

enum Failed {
    /// `needed` words.
    TooSmall {
        needed: usize,
    },
    Other(io::Error),
}

/// `getsockopt(SOL_SOCKET)` of an option that is made of 32-bit words; returns how many it wrote.
#[expect(unsafe_code, reason = "SO_PEERGROUPS has no safe wrapper; the proof stands below")]
fn read_option(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    words: &mut [u32],
) -> Result<usize, Failed> {
    let too_large = |_| Failed::Other(io::ErrorKind::InvalidInput.into());
    let mut length = libc::socklen_t::try_from(size_of_val(words)).map_err(too_large)?;
    // SAFETY: `socket` is borrowed, so its descriptor is open for the length of the call.
    // `words` is an exclusively borrowed, initialised slice of exactly `length` bytes, aligned for
    // `u32`, and `length` is a live, exclusively borrowed `socklen_t`. The kernel writes at most
    // `length` bytes to the former and one `socklen_t` to the latter, and keeps neither pointer.
    // Every bit pattern is a valid `u32`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let told = usize::try_from(length).unwrap_or(usize::MAX) / size_of::<u32>();
    if result == 0 {
        return Ok(told.min(words.len()));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ERANGE) {
        return Err(Failed::TooSmall { needed: told });
    }
    Err(Failed::Other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_in_this_process_has_the_groups_of_this_process() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let peer = peer(&ours).expect("the kernel answers");
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        for group in rustix::process::getgroups().expect("own groups") {
            assert!(peer.gids.contains(&group.as_raw()));
        }
        assert!(peer.gids.contains(&rustix::process::getgid().as_raw()));
    }

    #[test]
    fn a_process_that_is_out_of_sight_has_no_pid() {
        assert_eq!(known(0), None);
        assert_eq!(known(1), Some(1));
    }

    #[tokio::test]
    async fn more_groups_than_the_first_guess_are_all_read() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let all = supplementary_groups(ours.as_fd()).expect("the kernel answers");
        if all.is_empty() {
            return; // Nothing to overflow with.
        }
        match read_option(ours.as_fd(), libc::SO_PEERGROUPS, &mut []) {
            Err(Failed::TooSmall { needed }) => assert_eq!(needed, all.len()),
            _ => panic!("no room for any group must be too small"),
        }
    }
}
