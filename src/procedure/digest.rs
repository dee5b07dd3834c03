//! Which event do the present facts make?

use super::facts::Downness;
use super::proof::standing;
use super::{Course, Event, Facts, Member, NodeFacts, NodeRecord, Phase, Procedure};
use crate::model::Mode;

/// The next thing that the facts say happened, if they say anything new. Asked again after each
/// event, until there is none.
pub fn digest(procedure: &Procedure, facts: &Facts) -> Option<Event> {
    if procedure.is_over() {
        return None;
    }
    let of_node = |(member, node)| node_event(procedure, facts, member, node);
    procedure
        .members()
        .find_map(of_node)
        .or_else(|| advanced(procedure, facts))
        .or_else(|| late(procedure, facts))
}

fn node_event(
    procedure: &Procedure,
    facts: &Facts,
    member: &Member,
    record: &NodeRecord,
) -> Option<Event> {
    let node = record.id.clone();
    let known = facts.of(&node);
    let has_its_turn = procedure.has_its_turn(&node);
    match record.course {
        // Untouched -> Down, Stopping -> Down
        Course::Untouched | Course::Stopping => {
            if let Some(how) = started_again(procedure, facts, &known) {
                return Some(Event::NodeStarted { node, how });
            }
            let may_be_down = procedure.must_be_down(&node)
                || record.course == Course::Stopping
                || procedure.phase == Phase::StartOthers;
            may_be_down.then(|| is_down(procedure, facts, record, &known)).flatten()
        }
        // A word alone made it down: what proves it is better, and nobody has seen it stopped yet.
        Course::Down if procedure.is_down_by_word(&node) && member.address.is_some() => {
            by_word(procedure, facts, record, &known)
        }
        // Down -> Started
        Course::Down if has_its_turn => started(procedure, facts, (member, record), &known),
        // Down -> CameBack
        Course::Down => {
            let down_at = record.down_at.unwrap_or(procedure.began);
            match known.downness(facts.now, down_at, procedure.enough()) {
                Downness::Answers(what) => Some(Event::NodeCameBack { node, what }),
                Downness::Proven(_) if !record.unproven => None,
                Downness::Proven(_) => is_down(procedure, facts, record, &known),
                Downness::Refused { .. } | Downness::Unseen | Downness::Unclear(_) => None,
            }
        }
        // CameBack -> Started, where it turned out to be its turn
        Course::CameBack if has_its_turn => started(procedure, facts, (member, record), &known),
        Course::CameBack | Course::Started => None,
    }
}

/// Only its own start time, or being seen down, tells that it was restarted.
fn by_word(
    procedure: &Procedure,
    facts: &Facts,
    record: &NodeRecord,
    known: &NodeFacts,
) -> Option<Event> {
    let (node, down_at) = (record.id.clone(), record.down_at.unwrap_or(procedure.began));
    match known.downness(facts.now, down_at, procedure.enough()) {
        Downness::Proven(how) => Some(Event::NodeDown { node, how }),
        Downness::Answers(what) if !procedure.has_its_turn(&node) => {
            Some(Event::NodeCameBack { node, what })
        }
        Downness::Answers(_) => {
            let started = known.started().filter(|started| down_at <= *started)?;
            let ready = known.is_ready_after(started, facts.now, procedure.enough());
            let how = format!("started at {started}, says its status command; and ready");
            ready.then_some(Event::NodeStarted { node, how })
        }
        Downness::Refused { .. } | Downness::Unseen | Downness::Unclear(_) => None,
    }
}

fn is_down(
    procedure: &Procedure,
    facts: &Facts,
    record: &NodeRecord,
    known: &NodeFacts,
) -> Option<Event> {
    let after = procedure.stop_asked(record)?;
    match known.downness(facts.now, after, procedure.enough()) {
        Downness::Proven(how) => Some(Event::NodeDown { node: record.id.clone(), how }),
        Downness::Refused { .. }
        | Downness::Answers(_)
        | Downness::Unseen
        | Downness::Unclear(_) => None,
    }
}

fn started(
    procedure: &Procedure,
    facts: &Facts,
    (member, record): (&Member, &NodeRecord),
    known: &NodeFacts,
) -> Option<Event> {
    let node = member.id.clone();
    let enough = procedure.enough();
    let down_at = record.down_at.unwrap_or(procedure.began);
    if member.address.is_some() {
        let how = || format!("ready {} times in a row", known.ready_in_a_row);
        let ready = known.is_ready_after(down_at, facts.now, enough);
        return ready.then(|| Event::NodeStarted { node, how: how() });
    }
    let after = procedure.since.max(down_at);
    let asked = known.status.as_ref().is_some_and(|reported| after <= reported.at);
    let runs = asked && known.is_running(facts.now, enough);
    let how = "its status command says running".to_owned();
    runs.then_some(Event::NodeStarted { node, how })
}

/// Its `status` command tells a start after this phase began: restarted, though nobody saw it down.
fn started_again(procedure: &Procedure, facts: &Facts, known: &NodeFacts) -> Option<String> {
    let enough = procedure.enough();
    let phase = procedure.phase == Phase::StartOthers;
    let started = known.started().filter(|started| phase && procedure.since <= *started)?;
    let ready = known.is_ready_after(started, facts.now, enough);
    (ready && known.is_running(facts.now, enough))
        .then(|| format!("started at {started}, says its status command; and ready"))
}

fn advanced(procedure: &Procedure, facts: &Facts) -> Option<Event> {
    if procedure.hold.is_some() || !may_go_on(procedure) {
        return None;
    }
    let standing = standing(procedure, facts);
    standing.is_complete().then(|| Event::Advanced {
        to: procedure.begin.next(procedure.road, procedure.phase),
        proof: standing.proven.into_iter().map(|proof| proof.what).collect(),
    })
}

/// Is the operator's part of the phase done, or none?
fn may_go_on(procedure: &Procedure) -> bool {
    match procedure.phase {
        Phase::Done => false,
        Phase::Lower => true,
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
        | Phase::StartOthers => procedure.word || (procedure.begin.auto && !procedure.is_by_hand()),
    }
}

/// Alarms: never more than that.
fn late(procedure: &Procedure, facts: &Facts) -> Option<Event> {
    let bounds = &procedure.begin.bounds;
    let limit = bounds.limits.of(procedure.phase);
    let spent = facts.now.since(procedure.since);
    if !procedure.overdue && limit.is_some_and(|limit| limit < spent) {
        return Some(Event::Overdue);
    }
    let closed = facts.mode != Mode::Cluster;
    let too_long = bounds.closed_max < facts.now.since(procedure.began);
    (closed && too_long && !procedure.closed_too_long).then_some(Event::ClosedTooLong)
}
