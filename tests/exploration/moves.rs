//! Everything that can happen next.

use drawspan::model::{Mode, NodeId};
use drawspan::procedure::{
    Artefact, Choice, Course, Effect, Ending, Event, Flaw, FoundJob, Hold, JobState, Kind, Phase,
    Road, Said, Ticket, Work, choose, digest, standing, step, wanted,
};

use super::facts::{Seen, View, facts, views};
use super::rules;
use super::world::{Commands, File, LONG_AGO, NOW, Runs, Setup, Trouble, Version, World};

/// How a world came out of another one.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "the way to a broken rule is printed from it")]
pub enum Cause {
    Digested(View, Event),
    Began(View, Effect),
    Chose(View, Choice),
    Ended(Work, &'static str),
    Drained,
    TimePasses,
    Node(usize, Runs),
    DoneByHand,
    WorkedInside,
    PausedByMode,
    Crashed(Vec<FoundJob>),
}

pub struct Next {
    pub cause: Cause,
    pub world: World,
    /// Nothing went wrong: it counts on the way back to service.
    pub helps: bool,
}

pub struct Moves<'a> {
    pub setup: &'a Setup,
    pub world: &'a World,
    pub found: Vec<Next>,
    /// Codes of the objections and refusals that were met.
    pub met: Vec<drawspan::procedure::ObjectionKind>,
}

/// How a command may come out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Works,
    /// It says that it worked, and did nothing.
    Lies,
    Fails,
    /// It fails and has done its work all the same.
    FailsLate,
    NotRun,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Works, Self::Lies, Self::Fails, Self::FailsLate, Self::NotRun];

    fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Lies => "lies",
            Self::Fails => "fails",
            Self::FailsLate => "fails late",
            Self::NotRun => "is not run",
        }
    }

    fn ending(self) -> Ending {
        match self {
            Self::Works | Self::Lies => Ending::Exited(0),
            Self::Fails => Ending::Exited(1),
            Self::FailsLate => Ending::TimedOut,
            Self::NotRun => Ending::NotRun,
        }
    }
}

pub fn moves<'a>(setup: &'a Setup, world: &'a World) -> Moves<'a> {
    let mut moves = Moves { setup, world, found: Vec::new(), met: Vec::new() };
    if world.procedure.is_over() {
        return moves;
    }
    for view in views(setup, world) {
        moves.by_itself(view);
    }
    moves.said();
    moves.commands_end();
    moves.nodes();
    moves.rest();
    if world.troubles < setup.troubles || world.procedure.nodes_changed.is_some() {
        moves.crash();
    }
    moves
}

