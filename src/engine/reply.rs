//! Answering those who wait for a switch.

use std::time::Duration;

use tokio::sync::oneshot;

use super::evidence::Evidence;
use super::{Acknowledged, NodeLeft, Objection, SwitchCommand, SwitchError, SwitchReply, WaitFor};
use crate::fence::Left;
use crate::journal::record;
use crate::model::{Generation, Mode, NodeRole, NodeState};
use crate::routing::{Node, NodeIndex, Nodes};
use crate::telemetry::Metrics;

/// Did the command change the mode?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Yes,
    No,
}

/// A caller, and what it wants to wait for.
#[derive(Debug)]
pub(super) struct Waiter {
    wait: WaitFor,
    changed: Changed,
    forced_over: Vec<Objection>,
    reply: oneshot::Sender<Result<SwitchReply, SwitchError>>,
    metrics: Metrics,
}

impl Waiter {
    pub(super) fn new(
        command: &SwitchCommand,
        reply: oneshot::Sender<Result<SwitchReply, SwitchError>>,
        metrics: Metrics,
    ) -> Self {
        let (wait, changed, forced_over) = (command.wait, Changed::Yes, Vec::new());
        Self { wait, changed, forced_over, reply, metrics }
    }

    /// It joined a switch that another had begun.
    pub(super) fn unchanged(self) -> Self {
        Self { changed: Changed::No, ..self }
    }

    pub(super) fn forced_over(self, forced_over: Vec<Objection>) -> Self {
        Self { forced_over, ..self }
    }

    /// A caller that went away cancels nothing, and misses its answer.
    pub(super) fn answer(self, answer: Result<SwitchReply, SwitchError>) {
        self.metrics.switch_answered(match &answer {
            Ok(reply) if reply.replayed.is_some() => "replayed",
            Ok(reply) if reply.changed => "changed",
            Ok(_) => "unchanged",
            Err(error) => error.code(),
        });
        let _ = self.reply.send(answer);
    }

    /// The switch's reply, with this caller's part of it.
    pub(super) fn answer_with(self, reply: &SwitchReply) {
        let changed = self.changed == Changed::Yes;
        let reply = SwitchReply { changed, forced_over: self.forced_over.clone(), ..reply.clone() };
        self.answer(Ok(reply));
    }

    /// Answers where the fence is all that is waited for; else gives the waiter back.
    pub(super) fn answer_if_fenced_suffices(self, reply: &SwitchReply) -> Option<Self> {
        match self.wait {
            WaitFor::Fenced => {
                self.answer_with(reply);
                None
            }
            WaitFor::Drained => Some(self),
        }
    }
}

/// What is left on a node that the table leaves out, as the workers reported it.
pub(super) fn left_on(node: &Node, index: NodeIndex, left: &[Left]) -> NodeLeft {
    let reported = left.iter().find(|left| left.node == index);
    NodeLeft {
        node: node.id.clone(),
        in_flight: node.requests(),
        cut: reported.map_or(0, |left| left.cut),
        tunnels_closed: reported.map_or(0, |left| left.tunnels_closed),
        abandoned: node.abandoned(),
    }
}

/// A finished switch as the journal keeps it.
pub(super) fn ending(reply: &SwitchReply) -> record::Ending {
    debug_assert_eq!(reply.acknowledged, Acknowledged::Drained, "only a drained switch ends");
    let left = |left: &NodeLeft| record::Left {
        node: left.node.clone(),
        in_flight: left.in_flight as u64,
        cut: left.cut as u64,
        tunnels_closed: left.tunnels_closed as u64,
        abandoned: left.abandoned,
    };
    let removed = reply.removed.iter().map(left).collect();
    record::Ending::drained(reply.generation, removed, reply.took)
}

/// In cluster mode every node is meant to carry traffic: those that cannot are named.
pub(super) fn without_traffic(
    mode: &Mode,
    nodes: &Nodes,
    evidence: &dyn Evidence,
) -> impl Iterator<Item = String> {
    let all = nodes.iter().enumerate().filter(|_| *mode == Mode::Cluster);
    all.filter(|(_, node)| node.role == NodeRole::Request).filter_map(|(index, node)| {
        let known = evidence.node(NodeIndex(index));
        let (id, state, reason) = (&node.id, known.state, known.reason);
        let silent = state != NodeState::Ready;
        silent.then(|| format!("{id} is {state} and gets no new requests: {reason}"))
    })
}

/// Gives a reply what the journal kept of its switch's end.
pub(super) fn as_it_ended(reply: &mut SwitchReply, ending: &record::Ending) {
    match ending {
        record::Ending::Drained { generation, removed, took_ms } => {
            let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            let left = |left: &record::Left| NodeLeft {
                node: left.node.clone(),
                in_flight: count(left.in_flight),
                cut: count(left.cut),
                tunnels_closed: count(left.tunnels_closed),
                abandoned: left.abandoned,
            };
            reply.generation = Generation(*generation);
            reply.removed = removed.iter().map(left).collect();
            reply.took = Duration::from_millis(*took_ms);
        }
        record::Ending::Superseded { .. } | record::Ending::FromMarker => {}
    }
}
