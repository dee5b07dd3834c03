//! What there is to see of a procedure: what it does, waits for, has proof of, what speaks against
//! going on, and what the operator can say now, with what each would do.

use std::time::Duration;

use super::choice::against;
use super::proof::{Proof, standing};
use super::{
    Choice, Facts, Hold, Job, JobState, Kind, Objection, ObjectionKind, Outcome, Phase, Procedure,
    Road,
};
use crate::model::{NodeId, Timestamp};

/// A procedure as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub id: u64,
    pub kind: Kind,
    pub road: Road,
    pub phase: Phase,
    pub since: Timestamp,
    pub limit: Option<Duration>,
    pub overdue: bool,
    pub closed_too_long: bool,
    /// Revision that a choice answers.
    pub stamp: u64,
    pub first: NodeId,
    pub auto: bool,
    pub hold: Option<Hold>,
    /// What the phase does, and by whose hand.
    pub does: String,
    /// What must be proven before the next phase.
    pub needs: String,
    /// The phases of its road, with the present one among them.
    pub road_ahead: Vec<Phase>,
    pub next: Phase,
    pub waiting_for: Vec<String>,
    pub evidence: Vec<Proof>,
    pub objections: Vec<Objection>,
    /// What may be said now; and `rollback` and `abort` with what speaks against them.
    pub choices: Vec<Offer>,
    pub jobs: Vec<Job>,
    pub outcome: Option<Outcome>,
}

/// Something that can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub choice: Choice,
    /// What it would do.
    pub does: String,
    /// Why it may not be said now; empty where it may.
    pub objections: Vec<Objection>,
}

/// What there is to see by these facts.
pub fn view(procedure: &Procedure, facts: &Facts) -> View {
    let mut standing = standing(procedure, facts);
    let word = waits_for_word(procedure, standing.is_complete());
    standing.waiting_for.extend(word);
    View {
        id: procedure.id,
        kind: procedure.kind(),
        road: procedure.road,
        phase: procedure.phase,
        since: procedure.since,
        limit: procedure.begin.bounds.limits.of(procedure.phase),
        overdue: procedure.overdue,
        closed_too_long: procedure.closed_too_long,
        stamp: procedure.stamp,
        first: procedure.first.clone(),
        auto: procedure.begin.auto,
        hold: procedure.hold,
        does: does(procedure),
        needs: needs(procedure),
        road_ahead: road_ahead(procedure),
        next: procedure.begin.next(procedure.road, procedure.phase),
        waiting_for: standing.waiting_for,
        evidence: standing.proven,
        choices: offers(procedure, facts, &standing.objections),
        objections: standing.objections,
        jobs: procedure.jobs.clone(),
        outcome: procedure.outcome,
    }
}

/// The phases that it goes through, the present one as a rule among them.
fn road_ahead(procedure: &Procedure) -> Vec<Phase> {
    let phases = procedure.kind().phases(procedure.road).iter().copied();
    phases.filter(|phase| *phase != Phase::Verify || procedure.begin.verifies()).collect()
}

/// The operator's part, where it is open.
fn waits_for_word(procedure: &Procedure, complete: bool) -> Option<String> {
    if procedure.is_over() {
        return None;
    }
    match procedure.hold {
        Some(Hold::Paused) => {
            return Some("`continue`: it was paused by `mode maintenance`".to_owned());
        }
        Some(Hold::Restarted) => {
            return Some(
                "`continue`: the gateway restarted, and proves everything anew".to_owned(),
            );
        }
        None => {}
    }
    if procedure.word {
        return None;
    }
    let by_itself = procedure.begin.auto && !procedure.is_by_hand();
    match procedure.phase {
        Phase::Lower | Phase::Done => None,
        Phase::Verify if by_itself => None,
        Phase::Verify => Some("`confirm`: that you have verified it".to_owned()),
        Phase::Work => Some("`continue`: that the work inside the application is done".to_owned()),
        Phase::BackUp | Phase::Update | Phase::Restore | Phase::Revert
            if procedure.is_by_hand() =>
        {
            Some("`continue`: that you have done this by hand".to_owned())
        }
        Phase::Raise
        | Phase::Narrow
        | Phase::Stop
        | Phase::BackUp
        | Phase::Update
        | Phase::Restore
        | Phase::Revert
        | Phase::StartFirst
        | Phase::StartOthers => {
            (complete && !by_itself).then(|| "`continue`: the proof is complete".to_owned())
        }
    }
}

