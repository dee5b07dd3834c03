//! What must hold in every state and in every change of one.

use std::cmp::Ordering;

use drawspan::model::{Mode, NodeRole, NodeState, Timestamp};
use drawspan::procedure::{
    Choice, Course, Effect, Event, Facts, FoundJob, Hold, Job, JobState, Kind, NodeFacts,
    NodeRecord, NodeStatus, Outcome, Phase, Procedure, Road, Work, digest, wanted,
};

use super::facts::{Seen, View};
use super::moves::Cause;
use super::world::{NOW, RECENT, Runs, Setup, Version, World};

fn waived(procedure: &Procedure, id: &str) -> bool {
    procedure.waivers.iter().any(|waiver| waiver.objection == id)
}

fn runs_now(procedure: &Procedure, work: Option<&Work>) -> bool {
    let one = |job: &Job| {
        work.is_none_or(|work| job.work == *work) && matches!(job.state, JobState::Running { .. })
    };
    procedure.jobs.iter().any(one)
}

/// Between these the public reaches nobody, or the kept node alone.
fn is_closed(phase: Phase) -> bool {
    match phase {
        Phase::Raise | Phase::Narrow | Phase::Lower | Phase::Done => false,
        Phase::Stop
        | Phase::BackUp
        | Phase::Update
        | Phase::Restore
        | Phase::Revert
        | Phase::StartFirst
        | Phase::Work
        | Phase::Verify
        | Phase::StartOthers => true,
    }
}

/// Of each change of the world.
pub fn of_change(before: &World, after: &World, cause: &Cause) {
    let (was, is) = (&before.procedure, &after.procedure);
    closed_stays_closed(before, after);
    let opens =
        !matches!(after.mode.openness(&before.mode), Some(Ordering::Less | Ordering::Equal));
    if opens {
        let by_order = matches!(cause, Cause::Began(_, Effect::Switch(_)));
        assert!(by_order && was.hold.is_none(), "d: {} opens by {cause:?}", after.mode);
    }
    if let Cause::Crashed(_) = cause {
        assert_eq!(is.hold, Some(Hold::Restarted), "d: nothing waits after a crash");
    }
    if is.outcome == Some(Outcome::Aborted) && is.kind() == Kind::Upgrade {
        let new = |runs| matches!(runs, Runs::Up(Version::New) | Runs::Starting(Version::New));
        assert!(!after.nodes.iter().any(|node| new(node.now)), "f: given up on the new version");
    }
    begun_once(was, is, cause);
    proven_anew(was, is, cause);
}

/// What was proven, or gone over, before a backup begins anew, or before a restart, is not any more.
fn proven_anew(was: &Procedure, is: &Procedure, cause: &Cause) {
    let retried = matches!(cause, Cause::Chose(_, Choice::Retry));
    if is.phase == Phase::BackUp && (retried || was.phase != Phase::BackUp) {
        assert!(is.backup.is_none(), "b: the backup of before counts");
        assert!(!waived(is, "no_backup"), "b: a reason of before counts");
    }
    let looks = is.jobs.iter().find(|job| job.work == Work::Rehash);
    let came_back = matches!(cause, Cause::Digested(_, Event::NodeCameBack { .. }));
    let rests = was.road == Road::Forward && was.touched.is_none();
    assert!(!came_back || !rests || is.backup.is_none(), "b: a backup of before a node came back");
    if is.phase == Phase::Restore && retried {
        let anew = looks.is_some_and(|job| job.state == JobState::Wanted);
        assert!(anew, "f: restored again without a look at the backup");
    }
    if let Cause::Crashed(_) = cause {
        let old = |node: &NodeRecord| node.course == Course::Down && !node.unproven;
        assert!(!is.nodes.iter().any(old), "d: down by what was seen before the restart");
        let word = is.waivers.iter().find(|waiver| waiver.objection.starts_with("not_down:"));
        assert!(word.is_none(), "d: down by a word of before the restart");
        let rests = is.backup.is_some() && is.phase != Phase::Lower;
        assert!(!rests || looks.is_some(), "d: nobody looks at the backup again");
    }
}

