//! The three procedures, walked through by hand: each guard and each edge once.

use std::time::Duration;

use super::*;
use crate::model::{Mode, NodeId, NodeRole, NodeState, Timestamp};

const SECOND: i64 = 1_000;

/// A procedure, and what is known of its world.
struct Play {
    procedure: Procedure,
    facts: Facts,
    file: Option<(u64, &'static str)>,
}

fn id(name: &str) -> NodeId {
    name.parse().expect("a legal id")
}

fn begin(kind: Kind) -> Begin {
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
    fn new(begin: Begin) -> Self {
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
    fn upgrade_in(phase: Phase) -> Self {
        Self::of(begin(Kind::Upgrade)).until(phase)
    }

    fn of(begin: Begin) -> Self {
        Self::new(begin)
    }

    fn now(&self) -> Timestamp {
        self.facts.now
    }

    fn wait(&mut self, seconds: i64) {
        self.facts.now = Timestamp::from_millis(self.now().as_millis() + seconds * SECOND);
    }

    fn known(&mut self, name: &str) -> &mut NodeFacts {
        self.facts.nodes.iter_mut().find(|node| node.id == id(name)).expect("it is there")
    }

    fn up(&mut self, name: &str, build: &str) {
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

    fn refuses(&mut self, name: &str) {
        let now = self.now();
        let known = self.known(name);
        known.taken = Some(now);
        known.unreached_since.get_or_insert(now);
        known.state = NodeState::Down;
        known.reason = "refused".to_owned();
        known.ready_in_a_row = 0;
    }

    fn times_out(&mut self, name: &str) {
        self.refuses(name);
        let known = self.known(name);
        known.unreached_since = None;
        known.reason = "timed out".to_owned();
    }

    fn reports(&mut self, name: &str, status: NodeStatus) {
        let at = self.now();
        self.known(name).status = Some(Reported { at, status });
    }

    fn happens(&mut self, event: &Event) {
        let stepped = step(&self.procedure, self.procedure.stamp + 1, self.now(), event);
        self.procedure = stepped.expect("the event has its place");
    }

    fn digest(&mut self) {
        while let Some(event) = digest(&self.procedure, &self.facts) {
            self.happens(&event);
        }
    }

    fn wanted(&self) -> Option<Effect> {
        wanted(&self.procedure, &self.facts)
    }

    fn begins(&mut self, work: &Work) -> u64 {
        assert_eq!(self.wanted(), Some(Effect::Run(work.clone())));
        let number = self.procedure.next_number();
        let ticket = Ticket { number, pid: 7, started: 1, boot: "b".to_owned() };
        self.happens(&Event::JobBegins { work: work.clone(), ticket });
        number
    }

    fn ends(&mut self, number: u64, code: i32) {
        self.happens(&Event::JobEnded { number, ending: Ending::Exited(code) });
    }

    fn measured(&mut self, number: u64) {
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
    fn goes_well(&mut self) {
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

    fn is_started(&self, node: &NodeId) -> bool {
        let starts = |job: &&Job| job.work == Work::Start(node.clone());
        self.procedure.jobs.iter().any(|job| starts(&job) && job.has_succeeded())
    }

    fn until(mut self, phase: Phase) -> Self {
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
    fn says(&mut self, choice: Choice) {
        let said = Said { choice, by: "ann".to_owned(), why: Some("seen".to_owned()) };
        let event = choose(&self.procedure, &self.facts, said).expect("it may be said");
        self.happens(&event);
    }

    fn refused(&self, choice: Choice) -> Vec<String> {
        let said = Said { choice, by: "ann".to_owned(), why: None };
        match choose(&self.procedure, &self.facts, said) {
            Ok(_) => Vec::new(),
            Err(refused) => refused.objections.iter().map(Objection::id).collect(),
        }
    }

    fn objections(&self) -> Vec<String> {
        standing(&self.procedure, &self.facts).objections.iter().map(Objection::id).collect()
    }

    fn course(&self, name: &str) -> Course {
        self.procedure.record(&id(name)).expect("it is there").course
    }

    fn restarts(&mut self, jobs: Vec<FoundJob>) {
        let means = self.procedure.begin.means;
        self.happens(&Event::Restarted { jobs, means, nodes_changed: None });
    }
}

#[test]
fn every_procedure_that_goes_well_ends_in_service() {
    for kind in Kind::ALL {
        let mut play = Play::of(begin(kind));
        if kind == Kind::FirstStart {
            play.refuses("n1");
            play.refuses("n2");
        }
        let play = play.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::Completed), "{kind}");
        assert_eq!(play.facts.mode, Mode::Cluster, "{kind}");
    }
}

#[test]
fn a_refused_port_is_down_only_when_it_lasted_since_the_stop_command_ended() {
    let mut play = Play::upgrade_in(Phase::Stop);
    play.refuses("n1");
    play.wait(100);
    let number = play.begins(&Work::Stop(id("n1")));
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping, "its command still runs");
    play.ends(number, 0);
    play.wait(29);
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping);
    play.wait(1);
    play.refuses("n1");
    play.digest();
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn time_outs_prove_nothing_and_may_be_waived() {
    let mut play = Play::upgrade_in(Phase::Stop);
    for name in ["n1", "n2"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.ends(number, 0);
    }
    play.wait(60);
    play.refuses("n2");
    play.times_out("n1");
    play.digest();
    assert_eq!(play.objections(), ["not_down:n1"]);
    play.says(Choice::Waive("not_down:n1".to_owned()));
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn a_node_that_answers_after_its_stop_cannot_be_waived() {
    let mut play = Play::upgrade_in(Phase::Stop);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.wait(60);
    play.up("n1", "old");
    play.digest();
    assert_eq!(play.objections(), ["not_down:n1"]);
    assert_eq!(play.refused(Choice::Waive("not_down:n1".to_owned())), ["not_down:n1"]);
}

#[test]
fn a_status_command_that_says_stopped_is_proof_at_once_but_not_from_before() {
    let mut play = Play::upgrade_in(Phase::Stop);
    play.reports("n1", NodeStatus::Stopped);
    play.wait(1);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.digest();
    assert_eq!(play.course("n1"), Course::Stopping);
    play.reports("n1", NodeStatus::Stopped);
    play.digest();
    assert_eq!(play.course("n1"), Course::Down);
}

#[test]
fn no_phase_goes_on_while_a_stop_command_was_not_begun() {
    let mut play = Play::upgrade_in(Phase::Stop);
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    play.refuses("n1");
    play.wait(31);
    play.refuses("n1");
    play.digest();
    assert_eq!((play.course("n1"), play.procedure.phase), (Course::Down, Phase::Stop));
}

#[test]
fn a_node_that_comes_back_voids_the_backup_until_the_update_is_begun() {
    for phase in [Phase::BackUp, Phase::Update] {
        let mut play = Play::upgrade_in(phase);
        if phase == Phase::BackUp {
            for _ in 0..3 {
                play.goes_well();
            }
        }
        play.wait(1);
        play.up("n2", "old");
        play.digest();
        assert_eq!(play.procedure.phase, phase);
        assert_eq!(play.course("n2"), Course::CameBack, "{phase}");
        assert_eq!(play.procedure.backup, None, "{phase}");
        assert_eq!(play.wanted(), None, "{phase}");
        assert!(play.objections().contains(&"came_back:n2".to_owned()));
        play.says(Choice::StopAgain);
        assert_eq!(play.procedure.phase, Phase::Stop);
        let play = play.until(Phase::StartFirst);
        assert!(play.procedure.backup.is_some());
    }
}

#[test]
fn once_the_update_was_begun_the_backup_stays_when_a_node_comes_back() {
    let mut play = Play::upgrade_in(Phase::Update);
    let number = play.begins(&Work::Update);
    play.wait(1);
    play.up("n2", "old");
    play.digest();
    assert!(play.procedure.backup.is_some());
    play.says(Choice::StopAgain);
    assert_eq!(play.procedure.phase, Phase::Update);
    let stop = play.begins(&Work::Stop(id("n2")));
    play.ends(stop, 0);
    play.ends(number, 0);
    assert_eq!(play.course("n2"), Course::Stopping);
}

#[test]
fn an_update_that_never_ran_touched_nothing() {
    let mut play = Play::upgrade_in(Phase::Update);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    let number = play.begins(&Work::Update);
    assert!(play.procedure.touched.is_some());
    play.restarts(vec![FoundJob::NeverRan { number }]);
    assert_eq!(play.procedure.touched, None);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    play.says(Choice::Continue);
    let play = play.until(Phase::StartFirst);
    assert_eq!(play.refused(Choice::Abort), ["no_way_back"]);
}

#[test]
fn a_backup_of_less_than_half_is_objected_to_and_asked_again_after_a_retry() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    play.file = Some((499, "good"));
    let number = play.begins(&Work::Measure);
    play.measured(number);
    assert_eq!(play.objections(), ["much_smaller"]);
    play.says(Choice::Waive("much_smaller".to_owned()));
    assert_eq!(play.objections(), [""; 0]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    let number = play.begins(&Work::Measure);
    play.measured(number);
    assert_eq!(play.objections(), ["much_smaller"]);
}

#[test]
fn a_file_from_before_the_backup_is_none() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 0);
    let number = play.begins(&Work::Measure);
    let modified = Timestamp::from_millis(play.procedure.since.as_millis() - 1);
    let old = Artefact { path: "/b".into(), bytes: 1_000, sha256: "x".into(), modified };
    play.happens(&Event::Measured { number, artefacts: vec![old], flaws: Vec::new() });
    assert_eq!(play.procedure.backup, None);
    assert!(play.objections().contains(&"backup_flawed".to_owned()));
}

#[test]
fn too_little_space_keeps_the_backup_from_beginning_until_it_is_waived() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    play.facts.free_bytes = Some(999);
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["little_space"]);
    play.says(Choice::Waive("little_space".to_owned()));
    play.begins(&Work::Backup);
}

