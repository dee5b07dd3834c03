//! Who may do what on the control socket.

use std::collections::BTreeSet;

use super::peer::Peer;

/// What a caller may do, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    None,
    /// Looks, waits and listens.
    Viewer,
    /// Changes the mode too.
    Operator,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Which users and groups have which role. Root and the gateway's own user are always operators.
#[derive(Clone, Debug)]
pub struct Access {
    pub own_uid: u32,
    /// The role of the socket's group.
    pub group_role: Role,
    pub operator_uids: BTreeSet<u32>,
    pub operator_gids: BTreeSet<u32>,
    pub viewer_uids: BTreeSet<u32>,
    pub viewer_gids: BTreeSet<u32>,
}

impl Access {
    /// Nothing configured: the socket's group may look.
    pub fn new(own_uid: u32) -> Self {
        Self {
            own_uid,
            group_role: Role::Viewer,
            operator_uids: BTreeSet::new(),
            operator_gids: BTreeSet::new(),
            viewer_uids: BTreeSet::new(),
            viewer_gids: BTreeSet::new(),
        }
    }

    /// The highest role that the caller's user or any of its groups has.
    pub(super) fn role(&self, peer: &Peer, socket_gid: u32) -> Role {
        let in_group = |gids: &BTreeSet<u32>| peer.gids.iter().any(|gid| gids.contains(gid));
        let by_socket = if peer.gids.contains(&socket_gid) { self.group_role } else { Role::None };
        let operator = peer.uid == 0
            || peer.uid == self.own_uid
            || self.operator_uids.contains(&peer.uid)
            || in_group(&self.operator_gids);
        let viewer = self.viewer_uids.contains(&peer.uid) || in_group(&self.viewer_gids);
        let configured = match (operator, viewer) {
            (true, _) => Role::Operator,
            (false, true) => Role::Viewer,
            (false, false) => Role::None,
        };
        configured.max(by_socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET_GID: u32 = 500;

    fn peer(uid: u32, gids: &[u32]) -> Peer {
        Peer { uid, pid: None, gids: gids.to_vec() }
    }

    #[test]
    fn root_and_the_gateway_s_own_user_are_operators_and_strangers_are_nobody() {
        let access = Access::new(1000);
        assert_eq!(access.role(&peer(0, &[]), SOCKET_GID), Role::Operator);
        assert_eq!(access.role(&peer(1000, &[]), SOCKET_GID), Role::Operator);
        assert_eq!(access.role(&peer(1001, &[1001]), SOCKET_GID), Role::None);
    }

    #[test]
    fn a_supplementary_group_counts_like_the_primary_one() {
        let access = Access::new(1000);
        assert_eq!(access.role(&peer(1001, &[7, SOCKET_GID]), SOCKET_GID), Role::Viewer);
        let access = Access { group_role: Role::Operator, ..access };
        assert_eq!(access.role(&peer(1001, &[7, SOCKET_GID]), SOCKET_GID), Role::Operator);
    }

    #[test]
    fn the_highest_of_several_roles_wins() {
        let access = Access {
            operator_gids: [9].into(),
            operator_uids: [1002].into(),
            viewer_uids: [1001, 1003].into(),
            viewer_gids: [8].into(),
            ..Access::new(1000)
        };
        assert_eq!(access.role(&peer(1001, &[9]), SOCKET_GID), Role::Operator);
        assert_eq!(access.role(&peer(1002, &[SOCKET_GID]), SOCKET_GID), Role::Operator);
        assert_eq!(access.role(&peer(1003, &[]), SOCKET_GID), Role::Viewer);
        assert_eq!(access.role(&peer(1004, &[8]), SOCKET_GID), Role::Viewer);
    }
}