fn closed_stays_closed(before: &World, after: &World) {
    let is = &after.procedure;
    // Giving up before anything was closed closes nothing, nor does another kept node.
    let detour = is.kind() == Kind::Maintenance && is.phase == Phase::StartFirst;
    let not_yet = (is.road == Road::Abort || detour) && before.mode == Mode::Cluster;
    if !is_closed(is.phase) || not_yet {
        return;
    }
    match is.kind() {
        Kind::FirstStart | Kind::Upgrade => {
            assert_eq!(after.mode, Mode::Maintenance, "a: open in phase {}", is.phase);
        }
        Kind::Maintenance => assert_ne!(after.mode, Mode::Cluster, "a: open in {}", is.phase),
    }
    let kept_alone =
        matches!(is.phase, Phase::Stop | Phase::Work | Phase::Verify | Phase::StartOthers);
    if let Mode::Single(node) = &after.mode
        && kept_alone
        && is.road == Road::Forward
    {
        assert_eq!(*node, is.first, "a: another node is kept");
    }
}

/// What was begun is wanted again only where an operator said so, or where it never ran.
fn begun_once(was: &Procedure, is: &Procedure, cause: &Cause) {
    let again = match cause {
        Cause::Chose(_, choice) => match choice {
            Choice::Retry | Choice::StopAgain | Choice::Include(_) => true,
            // These begin a phase, or a road.
            Choice::Rollback | Choice::Abort | Choice::ChangeFirst(_) | Choice::ChangeKeep(_) => {
                true
            }
            Choice::Continue
            | Choice::Confirm
            | Choice::Waive(_)
            | Choice::Exclude(_)
            | Choice::Adopt => false,
        },
        Cause::Digested(_, event) => matches!(event, Event::Advanced { .. }),
        Cause::Ended(_, how) => *how == "is not run",
        Cause::Crashed(found) => {
            found.iter().any(|found| matches!(found, FoundJob::NeverRan { .. }))
        }
        Cause::Began(..)
        | Cause::Drained
        | Cause::TimePasses
        | Cause::Node(..)
        | Cause::DoneByHand
        | Cause::WorkedInside
        | Cause::PausedByMode => false,
    };
    for job in is.jobs.iter().filter(|_| !again) {
        let old = was.jobs.iter().find(|old| old.work == job.work);
        let begun = old.is_some_and(|old| old.state != JobState::Wanted);
        let looks = matches!(job.work, Work::Measure | Work::Rehash | Work::VerifyBackup);
        assert!(
            !begun || looks || job.state != JobState::Wanted,
            "g: {} is to be begun twice after {cause:?}",
            job.work
        );
    }
}

/// Of what the facts made happen. What is too old, or of before a stop, counts for nothing.
pub fn of_digest(world: &World, view: View, facts: &Facts, event: Option<&Event>) {
    let procedure = &world.procedure;
    if procedure.hold.is_some() {
        assert!(!matches!(event, Some(Event::Advanced { .. })), "d: it went on while held");
    }
    if let Some(Event::Advanced { .. }) = event {
        goes_on(world, facts);
    }
    let Some(blind) = blind(world, view, facts) else { return };
    let told = digest(procedure, &blind);
    match event {
        Some(event) => {
            let allowed = !is_progress(event) || same(told.as_ref(), event);
            assert!(allowed, "i: {view:?} makes {event:?}");
        }
        None if told.is_none() => {
            let effect = wanted(procedure, facts);
            let opens = matches!(&effect, Some(Effect::Switch(mode)) if *mode != Mode::Maintenance);
            assert!(!opens || effect == wanted(procedure, &blind), "i: {view:?} makes {effect:?}");
        }
        None => {}
    }
}