#[test]
fn after_a_restart_a_backup_that_changed_is_named_and_nothing_rests_on_it() {
    let mut play = Play::upgrade_in(Phase::Update);
    play.restarts(Vec::new());
    play.file = Some((1_000, "other"));
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"backup_changed".to_owned()));
    play.wait(60);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!((play.wanted(), play.procedure.phase), (None, Phase::Update));
}

#[test]
fn a_second_look_does_not_bring_back_a_backup_that_was_given_up() {
    let mut play = Play::upgrade_in(Phase::Update);
    play.restarts(Vec::new());
    let number = play.begins(&Work::Rehash);
    play.wait(1);
    play.up("n2", "old");
    play.digest();
    play.measured(number);
    assert_eq!(play.procedure.backup, None);
}

#[test]
fn without_a_backup_there_is_no_rollback() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let number = play.begins(&Work::Backup);
    play.ends(number, 1);
    play.says(Choice::Waive("no_backup".to_owned()));
    let play = play.until(Phase::StartFirst);
    assert_eq!(play.refused(Choice::Rollback), ["no_way_back"]);
}

#[test]
fn a_rollback_leads_back_to_service_from_each_phase_after_the_update_was_begun() {
    for phase in [Phase::Update, Phase::StartFirst, Phase::Verify, Phase::StartOthers, Phase::Lower]
    {
        let mut play = Play::upgrade_in(phase);
        play.says(Choice::Rollback);
        let mut again = play.until(Phase::Verify);
        assert_eq!(again.procedure.road, Road::Back);
        // And once more, from the way back itself.
        again.says(Choice::Rollback);
        let play = again.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::RolledBack), "{phase}");
    }
}

