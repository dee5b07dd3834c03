//! What the engine knows of the nodes before it moves, and the objections that follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Objection;
use crate::journal::record::GuardedCall;
use crate::model::{Mode, NodeId, NodeRole, NodeState, Timestamp};
use crate::routing::{Node, NodeIndex, Nodes};

/// Where the engine asks about nodes; health answers.
pub trait Evidence: Send + Sync + 'static {
    fn node(&self, index: NodeIndex) -> NodeEvidence;
}

/// What is known of one node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvidence {
    pub state: NodeState,
    /// Why it is in that state.
    pub reason: String,
    /// When it came into that state.
    pub since: Timestamp,
    pub last_answer: Option<(Timestamp, String)>,
    /// What it really runs, by the name of its entry asset.
    pub build: Option<String>,
    /// When it was last seen ready after having been seen down.
    pub restarted: Option<Timestamp>,
}

/// Every objection to a switch to `target`; raising never has any.
pub fn objections(
    target: &Mode,
    nodes: &Nodes,
    evidence: &dyn Evidence,
    guarded: &[GuardedCall],
) -> Vec<Objection> {
    match target {
        Mode::Maintenance => Vec::new(),
        Mode::Single(kept) => to_single(kept, nodes, evidence),
        Mode::Cluster => to_cluster(nodes, evidence, guarded),
    }
}

fn to_single(kept: &NodeId, nodes: &Nodes, evidence: &dyn Evidence) -> Vec<Objection> {
    let mut objections = Vec::new();
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.id == *kept) {
        if node.role == NodeRole::Worker {
            objections.push(Objection::TakesNoTraffic { node: kept.clone() });
        }
        let known = evidence.node(NodeIndex(index));
        if known.state != NodeState::Ready {
            let (state, reason) = (known.state, known.reason);
            objections.push(Objection::NotReady { node: kept.clone(), state, reason });
        }
    }
    objections
}

fn to_cluster(nodes: &Nodes, evidence: &dyn Evidence, guarded: &[GuardedCall]) -> Vec<Objection> {
    let mut objections = Vec::new();
    let known: Vec<_> = (0..nodes.len()).map(|index| evidence.node(NodeIndex(index))).collect();
    let both = || nodes.iter().zip(&known);
    let ready = |(node, known): &(&Arc<Node>, &NodeEvidence)| {
        node.role == NodeRole::Request && known.state == NodeState::Ready
    };
    if !both().any(|pair| ready(&pair)) {
        objections.push(Objection::NoNodeReady);
    }
    let builds: BTreeSet<&str> =
        both().filter(ready).filter_map(|(_, known)| known.build.as_deref()).collect();
    if 1 < builds.len() {
        let named = both().filter(ready).filter_map(|(node, known)| {
            known.build.as_ref().map(|build| format!("{} {build}", node.id))
        });
        objections.push(Objection::MixedBuilds { builds: named.collect::<Vec<_>>().join(", ") });
    }
    for call in guarded {
        for (node, known) in both().filter(|(node, _)| node.id != call.node) {
            if known.restarted.is_none_or(|restarted| restarted <= call.at) {
                objections.push(Objection::NotRestarted {
                    node: node.id.clone(),
                    since: call.at,
                    kept: call.node.clone(),
                });
            }
        }
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weight;

    struct Known(Vec<NodeEvidence>);

    impl Evidence for Known {
        fn node(&self, index: NodeIndex) -> NodeEvidence {
            self.0[index.0].clone()
        }
    }

    fn id(text: &str) -> NodeId {
        text.parse().expect("a legal id")
    }

    fn nodes(roles: &[NodeRole]) -> Nodes {
        let node = |(i, role): (usize, &NodeRole)| {
            Arc::new(Node::new(id(&format!("n{}", i + 1)), *role, Weight::ONE, String::new()))
        };
        roles.iter().enumerate().map(node).collect()
    }

    fn known(state: NodeState, build: Option<&str>, restarted: Option<i64>) -> NodeEvidence {
        NodeEvidence {
            state,
            reason: "a reason".into(),
            since: Timestamp::from_millis(0),
            last_answer: None,
            build: build.map(str::to_owned),
            restarted: restarted.map(Timestamp::from_millis),
        }
    }

    fn codes(objections: &[Objection]) -> Vec<&'static str> {
        objections.iter().map(Objection::code).collect()
    }

    const REQUEST: NodeRole = NodeRole::Request;

    #[test]
    fn raising_never_has_an_objection() {
        let evidence = Known(vec![known(NodeState::Down, None, None)]);
        assert!(objections(&Mode::Maintenance, &nodes(&[REQUEST]), &evidence, &[]).is_empty());
    }

    #[test]
    fn single_wants_a_ready_node_that_takes_traffic() {
        let nodes = nodes(&[REQUEST, NodeRole::Worker]);
        let evidence =
            Known(vec![known(NodeState::Ready, None, None), known(NodeState::Down, None, None)]);
        let to = |kept| codes(&objections(&Mode::Single(id(kept)), &nodes, &evidence, &[]));
        assert!(to("n1").is_empty());
        assert_eq!(to("n2"), ["takes_no_traffic", "not_ready"]);
    }

    #[test]
    fn cluster_wants_a_ready_node_one_build_and_every_other_node_restarted() {
        let nodes = nodes(&[REQUEST, REQUEST]);
        let to = |evidence: Vec<NodeEvidence>, calls: &[GuardedCall]| {
            codes(&objections(&Mode::Cluster, &nodes, &Known(evidence), calls))
        };
        let ready = |build, restarted| known(NodeState::Ready, Some(build), restarted);
        assert!(to(vec![ready("a", None), ready("a", None)], &[]).is_empty());
        assert_eq!(to(vec![ready("a", None), ready("b", None)], &[]), ["mixed_builds"]);
        let down = || known(NodeState::Down, None, None);
        assert_eq!(to(vec![down(), down()], &[]), ["no_node_ready"]);
        let call = GuardedCall { node: id("n1"), at: Timestamp::from_millis(100) };
        let kept = || ready("a", None);
        assert_eq!(
            to(vec![kept(), ready("a", Some(99))], std::slice::from_ref(&call)),
            ["not_restarted"]
        );
        assert!(to(vec![kept(), ready("a", Some(101))], std::slice::from_ref(&call)).is_empty());
    }
}