/// Nothing follows a phase whose commands did not succeed, or whose first node is not the wanted one.
fn goes_on(world: &World, facts: &Facts) {
    let procedure = &world.procedure;
    for job in procedure.jobs.iter().filter(|job| !job.work.is_proven_by_nodes()) {
        let over = job.work == Work::Verify && waived(procedure, "command_failed");
        assert!(job.has_succeeded() || over, "b: on without {}", job.work);
    }
    if procedure.phase == Phase::BackUp {
        let proven = procedure.backup.is_some() || waived(procedure, "no_backup");
        assert!(proven, "b: on without a backup");
    }
    if procedure.phase != Phase::Verify || procedure.kind() != Kind::Upgrade {
        return;
    }
    let first = facts.node(&procedure.first).expect("facts of each node");
    let old = first.build.as_deref().map(|build| build == Version::Old.as_str());
    match procedure.road {
        Road::Back => assert_ne!(old, Some(false), "c: verified on another build than before"),
        Road::Forward => {
            let over = waived(procedure, "nothing_changed");
            assert!(old != Some(true) || over, "c: verified on the old build");
        }
        Road::Abort => panic!("c: an abort has nothing to verify"),
    }
    let lost = first.plugins.as_ref().is_some_and(Vec::is_empty);
    assert!(!lost || waived(procedure, "plugins_lost"), "c: verified without its plugins");
}

fn is_progress(event: &Event) -> bool {
    match event {
        Event::NodeDown { .. } | Event::NodeStarted { .. } | Event::Advanced { .. } => true,
        Event::NodeCameBack { .. }
        | Event::Said(_)
        | Event::JobBegins { .. }
        | Event::JobEnded { .. }
        | Event::JobLost { .. }
        | Event::Measured { .. }
        | Event::Overdue
        | Event::ClosedTooLong
        | Event::Switched { .. }
        | Event::Paused { .. }
        | Event::Restarted { .. } => false,
    }
}

/// The same but for the words of the proof.
fn same(told: Option<&Event>, event: &Event) -> bool {
    match (told, event) {
        (Some(Event::Advanced { to: one, .. }), Event::Advanced { to: other, .. }) => one == other,
        (Some(Event::NodeDown { node: one, .. }), Event::NodeDown { node: other, .. })
        | (Some(Event::NodeStarted { node: one, .. }), Event::NodeStarted { node: other, .. }) => {
            one == other
        }
        _ => false,
    }
}

/// The same facts without what must not count.
fn blind(world: &World, view: View, facts: &Facts) -> Option<Facts> {
    let View::But(at, seen) = view else { return None };
    let record = &world.procedure.nodes[at];
    let since_then = match record.course {
        Course::Stopping => record.stop_ended == Some(RECENT),
        Course::Down => record.down_at == Some(RECENT),
        Course::Untouched | Course::CameBack | Course::Started => false,
    };
    let counts = match seen {
        Seen::Stale => false,
        Seen::Late => !since_then,
        Seen::Truly
        | Seen::TimedOut
        | Seen::Barely
        | Seen::BuildUnknown
        | Seen::OtherBuild
        | Seen::PluginsLost
        | Seen::MustRestart
        | Seen::SaidStopped => true,
    };
    if counts {
        return None;
    }
    let mut blind = facts.clone();
    let must_restart = blind.nodes[at].must_restart;
    blind.nodes[at] = NodeFacts { must_restart, ..NodeFacts::unknown(record.id.clone()) };
    Some(blind)
}

/// Of what is to be done.
pub fn of_effect(setup: &Setup, world: &World, view: View, facts: &Facts, effect: &Effect) {
    let procedure = &world.procedure;
    if procedure.hold.is_some() {
        assert_eq!(*effect, Effect::Run(Work::Rehash), "d: {effect:?} while held");
    }
    if let Effect::Switch(mode) = effect {
        assert!(world.leaving.is_none(), "h: mode {mode} is asked for while a switch runs");
    }
    match effect {
        Effect::Switch(Mode::Cluster) => lowers(setup, world, view, facts),
        Effect::Switch(Mode::Single(kept)) => {
            assert_eq!(procedure.kind(), Kind::Maintenance);
            assert!(is_ready(facts, facts.node(kept)), "c: narrowed to {kept}, which is not ready");
        }
        Effect::Switch(Mode::Maintenance) => assert_ne!(procedure.kind(), Kind::Maintenance),
        Effect::Run(work) => {
            runs(world, facts, work);
            alone(world, work);
        }
    }
}