#[test]
fn the_way_back_ends_where_the_public_wrote() {
    let mut play = Play::upgrade_in(Phase::Lower);
    play.digest();
    play.happens(&Event::Switched { to: Mode::Cluster, own: true });
    assert_eq!(play.refused(Choice::Rollback), ["public_has_written"]);
    assert_eq!(play.refused(Choice::Abort), ["public_has_written"]);
}

#[test]
fn giving_up_starts_only_what_was_stopped_and_serves_again() {
    for phase in [Phase::Raise, Phase::Stop, Phase::BackUp] {
        let mut play = Play::upgrade_in(phase);
        play.says(Choice::Abort);
        let play = play.until(Phase::Done);
        assert_eq!(play.procedure.outcome, Some(Outcome::Aborted), "{phase}");
        assert_eq!(play.facts.mode, Mode::Cluster, "{phase}");
    }
    let mut play = Play::upgrade_in(Phase::Stop);
    play.says(Choice::Abort);
    assert!(play.procedure.jobs.is_empty(), "nothing was stopped yet");
}

#[test]
fn giving_up_right_after_a_stop_waits_until_the_node_is_seen_to_serve() {
    let mut play = Play::upgrade_in(Phase::Stop);
    for name in ["n1", "n2"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.wait(1);
        play.ends(number, 0);
    }
    play.says(Choice::Abort);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartFirst, "its probes are of before the stop");
    play.wait(30);
    for name in ["n1", "n2"] {
        play.up(name, "old");
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Lower, "both stayed");
}