/// What the phase does, in a sentence.
pub(super) fn does(procedure: &Procedure) -> String {
    let begin = &procedure.begin;
    let first = &procedure.first;
    let others = match procedure.kind() {
        Kind::Maintenance => "every node but the kept one",
        Kind::FirstStart | Kind::Upgrade => "the other nodes",
    };
    let by_hand = |what: &str| {
        if procedure.jobs.is_empty() { format!("by hand: {what}") } else { what.to_owned() }
    };
    match procedure.phase {
        Phase::Raise => "raises the bridge: nobody crosses, everybody is told why".to_owned(),
        Phase::Narrow => format!("narrows the bridge to {first}"),
        Phase::Stop if procedure.are_all_down() => "nothing: every node is down".to_owned(),
        Phase::Stop if procedure.kind() == Kind::Maintenance => by_hand("stop every other node"),
        Phase::Stop => by_hand("stop every node, workers included"),
        Phase::BackUp if !begin.means.backup => {
            format!("by hand: back up to {}, then say `continue`", begin.artefacts.join(", "))
        }
        Phase::BackUp => format!("backs up to {} and measures it", begin.artefacts.join(", ")),
        Phase::Update => match &begin.to {
            Some(to) => by_hand(&format!("put version {to} in place, without starting it")),
            None => by_hand("put the new version in place, without starting it"),
        },
        Phase::Restore if begin.means.restore => {
            format!("restores {}: makes the database anew from it", begin.artefacts.join(", "))
        }
        Phase::Restore => format!(
            "by hand: restore {}: make the database anew from it, then say `continue`",
            begin.artefacts.join(", ")
        ),
        Phase::Revert => match &begin.before.version {
            Some(version) => by_hand(&format!("put the old version ({version}) back in place")),
            None => by_hand("put the old version back in place"),
        },
        Phase::StartFirst => by_hand(&format!("start {first}")),
        Phase::Work => format!("your time: work inside the application on {first}"),
        Phase::Verify if begin.means.verify => format!("verifies {first} by your command"),
        Phase::Verify => {
            let address = begin.member(first).and_then(|member| member.address.as_deref());
            format!("by hand: verify {first} at {}", address.unwrap_or("its own address"))
        }
        Phase::StartOthers => by_hand(&format!("start {others}")),
        Phase::Lower => "lowers the bridge: every node carries traffic".to_owned(),
        Phase::Done => match procedure.outcome {
            Some(Outcome::Aborted) if procedure.kind() == Kind::FirstStart => {
                "given up; the bridge stays raised".to_owned()
            }
            Some(Outcome::Aborted) => "given up; the cluster serves as before".to_owned(),
            Some(Outcome::RolledBack) => "rolled back; the cluster serves as before".to_owned(),
            Some(Outcome::Completed) | None => "done; the cluster serves".to_owned(),
        },
    }
}

/// What must be proven before the next phase.
pub(super) fn needs(procedure: &Procedure) -> String {
    let bounds = &procedure.begin.bounds;
    let (times, seconds) = (bounds.ready_in_a_row, bounds.down_after.as_secs());
    let down = format!(
        "down: the status command says stopped, or refused without a break for {seconds} s"
    );
    match procedure.phase {
        Phase::Raise | Phase::Narrow => "every worker fenced and drained".to_owned(),
        Phase::Stop => format!("each of them {down}"),
        Phase::BackUp => {
            "the files are there, not empty, new, not much smaller than the last; all nodes still \
             down"
                .to_owned()
        }
        Phase::Update | Phase::Revert => "it succeeded; all nodes still down".to_owned(),
        Phase::Restore => "the backup has its digest of then; all nodes still down".to_owned(),
        Phase::StartFirst => format!(
            "ready {times} times in a row; the version, the build and the plugins are right; the \
             others still down"
        ),
        Phase::Work => "your word".to_owned(),
        Phase::Verify => "your word, or the verify command's".to_owned(),
        Phase::StartOthers | Phase::Lower => {
            format!("each was down and is ready {times} times in a row; one build on all")
        }
        Phase::Done => String::new(),
    }
}