/// One command at a time, in the mode of its phase; only a stop does not wait for another's end.
fn alone(world: &World, work: &Work) {
    let procedure = &world.procedure;
    assert!(!runs_now(procedure, Some(work)), "h: {work} runs already");
    if procedure.hold.is_some() {
        return;
    }
    let is_stop = |work: &Work| matches!(work, Work::Stop(_) | Work::StopAll | Work::StopOthers);
    let beside = procedure.running().find(|job| !is_stop(work) || is_stop(&job.work));
    assert!(beside.is_none(), "h: {work} beside {beside:?}");
    assert!(world.leaving.is_none(), "a: {work} while requests are drained");
    let mode = procedure.mode();
    assert!(mode.is_none_or(|mode| mode == world.mode), "a: {work} in mode {}", world.mode);
}

fn runs(world: &World, facts: &Facts, work: &Work) {
    let procedure = &world.procedure;
    let upgrade = procedure.kind() == Kind::Upgrade && procedure.road != Road::Abort;
    let needs_backup = match work {
        Work::Update | Work::Restore | Work::Revert => true,
        Work::Start(_) | Work::StartFirst | Work::StartOthers => upgrade,
        Work::Stop(_)
        | Work::StopAll
        | Work::StopOthers
        | Work::Backup
        | Work::Measure
        | Work::VerifyBackup
        | Work::Rehash
        | Work::Verify => false,
    };
    let no_backup = waived(procedure, "no_backup");
    assert!(!needs_backup || procedure.backup.is_some() || no_backup, "b: {work}, no backup");
    if *work == Work::Update {
        assert!(!world.void || no_backup, "b: {work}, and a node came back since the backup");
        let small = procedure.backup.as_ref().is_some_and(|backup| backup.bytes() < 500);
        assert!(!small || waived(procedure, "much_smaller"), "b: {work} on half a backup");
    }
    if *work == Work::Backup {
        let little = facts.free_bytes.is_some_and(|free| free < 1_000);
        assert!(!little || waived(procedure, "little_space"), "b: {work} without space");
    }
    if *work == Work::Restore {
        let look = procedure.jobs.iter().find(|job| job.work == Work::Rehash);
        assert!(look.is_some_and(Job::has_succeeded), "f: {work} of what nobody looked at");
    }
    if matches!(work, Work::Update | Work::Backup | Work::Restore | Work::Revert) {
        let answers = facts.nodes.iter().find(|node| node.answered == Some(NOW));
        assert!(answers.is_none(), "b: {work} while a node answers");
    }
}

fn is_fresh(facts: &Facts, taken: Option<Timestamp>) -> bool {
    taken.is_some_and(|taken| facts.now.since(taken).as_secs() <= 10)
}

fn is_ready(facts: &Facts, node: Option<&NodeFacts>) -> bool {
    node.is_some_and(|node| {
        is_fresh(facts, node.taken) && node.state == NodeState::Ready && 5 <= node.ready_in_a_row
    })
}