#[test]
fn another_first_node_is_started_when_the_first_one_is_down_again() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.says(Choice::ChangeFirst(id("n2")));
    assert_eq!(play.procedure.first, id("n2"));
    let number = play.begins(&Work::Stop(id("n1")));
    play.ends(number, 0);
    assert_eq!(play.wanted(), None, "not before n1 is down");
    let play = play.until(Phase::Done);
    assert_eq!(play.procedure.outcome, Some(Outcome::Completed));
}

#[test]
fn another_node_is_kept_after_it_was_restarted() {
    let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Work);
    play.says(Choice::ChangeKeep(id("n2")));
    assert_eq!(play.facts.mode, Mode::Single(id("n1")), "the old one serves meanwhile");
    let play = play.until(Phase::Done);
    assert_eq!(play.course("n1"), Course::Started, "the old one was restarted too");
}

#[test]
fn narrowing_waits_for_a_kept_node_that_is_ready() {
    let mut play = Play::of(begin(Kind::Maintenance));
    play.refuses("n1");
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["not_ready:n1"]);
    play.up("n1", "old");
    assert_eq!(play.wanted(), Some(Effect::Switch(Mode::Single(id("n1")))));
}

#[test]
fn the_last_ready_node_is_not_left_out_and_another_one_is() {
    let mut play = Play::upgrade_in(Phase::StartOthers);
    assert_eq!(play.refused(Choice::Exclude(id("n1"))), ["last_node"]);
    play.says(Choice::Exclude(id("n2")));
    let play = play.until(Phase::Done);
    assert!(play.procedure.record(&id("n2")).is_some_and(|node| node.excluded.is_some()));
}

#[test]
fn a_node_that_is_taken_back_is_started_and_proven() {
    let mut play = Play::upgrade_in(Phase::StartOthers);
    play.says(Choice::Exclude(id("n2")));
    play.says(Choice::Include(id("n2")));
    let play = play.until(Phase::Done);
    assert_eq!(play.course("n2"), Course::Started);
}

#[test]
fn an_upgrade_that_changed_nothing_is_named() {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    let number = play.begins(&Work::Start(id("n1")));
    play.ends(number, 0);
    play.wait(1);
    play.up("n1", "old");
    play.refuses("n2");
    play.digest();
    assert_eq!(play.objections(), ["nothing_changed"]);
    play.known("n1").image = Some("sha256:2".to_owned());
    assert_eq!(play.objections(), ["nothing_changed"], "no image is known of before");
    play.procedure.begin.before.image = Some("sha256:1".to_owned());
    assert_eq!(play.objections(), [""; 0], "the image outranks the page");
}

#[test]
fn the_version_row_must_be_the_one_wanted_and_plugins_must_not_be_lost() {
    let mut play = Play::of(Begin { to: Some("3".to_owned()), ..begin(Kind::Upgrade) });
    play.procedure.begin.to = None;
    let mut play = play.until(Phase::Verify);
    play.procedure.begin.to = Some("3".to_owned());
    play.known("n1").plugins = Some(Vec::new());
    assert_eq!(play.objections(), ["wrong_version", "plugins_lost"]);
    assert_eq!(play.refused(Choice::Waive("wrong_version".to_owned())), ["wrong_version"]);
    play.says(Choice::Waive("plugins_lost".to_owned()));
    assert_eq!(play.refused(Choice::Confirm), ["wrong_version"]);
}

#[test]
fn mixed_builds_are_not_let_in_and_unknown_ones_only_with_a_reason() {
    let mut play = Play::upgrade_in(Phase::Lower);
    play.known("n2").build = Some("old".to_owned());
    assert_eq!(play.wanted(), None);
    assert_eq!(play.objections(), ["mixed_builds"]);
    play.known("n2").build = None;
    assert_eq!(play.objections(), ["build_unknown:n2"]);
    play.says(Choice::Waive("build_unknown:n2".to_owned()));
    assert_eq!(play.wanted(), Some(Effect::Switch(Mode::Cluster)));
}