impl Moves<'_> {
    fn push(&mut self, cause: Cause, mut world: World, trouble: Option<Trouble>) {
        let helps = trouble.is_none();
        if let Some(trouble) = trouble {
            if trouble != self.setup.trouble {
                return;
            }
            if world.troubles == self.setup.troubles {
                return;
            }
            world.troubles += 1;
        }
        world.settle();
        rules::of_change(self.world, &world, &cause);
        self.found.push(Next { cause, world, helps });
    }

    fn after(&self, event: &Event) -> World {
        let procedure = step(&self.world.procedure, 7, NOW, event);
        let procedure = procedure.unwrap_or_else(|error| panic!("{event:?}: {error}"));
        World { procedure, ..self.world.clone() }
    }

    /// What the facts make happen, and what is to be done by them.
    fn by_itself(&mut self, view: View) {
        let procedure = &self.world.procedure;
        let facts = facts(self.setup, self.world, view);
        let event = digest(procedure, &facts);
        rules::of_digest(self.world, view, &facts, event.as_ref());
        if let Some(event) = event {
            let lie = matches!(view, View::But(_, Seen::SaidStopped));
            let trouble = lie.then_some(Trouble::Lies);
            let mut world = self.after(&event);
            if let Event::NodeCameBack { .. } = &event {
                world.void |= procedure.road == Road::Forward && procedure.touched.is_none();
            }
            return self.push(Cause::Digested(view, event), world, trouble);
        }
        let Some(effect) = wanted(procedure, &facts) else { return };
        rules::of_effect(self.setup, self.world, view, &facts, &effect);
        let mut world = match &effect {
            Effect::Switch(mode) => {
                let mut world = self.after(&Event::Switched { to: mode.clone(), own: true });
                world.leaving = Some(world.mode);
                world.mode = mode.clone();
                world
            }
            Effect::Run(work) => {
                let number = procedure.next_number();
                let ticket = Ticket { number, pid: 1, started: 1, boot: "b".to_owned() };
                let world = self.after(&Event::JobBegins { work: work.clone(), ticket });
                assert_ne!(world.procedure.next_number(), number, "h: two commands share a number");
                world
            }
        };
        world.void &= !matches!(&effect, Effect::Run(Work::Backup));
        self.push(Cause::Began(view, effect), world, None);
    }

    fn said(&mut self) {
        let nodes: Vec<NodeId> = self.world.nodes.iter().map(|node| node.id.clone()).collect();
        let mut choices = vec![
            Choice::Continue,
            Choice::Confirm,
            Choice::Retry,
            Choice::Rollback,
            Choice::Abort,
            Choice::StopAgain,
            Choice::Adopt,
        ];
        for node in nodes {
            choices.extend([
                Choice::Exclude(node.clone()),
                Choice::Include(node.clone()),
                Choice::ChangeFirst(node.clone()),
                Choice::ChangeKeep(node),
            ]);
        }
        for choice in choices {
            self.say(View::Truly, choice);
        }
        for view in views(self.setup, self.world) {
            let facts = facts(self.setup, self.world, view);
            let objections = standing(&self.world.procedure, &facts).objections;
            self.met.extend(objections.iter().map(|objection| objection.kind));
            for objection in objections.iter().filter(|objection| objection.waivable) {
                self.say(view, Choice::Waive(objection.id()));
            }
        }
    }

    fn say(&mut self, view: View, choice: Choice) {
        let facts = facts(self.setup, self.world, view);
        let said = Said { choice: choice.clone(), by: "ann".to_owned(), why: Some("y".to_owned()) };
        match choose(&self.world.procedure, &facts, said) {
            Ok(event) => {
                rules::of_choice(self.world, &choice);
                let mut world = self.after(&event);
                if matches!(choice, Choice::Retry) && world.procedure.phase == Phase::BackUp {
                    world.void = false;
                }
                if world.procedure.phase == Phase::Stop {
                    world.void &= world.procedure.road == Road::Forward;
                }
                let needed = self.is_needed(&choice);
                let trouble = (!needed).then_some(Trouble::Operator);
                self.push(Cause::Chose(view, choice), world, trouble);
            }
            Err(refused) => {
                assert!(!refused.objections.is_empty(), "{choice} is refused without a reason");
                self.met.extend(refused.objections.iter().map(|objection| objection.kind));
            }
        }
    }

    /// Is there a world in which all went well and this is said, or one that it mends?
    fn is_needed(&self, choice: &Choice) -> bool {
        let procedure = &self.world.procedure;
        match choice {
            Choice::Waive(objection) => objection.ends_with("w1"),
            Choice::Exclude(_) | Choice::ChangeFirst(_) | Choice::ChangeKeep(_) => false,
            Choice::Retry => {
                // What a word alone made down was not seen to restart: it is stopped and started.
                let by_word =
                    procedure.waivers.iter().any(|w| w.objection.starts_with("not_down:n"));
                by_word
                    || procedure.jobs.iter().any(|job| match &job.state {
                        JobState::Ended { ending, .. } => !ending.is_success(),
                        JobState::Unknown { .. } => true,
                        JobState::Wanted | JobState::Running { .. } => false,
                    })
            }
            Choice::Rollback => procedure.road == Road::Forward,
            Choice::Continue
            | Choice::Confirm
            | Choice::Abort
            | Choice::Include(_)
            | Choice::StopAgain
            | Choice::Adopt => true,
        }
    }

    fn commands_end(&mut self) {
        let jobs = self.world.procedure.jobs.clone();
        for job in &jobs {
            let JobState::Running { ticket, .. } = &job.state else { continue };
            for outcome in Outcome::ALL {
                let helps = outcome == Outcome::Works;
                if let Work::Measure | Work::Rehash = job.work {
                    if matches!(outcome, Outcome::Works | Outcome::Fails) {
                        self.measured(&job.work, ticket.number, helps);
                    }
                    continue;
                }
                let ended = Event::JobEnded { number: ticket.number, ending: outcome.ending() };
                let mut world = self.after(&ended);
                if matches!(outcome, Outcome::Works | Outcome::FailsLate) {
                    carry_out(&mut world, &job.work);
                }
                let trouble = (!helps).then_some(Trouble::Commands);
                self.push(Cause::Ended(job.work.clone(), outcome.name()), world, trouble);
            }
        }
    }

    fn measured(&mut self, work: &Work, number: u64, helps: bool) {
        let there = self.world.file == File::Backup;
        let artefact = |bytes, sha256: &str, modified| Artefact {
            path: "/b".to_owned(),
            bytes,
            sha256: sha256.to_owned(),
            modified,
        };
        let (artefacts, flaws) = match (helps, there, work) {
            (true, true, _) => (vec![artefact(1_000, "good", NOW)], Vec::new()),
            (true, false, _) | (false, false, Work::Measure) => {
                (Vec::new(), vec![Flaw::Missing { path: "/b".to_owned() }])
            }
            (false, true, Work::Measure) => (vec![artefact(10, "good", NOW)], Vec::new()),
            (false, _, _) => (vec![artefact(1_000, "other", LONG_AGO)], Vec::new()),
        };
        let world = self.after(&Event::Measured { number, artefacts, flaws });
        let how = if helps { "as it is" } else { "differs" };
        let trouble = (!helps).then_some(Trouble::Commands);
        self.push(Cause::Ended(work.clone(), how), world, trouble);
    }

    /// Nodes move: as they should, by the operator's hand, or by themselves.
    fn nodes(&mut self) {
        if !self.world.is_settled_in_time() {
            return; // In which order things happen at once makes no difference.
        }
        for at in 0..self.world.nodes.len() {
            let runs = self.world.nodes[at].now;
            match runs {
                Runs::Starting(version) => {
                    self.node_becomes(at, Runs::Up(version), true);
                    self.node_becomes(at, Runs::Stopped, false);
                }
                Runs::Silent => self.node_becomes(at, Runs::Stopped, true),
                Runs::Up(_) => {
                    self.node_becomes(at, Runs::Stopped, self.hand_stops(at));
                    self.node_becomes(at, Runs::Silent, false);
                }
                Runs::Stopped => {
                    self.node_becomes(at, Runs::Starting(self.world.disk), self.hand_starts(at));
                }
            }
        }
    }

    fn node_becomes(&mut self, at: usize, runs: Runs, helps: bool) {
        let mut world = self.world.clone();
        turn(&mut world, at, runs);
        let trouble = (!helps).then_some(Trouble::Nodes);
        self.push(Cause::Node(at, runs), world, trouble);
    }

    /// Whoever has commands lets them do what they can.
    fn commands_are_open(&self, which: impl Fn(&Work) -> bool) -> bool {
        let procedure = &self.world.procedure;
        let will_run = procedure.hold.is_none() && procedure.nodes_changed.is_none();
        let open = |job: &drawspan::procedure::Job| match &job.state {
            JobState::Wanted => will_run,
            JobState::Running { .. } => true,
            JobState::Ended { .. } | JobState::Unknown { .. } => false,
        };
        procedure.jobs.iter().any(|job| which(&job.work) && open(job))
    }

    /// Would an operator stop it by hand now?
    fn hand_stops(&self, at: usize) -> bool {
        let (procedure, node) = (&self.world.procedure, &self.world.nodes[at]);
        if self.commands_are_open(|work| work.to_string().starts_with("stop")) {
            return false;
        }
        let first = node.id == procedure.first;
        let wrong = matches!(node.now, Runs::Up(version) if version != self.world.disk);
        let course = procedure.nodes[at].course;
        if procedure.road == Road::Abort {
            return node.split;
        }
        match procedure.phase {
            Phase::Stop | Phase::BackUp | Phase::Update | Phase::Restore | Phase::Revert => {
                procedure.kind() != Kind::Maintenance || !first
            }
            Phase::StartFirst | Phase::Verify if first => {
                wrong || matches!(course, Course::Stopping) || node.split
            }
            Phase::StartFirst if procedure.kind() == Kind::Maintenance => false,
            Phase::StartFirst | Phase::Verify | Phase::Work => !first,
            Phase::StartOthers => course != Course::Started && !first || wrong || node.split,
            Phase::Lower => wrong || node.split,
            Phase::Raise | Phase::Narrow | Phase::Done => false,
        }
    }

    /// Would an operator start it by hand now?
    fn hand_starts(&self, at: usize) -> bool {
        let (procedure, node) = (&self.world.procedure, &self.world.nodes[at]);
        if self.commands_are_open(|work| work.to_string().starts_with("start")) {
            return false;
        }
        let first = node.id == procedure.first;
        match procedure.phase {
            Phase::StartOthers | Phase::Lower => true,
            Phase::StartFirst | Phase::Verify | Phase::Narrow | Phase::Work => first,
            Phase::Stop => first && procedure.kind() == Kind::Maintenance,
            Phase::Raise
            | Phase::BackUp
            | Phase::Update
            | Phase::Restore
            | Phase::Revert
            | Phase::Done => false,
        }
    }

    fn rest(&mut self) {
        let world = self.world;
        if world.leaving.is_some() {
            self.push(Cause::Drained, World { leaving: None, ..world.clone() }, None);
        }
        if !world.is_settled_in_time() {
            let mut later = world.clone();
            later.pass_time();
            self.push(Cause::TimePasses, later, None);
        }
        self.by_hand();
        let paused = world.procedure.hold == Some(Hold::Paused);
        if !paused {
            let raised = world.mode == Mode::Maintenance;
            let event = if raised {
                Event::Paused { by: "bob".to_owned() }
            } else {
                Event::Switched { to: Mode::Maintenance, own: false }
            };
            let mut next = self.after(&event);
            next.mode = Mode::Maintenance;
            next.leaving = None;
            self.push(Cause::PausedByMode, next, Some(Trouble::Gateway));
        }
    }

    /// What the operator does with their own hands, where the procedure or a repair asks for it.
    fn by_hand(&mut self) {
        let world = self.world;
        let (phase, road) = (world.procedure.phase, world.procedure.road);
        let mut next = world.clone();
        let repairs = matches!(phase, Phase::StartFirst | Phase::Verify | Phase::StartOthers);
        match (phase, road) {
            (Phase::BackUp, Road::Forward) if self.setup.commands == Commands::ByHand => {
                next.file = File::Backup;
                next.void = false;
            }
            (Phase::BackUp, Road::Forward) => {}
            // Not before the procedure expects it: then nobody can know.
            (Phase::Update, Road::Forward) if world.procedure.touched.is_none() => {}
            (Phase::Update, Road::Forward) => next.disk = Version::New,
            (Phase::Restore, Road::Back) => {
                next.database = Version::Old;
                next.file = File::Backup;
            }
            (Phase::Revert, Road::Back) => next.disk = Version::Old,
            (_, Road::Forward) if repairs && world.procedure.kind() == Kind::Upgrade => {
                next.disk = Version::New;
            }
            (_, Road::Back) if repairs => {
                next.disk = Version::Old;
                next.database = Version::Old;
            }
            _ => {}
        }
        if next != *world && !self.commands_are_open(|_| true) {
            self.push(Cause::DoneByHand, next, None);
        }
        let inside = matches!(phase, Phase::Work | Phase::Stop)
            && world.mode == Mode::Single(world.procedure.first.clone())
            && road == Road::Forward;
        if inside && !world.worked {
            let mut next = world.clone();
            next.worked = true;
            for node in &mut next.nodes {
                let other = node.id != world.procedure.first;
                node.split = other && node.now != Runs::Stopped;
            }
            self.push(Cause::WorkedInside, next, None);
        }
    }

    /// The gateway dies and comes up again.
    fn crash(&mut self) {
        let procedure = &self.world.procedure;
        let running = procedure.jobs.iter().filter_map(|job| match &job.state {
            JobState::Running { ticket, .. } => Some((job.work.clone(), ticket.number)),
            JobState::Wanted | JobState::Ended { .. } | JobState::Unknown { .. } => None,
        });
        let mut all: Vec<Vec<(Work, FoundJob, bool)>> = vec![Vec::new()];
        for (work, number) in running {
            let ways = found_ways(&work, number);
            all = all
                .into_iter()
                .flat_map(|before| {
                    let longer = |way: &(FoundJob, bool)| {
                        let mut longer = before.clone();
                        longer.push((work.clone(), way.0.clone(), way.1));
                        longer
                    };
                    ways.iter().map(longer).collect::<Vec<_>>()
                })
                .collect();
        }
        let changes: &[bool] = if self.setup.changes { &[false, true] } else { &[false] };
        for found in &all {
            for changed in changes {
                self.crashed(found, *changed);
            }
        }
    }

    fn crashed(&mut self, found: &[(Work, FoundJob, bool)], changed: bool) {
        let procedure = &self.world.procedure;
        let cured = procedure.nodes_changed.is_some();
        let means = if changed && procedure.begin.means == self.setup.means() {
            Setup { commands: Commands::ByHand, ..self.setup.clone() }.means()
        } else {
            self.setup.means()
        };
        let jobs: Vec<FoundJob> = found.iter().map(|(_, job, _)| job.clone()).collect();
        let nodes_changed = (changed && !cured).then(|| "n9 is new".to_owned());
        let event = Event::Restarted { jobs: jobs.clone(), means, nodes_changed };
        let mut world = self.after(&event);
        if let Some(from) = world.leaving.take() {
            world.mode = from.less_open(&world.mode);
        }
        for (work, _, done) in found {
            if *done {
                carry_out(&mut world, work);
            }
        }
        let trouble = (!cured || changed).then_some(Trouble::Gateway);
        self.push(Cause::Crashed(jobs), world, trouble);
    }
}