/// Nobody is let in to a node that is not ready, not restarted, or of another build.
fn lowers(setup: &Setup, world: &World, view: View, facts: &Facts) {
    let procedure = &world.procedure;
    assert_eq!(procedure.phase, Phase::Lower, "c: lowered in another phase");
    let mut builds = Vec::new();
    for (member, record) in procedure.members().filter(|(_, record)| record.excluded.is_none()) {
        let id = &record.id;
        let known = facts.node(id).expect("facts of each node");
        if member.address.is_some() {
            assert!(is_ready(facts, Some(known)), "c: {id} is not ready");
            let told = record.course == Course::Stopping;
            assert!(!told || record.stop_ended < known.taken, "c: {id} was told to stop since");
        } else {
            let status = known.status.as_ref().filter(|status| is_fresh(facts, Some(status.at)));
            let runs = status.is_some_and(|s| matches!(s.status, NodeStatus::Running { .. }));
            assert!(runs || waived(procedure, &format!("not_ready:{id}")), "c: {id} is unknown");
        }
        if member.role == NodeRole::Request {
            let unknown = waived(procedure, &format!("build_unknown:{id}"));
            assert!(known.build.is_some() || unknown, "c: nobody knows what {id} runs");
            builds.extend(known.build.clone());
        }
        assert!(!must_restart(procedure, record) || record.course == Course::Started, "c: {id}");
        let goes_over = waived(procedure, &format!("not_restarted:{id}"));
        let restarted = record.course == Course::Started;
        assert!(!known.must_restart || restarted || goes_over, "c: {id} has a split state");
    }
    builds.dedup();
    assert!(builds.len() <= 1, "c: mixed builds {builds:?}");
    if view == View::Truly && world.troubles == 0 {
        let split = world.nodes.iter().find(|node| node.split);
        assert!(split.is_none(), "c: {} {split:?} runs since before the work", setup.name);
    }
}

fn must_restart(procedure: &Procedure, record: &NodeRecord) -> bool {
    match (procedure.road, procedure.kind()) {
        (Road::Abort, _) => matches!(record.course, Course::Down | Course::CameBack),
        (Road::Forward | Road::Back, Kind::Upgrade) => true,
        (Road::Forward | Road::Back, Kind::FirstStart | Kind::Maintenance) => {
            record.id != procedure.first
        }
    }
}

/// Of what an operator may say.
pub fn of_choice(world: &World, choice: &Choice) {
    let procedure = &world.procedure;
    let published = procedure.published.is_some();
    match choice {
        Choice::Abort => {
            let touched = world.disk == Version::New || world.database == Version::New;
            let upgrade = procedure.kind() == Kind::Upgrade;
            assert!(!upgrade || !touched, "f: abort on a touched version");
            assert!(!published, "f: abort after the public wrote");
            if procedure.kind() == Kind::Maintenance {
                let early = matches!(procedure.phase, Phase::Narrow | Phase::Stop | Phase::Work);
                assert!(early, "f: abort of work in phase {}", procedure.phase);
                let kept = world.nodes.iter().find(|node| node.id == procedure.first);
                let told = kept.is_some_and(|kept| matches!(kept.now, Runs::Up(_)));
                assert!(!world.worked || !told, "f: abort after the work was done");
            }
            assert!(!runs_now(procedure, None), "g: abort beside a command");
        }
        Choice::Rollback => {
            assert!(!published, "f: rollback after the public wrote");
            assert!(procedure.backup.is_some(), "f: rollback without a backup");
            let lost = |job: &Job| job.work == Work::Rehash && job.has_failed();
            assert!(!procedure.jobs.iter().any(lost), "f: rollback to a backup that is not there");
            assert!(!runs_now(procedure, None), "g: rollback beside a command");
        }
        Choice::Retry => assert!(!runs_now(procedure, None), "g: retry of what runs"),
        Choice::Adopt => {
            let lost = |job: &Job| {
                job.work == Work::Restore && matches!(job.state, JobState::Unknown { .. })
            };
            assert!(!procedure.jobs.iter().any(lost), "f: half a restore is taken for done");
        }
        Choice::ChangeFirst(_) | Choice::ChangeKeep(_) => {
            assert!(!runs_now(procedure, None), "g: another node beside a command");
        }
        Choice::Confirm => assert!(procedure.hold.is_none(), "d: confirmed while held"),
        Choice::Continue
        | Choice::Waive(_)
        | Choice::Exclude(_)
        | Choice::Include(_)
        | Choice::StopAgain => {}
    }
}
