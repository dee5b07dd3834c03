//! What a node is called, what it is for, and how it is doing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::limits::{NODE_ID_BYTES_MAX, NODE_WEIGHT_MAX};

/// Name of a node: 1 to 63 bytes of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// The text is no [`NodeId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no node id: 1 to {NODE_ID_BYTES_MAX} of a-z, 0-9 and -")]
pub struct InvalidNodeId(String);

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || NODE_ID_BYTES_MAX < text.len() || !text.bytes().all(legal) {
            return Err(InvalidNodeId(text.chars().take(2 * NODE_ID_BYTES_MAX).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl NodeId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// Serves requests.
    Request,
    /// Runs jobs: takes no traffic, yet is stopped and started with the cluster.
    Worker,
}

impl NodeRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node's share of the traffic, relative to the others: 1 to 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    pub const ONE: Self = Self(1);

    pub fn new(value: u16) -> Option<Self> {
        (1..=NODE_WEIGHT_MAX).contains(&value).then_some(Self(value))
    }

    pub const fn value(self) -> u16 {
        self.0
    }
}

/// How a node is doing, by its last probes. In lifecycle order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// Not enough probes yet for a verdict: no traffic.
    Unknown,
    /// Its front server or its static shell answers, its API does not yet: no traffic.
    Starting,
    /// Health and `app:getInfo` both answer 200.
    Ready,
    /// Says `maintaining` with a 503: it runs a command. New requests only in single mode.
    Busy,
    /// Answers, but not as a ready node does (database unreachable, a redirect, an error): no new
    /// requests; its tunnels stay.
    Failing,
    /// Refused, timed out, or its name does not resolve: no traffic, tunnels are closed.
    Down,
}

impl NodeState {
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Starting, Self::Ready, Self::Busy, Self::Failing, Self::Down];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Failing => "failing",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_lower_case_letters_digits_and_hyphens() {
        for legal in ["a", "n1", "node-1", &"x".repeat(63)] {
            assert!(legal.parse::<NodeId>().is_ok(), "{legal}");
        }
        for illegal in ["", "N1", "a b", "a_b", "é", "a/b", &"x".repeat(64)] {
            assert!(illegal.parse::<NodeId>().is_err(), "{illegal}");
        }
    }

    #[test]
    fn a_weight_is_1_to_256() {
        assert!(Weight::new(0).is_none());
        assert!(Weight::new(1).is_some());
        assert!(Weight::new(256).is_some());
        assert!(Weight::new(257).is_none());
    }
}
