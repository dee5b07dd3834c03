//! `wait`: a condition, and its three outcomes: met, can never be met, timed out.

use std::fmt;
use std::str::FromStr;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::engine::{Commands, Event, Status};
use crate::model::limits::WAIT_POLL;
use crate::model::{Mode, ModeKind, NodeId, NodeRole, NodeState};
use crate::procedure::{Kind, Outcome, Phase, Road, View};

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The mode is in force and its switch has ended. Single without a node means any node.
    Mode {
        kind: ModeKind,
        node: Option<NodeId>,
    },
    Node {
        node: NodeId,
        is: NodeCondition,
    },
    /// The procedure that runs is in this phase.
    Phase(Phase),
    /// The last procedure came to the end that it was begun for.
    ProcedureDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeCondition {
    Ready,
    Down,
    /// Every worker routes past it, and nothing is left on it that the gateway holds.
    Drained,
}

/// The text is no [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no condition: write mode=cluster, mode=single[:NODE], mode=maintenance, \
     node=NODE:ready, node=NODE:down, node=NODE:drained, phase=PHASE or procedure=done"
)]
pub struct InvalidCondition(String);

/// One look at a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    NotYet,
    /// And why.
    Never(String),
}

/// How a wait ended.
#[derive(Debug)]
pub enum Waited {
    Met(Status),
    Never(String, Status),
    TimedOut(Status),
    Stopping,
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, InvalidCondition> {
        let invalid = || InvalidCondition(text.chars().take(128).collect());
        let (subject, is) = text.split_once('=').ok_or_else(invalid)?;
        match subject {
            "mode" => mode_condition(is).ok_or_else(invalid),
            "node" => {
                let (node, is) = is.rsplit_once(':').ok_or_else(invalid)?;
                let is = match is {
                    "ready" => NodeCondition::Ready,
                    "down" => NodeCondition::Down,
                    "drained" => NodeCondition::Drained,
                    _ => return Err(invalid()),
                };
                Ok(Self::Node { node: node.parse().map_err(|_| invalid())?, is })
            }
            "phase" => is.parse().map(Self::Phase).map_err(|_| invalid()),
            "procedure" if is == "done" => Ok(Self::ProcedureDone),
            _ => Err(invalid()),
        }
    }
}

fn mode_condition(text: &str) -> Option<Condition> {
    let (kind, node) = match text.split_once(':') {
        Some((kind, node)) => (kind, Some(node.parse().ok()?)),
        None => (text, None),
    };
    let kind = ModeKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let fits = node.is_none() || kind == ModeKind::Single;
    fits.then_some(Condition::Mode { kind, node })
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { kind, node: None } => write!(f, "mode={kind}"),
            Self::Mode { kind, node: Some(node) } => write!(f, "mode={kind}:{node}"),
            Self::Node { node, is } => {
                let is = match is {
                    NodeCondition::Ready => "ready",
                    NodeCondition::Down => "down",
                    NodeCondition::Drained => "drained",
                };
                write!(f, "node={node}:{is}")
            }
            Self::Phase(phase) => write!(f, "phase={phase}"),
            Self::ProcedureDone => f.write_str("procedure=done"),
        }
    }
}

impl Condition {
    /// Is it true of this moment, and if not, can it become true?
    pub fn judge(&self, status: &Status) -> Verdict {
        match self {
            Self::Mode { kind, node } => judge_mode(*kind, node.as_ref(), status),
            Self::Node { node, is } => judge_node(node, *is, status),
            Self::Phase(phase) => judge_phase(*phase, status),
            Self::ProcedureDone => judge_done(status),
        }
    }
}

fn judge_mode(kind: ModeKind, node: Option<&NodeId>, status: &Status) -> Verdict {
    if let Some(node) = node {
        match status.nodes.iter().find(|known| known.id == *node) {
            None => return unknown(node, status),
            Some(known) if known.role == NodeRole::Worker => {
                return Verdict::Never(format!("node {node} has role worker: it takes no traffic"));
            }
            Some(_) => {}
        }
    }
    let right = match &status.mode {
        Mode::Cluster => kind == ModeKind::Cluster,
        Mode::Maintenance => kind == ModeKind::Maintenance,
        Mode::Single(kept) => kind == ModeKind::Single && node.is_none_or(|wanted| wanted == kept),
    };
    // While a switch runs, the old routes may still carry something.
    if right && status.switch.is_none() { Verdict::Met } else { Verdict::NotYet }
}

