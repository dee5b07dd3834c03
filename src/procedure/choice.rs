//! What an operator may say, and when.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::proof::standing;
use super::{
    Course, Event, Facts, JobState, Kind, Objection, ObjectionKind, Phase, Procedure, Road,
    Standing, Work,
};
use crate::model::{Mode, NodeId, NodeRole};

/// Something that an operator can say to a running procedure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Go on: the proof is complete, or the part done by hand is done; or a pause is over.
    Continue,
    /// It was verified.
    Confirm,
    /// Run what failed in this phase again.
    Retry,
    /// Go back to the old data and the old version.
    Rollback,
    /// Give up before anything was changed.
    Abort,
    /// Go over an objection, with a reason.
    Waive(String),
    /// Go on without a node, with a reason.
    Exclude(NodeId),
    Include(NodeId),
    /// Start another node first.
    ChangeFirst(NodeId),
    /// Keep another node.
    ChangeKeep(NodeId),
    /// Stop what came back before its turn.
    StopAgain,
    /// Take a command of unknown outcome for done.
    Adopt,
}

/// What was said, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Said {
    pub choice: Choice,
    pub by: String,
    pub why: Option<String>,
}

/// It may not be said now, for these reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{choice} is refused in phase {phase}")]
pub struct Refused {
    pub choice: String,
    pub phase: Phase,
    /// At least one.
    pub objections: Vec<Objection>,
}

impl Choice {
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Confirm => "confirm",
            Self::Retry => "retry",
            Self::Rollback => "rollback",
            Self::Abort => "abort",
            Self::Waive(_) => "waive",
            Self::Exclude(_) => "exclude",
            Self::Include(_) => "include",
            Self::ChangeFirst(_) => "change-first",
            Self::ChangeKeep(_) => "change-keep",
            Self::StopAgain => "stop-again",
            Self::Adopt => "adopt",
        }
    }

    /// The node or objection that it is about.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Waive(objection) => Some(objection),
            Self::Exclude(node)
            | Self::Include(node)
            | Self::ChangeFirst(node)
            | Self::ChangeKeep(node) => Some(node.as_str()),
            Self::Continue
            | Self::Confirm
            | Self::Retry
            | Self::Rollback
            | Self::Abort
            | Self::StopAgain
            | Self::Adopt => None,
        }
    }

    /// Does it need a reason?
    pub const fn needs_why(&self) -> bool {
        matches!(self, Self::Waive(_) | Self::Exclude(_))
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(target) => write!(f, "{} {target}", self.verb()),
            None => f.write_str(self.verb()),
        }
    }
}

/// The event that saying this makes.
///
/// # Errors
/// [`Refused`], with every reason.
pub fn choose(procedure: &Procedure, facts: &Facts, said: Said) -> Result<Event, Refused> {
    let objections = against(procedure, facts, &said.choice);
    if objections.is_empty() {
        return Ok(Event::Said(said));
    }
    Err(Refused { choice: said.choice.to_string(), phase: procedure.phase, objections })
}

/// Everything that speaks against saying this now.
pub(super) fn against(procedure: &Procedure, facts: &Facts, choice: &Choice) -> Vec<Objection> {
    let asked = Asked { procedure, facts };
    if procedure.is_over() {
        return not_here("the procedure is over", "begin another");
    }
    match choice {
        Choice::Continue => asked.continues(),
        Choice::Confirm => asked.confirm(),
        Choice::Retry => asked.retry(),
        Choice::Rollback => asked.rollback(),
        Choice::Abort => asked.abort(),
        Choice::Waive(objection) => asked.waive(objection),
        Choice::Exclude(node) => asked.exclude(node),
        Choice::Include(node) => asked.include(node),
        Choice::ChangeFirst(node) => asked.change_first(node),
        Choice::ChangeKeep(node) => asked.change_keep(node),
        Choice::StopAgain => asked.stop_again(),
        Choice::Adopt => asked.adopt(),
    }
}

pub(super) struct Asked<'a> {
    pub(super) procedure: &'a Procedure,
    pub(super) facts: &'a Facts,
}

pub(super) fn not_here(what: impl Into<String>, remedy: &str) -> Vec<Objection> {
    vec![Objection::new(ObjectionKind::NotHere, what, remedy)]
}

pub(super) fn no_way_back(what: impl Into<String>, remedy: &str) -> Vec<Objection> {
    vec![Objection::new(ObjectionKind::NoWayBack, what, remedy)]
}

