//! What a procedure was begun with, and what it would do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Kind, Phase, Road, Work};
use crate::model::{NodeId, NodeRole, Timestamp};

/// Everything that a procedure is begun with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Begin {
    pub kind: Kind,
    /// The first node to start; in in-app maintenance the kept one.
    pub first: NodeId,
    pub members: Vec<Member>,
    /// The version to reach, where the operator named one.
    pub to: Option<String>,
    /// Goes on by itself wherever the proof is complete.
    pub auto: bool,
    pub means: Means,
    pub bounds: Bounds,
    pub before: Before,
    /// Where the backup goes, placeholders filled.
    pub backup_path: String,
    pub artefacts: Vec<String>,
    pub by: String,
    pub why: Option<String>,
}

/// A node that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    pub id: NodeId,
    pub role: NodeRole,
    /// A worker may have none: then no probe can tell anything of it.
    pub address: Option<String>,
    pub means: NodeMeans,
}

/// Which commands there are for one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeMeans {
    pub start: bool,
    pub stop: bool,
    pub status: bool,
    pub build: bool,
}

/// Which other commands there are. What there is none for is done by hand and watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "one for each command of the configuration")]
pub struct Means {
    pub stop_all: bool,
    pub stop_others: bool,
    pub start_first: bool,
    pub start_others: bool,
    pub backup: bool,
    pub verify_backup: bool,
    pub update: bool,
    pub restore: bool,
    pub revert: bool,
    pub verify: bool,
}

impl Means {
    /// Is there what this is done by, as far as the configuration as a whole says?
    pub(super) const fn has(&self, work: &Work) -> bool {
        match work {
            Work::StopAll => self.stop_all,
            Work::StopOthers => self.stop_others,
            Work::StartFirst => self.start_first,
            Work::StartOthers => self.start_others,
            Work::Backup => self.backup,
            Work::VerifyBackup => self.verify_backup,
            Work::Update => self.update,
            Work::Restore => self.restore,
            Work::Revert => self.revert,
            Work::Verify => self.verify,
            // Of one node, or the gateway's own.
            Work::Stop(_) | Work::Start(_) | Work::Measure | Work::Rehash => true,
        }
    }
}

/// How much proof is enough, and how long things may take.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bounds {
    /// Refused without a break for this long counts as down.
    pub down_after: Duration,
    /// Ready probes in a row.
    pub ready_in_a_row: u32,
    /// Facts older than this count for nothing.
    pub stale_after: Duration,
    /// Traffic may be closed, or on one node, for this long until an alarm.
    pub closed_max: Duration,
    pub limits: PhaseLimits,
}

/// How long each phase may take until it is overdue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PhaseLimits(Vec<(Phase, Duration)>);

/// What was true when it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Before {
    /// The version row of the database.
    pub version: Option<String>,
    /// What a node ran, by its page's entry script, or by the operator's `build` command.
    pub build: Option<String>,
    pub image: Option<String>,
    /// The enabled plugins.
    pub plugins: Option<Vec<String>>,
    /// Bytes of the last backup on record.
    pub backup_bytes: Option<u64>,
}

impl PhaseLimits {
    pub fn new(limits: impl IntoIterator<Item = (Phase, Duration)>) -> Self {
        Self(limits.into_iter().collect())
    }

    /// `None` where a phase may take any time.
    pub fn of(&self, phase: Phase) -> Option<Duration> {
        self.0.iter().find(|(limited, _)| *limited == phase).map(|(_, limit)| *limit)
    }
}

impl Begin {
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// Is there a verify phase? In a first start only where a command can do it: nothing served
    /// before that could be compared.
    pub const fn verifies(&self) -> bool {
        match self.kind {
            Kind::FirstStart => self.means.verify,
            Kind::Upgrade | Kind::Maintenance => true,
        }
    }

    /// The phase after `phase`, without those that this procedure leaves out.
    pub fn next(&self, road: Road, phase: Phase) -> Phase {
        match self.kind.next(road, phase) {
            Phase::Verify if !self.verifies() => self.kind.next(road, Phase::Verify),
            next => next,
        }
    }
}

/// A phase that a procedure would go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPhase {
    pub phase: Phase,
    /// What is done, and by which command or by whose hand.
    pub does: String,
    /// What must be proven before the next one.
    pub needs: String,
    pub limit: Option<Duration>,
}

/// The phases that `begin` would go through.
pub fn planned(begin: &Begin, at: Timestamp) -> Vec<PlannedPhase> {
    let mut procedure = super::Procedure::new(0, begin.clone(), at);
    let mut phases = Vec::new();
    while procedure.phase != Phase::Done {
        phases.push(PlannedPhase {
            phase: procedure.phase,
            does: super::view::does(&procedure),
            needs: super::view::needs(&procedure),
            limit: begin.bounds.limits.of(procedure.phase),
        });
        if procedure.phase == Phase::Stop {
            // As they will be then, so that the commands that start them are named.
            procedure.take_all_down();
        }
        let next = begin.next(Road::Forward, procedure.phase);
        procedure.enter(next, at);
    }
    phases
}