/// What may be found of a command after a restart, and whether it did its work.
fn found_ways(work: &Work, number: u64) -> Vec<(FoundJob, bool)> {
    if let Work::Measure | Work::Rehash = work {
        return vec![(FoundJob::Gone { number }, false)];
    }
    vec![
        (FoundJob::Running { number }, false),
        (FoundJob::Ended { number, ending: Ending::Exited(0) }, true),
        (FoundJob::Ended { number, ending: Ending::Exited(1) }, false),
        (FoundJob::NeverRan { number }, false),
        (FoundJob::Gone { number }, true),
    ]
}

pub fn turn(world: &mut World, at: usize, runs: Runs) {
    if let Runs::Starting(_) = runs {
        world.nodes[at].split = false;
    }
    if let Runs::Up(version) = runs
        && version == Version::New
    {
        world.database = Version::New;
    }
    world.nodes[at].now = runs;
}

/// What a command does to the world when it works.
fn carry_out(world: &mut World, work: &Work) {
    let first = world.procedure.first.clone();
    let stop = |world: &mut World, which: &dyn Fn(&NodeId) -> bool| {
        for at in 0..world.nodes.len() {
            if which(&world.nodes[at].id) {
                turn(world, at, Runs::Stopped);
            }
        }
    };
    let start = |world: &mut World, which: &dyn Fn(&NodeId) -> bool| {
        for at in 0..world.nodes.len() {
            if which(&world.nodes[at].id) && world.nodes[at].now == Runs::Stopped {
                let version = world.disk;
                turn(world, at, Runs::Starting(version));
            }
        }
    };
    match work {
        Work::Stop(node) => stop(world, &|id| id == node),
        Work::StopAll => stop(world, &|_| true),
        Work::StopOthers => stop(world, &|id| *id != first),
        Work::Start(node) => start(world, &|id| id == node),
        Work::StartFirst => start(world, &|id| *id == first),
        Work::StartOthers => start(world, &|id| *id != first),
        Work::Backup => world.file = File::Backup,
        Work::Update => world.disk = Version::New,
        Work::Restore => world.database = Version::Old,
        Work::Revert => world.disk = Version::Old,
        Work::Measure | Work::VerifyBackup | Work::Rehash | Work::Verify => {}
    }
}
