//! The mode to come up in: what the journal says, held against the configuration of today.

use crate::clock;
use crate::config::{Config, NodeConfig};
use crate::journal::record::{Entry, Origin, Raised, Record, Seq, State};
use crate::journal::{JournalError, Log, Opened};
use crate::model::{Mode, NodeId, NodeRole};

/// Raises where the journal's single mode keeps a node that is gone, moved, or takes no traffic:
/// the traffic of one lane is not for another node. The doubt is journalled before anything runs
/// by it; where that fails, the marker holds it.
///
/// # Errors
/// Where neither can be written: then nothing may be served on the journal's word.
pub fn settle(opened: &mut Opened, config: &Config) -> Result<State, JournalError> {
    let state = opened.journal.state().clone();
    let Mode::Single(kept) = &state.mode else { return Ok(state) };
    let Some(reason) = doubt(kept, state.address.as_deref(), &config.nodes) else {
        return Ok(state);
    };
    let at = clock::now();
    let record = Record::Doubt {
        mode_before: Some(state.mode.clone()),
        reason: reason.clone(),
        kept_as: None,
    };
    if opened.journal.append(at, record.clone()).is_ok() {
        return Ok(opened.journal.state().clone());
    }
    opened.marker.raise(Raised { at, origin: Origin::Doubt { reason } })?;
    // As the journal will have it, once it writes; until then no new number.
    let mut raised = state;
    raised.apply(&Entry { seq: Seq(raised.revision().0), at, record });
    Ok(raised)
}

/// Why the kept node is not the one that the journal means.
fn doubt(kept: &NodeId, address: Option<&str>, nodes: &[NodeConfig]) -> Option<String> {
    let Some(node) = nodes.iter().find(|node| node.id == *kept) else {
        return Some(format!("single mode kept {kept}, which is not in the configuration now"));
    };
    if node.role == NodeRole::Worker {
        return Some(format!("single mode kept {kept}, which is a worker now"));
    }
    let now = authority(node);
    match address {
        Some(before) if before != now => {
            Some(format!("single mode kept {kept} at {before}, which is at {now} now"))
        }
        Some(_) | None => None,
    }
}

/// `host:port` as configured; empty where the node has no address.
pub fn authority(node: &NodeConfig) -> String {
    node.address.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeAddress, NodeDrivers};
    use crate::model::Weight;

    fn node(id: &str, role: NodeRole, address: &str) -> NodeConfig {
        let id = id.parse().expect("a legal id");
        let (host, port) = address.split_once(':').expect("host:port");
        let port = port.parse().expect("a port");
        let address = Some(NodeAddress { host: host.to_owned(), port });
        NodeConfig { id, role, weight: Weight::ONE, address, drivers: NodeDrivers::default() }
    }

    #[test]
    fn a_kept_node_that_is_gone_moved_or_a_worker_is_a_doubt() {
        let kept = "n1".parse().expect("a legal id");
        let there = |nodes: &[NodeConfig]| doubt(&kept, Some("127.0.0.1:1"), nodes);
        let request = |id| node(id, NodeRole::Request, "127.0.0.1:1");
        assert_eq!(there(&[request("n1"), request("n2")]), None);
        assert!(there(&[request("n2")]).is_some_and(|d| d.contains("not in the configuration")));
        let moved = node("n1", NodeRole::Request, "127.0.0.1:2");
        assert!(there(&[moved]).is_some_and(|d| d.contains("127.0.0.1:2")));
        let worker = node("n1", NodeRole::Worker, "127.0.0.1:1");
        assert!(there(&[worker]).is_some_and(|d| d.contains("worker")));
    }
}
