//! One published state of the bridge.

use std::sync::Arc;

use super::{Node, NodeIndex, Nodes};
use crate::model::{Generation, Mode, NodeId, NodeRole, NodeState};

/// The routing table of one generation. Never changes once it is made.
#[derive(Debug)]
pub struct Table {
    pub generation: Generation,
    pub mode: Mode,
    pub nodes: Nodes,
    /// By [`NodeIndex`]: does this table let public traffic go there?
    allowed: Box<[bool]>,
    /// By [`NodeIndex`]: is it kept out, whatever the mode?
    excluded: Box<[bool]>,
}

impl Table {
    /// A node in `excluded` is allowed in no mode; names of nodes that are not there mean nothing.
    /// A mode that keeps a node which is not there, is excluded or takes no traffic allows no node.
    pub fn new(generation: Generation, mode: Mode, nodes: Nodes, excluded: &[NodeId]) -> Self {
        let excluded: Box<[bool]> = nodes.iter().map(|node| excluded.contains(&node.id)).collect();
        let allows = |(node, excluded): (&Arc<Node>, &bool)| {
            node.role == NodeRole::Request
                && !excluded
                && match &mode {
                    Mode::Cluster => true,
                    Mode::Single(kept) => *kept == node.id,
                    Mode::Maintenance => false,
                }
        };
        let allowed = nodes.iter().zip(&excluded).map(allows).collect();
        Self { generation, mode, nodes, allowed, excluded }
    }

    pub fn allows(&self, index: NodeIndex) -> bool {
        self.allowed.get(index.0).copied().unwrap_or(false)
    }

    /// Is this node kept out, whatever the mode?
    pub fn is_excluded(&self, index: NodeIndex) -> bool {
        self.excluded.get(index.0).copied().unwrap_or(false)
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
