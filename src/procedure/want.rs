//! What should be done now.

use super::facts::Downness;
use super::proof::{against_lowering, standing};
use super::step::is_stop;
use super::{Course, Facts, Job, JobState, Kind, ObjectionKind, Phase, Procedure, Work};
use crate::model::{Mode, NodeId, NodeState};

/// Something to do. The event that it makes is in the journal before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Change the mode. Not journalled as an event of the procedure: the switch is.
    Switch(Mode),
    /// Run a command, or measure: [`super::Event::JobBegins`] first.
    Run(Work),
}

/// What to do next, if anything. A switch that runs already is not asked for again.
pub fn wanted(procedure: &Procedure, facts: &Facts) -> Option<Effect> {
    if procedure.is_over() {
        return None;
    }
    switch(procedure, facts).or_else(|| run(procedure, facts))
}

fn switch(procedure: &Procedure, facts: &Facts) -> Option<Effect> {
    let mode = procedure.mode()?;
    // What is paused or unproven closes nothing and opens nothing: the operator said otherwise, or
    // will.
    if procedure.hold.is_some() || facts.mode == mode || facts.switching {
        return None;
    }
    let may = match procedure.phase {
        Phase::Lower => against_lowering(procedure, facts).is_complete(),
        Phase::Raise
        | Phase::Narrow
        | Phase::Stop
        | Phase::BackUp
        | Phase::Update
        | Phase::Restore
        | Phase::Revert
        | Phase::StartFirst
        | Phase::Work
        | Phase::Verify
        | Phase::StartOthers
        | Phase::Done => mode.node().is_none_or(|kept| carries(facts, kept, procedure)),
    };
    may.then_some(Effect::Switch(mode))
}

/// Traffic is narrowed to a node only where that one can take it.
pub(super) fn carries(facts: &Facts, kept: &NodeId, procedure: &Procedure) -> bool {
    let enough = procedure.enough();
    facts.node(kept).is_some_and(|node| {
        let busy = node.is_fresh(facts.now, enough.stale_after) && node.state == NodeState::Busy;
        busy || node.is_ready(facts.now, enough)
    })
}

fn run(procedure: &Procedure, facts: &Facts) -> Option<Effect> {
    let wanted = |job: &&Job| job.state == JobState::Wanted;
    // A look at the backup harms nothing and is owed after a restart.
    if procedure.hold.is_some() {
        let mut looks = procedure.jobs.iter().filter(|job| job.work == Work::Rehash);
        return looks.find(wanted).map(|job| Effect::Run(job.work.clone()));
    }
    // Nothing runs while the mode is not the one that the phase is carried out in.
    let mode_holds = procedure.mode().is_none_or(|mode| mode == facts.mode) && !facts.switching;
    if !mode_holds || procedure.nodes_changed.is_some() {
        return None;
    }
    // A node that runs against the phase is stopped whatever else goes on.
    let stop = procedure.jobs.iter().find(|job| wanted(job) && is_stop(&job.work));
    if let Some(stop) = stop
        && !procedure.running().any(|job| is_stop(&job.work))
    {
        return Some(Effect::Run(stop.work.clone()));
    }
    if procedure.running().next().is_some() {
        return None;
    }
    let job = procedure.jobs.iter().find(wanted)?;
    may_begin(procedure, facts, &job.work).then(|| Effect::Run(job.work.clone()))
}

/// Everything before it in this phase succeeded, and what must be down is down.
fn may_begin(procedure: &Procedure, facts: &Facts, work: &Work) -> bool {
    let before = procedure.jobs.iter().take_while(|job| job.work != *work);
    let rests_on_them = !work.is_proven_by_nodes();
    if rests_on_them && before.into_iter().any(|job| !job.has_succeeded()) {
        return false;
    }
    match work {
        Work::Measure | Work::VerifyBackup | Work::Rehash => {
            let by_hand = procedure.phase == Phase::BackUp && procedure.is_by_hand();
            (!by_hand || procedure.word) && all_down(procedure) || *work == Work::Rehash
        }
        Work::Backup => {
            let little =
                |objection: &super::Objection| objection.kind == ObjectionKind::LittleSpace;
            all_down(procedure) && !standing(procedure, facts).objections.iter().any(little)
        }
        Work::Update | Work::Restore | Work::Revert | Work::Verify => all_down(procedure),
        Work::StartFirst | Work::Start(_) if procedure.phase == Phase::StartFirst => {
            let others = match procedure.kind() {
                Kind::FirstStart => nobody_answers_early(procedure, facts),
                Kind::Upgrade | Kind::Maintenance => all_down(procedure),
            };
            others && !is_stopping(procedure, &procedure.first)
        }
        // Each node that starts must have been seen down.
        Work::Start(node) => nobody_came_back(procedure) && !is_stopping(procedure, node),
        Work::StartFirst | Work::StartOthers => {
            let stopping = procedure.nodes.iter().any(|node| is_stopping(procedure, &node.id));
            nobody_came_back(procedure) && !stopping
        }
        Work::Stop(_) | Work::StopAll | Work::StopOthers => true,
    }
}

/// Its stop was begun and is to be seen through. Giving up, nobody waits for that.
fn is_stopping(procedure: &Procedure, node: &NodeId) -> bool {
    let record = procedure.record(node);
    let stopping =
        |node: &super::NodeRecord| node.course == Course::Stopping && node.excluded.is_none();
    procedure.road != super::Road::Abort && record.is_some_and(stopping)
}

fn nobody_came_back(procedure: &Procedure) -> bool {
    procedure.nodes.iter().all(|node| node.course != Course::CameBack)
        || procedure.road == super::Road::Abort
}

fn all_down(procedure: &Procedure) -> bool {
    let open = |node: &super::NodeRecord| {
        procedure.must_be_down(&node.id) && (node.course != Course::Down || node.unproven)
    };
    nobody_came_back(procedure) && !procedure.nodes.iter().any(open)
}

/// Two nodes that install at once get in each other's way. Their being down is proven later.
fn nobody_answers_early(procedure: &Procedure, facts: &Facts) -> bool {
    let answers = |node: &super::NodeRecord| {
        let downness = facts.of(&node.id).downness(facts.now, procedure.began, procedure.enough());
        matches!(downness, Downness::Answers(_))
    };
    let others = procedure.nodes.iter().filter(|node| procedure.must_be_down(&node.id));
    nobody_came_back(procedure) && !others.into_iter().any(answers)
}
