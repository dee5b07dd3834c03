//! File descriptors: as many as the system allows, shared out before the first client comes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;
use crate::model::limits::RESERVED_DESCRIPTORS;

/// Raises the soft limit of open files to the hard one; returns what is in force then.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // A system that refuses leaves us with what we have.
    let _ = setrlimit(Resource::Nofile, hard);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Client connections that `open_files` descriptors allow: each may need one more towards a node.
///
/// Returns the cap, and what is wrong where the configuration asks for more.
pub fn connections(limits: &Limits, open_files: u64) -> (usize, Option<String>) {
    let possible = open_files.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(1);
    let wanted = limits.connections.unwrap_or(Limits::CONNECTIONS_DEFAULT);
    // A default that does not fit is not what anybody asked for: no reason to complain.
    if wanted <= possible || limits.connections.is_none() {
        return (wanted.min(possible), None);
    }
    let complaint = format!(
        "{open_files} open files allow {possible} connections, not {wanted}: raise the limit \
         (LimitNOFILE= in systemd, ulimit -n) to {}",
        u64::try_from(wanted).unwrap_or(u64::MAX).saturating_mul(2) + RESERVED_DESCRIPTORS
    );
    (possible, Some(complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_leaves_descriptors_for_the_control_plane() {
        let limits = Limits { connections: None, request_body: None };
        assert_eq!(connections(&limits, 1_000_000), (Limits::CONNECTIONS_DEFAULT, None));
        assert_eq!(connections(&limits, 1_024), (384, None));
        let asked = Limits { connections: Some(1_000), request_body: None };
        let (cap, complaint) = connections(&asked, 1_024);
        assert_eq!(cap, 384);
        assert!(complaint.is_some_and(|text| text.contains("ulimit")));
        assert_eq!(connections(&limits, 10).0, 1);
    }
}
