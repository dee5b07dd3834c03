//! A small world around one procedure: what its nodes really are, and what may happen to it. Time is
//! a matter of order only: something is old, recent (nothing was looked at since), or now.

use std::time::Duration;

use drawspan::model::{Mode, NodeId, NodeRole, Timestamp};
use drawspan::procedure::{
    Before, Begin, Bounds, Ending, Flaw, JobState, Kind, Means, Member, NodeMeans, Phase,
    PhaseLimits, Procedure,
};

pub const LONG_AGO: Timestamp = Timestamp::from_millis(-1_000_000);
pub const OLD: Timestamp = Timestamp::from_millis(0);
/// A probe that ended just before what is recent.
pub const BEFORE_RECENT: Timestamp = Timestamp::from_millis(999_000);
pub const RECENT: Timestamp = Timestamp::from_millis(1_000_000);
pub const NOW: Timestamp = Timestamp::from_millis(1_002_000);
pub const STALE: Timestamp = Timestamp::from_millis(900_000);

/// A cluster and a way to run it, for the explorer to go through.
#[derive(Clone)]
pub struct Setup {
    pub name: &'static str,
    pub kind: Kind,
    pub auto: bool,
    pub commands: Commands,
    /// The last one is a worker without an address.
    pub worker: bool,
    pub status: bool,
    /// Phases may be overdue, traffic closed for too long.
    pub limits: bool,
    /// The configuration may change while the gateway restarts.
    pub changes: bool,
    /// What may go wrong.
    pub trouble: Trouble,
    /// So often it may, on one way.
    pub troubles: u8,
}

/// Who makes trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They crash, hang, do not come up, come back by themselves.
    Nodes,
    /// They fail, with or without having done their work; files are not what they should be.
    Commands,
    /// It dies and comes up again; somebody raises the bridge by hand.
    Gateway,
    /// They go over objections, leave nodes out, change their mind.
    Operator,
    /// Status commands.
    Lies,
}

impl Trouble {
    pub const ALL: [Self; 5] =
        [Self::Nodes, Self::Commands, Self::Gateway, Self::Operator, Self::Lies];
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    ByHand,
    EachNode,
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    Old,
    New,
}

/// What a node really does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runs {
    Stopped,
    /// It refuses, and will answer.
    Starting(Version),
    Up(Version),
    /// It hangs: everything times out.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub id: NodeId,
    pub now: Runs,
    /// What it was when it was last probed.
    pub seen: Runs,
    /// It runs since before the work inside the application.
    pub split: bool,
}

/// What lies where the backup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    Nothing,
    Backup,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub procedure: Procedure,
    pub mode: Mode,
    /// A switch runs, from this mode.
    pub leaving: Option<Mode>,
    pub nodes: Vec<Node>,
    /// The version that a start would run.
    pub disk: Version,
    pub database: Version,
    pub file: File,
    /// Something was done inside the application.
    pub worked: bool,
    /// A node came back since the last backup, and nothing of the new version was begun before.
    pub void: bool,
    pub troubles: u8,
}

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "1",
            Self::New => "2",
        }
    }
}

impl Setup {
    pub fn means(&self) -> Means {
        let (each, groups) = (self.commands != Commands::ByHand, self.commands == Commands::Groups);
        Means {
            stop_all: groups,
            stop_others: groups,
            start_first: groups,
            start_others: groups,
            backup: each,
            verify_backup: each,
            update: each,
            restore: each,
            revert: each,
            verify: groups,
        }
    }

    fn members(&self) -> Vec<Member> {
        let each = self.commands == Commands::EachNode;
        let member = |(id, worker): (&str, bool)| Member {
            id: id.parse().expect("a legal id"),
            role: if worker { NodeRole::Worker } else { NodeRole::Request },
            address: (!worker).then(|| "node:13000".to_owned()),
            means: NodeMeans { start: each, stop: each, status: self.status, build: false },
        };
        let mut members: Vec<_> = [("n1", false), ("n2", false)].map(member).into();
        members.extend(self.worker.then(|| member(("w1", true))));
        members
    }