fn judge_node(node: &NodeId, is: NodeCondition, status: &Status) -> Verdict {
    let Some(known) = status.nodes.iter().find(|known| known.id == *node) else {
        return unknown(node, status);
    };
    let looked_at = !known.address.is_empty();
    if !looked_at && matches!(is, NodeCondition::Ready | NodeCondition::Down) {
        return Verdict::Never(format!("node {node} has no address, and nobody can look at it"));
    }
    let met = match is {
        NodeCondition::Ready => known.state == NodeState::Ready,
        NodeCondition::Down => known.state == NodeState::Down,
        NodeCondition::Drained => {
            // Before the fence, or with a worker that did not confirm it, a request may still be
            // written to a node that the table no longer names.
            let fenced = status.switch.as_ref().is_none_or(|switch| switch.fenced);
            let passed_by = !known.routed && fenced && status.unfenced_workers.is_empty();
            passed_by && known.in_flight == 0 && known.tunnels == 0
        }
    };
    if met { Verdict::Met } else { Verdict::NotYet }
}

fn judge_done(status: &Status) -> Verdict {
    let Some(view) = status.procedure.as_ref().map(|shown| &shown.view) else {
        return Verdict::Never("no procedure was ever begun".to_owned());
    };
    match view.outcome {
        None => Verdict::NotYet,
        Some(Outcome::Completed) => Verdict::Met,
        Some(Outcome::RolledBack | Outcome::Aborted) => Verdict::Never(over(view)),
    }
}

/// A phase that it has passed, or that is on none of its roads, does not come.
fn judge_phase(phase: Phase, status: &Status) -> Verdict {
    let Some(view) = status.procedure.as_ref().map(|shown| &shown.view) else {
        return Verdict::Never("no procedure was ever begun".to_owned());
    };
    if view.phase == phase {
        return Verdict::Met;
    }
    if view.outcome.is_some() {
        return Verdict::Never(over(view));
    }
    let at = |phase: Phase| view.road_ahead.iter().position(|other| *other == phase);
    let (procedure, now) = (format!("{} {}", view.kind, view.id), view.phase);
    match (at(phase), at(now)) {
        (Some(wanted), Some(is)) if wanted < is => {
            Verdict::Never(format!("{procedure} is past it, in phase {now}"))
        }
        // From a detour it comes back to the road's begin.
        (Some(_), _) => Verdict::NotYet,
        // It may yet turn to another road, or take a detour, if somebody says so.
        (None, _) if view.road == Road::Forward && elsewhere(view, phase) => Verdict::NotYet,
        (None, _) => Verdict::Never(format!("{procedure} has no phase {phase} before it")),
    }
}

fn elsewhere(view: &View, phase: Phase) -> bool {
    let detour = view.kind == Kind::Maintenance && phase == Phase::StartFirst;
    detour || view.kind.phases(Road::Back).contains(&phase)
}

fn over(view: &View) -> String {
    let outcome = view.outcome.map_or("", Outcome::as_str);
    format!("the last procedure, {} {}, is over: {outcome}", view.kind, view.id)
}

fn unknown(node: &NodeId, status: &Status) -> Verdict {
    let known: Vec<&str> = status.nodes.iter().map(|node| node.id.as_str()).collect();
    Verdict::Never(format!("there is no node {node}; the nodes are {}", known.join(", ")))
}

/// Waits. An event makes it look again at once; what moves without events (counts) is seen within
/// [`WAIT_POLL`]. Dropping the future ends the wait.
pub async fn wait<E: Commands>(
    engine: &E,
    condition: &Condition,
    deadline: Instant,
    stop: &CancellationToken,
) -> Waited {
    // Listening begins before the first look, so that nothing falls between the two.
    let (_, events) = engine.events(None);
    let mut events = Some(events);
    loop {
        let status = engine.status().await;
        match condition.judge(&status) {
            Verdict::Met => return Waited::Met(status),
            Verdict::Never(why) => return Waited::Never(why, status),
            Verdict::NotYet if deadline <= Instant::now() => return Waited::TimedOut(status),
            Verdict::NotYet => {}
        }
        let next_look = deadline.min(Instant::now() + WAIT_POLL);
        tokio::select! {
            biased;
            () = stop.cancelled() => return Waited::Stopping,
            () = something_happened(&mut events) => {}
            () = sleep_until(next_look) => {}
        }
    }
}

