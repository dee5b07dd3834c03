//! One published state of the bridge.

use std::sync::Arc;

use super::{Node, NodeIndex, Nodes};
use crate::model::{Generation, Mode, NodeRole, NodeState};

/// The routing table of one generation. Never changes once it is made.
#[derive(Debug)]
pub struct Table {
    pub generation: Generation,
    pub mode: Mode,
    pub nodes: Nodes,
    /// By [`NodeIndex`]: does this mode let public traffic go there?
    allowed: Box<[bool]>,
}

impl Table {
    /// A mode that keeps a node which is not there, or which takes no traffic, allows no node.
    pub fn new(generation: Generation, mode: Mode, nodes: Nodes) -> Self {
        let allows = |node: &Arc<Node>| {
            node.role == NodeRole::Request
                && match &mode {
                    Mode::Cluster => true,
                    Mode::Single(kept) => *kept == node.id,
                    Mode::Maintenance => false,
                }
        };
        let allowed = nodes.iter().map(allows).collect();
        Self { generation, mode, nodes, allowed }
    }

    pub fn allows(&self, index: NodeIndex) -> bool {
        self.allowed.get(index.0).copied().unwrap_or(false)
    }

    /// The nodes that this mode routes to, whatever their state.
    pub fn routed(&self) -> impl Iterator<Item = (NodeIndex, &Arc<Node>)> + Clone {
        let all = self.nodes.iter().enumerate().map(|(i, node)| (NodeIndex(i), node));
        all.filter(|(index, _)| self.allows(*index))
    }

    /// May a new request go to a routed node in this state? A busy node answers for itself in
    /// single mode: the operator who made it busy wants to see its own words.
    pub fn takes_requests(&self, state: NodeState) -> bool {
        match state {
            NodeState::Ready => true,
            NodeState::Busy => matches!(self.mode, Mode::Single(_)),
            NodeState::Unknown | NodeState::Starting | NodeState::Failing | NodeState::Down => {
                false
            }
        }
    }
}
