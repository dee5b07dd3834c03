//! What was met on the way, by the names of the types.

use std::collections::{BTreeMap, BTreeSet};

use drawspan::procedure::{Effect, Event, ObjectionKind, Phase, Road, Work};

use super::moves::Cause;
use super::world::World;

type Names = BTreeSet<&'static str>;

#[derive(Default)]
pub struct Met {
    pub states: usize,
    pub transitions: usize,
    phases: Names,
    roads: Names,
    choices: Names,
    effects: Names,
    events: Names,
    works: Names,
    objections: Names,
    /// By procedure, road and phase: what may be said there, in some state.
    pub said: BTreeMap<[&'static str; 3], Names>,
}

impl Met {
    pub fn state(&mut self, world: &World) {
        self.states += 1;
        self.phases.insert(world.procedure.phase.as_str());
        self.roads.insert(world.procedure.road.as_str());
    }

    pub fn objections(&mut self, kinds: &[ObjectionKind]) {
        self.objections.extend(kinds.iter().map(|kind| kind.code()));
    }

    pub fn transition(&mut self, world: &World, cause: &Cause) {
        self.transitions += 1;
        match cause {
            Cause::Digested(_, event) => {
                self.events.insert(event_name(event));
            }
            Cause::Began(_, Effect::Switch(_)) => {
                self.effects.insert("switch");
                self.events.insert("switched");
            }
            Cause::Began(_, Effect::Run(work)) => {
                self.effects.insert("run");
                self.events.insert("job_begins");
                self.works.insert(work_name(work));
            }
            Cause::Chose(_, choice) => {
                self.events.insert("said");
                self.choices.insert(choice.verb());
                let procedure = &world.procedure;
                let (kind, road) = (procedure.kind().as_str(), procedure.road.as_str());
                let key = [kind, road, procedure.phase.as_str()];
                self.said.entry(key).or_default().insert(choice.verb());
            }
            Cause::Ended(work, _) => {
                let looks = matches!(work, Work::Measure | Work::Rehash);
                self.events.insert(if looks { "measured" } else { "job_ended" });
            }
            Cause::PausedByMode => {
                self.events.insert("paused");
            }
            Cause::Crashed(_) => {
                self.events.insert("restarted");
            }
            Cause::Drained
            | Cause::TimePasses
            | Cause::Node(..)
            | Cause::DoneByHand
            | Cause::WorkedInside => {}
        }
    }

    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.transitions += other.transitions;
        self.phases.extend(other.phases);
        self.roads.extend(other.roads);
        self.choices.extend(other.choices);
        self.effects.extend(other.effects);
        self.events.extend(other.events);
        self.works.extend(other.works);
        self.objections.extend(other.objections);
        for (key, verbs) in other.said {
            self.said.entry(key).or_default().extend(verbs);
        }
    }

    /// Nothing that the types know was left out.
    pub fn is_everything(&self) {
        assert!(10_000 < self.states && 100_000 < self.transitions, "too little was explored");
        let all = |names: &[&'static str]| names.iter().copied().collect::<Names>();
        assert_eq!(self.phases, all(&Phase::ALL.map(Phase::as_str)));
        assert_eq!(self.roads, all(&Road::ALL.map(Road::as_str)));
        let codes = all(&ObjectionKind::ALL.map(ObjectionKind::code));
        let missing: Vec<_> = codes.difference(&self.objections).collect();
        assert!(missing.is_empty(), "objections that were never met: {missing:?}");
        assert_eq!(self.choices.len(), 12, "{:?}", self.choices);
        assert_eq!(self.effects.len(), 2, "{:?}", self.effects);
        assert_eq!(self.events.len(), 13, "{:?}", self.events);
        assert_eq!(self.works.len(), 14, "{:?}", self.works);
    }
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Said(_) => "said",
        Event::NodeDown { .. } => "node_down",
        Event::NodeCameBack { .. } => "node_came_back",
        Event::NodeStarted { .. } => "node_started",
        Event::JobBegins { .. } => "job_begins",
        Event::JobEnded { .. } => "job_ended",
        Event::JobLost { .. } => "job_lost",
        Event::Measured { .. } => "measured",
        Event::Advanced { .. } => "advanced",
        Event::Overdue => "overdue",
        Event::ClosedTooLong => "closed_too_long",
        Event::Switched { .. } => "switched",
        Event::Paused { .. } => "paused",
        Event::Restarted { .. } => "restarted",
    }
}

fn work_name(work: &Work) -> &'static str {
    match work {
        Work::Measure => "measure",
        Work::Rehash => "rehash",
        Work::Stop(_)
        | Work::StopAll
        | Work::StopOthers
        | Work::Start(_)
        | Work::StartFirst
        | Work::StartOthers
        | Work::Backup
        | Work::VerifyBackup
        | Work::Update
        | Work::Restore
        | Work::Revert
        | Work::Verify => work.command().expect("a command"),
    }
}