#[test]
fn a_worker_without_an_address_needs_two_reasons_and_no_more() {
    let mut begin = begin(Kind::Upgrade);
    begin.members.push(Member {
        id: id("w1"),
        role: NodeRole::Worker,
        address: None,
        means: NodeMeans { start: true, stop: true, status: false, build: false },
    });
    let mut play = Play::of(begin).until(Phase::Stop);
    for name in ["n1", "n2", "w1"] {
        let number = play.begins(&Work::Stop(id(name)));
        play.ends(number, 0);
    }
    play.wait(1);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    assert_eq!(play.objections(), ["not_down:w1"]);
    play.says(Choice::Waive("not_down:w1".to_owned()));
    play.restarts(Vec::new());
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"not_down:w1".to_owned()), "seen anew after a restart");
    play.says(Choice::Waive("not_down:w1".to_owned()));
    let mut play = play.until(Phase::StartOthers);
    for _ in 0..8 {
        play.goes_well();
    }
    assert_eq!(play.objections(), ["not_ready:w1"]);
    play.says(Choice::Waive("not_ready:w1".to_owned()));
    assert_eq!(play.until(Phase::Done).procedure.outcome, Some(Outcome::Completed));
}

#[test]
fn a_phase_is_overdue_once_and_traffic_closed_too_long_once() {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    play.wait(4_000);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    let mut alarms = Vec::new();
    while let Some(event) = digest(&play.procedure, &play.facts) {
        play.happens(&event);
        alarms.push(event);
    }
    assert_eq!(alarms, [Event::Overdue, Event::ClosedTooLong]);
    assert!(play.objections().contains(&"not_ready:n1".to_owned()));
}

#[test]
fn a_pause_holds_everything_until_continue() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    play.happens(&Event::Paused { by: "bob".to_owned() });
    assert_eq!(play.wanted(), None);
    play.says(Choice::Continue);
    assert_eq!(play.wanted(), Some(Effect::Run(Work::Backup)));
}

#[test]
fn what_is_found_of_a_command_after_a_restart_decides_what_may_be_said() {
    let begun = || {
        let mut play = Play::upgrade_in(Phase::BackUp);
        let number = play.begins(&Work::Backup);
        (play, number)
    };
    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::Running { number }]);
    assert_eq!(play.refused(Choice::Retry), ["command_running"]);
    play.ends(number, 0);

    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::Ended { number, ending: Ending::Exited(1) }]);
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"command_failed".to_owned()));

    let (mut play, number) = begun();
    play.restarts(vec![FoundJob::NeverRan { number }]);
    assert_eq!(play.wanted(), None, "nothing is begun before the operator says so");

    for found in [vec![FoundJob::Gone { number }], Vec::new()] {
        let (mut play, _) = begun();
        play.restarts(found);
        assert!(play.objections().contains(&"command_unknown".to_owned()));
        play.says(Choice::Adopt);
        assert!(!play.objections().contains(&"command_unknown".to_owned()));
    }
}

#[test]
fn a_restore_that_was_cut_short_is_not_taken_for_done() {
    let mut play = Play::upgrade_in(Phase::StartFirst);
    play.says(Choice::Rollback);
    let mut play = play.until(Phase::Restore);
    let number = play.begins(&Work::Rehash);
    play.measured(number);
    let number = play.begins(&Work::Restore);
    play.restarts(vec![FoundJob::Gone { number }]);
    assert_eq!(play.refused(Choice::Adopt), ["no_way_back"]);
    play.says(Choice::Retry);
    let job = |job: &Job| (job.work.clone(), job.state.clone());
    let jobs: Vec<_> = play.procedure.jobs.iter().map(job).collect();
    let anew = [(Work::Rehash, JobState::Wanted), (Work::Restore, JobState::Wanted)];
    assert_eq!(jobs, anew, "the backup is looked at again first");
}

#[test]
fn by_hand_each_part_waits_for_the_operators_word() {
    let mut by_hand = Begin { means: Means::default(), ..begin(Kind::Upgrade) };
    for member in &mut by_hand.members {
        member.means = NodeMeans::default();
    }
    let mut play = Play::of(by_hand).until(Phase::Stop);
    play.wait(1);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.wait(30);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!((play.procedure.phase, play.wanted()), (Phase::BackUp, None));
    play.file = Some((1_000, "good"));
    play.says(Choice::Continue);
    let number = play.begins(&Work::Measure);
    play.measured(number);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Update);
    assert!(play.procedure.touched.is_some(), "by hand nobody knows when");
    assert_eq!(play.refused(Choice::Abort), ["no_way_back"]);
    play.says(Choice::Continue);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartFirst);
    play.says(Choice::Rollback);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Stop, "n1 may be starting");
    play.wait(30);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Restore);
}

