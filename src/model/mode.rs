//! The three modes of the bridge, and their order of openness.

use std::cmp::Ordering;
use std::fmt;

use super::NodeId;

/// Where public traffic may go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Down: every node of role `request` carries traffic.
    Cluster,
    /// Single lane: one kept node carries all of it.
    Single(NodeId),
    /// Raised: no node does; everybody gets the notice.
    Maintenance,
}

/// A [`Mode`] without its node, as metrics and records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModeKind {
    Cluster,
    Single,
    Maintenance,
}

impl ModeKind {
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Single, Self::Maintenance];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Single => "single",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for ModeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Mode {
    pub const fn kind(&self) -> ModeKind {
        match self {
            Self::Cluster => ModeKind::Cluster,
            Self::Single(_) => ModeKind::Single,
            Self::Maintenance => ModeKind::Maintenance,
        }
    }

    /// The kept node in single mode.
    pub const fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Single(node) => Some(node),
            Self::Cluster | Self::Maintenance => None,
        }
    }

    /// Compares by openness: cluster > single > maintenance. Two different single modes are
    /// neither: moving between them closes one node and opens another.
    pub fn openness(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Single(a), Self::Single(b)) if a != b => None,
            (Self::Single(_), Self::Single(_)) => Some(Ordering::Equal),
            _ => Some(other.kind().cmp(&self.kind())),
        }
    }

    /// What is safe when a switch from `self` to `other` may or may not have happened: the less
    /// open of the two; of two different single modes, maintenance.
    pub fn less_open(&self, other: &Self) -> Self {
        match self.openness(other) {
            None => Self::Maintenance,
            Some(Ordering::Greater) => other.clone(),
            Some(Ordering::Less | Ordering::Equal) => self.clone(),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(node) => write!(f, "single {node}"),
            Self::Cluster | Self::Maintenance => self.kind().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(id: &str) -> Mode {
        Mode::Single(id.parse().expect("a legal id"))
    }

    #[test]
    fn cluster_is_more_open_than_single_and_single_than_maintenance() {
        assert_eq!(Mode::Cluster.openness(&single("n1")), Some(Ordering::Greater));
        assert_eq!(single("n1").openness(&Mode::Maintenance), Some(Ordering::Greater));
        assert_eq!(Mode::Maintenance.openness(&Mode::Cluster), Some(Ordering::Less));
        assert_eq!(Mode::Cluster.openness(&Mode::Cluster), Some(Ordering::Equal));
    }

    #[test]
    fn an_unfinished_switch_comes_back_as_the_less_open_of_its_two_modes() {
        let all = [Mode::Cluster, single("n1"), Mode::Maintenance];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.less_open(b), all[i.max(j)], "{a} and {b}");
            }
        }
        assert_eq!(single("n1").less_open(&single("n2")), Mode::Maintenance);
    }
}
