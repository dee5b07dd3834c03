//! What each node runs, by the operator's `build` command: asked when a node has come up, and now
//! and then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Engine;
use crate::clock;
use crate::config::NodeConfig;
use crate::model::{NodeId, NodeState, Timestamp};
use crate::procedure::{Image, Procedure};

impl Engine {
    /// Asks those that are up, and at least so often. What runs before an upgrade must be known when
    /// it begins.
    pub(super) fn ask_images(&mut self, every: Duration) {
        for node in &self.equipment.nodes {
            if let Some(since) = self.up_since(node) {
                self.watch.ask_image(&self.equipment, node, since, every);
            }
        }
    }

    /// What its command said since it came up; what it said of an earlier process says nothing.
    pub(super) fn image_of(&self, id: &NodeId) -> Image {
        let node = self.equipment.nodes.iter().find(|node| node.id == *id);
        let since = node.and_then(|node| self.up_since(node));
        let told = self.watch.images.get(id);
        match (told, since) {
            (Some((asked, image)), Some(since)) if since <= *asked || clock::now() < since => {
                image.clone()
            }
            (Some(_) | None, _) => Image::Untold,
        }
    }

    /// Of each node that has such a command.
    pub(super) fn images(&self) -> BTreeMap<NodeId, Image> {
        let asked = self.equipment.nodes.iter().filter(|node| node.drivers.build.is_some());
        asked.map(|node| (node.id.clone(), self.image_of(&node.id))).collect()
    }

    /// Since when it is ready; of one that is not probed, since it was seen down, or for ever.
    fn up_since(&self, node: &NodeConfig) -> Option<Timestamp> {
        if node.address.is_some() {
            let known = self.known(&node.id)?;
            return (known.state == NodeState::Ready).then_some(known.since);
        }
        let mut members = self.ledger.procedure().into_iter().flat_map(Procedure::members);
        let down = members.find(|(member, _)| member.id == node.id).and_then(|(_, n)| n.down_at);
        Some(down.unwrap_or(Timestamp::from_millis(0)))
    }
}