#[test]
fn on_the_way_back_by_hand_a_started_node_is_seen_down_again() {
    let mut play = Play::upgrade_in(Phase::Verify);
    for member in &mut play.procedure.begin.members {
        member.means = NodeMeans::default();
    }
    play.says(Choice::Rollback);
    play.refuses("n1");
    play.wait(31);
    for name in ["n1", "n2"] {
        play.refuses(name);
    }
    play.digest();
    assert_eq!(play.procedure.phase, Phase::Restore);
}

#[test]
fn a_verify_command_lets_auto_go_on_and_its_failure_may_be_waived_once() {
    let mut verified = begin(Kind::Upgrade);
    verified.means.verify = true;
    let mut play = Play::of(verified).until(Phase::Verify);
    let number = play.begins(&Work::Verify);
    play.ends(number, 1);
    assert_eq!(play.objections(), ["command_failed"]);
    play.says(Choice::Waive("command_failed".to_owned()));
    assert_eq!(play.objections(), [""; 0]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Verify);
    play.ends(number, 1);
    assert_eq!(play.objections(), ["command_failed"]);
    play.says(Choice::Retry);
    let number = play.begins(&Work::Verify);
    play.ends(number, 0);
    play.digest();
    assert_eq!(play.procedure.phase, Phase::StartOthers);
}

#[test]
fn a_command_that_came_with_the_configuration_is_run_and_not_skipped() {
    let mut by_hand = begin(Kind::Upgrade);
    by_hand.means.update = false;
    let mut play = Play::of(by_hand).until(Phase::Update);
    let means = Means { update: true, ..play.procedure.begin.means };
    play.happens(&Event::Restarted { jobs: Vec::new(), means, nodes_changed: None });
    play.says(Choice::Continue);
    let update = |job: &Job| job.work == Work::Update && job.state == JobState::Wanted;
    assert!(play.procedure.jobs.iter().any(update));
}

#[test]
fn work_that_was_seen_is_not_given_up() {
    let mut play = Play::of(begin(Kind::Maintenance)).until(Phase::Work);
    assert_eq!(play.refused(Choice::Abort), [""; 0]);
    play.known("n1").plugins = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(play.refused(Choice::Abort), ["work_done"]);
    play.known("n1").plugins = None;
    play.known("n2").must_restart = true;
    assert_eq!(play.refused(Choice::Abort), ["work_done"]);
}

#[test]
fn other_nodes_in_the_configuration_stop_a_procedure() {
    let mut play = Play::upgrade_in(Phase::BackUp);
    let means = play.procedure.begin.means;
    let nodes_changed = Some("n9 is new".to_owned());
    play.happens(&Event::Restarted { jobs: Vec::new(), means, nodes_changed });
    play.says(Choice::Continue);
    assert!(play.objections().contains(&"nodes_changed".to_owned()));
    assert_eq!(play.wanted(), None);
}

#[test]
fn each_decision_moves_the_stamp_that_a_choice_answers() {
    let mut play = Play::upgrade_in(Phase::Verify);
    let stamp = play.procedure.stamp;
    play.happens(&Event::Overdue);
    assert_eq!(play.procedure.stamp, stamp, "an alarm is no decision");
    play.says(Choice::Confirm);
    assert!(stamp < play.procedure.stamp);
}

#[test]
fn nothing_happens_after_the_end() {
    let play = Play::upgrade_in(Phase::Done);
    let late = step(&play.procedure, 99, play.now(), &Event::Overdue);
    assert!(late.is_err());
    assert_eq!(play.refused(Choice::StopAgain), ["not_here"]);
    assert_eq!(digest(&play.procedure, &play.facts), None);
}

#[test]
fn a_procedure_and_its_events_read_back_what_they_wrote() {
    let mut play = Play::upgrade_in(Phase::Verify);
    play.says(Choice::Rollback);
    let text = serde_json::to_string(&play.procedure).expect("it can be written");
    let back: Procedure = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(back, play.procedure);
}