impl Asked<'_> {
    pub(super) fn phase(&self) -> Phase {
        self.procedure.phase
    }

    fn standing(&self) -> Standing {
        standing(self.procedure, self.facts)
    }

    fn held(&self) -> Vec<Objection> {
        match self.procedure.hold {
            None => Vec::new(),
            Some(_) => {
                let what = "the procedure is held";
                vec![Objection::new(ObjectionKind::NotYet, what, "say `continue` first")]
            }
        }
    }

    /// What is not complete, each as an objection.
    fn open(&self, standing: Standing) -> Vec<Objection> {
        let wait = |what: &String| {
            let remedy = if self.procedure.jobs.is_empty() {
                "do it by hand as `status` says, or wait for it"
            } else {
                "wait for it; `status` shows when it is there"
            };
            Objection::new(ObjectionKind::NotYet, format!("not there yet: {what}"), remedy)
        };
        let waiting: Vec<_> = standing.waiting_for.iter().map(wait).collect();
        standing.objections.into_iter().chain(waiting).collect()
    }

    fn continues(&self) -> Vec<Objection> {
        if self.procedure.hold.is_some() {
            return Vec::new();
        }
        match self.phase() {
            Phase::Done => not_here("the procedure is over", "begin another"),
            Phase::Verify => not_here(
                "this phase needs your word that it works",
                "say `confirm` when you have verified it",
            ),
            Phase::Lower => {
                let remedy = "wait; `status` shows what it waits for";
                not_here("lowering goes on by itself as soon as nothing objects", remedy)
            }
            Phase::BackUp if self.procedure.is_by_hand() && self.procedure.backup.is_none() => {
                let mut standing = self.standing();
                standing.objections.retain(|objection| {
                    !matches!(
                        objection.kind,
                        ObjectionKind::NoBackup
                            | ObjectionKind::BackupFlawed
                            | ObjectionKind::CommandFailed
                    )
                });
                self.open(standing)
            }
            Phase::Raise
            | Phase::Narrow
            | Phase::Stop
            | Phase::BackUp
            | Phase::Update
            | Phase::Restore
            | Phase::Revert
            | Phase::StartFirst
            | Phase::Work
            | Phase::StartOthers => self.open(self.standing()),
        }
    }

    fn confirm(&self) -> Vec<Objection> {
        if self.phase() != Phase::Verify {
            return not_here("only the verify phase is confirmed", "`continue` goes on elsewhere");
        }
        let held = self.held();
        if held.is_empty() { self.open(self.standing()) } else { held }
    }

    pub(super) fn nothing_runs(&self) -> Vec<Objection> {
        let running = self.procedure.running().map(|job| {
            let what = format!("{} runs", job.work);
            let remedy = "wait until it ends; it has a time limit";
            Objection::new(ObjectionKind::CommandRunning, what, remedy)
        });
        running.collect()
    }

    fn retry(&self) -> Vec<Objection> {
        if self.procedure.jobs.is_empty() {
            let remedy = "do it by hand, then `continue`";
            return not_here("this phase has no command that could be run again", remedy);
        }
        self.nothing_runs()
    }

    fn waive(&self, id: &str) -> Vec<Objection> {
        let objections = self.standing().objections;
        let named = || objections.iter().filter(|objection| objection.id() == id);
        let Some(found) = named().find(|found| found.waivable).or_else(|| named().next()) else {
            let all: Vec<_> = objections.iter().filter(|o| o.waivable).map(Objection::id).collect();
            let what = format!("there is no objection {id} now");
            let remedy = if all.is_empty() {
                "nothing can be waived now".to_owned()
            } else {
                format!("may be waived now: {}", all.join(", "))
            };
            return not_here(what, &remedy);
        };
        if !found.waivable {
            return vec![found.clone()];
        }
        let changes_jobs =
            matches!(found.kind, ObjectionKind::BackupChanged | ObjectionKind::NoBackup);
        if changes_jobs { self.nothing_runs() } else { Vec::new() }
    }

    fn exclude(&self, id: &NodeId) -> Vec<Objection> {
        let procedure = self.procedure;
        let lowering = matches!(self.phase(), Phase::StartOthers | Phase::Lower);
        if !lowering || self.facts.mode == Mode::Cluster {
            let remedy = "stop it where it must be down; exclude it when the others start";
            return not_here("a node is left out when the others start", remedy);
        }
        match procedure.record(id) {
            None => return self.no_such_node(id),
            Some(record) if record.excluded.is_some() => {
                return not_here(format!("{id} is left out already"), "`include` takes it back");
            }
            Some(_) => {}
        }
        let (now, enough) = (self.facts.now, procedure.enough());
        let ready =
            |id: &NodeId| self.facts.node(id).is_some_and(|node| node.is_ready(now, enough));
        if procedure.is_first(id) && ready(id) {
            let what = format!("{id} is the node that the others follow, and ready");
            return vec![Objection::new(
                ObjectionKind::LastNode,
                what,
                "leave out another, or go back",
            )];
        }
        let mut others = procedure.serving().filter(|other| *other != id);
        // What follows a first node that is gone must have been restarted after it.
        let may_stand_alone = |other: &NodeId| {
            let started = procedure.record(other).is_some_and(|one| one.course == Course::Started);
            ready(other) && (started || !procedure.is_first(id))
        };
        if !procedure.is_worker(id) && !others.any(may_stand_alone) {
            let what = format!("without {id} no node is ready");
            let remedy = "bring another node up first";
            return vec![Objection::new(ObjectionKind::LastNode, what, remedy)];
        }
        Vec::new()
    }

    fn no_such_node(&self, id: &NodeId) -> Vec<Objection> {
        let known: Vec<_> = self.procedure.nodes.iter().map(|node| node.id.as_str()).collect();
        not_here(format!("there is no node {id}"), &format!("it has {}", known.join(", ")))
    }

    fn include(&self, id: &NodeId) -> Vec<Objection> {
        match self.procedure.record(id) {
            None => self.no_such_node(id),
            Some(record) if record.excluded.is_none() => {
                not_here(format!("{id} is not left out"), "nothing is to be done")
            }
            Some(_) if self.phase() != Phase::StartOthers => {
                let remedy = "include it when the others start, or after the procedure";
                not_here("a node is taken back when the others start", remedy)
            }
            Some(_) => Vec::new(),
        }
    }

    /// May this node take the first one's place?
    fn stand_in(&self, id: &NodeId) -> Vec<Objection> {
        let Some(member) = self.procedure.begin.member(id) else { return self.no_such_node(id) };
        if self.procedure.is_first(id) {
            return not_here(format!("{id} is the one already"), "name another node");
        }
        let excluded = self.procedure.record(id).is_some_and(|node| node.excluded.is_some());
        if member.role == NodeRole::Worker || excluded {
            return not_here(format!("{id} takes no traffic"), "name a node of role request");
        }
        self.nothing_runs()
    }

    fn change_first(&self, id: &NodeId) -> Vec<Objection> {
        let starting = matches!(self.phase(), Phase::StartFirst | Phase::Verify);
        if self.procedure.kind() == Kind::Maintenance || !starting {
            let remedy = "in-app maintenance has `change-keep`";
            return not_here("another first node is chosen while the first one starts", remedy);
        }
        self.stand_in(id)
    }

    fn change_keep(&self, id: &NodeId) -> Vec<Objection> {
        let before_others = matches!(
            self.phase(),
            Phase::Narrow | Phase::Stop | Phase::StartFirst | Phase::Work | Phase::Verify
        );
        let maintenance = self.procedure.kind() == Kind::Maintenance;
        if !maintenance || !before_others || self.procedure.road != Road::Forward {
            let remedy = "where a first node starts, `change-first` starts another one";
            return not_here("in-app maintenance keeps a node, before the others start", remedy);
        }
        self.stand_in(id)
    }

    fn stop_again(&self) -> Vec<Objection> {
        if self.procedure.to_stop_again().next().is_none() {
            let remedy = "nothing is to be stopped again";
            return not_here("no node came back before its turn", remedy);
        }
        let stops = |job: &&super::Job| super::step::is_stop(&job.work);
        let running = self.procedure.running().filter(stops).map(|job| {
            let what = format!("{} runs", job.work);
            Objection::new(ObjectionKind::CommandRunning, what, "wait until it ends")
        });
        let stopping: Vec<_> = running.collect();
        // Before the version is touched everything begins anew: what runs must have ended.
        let anew = self.procedure.rests_on_new_backup();
        if anew || matches!(self.phase(), Phase::StartOthers | Phase::StartFirst) {
            self.nothing_runs()
        } else {
            stopping
        }
    }

    fn adopt(&self) -> Vec<Objection> {
        let mut lost =
            self.procedure.jobs.iter().filter(|job| matches!(job.state, JobState::Unknown { .. }));
        let Some(first) = lost.next() else {
            return not_here("no command has an unknown outcome", "`continue` goes on");
        };
        if first.work == Work::Restore || lost.any(|job| job.work == Work::Restore) {
            let what = "a restore that was cut short leaves half a database";
            return no_way_back(what, "`retry` restores again from the start");
        }
        Vec::new()
    }
}
