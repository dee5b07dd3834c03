//! Which procedures there are, and the order of their phases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A procedure, as an operator names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    FirstStart,
    Upgrade,
    /// In-app maintenance: work inside the application, on one kept node.
    Maintenance,
}

/// Where a procedure is heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    Forward,
    /// Rolling back: the old data and the old version.
    Back,
    /// Giving up before anything was changed.
    Abort,
}

/// A step of a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The bridge is raised: nobody crosses.
    Raise,
    /// One kept node carries everything.
    Narrow,
    /// Every node stops (in-app maintenance: every node but the kept one).
    Stop,
    BackUp,
    Update,
    /// Only on the road back.
    Restore,
    /// Only on the road back: the old version is put in place again.
    Revert,
    /// The first node starts; after `change-keep` the new kept one.
    StartFirst,
    /// The operator's time, inside the application.
    Work,
    Verify,
    StartOthers,
    /// The bridge is lowered: every node carries traffic.
    Lower,
    Done,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::FirstStart, Self::Upgrade, Self::Maintenance];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstStart => "first-start",
            Self::Upgrade => "upgrade",
            Self::Maintenance => "maintenance",
        }
    }

    /// The phase that it begins with.
    pub const fn first_phase(self) -> Phase {
        match self {
            Self::FirstStart | Self::Upgrade => Phase::Raise,
            Self::Maintenance => Phase::Narrow,
        }
    }

    /// The phases of a road, in order, [`Phase::Done`] included. A road that is taken on the way
    /// begins at its own first phase.
    pub const fn phases(self, road: Road) -> &'static [Phase] {
        use Phase::{
            BackUp, Done, Lower, Narrow, Raise, Restore, Revert, StartFirst, StartOthers, Stop,
            Update, Verify, Work,
        };
        match (self, road) {
            (Self::FirstStart, Road::Forward | Road::Back) => {
                &[Raise, StartFirst, Verify, StartOthers, Lower, Done]
            }
            // Nothing served before: giving up leaves the bridge raised.
            (Self::FirstStart, Road::Abort) => &[Done],
            (Self::Upgrade, Road::Forward) => {
                &[Raise, Stop, BackUp, Update, StartFirst, Verify, StartOthers, Lower, Done]
            }
            (Self::Upgrade, Road::Back) => {
                &[Stop, Restore, Revert, StartFirst, Verify, StartOthers, Lower, Done]
            }
            (Self::Upgrade, Road::Abort) => &[StartFirst, StartOthers, Lower, Done],
            (Self::Maintenance, Road::Forward | Road::Back) => {
                &[Narrow, Stop, Work, Verify, StartOthers, Lower, Done]
            }
            (Self::Maintenance, Road::Abort) => &[StartOthers, Lower, Done],
        }
    }

    /// What comes after `phase` on this road. [`Phase::StartFirst`] of in-app maintenance is a
    /// detour that leads back to [`Phase::Narrow`].
    pub fn next(self, road: Road, phase: Phase) -> Phase {
        if self == Self::Maintenance && phase == Phase::StartFirst {
            return Phase::Narrow;
        }
        let phases = self.phases(road);
        let after = phases.iter().position(|other| *other == phase).map(|at| at + 1);
        after.and_then(|at| phases.get(at)).copied().unwrap_or(Phase::Done)
    }
}

impl Phase {
    pub const ALL: [Self; 13] = [
        Self::Raise,
        Self::Narrow,
        Self::Stop,
        Self::BackUp,
        Self::Update,
        Self::Restore,
        Self::Revert,
        Self::StartFirst,
        Self::Work,
        Self::Verify,
        Self::StartOthers,
        Self::Lower,
        Self::Done,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Narrow => "narrow",
            Self::Stop => "stop",
            Self::BackUp => "back-up",
            Self::Update => "update",
            Self::Restore => "restore",
            Self::Revert => "revert",
            Self::StartFirst => "start-first",
            Self::Work => "work",
            Self::Verify => "verify",
            Self::StartOthers => "start-others",
            Self::Lower => "lower",
            Self::Done => "done",
        }
    }
}

impl Road {
    pub const ALL: [Self; 3] = [Self::Forward, Self::Back, Self::Abort];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Back => "back",
            Self::Abort => "abort",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no procedure or phase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {known}")]
pub struct UnknownName {
    given: String,
    known: String,
}

fn by_name<T: Copy + fmt::Display>(text: &str, all: &[T]) -> Result<T, UnknownName> {
    let found = all.iter().find(|one| one.to_string() == text).copied();
    found.ok_or_else(|| {
        let known: Vec<_> = all.iter().map(ToString::to_string).collect();
        UnknownName { given: text.chars().take(64).collect(), known: known.join(", ") }
    })
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(text, &Self::ALL)
    }
}

impl FromStr for Phase {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(text, &Self::ALL)
    }
}
