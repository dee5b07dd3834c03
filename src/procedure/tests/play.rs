//! A procedure that is walked through by hand, and what is known of its world.

use std::time::Duration;

use super::super::*;
use crate::model::{Mode, NodeId, NodeRole, NodeState, Timestamp};

pub(super) const SECOND: i64 = 1_000;

/// A procedure, and what is known of its world.
pub(super) struct Play {
    pub(super) procedure: Procedure,
    pub(super) facts: Facts,
    pub(super) file: Option<(u64, &'static str)>,
}

pub(super) fn id(name: &str) -> NodeId {
    name.parse().expect("a legal id")
}

pub(super) fn begin(kind: Kind) -> Begin {
    let member = |name: &str, role, address: bool| Member {
        id: id(name),
        role,
        address: address.then(|| "node:13000".to_owned()),
        means: NodeMeans { start: true, stop: true, status: false, build: false },
    };
    let limits = [(Phase::StartFirst, Duration::from_secs(600))];
    Begin {
        kind,
        first: id("n1"),
        members: vec![member("n1", NodeRole::Request, true), member("n2", NodeRole::Request, true)],
        to: None,
        auto: true,
        means: Means {
            backup: true,
            verify_backup: true,
            update: true,
            restore: true,
            revert: true,
            ..Means::default()
        },
        bounds: Bounds {
            down_after: Duration::from_secs(30),
            ready_in_a_row: 5,
            stale_after: Duration::from_secs(10),
            closed_max: Duration::from_secs(3_600),
            limits: PhaseLimits::new(limits),
        },
        before: Before {
            version: Some("1".to_owned()),
            build: Some("old".to_owned()),
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

impl Play {
    pub(super) fn new(begin: Begin) -> Self {
        let at = Timestamp::from_millis(1_000 * SECOND);
        let nodes = begin.members.iter().map(|member| NodeFacts::unknown(member.id.clone()));
        let facts = Facts {
            now: at,
            mode: Mode::Cluster,
            switching: false,
            switch_refused: None,
            nodes: nodes.collect(),
            free_bytes: Some(10_000),
        };
        let mut play = Self { procedure: Procedure::new(1, begin, at), facts, file: None };
        for name in ["n1", "n2"] {
            play.up(name, "old");
        }
        play
    }

    /// An upgrade in this phase, everything having gone well until then.
    pub(super) fn upgrade_in(phase: Phase) -> Self {
        Self::of(begin(Kind::Upgrade)).until(phase)
    }

    pub(super) fn of(begin: Begin) -> Self {
        Self::new(begin)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.facts.now
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.facts.now = Timestamp::from_millis(self.now().as_millis() + seconds * SECOND);
    }

    pub(super) fn known(&mut self, name: &str) -> &mut NodeFacts {
        self.facts.nodes.iter_mut().find(|node| node.id == id(name)).expect("it is there")
    }

    pub(super) fn up(&mut self, name: &str, build: &str) {
        let now = self.now();
        let known = self.known(name);
        known.taken = Some(now);
        known.answered = Some(now);
        known.unreached_since = None;
        known.state = NodeState::Ready;
        known.reason = "ready".to_owned();
        known.ready_in_a_row = 5;
        known.build = Some(build.to_owned());
        known.version = Some(if build == "old" { "1" } else { "2" }.to_owned());
        known.plugins = Some(vec!["a".to_owned()]);
    }

    pub(super) fn refuses(&mut self, name: &str) {
        let now = self.now();
        let known = self.known(name);
        known.taken = Some(now);
        known.unreached_since.get_or_insert(now);
        known.state = NodeState::Down;
        known.reason = "refused".to_owned();
        known.ready_in_a_row = 0;
    }

    pub(super) fn times_out(&mut self, name: &str) {
        self.refuses(name);
        let known = self.known(name);
        known.unreached_since = None;
        known.reason = "timed out".to_owned();
    }

    pub(super) fn reports(&mut self, name: &str, status: NodeStatus) {
        let at = self.now();
        self.known(name).status = Some(Reported { at, status });
    }

    pub(super) fn happens(&mut self, event: &Event) {
        let stepped = step(&self.procedure, self.procedure.stamp + 1, self.now(), event);
        self.procedure = stepped.expect("the event has its place");
    }

    pub(super) fn digest(&mut self) {
        while let Some(event) = digest(&self.procedure, &self.facts) {
            self.happens(&event);
        }
    }

    pub(super) fn wanted(&self) -> Option<Effect> {
        wanted(&self.procedure, &self.facts)
    }

    pub(super) fn begins(&mut self, work: &Work) -> u64 {
        assert_eq!(self.wanted(), Some(Effect::Run(work.clone())));
        let number = self.procedure.next_number();
        let ticket = Ticket { number, pid: 7, started: 1, boot: "b".to_owned() };
        self.happens(&Event::JobBegins { work: work.clone(), ticket });
        number
    }

    pub(super) fn ends(&mut self, number: u64, code: i32) {
        self.happens(&Event::JobEnded { number, ending: Ending::Exited(code) });
    }

    pub(super) fn measured(&mut self, number: u64) {
        let modified = self.now();
        let artefact = |(bytes, digest): (u64, &str)| Artefact {
            path: "/b".to_owned(),
            bytes,
            sha256: digest.to_owned(),
            modified,
        };
        let artefacts: Vec<_> = self.file.map(artefact).into_iter().collect();
        let missing = artefacts.is_empty().then(|| Flaw::Missing { path: "/b".to_owned() });
        let flaws = missing.into_iter().collect();
        self.happens(&Event::Measured { number, artefacts, flaws });
    }

    /// Does what is wanted, and all of it works.
    pub(super) fn goes_well(&mut self) {
        self.wait(1);
        let upgrade = self.procedure.kind() == Kind::Upgrade;
        let forward = self.procedure.road == Road::Forward;
        let builds = if upgrade && forward { "new" } else { "old" };
        for node in self.procedure.nodes.clone() {
            let member = self.procedure.begin.member(&node.id).expect("it takes part");
            if member.address.is_none() {
                continue;
            }
            match node.course {
                Course::Untouched if self.procedure.kind() == Kind::FirstStart => {
                    let serves = self.known(node.id.as_str()).state == NodeState::Ready;
                    if serves || self.is_started(&node.id) {
                        self.up(node.id.as_str(), builds);
                    } else {
                        self.refuses(node.id.as_str());
                    }
                }
                Course::Stopping | Course::Down if !self.is_started(&node.id) => {
                    self.refuses(node.id.as_str());
                }
                _ => {
                    let build = self.known(node.id.as_str()).build.clone();
                    self.up(node.id.as_str(), &build.unwrap_or_default());
                }
            }
        }
        let phase = self.procedure.phase;
        self.digest();
        if self.procedure.phase != phase {
            return;
        }
        match self.wanted() {
            Some(Effect::Switch(mode)) => {
                self.happens(&Event::Switched { to: mode.clone(), own: true });
                self.facts.mode = mode;
            }
            Some(Effect::Run(work)) => {
                let number = self.begins(&work);
                match &work {
                    Work::Measure | Work::Rehash => return self.measured(number),
                    Work::Backup => self.file = Some((1_000, "good")),
                    Work::Start(node) => {
                        self.ends(number, 0);
                        self.wait(1);
                        return self.up(node.as_str(), builds);
                    }
                    _ => {}
                }
                self.ends(number, 0);
            }
            None => self.wait(5),
        }
    }

    pub(super) fn is_started(&self, node: &NodeId) -> bool {
        let starts = |job: &&Job| job.work == Work::Start(node.clone());
        self.procedure.jobs.iter().any(|job| starts(&job) && job.has_succeeded())
    }

    pub(super) fn until(mut self, phase: Phase) -> Self {
        for _ in 0..200 {
            if self.procedure.phase == phase {
                return self;
            }
            if self.procedure.phase == Phase::Verify {
                self.digest();
                self.says(Choice::Confirm);
            }
            if self.procedure.phase == Phase::Work {
                self.digest();
                self.says(Choice::Continue);
            }
            self.digest();
            if self.procedure.phase != phase {
                self.goes_well();
            }
        }
        panic!("{phase} never came, but {:#?}", view(&self.procedure, &self.facts));
    }

    #[track_caller]
    pub(super) fn says(&mut self, choice: Choice) {
        let said = Said { choice, by: "ann".to_owned(), why: Some("seen".to_owned()) };
        let event = choose(&self.procedure, &self.facts, said).expect("it may be said");
        self.happens(&event);
    }

    pub(super) fn refused(&self, choice: Choice) -> Vec<String> {
        let said = Said { choice, by: "ann".to_owned(), why: None };
        match choose(&self.procedure, &self.facts, said) {
            Ok(_) => Vec::new(),
            Err(refused) => refused.objections.iter().map(Objection::id).collect(),
        }
    }

    pub(super) fn objections(&self) -> Vec<String> {
        standing(&self.procedure, &self.facts).objections.iter().map(Objection::id).collect()
    }

    pub(super) fn course(&self, name: &str) -> Course {
        self.procedure.record(&id(name)).expect("it is there").course
    }

    pub(super) fn restarts(&mut self, jobs: Vec<FoundJob>) {
        let means = self.procedure.begin.means;
        self.happens(&Event::Restarted { jobs, means, nodes_changed: None });
    }
}