    pub fn begin(&self) -> Begin {
        let day = Duration::from_secs(86_400);
        let limit = if self.limits { Duration::from_secs(500) } else { 365 * day };
        Begin {
            kind: self.kind,
            first: "n1".parse().expect("a legal id"),
            members: self.members(),
            to: None,
            auto: self.auto,
            means: self.means(),
            bounds: Bounds {
                down_after: Duration::from_secs(30),
                ready_in_a_row: 5,
                stale_after: Duration::from_secs(10),
                closed_max: limit,
                limits: PhaseLimits::new([(Phase::StartFirst, limit), (Phase::StartOthers, limit)]),
            },
            before: Before {
                version: Some(Version::Old.as_str().to_owned()),
                build: (self.kind != Kind::FirstStart).then(|| Version::Old.as_str().to_owned()),
                image: None,
                plugins: Some(vec!["a".to_owned()]),
                backup_bytes: Some(1_000),
            },
            backup_path: "/b".to_owned(),
            artefacts: vec!["/b".to_owned()],
            by: "ann".to_owned(),
            why: None,
        }
    }

    pub fn world(&self) -> World {
        let begin = self.begin();
        let runs =
            if self.kind == Kind::FirstStart { Runs::Stopped } else { Runs::Up(Version::Old) };
        let node =
            |member: &Member| Node { id: member.id.clone(), now: runs, seen: runs, split: false };
        World {
            nodes: begin.members.iter().map(node).collect(),
            procedure: Procedure::new(1, begin, OLD),
            mode: Mode::Cluster,
            leaving: None,
            disk: Version::Old,
            database: Version::Old,
            file: File::Nothing,
            worked: false,
            void: false,
            troubles: 0,
        }
    }
}

impl World {
    pub fn has_address(&self, id: &NodeId) -> bool {
        self.procedure.begin.member(id).is_some_and(|member| member.address.is_some())
    }

    /// Two worlds that differ only in what no rule ever looks at become one.
    pub fn settle(&mut self) {
        let procedure = &mut self.procedure;
        procedure.stamp = 1;
        procedure.jobs_begun = u32::try_from(procedure.jobs.len()).expect("a few");
        let mut touched = procedure.touched.map(|_| LONG_AGO);
        for (at, job) in (10_000_u64..).zip(&mut procedure.jobs) {
            match &mut job.state {
                JobState::Wanted => {}
                JobState::Running { ticket, since } => {
                    ticket.number = at;
                    if procedure.touched == Some(*since) {
                        touched = Some(OLD);
                    }
                    *since = OLD;
                }
                JobState::Ended { ending, at } => {
                    *ending = Ending::Exited(i32::from(!ending.is_success()));
                    *at = OLD;
                }
                JobState::Unknown { number } => *number = at,
            }
        }
        procedure.touched = touched;
        for flaw in &mut procedure.flaws {
            *flaw = Flaw::Missing { path: "/b".to_owned() };
        }
        procedure.flaws.truncate(1);
        for waiver in &mut procedure.waivers {
            waiver.at = OLD;
        }
        procedure.waivers.sort_by(|one, other| one.objection.cmp(&other.objection));
        procedure.waivers.dedup_by(|one, other| one.objection == other.objection);
        if let Some(backup) = &mut procedure.backup {
            backup.at = OLD;
            for artefact in &mut backup.artefacts {
                artefact.modified = OLD;
            }
        }
        procedure.published = procedure.published.map(|_| OLD);
        self.times(|time| if time == NOW { RECENT } else { time });
    }

    /// Everything recent was a while ago, and every node was probed since.
    pub fn pass_time(&mut self) {
        self.times(|_| OLD);
        for node in &mut self.nodes {
            node.seen = node.now;
        }
    }

    /// The times that facts are compared with.
    fn times(&mut self, new: impl Fn(Timestamp) -> Timestamp) {
        let procedure = &mut self.procedure;
        procedure.since = new(procedure.since);
        procedure.resumed = procedure.resumed.map(&new);
        for node in &mut procedure.nodes {
            node.stop_ended = node.stop_ended.map(&new);
            node.down_at = node.down_at.map(&new);
        }
    }

    pub fn is_settled_in_time(&self) -> bool {
        let mut later = self.clone();
        later.pass_time();
        later == *self
    }
}
