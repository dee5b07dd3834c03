//! Who is at the other end of a Unix connection, as the kernel says it.
//!
//! The one module with `unsafe`: `SO_PEERGROUPS` has no safe wrapper.

use std::io;
use std::mem::size_of;
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
    let credentials = stream.peer_cred()?;
    let mut gids = supplementary_groups(stream.as_fd())?;
    gids.push(credentials.gid());
    Ok(Peer { uid: credentials.uid(), pid: credentials.pid(), gids })
}

/// `getsockopt(SO_PEERGROUPS)`: the first call usually fits; where it does not, the kernel says
/// how much room it needs.
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut room = 32;
    loop {
        match read_groups(socket, room) {
            Ok(groups) => return Ok(groups),
            Err(Failed::TooSmall { needed }) if room < needed && needed <= GROUPS_MAX => {
                room = needed;
            }
            Err(Failed::TooSmall { .. }) => return Err(io::ErrorKind::InvalidData.into()),
            // Kernels before 4.13 do not know the option, and a peer may have no groups at all.
            Err(Failed::Other(error)) if error.raw_os_error() == Some(libc::ENODATA) => {
                return Ok(Vec::new());
            }
            Err(Failed::Other(error)) => return Err(error),
        }
    }
}

enum Failed {
    TooSmall { needed: usize },
    Other(io::Error),
}

#[expect(unsafe_code, reason = "SO_PEERGROUPS has no safe wrapper; the proof stands below")]
fn read_groups(socket: BorrowedFd<'_>, room: usize) -> Result<Vec<u32>, Failed> {
    let mut groups: Vec<libc::gid_t> = vec![0; room];
    let too_large = |_| Failed::Other(io::ErrorKind::InvalidInput.into());
    let bytes = libc::socklen_t::try_from(room * size_of::<libc::gid_t>()).map_err(too_large)?;
    let mut length = bytes;
    // SAFETY: `socket` is borrowed, so its descriptor is open for the length of the call.
    // `groups` is an exclusively borrowed, initialised allocation of exactly `length` bytes,
    // aligned for `gid_t`, and `length` is a live, exclusively borrowed `socklen_t`. The kernel
    // writes at most `length` bytes to the former and one `socklen_t` to the latter, and keeps
    // neither pointer. Every bit pattern is a valid `gid_t`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let filled = usize::try_from(length).unwrap_or(usize::MAX) / size_of::<libc::gid_t>();
    if result == 0 {
        groups.truncate(filled);
        return Ok(groups);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ERANGE) {
        return Err(Failed::TooSmall { needed: filled });
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

    #[tokio::test]
    async fn more_groups_than_the_first_guess_are_all_read() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let all = supplementary_groups(ours.as_fd()).expect("the kernel answers");
        if all.is_empty() {
            return; // Nothing to overflow with.
        }
        match read_groups(ours.as_fd(), 0) {
            Err(Failed::TooSmall { needed }) => assert_eq!(needed, all.len()),
            _ => panic!("no room for any group must be too small"),
        }
    }
}