fn offers(procedure: &Procedure, facts: &Facts, objections: &[Objection]) -> Vec<Offer> {
    if procedure.is_over() {
        return Vec::new();
    }
    let always_shown = |choice: &Choice| matches!(choice, Choice::Rollback | Choice::Abort);
    let mut offers = Vec::new();
    for choice in candidates(procedure, objections) {
        let against = against(procedure, facts, &choice);
        if against.is_empty() || always_shown(&choice) {
            let does = would_do(procedure, &choice);
            offers.push(Offer { choice, does, objections: against });
        }
    }
    offers
}

/// Everything that could be said, whether it may or not.
pub(super) fn candidates(procedure: &Procedure, objections: &[Objection]) -> Vec<Choice> {
    let mut all = vec![
        Choice::Continue,
        Choice::Confirm,
        Choice::Retry,
        Choice::StopAgain,
        Choice::Adopt,
        Choice::Rollback,
        Choice::Abort,
    ];
    let waivable = objections.iter().filter(|objection| objection.waivable);
    all.extend(waivable.map(|objection| Choice::Waive(objection.id())));
    for node in &procedure.nodes {
        all.push(Choice::Exclude(node.id.clone()));
        all.push(Choice::Include(node.id.clone()));
        all.push(match procedure.kind() {
            Kind::Maintenance => Choice::ChangeKeep(node.id.clone()),
            Kind::FirstStart | Kind::Upgrade => Choice::ChangeFirst(node.id.clone()),
        });
    }
    all
}

fn would_do(procedure: &Procedure, choice: &Choice) -> String {
    let next = procedure.begin.next(procedure.road, procedure.phase);
    match choice {
        Choice::Continue if procedure.hold.is_some() => {
            format!("resumes the phase {}", procedure.phase)
        }
        Choice::Continue => format!("goes on to {next}"),
        Choice::Confirm => format!("says that you have verified it; goes on to {next}"),
        Choice::Retry if procedure.restarts() => {
            let nodes: Vec<String> =
                procedure.to_start_again().iter().map(ToString::to_string).collect();
            format!("stops and starts again: {}", nodes.join(", "))
        }
        Choice::Retry => {
            let failed = |job: &&Job| !job.has_succeeded();
            // There each step rests on the one before.
            let anew = matches!(procedure.phase, Phase::BackUp | Phase::Restore);
            let all = anew || procedure.jobs.iter().filter(failed).count() == 0;
            let rerun = procedure.jobs.iter().filter(|job| all || failed(job));
            let works: Vec<String> = rerun.map(|job| job.work.to_string()).collect();
            format!("runs again: {}", works.join(", "))
        }
        Choice::Rollback => {
            "stops every node, restores the backup, puts the old version back, starts the nodes and \
             lowers"
                .to_owned()
        }
        Choice::Abort => match procedure.kind() {
            Kind::FirstStart => "ends the procedure; the bridge stays raised".to_owned(),
            Kind::Upgrade => "starts the nodes on the old version and lowers".to_owned(),
            Kind::Maintenance => "starts the others and lowers".to_owned(),
        },
        Choice::Waive(objection)
            if procedure.phase == Phase::Restore
                && *objection == ObjectionKind::BackupChanged.id(None) =>
        {
            format!("goes over {objection}: what lies there now is restored; your reason is kept")
        }
        Choice::Waive(objection) => format!("goes over {objection}; your reason is kept"),
        Choice::Exclude(node) => {
            format!("goes on without {node}; it stays out until `include {node}`")
        }
        Choice::Include(node) => format!("takes {node} back; it must be proven like the others"),
        Choice::ChangeFirst(node) => {
            format!("stops {} and starts {node} first", procedure.first)
        }
        Choice::ChangeKeep(node) => {
            format!("restarts {node} where needed, and keeps it instead of {}", procedure.first)
        }
        Choice::StopAgain => {
            let nodes: Vec<&str> = procedure.to_stop_again().map(NodeId::as_str).collect();
            let nodes = nodes.join(", ");
            if procedure.rests_on_new_backup() {
                format!("stops {nodes}, then backs up anew")
            } else {
                format!("stops {nodes}")
            }
        }
        Choice::Adopt => {
            let lost = |job: &&Job| matches!(job.state, JobState::Unknown { .. });
            let works = procedure.jobs.iter().filter(lost).map(|job| job.work.to_string());
            format!("takes for done: {}", works.collect::<Vec<_>>().join(", "))
        }
    }
}