/// Resolves at the next event, and takes those that came with it: one look answers all of them.
async fn something_happened(events: &mut Option<Receiver<Event>>) {
    let Some(receiver) = events else { return std::future::pending().await };
    let mut closed = matches!(receiver.recv().await, Err(RecvError::Closed));
    loop {
        match receiver.try_recv() {
            Ok(_) | Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Closed) => {
                closed = true;
                break;
            }
        }
    }
    if closed {
        *events = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{BackNode, BeforeDoubt, JournalState, RunningSwitch, Shown};
    use crate::model::{Generation, Revision, Timestamp, Weight};

    fn node(id: &str, role: NodeRole) -> BackNode {
        BackNode {
            id: id.parse().expect("a legal id"),
            address: "h:1".into(),
            resolved: vec![],
            role,
            weight: Weight::ONE,
            state: NodeState::Ready,
            reason: String::new(),
            since: Timestamp::from_millis(0),
            last_answer: None,
            routed: role == NodeRole::Request,
            takes_requests: role == NodeRole::Request,
            ejected: false,
            in_flight: 0,
            tunnels: 0,
            abandoned: 0,
        }
    }

    fn status(mode: Mode) -> Status {
        let moment = Timestamp::from_millis(0);
        Status {
            taken: moment,
            mode,
            revision: Revision(1),
            generation: Generation(1),
            since: moment,
            by: "root".into(),
            why: None,
            doubt: None,
            before_doubt: BeforeDoubt::default(),
            switch: None,
            journal: JournalState::Ok,
            unfenced_workers: vec![],
            must_restart: vec![],
            procedure: None,
            excluded: vec![],
            warnings: vec![],
            nodes: vec![node("n1", NodeRole::Request), node("w1", NodeRole::Worker)],
            listen: vec![],
            admin: None,
            version: "0",
            pid: 1,
            started: moment,
        }
    }

    fn judge(condition: &str, status: &Status) -> Verdict {
        condition.parse::<Condition>().expect("a condition").judge(status)
    }

    #[test]
    fn a_worker_without_an_address_is_never_seen_ready_or_down() {
        let mut status = status(Mode::Cluster);
        assert_eq!(judge("node=w1:ready", &status), Verdict::Met);
        status.nodes[1].address = String::new();
        for condition in ["node=w1:ready", "node=w1:down"] {
            assert!(matches!(judge(condition, &status), Verdict::Never(_)), "{condition}");
        }
        assert_eq!(judge("node=w1:drained", &status), Verdict::Met);
    }

    fn single() -> Mode {
        Mode::Single("n1".parse().expect("a legal id"))
    }

    #[test]
    fn a_condition_reads_back_what_it_shows_and_nonsense_is_refused() {
        for text in [
            "mode=cluster",
            "mode=single",
            "mode=single:n1",
            "mode=maintenance",
            "node=n1:ready",
            "node=n1:down",
            "node=n1:drained",
            "phase=back-up",
            "procedure=done",
        ] {
            assert_eq!(text.parse::<Condition>().expect(text).to_string(), text);
        }
        for text in ["", "mode", "mode=", "mode=open", "mode=cluster:n1", "node=n1", "node=:down"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        for text in ["node=N1:down", "node=n1:asleep", "phase=", "procedure=x", "mode=single:"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        assert!("phase=backup".parse::<Condition>().is_err(), "it is called back-up");
    }

    #[test]
    fn a_mode_is_met_once_its_switch_has_ended() {
        let mut status = status(single());
        assert_eq!(judge("mode=single", &status), Verdict::Met);
        assert_eq!(judge("mode=single:n1", &status), Verdict::Met);
        assert_eq!(judge("mode=cluster", &status), Verdict::NotYet);
        status.switch = Some(RunningSwitch {
            from: Mode::Cluster,
            to: single(),
            revision: Revision(2),
            began: Timestamp::from_millis(0),
            fenced: true,
        });
        assert_eq!(judge("mode=single:n1", &status), Verdict::NotYet);
    }

    #[test]
    fn what_names_an_unknown_node_or_a_worker_can_never_be_met() {
        let status = status(Mode::Cluster);
        for condition in ["mode=single:n9", "mode=single:w1", "node=n9:ready", "procedure=done"] {
            assert!(matches!(judge(condition, &status), Verdict::Never(_)), "{condition}");
        }
        assert_eq!(judge("node=w1:ready", &status), Verdict::Met);
        let mut status = status;
        for node in &mut status.nodes {
            node.address.clear();
        }
        for condition in ["node=w1:ready", "node=w1:down"] {
            assert!(matches!(judge(condition, &status), Verdict::Never(_)), "{condition}");
        }
        assert_eq!(judge("node=w1:drained", &status), Verdict::Met);
    }

    fn with_procedure(
        (kind, road): (Kind, Road),
        phase: Phase,
        outcome: Option<Outcome>,
    ) -> Status {
        let view = View {
            id: 5,
            kind,
            road,
            phase,
            since: Timestamp::from_millis(0),
            limit: None,
            overdue: false,
            closed_too_long: false,
            stamp: 6,
            first: "n1".parse().expect("a legal id"),
            auto: false,
            hold: None,
            does: String::new(),
            needs: String::new(),
            road_ahead: kind.phases(road).to_vec(),
            next: kind.next(road, phase),
            waiting_for: vec![],
            evidence: vec![],
            objections: vec![],
            choices: vec![],
            jobs: vec![],
            outcome,
        };
        let (taken, output, logs) = (Timestamp::from_millis(0), None, vec![]);
        let shown = Shown { taken, view, output, logs };
        Status { procedure: Some(Arc::new(shown)), ..status(Mode::Maintenance) }
    }

    fn never(condition: &str, status: &Status) -> bool {
        matches!(judge(condition, status), Verdict::Never(_))
    }

    #[test]
    fn a_phase_is_met_while_it_lasts_and_does_not_come_again_on_its_road() {
        assert!(never("phase=stop", &status(Mode::Cluster)), "none was begun");
        let forward = (Kind::Upgrade, Road::Forward);
        let running = with_procedure(forward, Phase::Update, None);
        assert_eq!(judge("phase=update", &running), Verdict::Met);
        assert_eq!(judge("phase=lower", &running), Verdict::NotYet);
        assert_eq!(judge("phase=restore", &running), Verdict::NotYet, "a rollback leads there");
        assert!(never("phase=stop", &running), "it is past that");
        assert!(never("phase=work", &running), "no upgrade has it");
        let back = with_procedure((Kind::Upgrade, Road::Back), Phase::Restore, None);
        assert!(never("phase=update", &back));
        assert_eq!(judge("phase=revert", &back), Verdict::NotYet);
        let detour = with_procedure((Kind::Maintenance, Road::Forward), Phase::StartFirst, None);
        assert_eq!(judge("phase=narrow", &detour), Verdict::NotYet);
        assert_eq!(judge("phase=start-first", &detour), Verdict::Met);
        let over = with_procedure(forward, Phase::Done, Some(Outcome::Completed));
        assert!(never("phase=lower", &over));
    }

    #[test]
    fn a_procedure_is_done_when_it_came_to_the_end_that_it_was_begun_for() {
        let done = |road, phase, outcome| {
            judge("procedure=done", &with_procedure((Kind::Upgrade, road), phase, outcome))
        };
        assert!(never("procedure=done", &status(Mode::Cluster)));
        assert_eq!(done(Road::Forward, Phase::Lower, None), Verdict::NotYet);
        assert_eq!(done(Road::Forward, Phase::Done, Some(Outcome::Completed)), Verdict::Met);
        for (road, outcome) in [(Road::Back, Outcome::RolledBack), (Road::Abort, Outcome::Aborted)]
        {
            let verdict = done(road, Phase::Done, Some(outcome));
            assert!(matches!(verdict, Verdict::Never(why) if why.contains(outcome.as_str())));
        }
    }

    #[test]
    fn a_node_is_drained_when_nothing_is_left_and_nothing_more_can_come() {
        let mut status = status(Mode::Maintenance);
        let drained = |status: &Status| judge("node=n1:drained", status) == Verdict::Met;
        assert!(!drained(&status), "still routed");
        status.nodes[0].routed = false;
        assert!(drained(&status));
        status.nodes[0].in_flight = 1;
        assert!(!drained(&status));
        status.nodes[0].in_flight = 0;
        status.nodes[0].tunnels = 1;
        assert!(!drained(&status));
        status.nodes[0].tunnels = 0;
        status.unfenced_workers = vec![0];
        assert!(!drained(&status), "a worker may still route the old way");
    }
}
