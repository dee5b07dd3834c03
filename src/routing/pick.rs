//! Which of the nodes that may take a request gets it.

use super::{Node, NodeIndex, Table};
use crate::model::limits::ATTEMPTS_MAX;

/// How requests are shared out, each by the nodes' weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn, smoothly: the turns of a heavy node are spread among those of the others.
    #[default]
    RoundRobin,
    /// The node with the fewest requests in flight for its weight.
    LeastRequests,
}

/// Why no node was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoNode {
    #[error("the bridge is raised")]
    Raised,
    #[error("no node is ready")]
    NoneReady,
    #[error("every ready node was tried")]
    AllTried,
}

/// The nodes that a request was already tried on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    nodes: [Option<NodeIndex>; ATTEMPTS_MAX],
}

impl Tried {
    pub fn contains(&self, index: NodeIndex) -> bool {
        self.nodes.contains(&Some(index))
    }

    /// Returns whether there was still room: a request is tried on [`ATTEMPTS_MAX`] nodes at most.
    pub fn add(&mut self, index: NodeIndex) -> bool {
        match self.nodes.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(index);
                true
            }
            None => false,
        }
    }
}

/// One worker's turn-taking: by node, how far it is ahead (smooth weighted round robin).
#[derive(Debug, Default)]
pub struct Rotation {
    credit: Vec<i32>,
}

impl Rotation {
    /// Starts at another node per worker, so that workers do not move in step.
    pub fn new(nodes: usize, worker: usize) -> Self {
        let mut credit = vec![0; nodes];
        if let Some(first) = credit.get_mut(worker % nodes.max(1)) {
            *first = 1;
        }
        Self { credit }
    }

    fn next<'a>(
        &mut self,
        eligible: impl Iterator<Item = (NodeIndex, &'a Node)>,
    ) -> Option<NodeIndex> {
        let mut total = 0;
        let mut best: Option<(i32, NodeIndex)> = None;
        for (index, node) in eligible {
            let weight = i32::from(node.weight.value());
            let credit = self.credit.get_mut(index.0)?;
            *credit += weight;
            total += weight;
            if best.is_none_or(|(most, _)| most < *credit) {
                best = Some((*credit, index));
            }
        }
        let (_, index) = best?;
        *self.credit.get_mut(index.0)? -= total;
        Some(index)
    }
}

impl Table {
    /// Picks a node for one attempt. Nodes that failed lately are passed over while another is
    /// ready; when none is, they are taken all the same, for they may answer and nobody else can.
    ///
    /// # Errors
    /// [`NoNode`] says why there is none.
    pub fn pick(
        &self,
        balance: Balance,
        rotation: &mut Rotation,
        tried: &Tried,
        now_ms: u64,
    ) -> Result<NodeIndex, NoNode> {
        let takes = |node: &Node| self.takes_requests(node.state());
        let open = || {
            let routed = self.routed().map(|(index, node)| (index, &**node));
            routed.filter(|(index, node)| takes(node) && !tried.contains(*index))
        };
        let fresh = || open().filter(|(_, node)| !node.is_ejected(now_ms));
        let picked = match balance {
            Balance::RoundRobin => rotation.next(fresh()).or_else(|| rotation.next(open())),
            Balance::LeastRequests => least(fresh(), rotation).or_else(|| least(open(), rotation)),
        };
        picked.ok_or_else(|| self.why_none(takes))
    }

    fn why_none(&self, takes: impl Fn(&Node) -> bool) -> NoNode {
        if self.routed().next().is_none() {
            NoNode::Raised
        } else if self.routed().any(|(_, node)| takes(node)) {
            NoNode::AllTried
        } else {
            NoNode::NoneReady
        }
    }
}

/// The fewest requests for the weight; among equals in turn, so that an idle cluster is not
/// served by its first node alone.
fn least<'a>(
    eligible: impl Iterator<Item = (NodeIndex, &'a Node)> + Clone,
    rotation: &mut Rotation,
) -> Option<NodeIndex> {
    // Compares (requests + 1) / weight without dividing.
    let load = |node: &Node| (node.requests() as u64 + 1, u64::from(node.weight.value()));
    let less = |a: (u64, u64), b: (u64, u64)| a.0 * b.1 < b.0 * a.1;
    let mut fewest: Option<(u64, u64)> = None;
    for (_, node) in eligible.clone() {
        if fewest.is_none_or(|fewest| less(load(node), fewest)) {
            fewest = Some(load(node));
        }
    }
    let fewest = fewest?;
    rotation.next(eligible.filter(|(_, node)| !less(fewest, load(node))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Generation, Mode, NodeRole, NodeState, Weight};
    use crate::routing::Nodes;

    fn nodes(weights: &[u16]) -> Nodes {
        let node = |(i, weight): (usize, &u16)| {
            let id = format!("n{}", i + 1).parse().expect("a legal id");
            let weight = Weight::new(*weight).expect("a legal weight");
            let node = Node::new(id, NodeRole::Request, weight, format!("127.0.0.1:{i}"));
            node.set_state(NodeState::Ready);
            Arc::new(node)
        };
        weights.iter().enumerate().map(node).collect()
    }

    fn table(mode: Mode, nodes: &Nodes) -> Table {
        Table::new(Generation(1), mode, nodes.clone(), &[])
    }

    fn picks(table: &Table, balance: Balance, count: usize) -> Vec<usize> {
        let mut rotation = Rotation::new(table.nodes.len(), 0);
        let pick = |_| table.pick(balance, &mut rotation, &Tried::default(), 1).map(|i| i.0);
        (0..count).map(pick).collect::<Result<_, _>>().expect("a node")
    }

    fn single(id: &str) -> Mode {
        Mode::Single(id.parse().expect("a legal id"))
    }

    #[test]
    fn round_robin_follows_the_weights_and_spreads_them() {
        let nodes = nodes(&[3, 1, 1]);
        let picked = picks(&table(Mode::Cluster, &nodes), Balance::RoundRobin, 50);
        let count = |n| picked.iter().filter(|p| **p == n).count();
        assert_eq!((count(0), count(1), count(2)), (30, 10, 10));
        assert!(picked.windows(4).all(|w| w != [0; 4]), "{picked:?}");
    }

    #[test]
    fn least_requests_takes_the_node_with_the_fewest_for_its_weight() {
        let nodes = nodes(&[1, 2]);
        nodes[1].request_began();
        let table = table(Mode::Cluster, &nodes);
        assert_eq!(picks(&table, Balance::LeastRequests, 1).len(), 1);
        nodes[1].request_began();
        nodes[1].request_began();
        assert_eq!(picks(&table, Balance::LeastRequests, 3), [0, 0, 0]);
        nodes[0].request_began();
        nodes[0].request_began();
        assert_eq!(picks(&table, Balance::LeastRequests, 3), [1, 1, 1]);
    }

    #[test]
    fn least_requests_on_an_idle_cluster_takes_turns() {
        let nodes = nodes(&[1, 1, 1]);
        let mut picked = picks(&table(Mode::Cluster, &nodes), Balance::LeastRequests, 3);
        picked.sort_unstable();
        assert_eq!(picked, [0, 1, 2]);
    }

    #[test]
    fn a_mode_never_lets_a_request_go_where_it_forbids() {
        let nodes = nodes(&[1, 1, 1]);
        assert_eq!(picks(&table(single("n2"), &nodes), Balance::RoundRobin, 9), [1; 9]);
        let mut rotation = Rotation::new(3, 0);
        for mode in [Mode::Maintenance, single("n9")] {
            let picked =
                table(mode, &nodes).pick(Balance::RoundRobin, &mut rotation, &Tried::default(), 1);
            assert_eq!(picked, Err(NoNode::Raised));
        }
    }

    #[test]
    fn an_excluded_node_is_picked_in_no_mode_not_even_as_the_last_one() {
        let nodes = nodes(&[1, 1, 1]);
        let without = |mode, excluded: &[&str]| {
            let excluded: Vec<_> =
                excluded.iter().map(|id| id.parse().expect("a legal id")).collect();
            Table::new(Generation(1), mode, nodes.clone(), &excluded)
        };
        for balance in [Balance::RoundRobin, Balance::LeastRequests] {
            let picked = picks(&without(Mode::Cluster, &["n2", "n9"]), balance, 20);
            assert!(!picked.contains(&1) && picked.contains(&0) && picked.contains(&2));
        }
        nodes[0].set_state(NodeState::Down);
        nodes[2].set_state(NodeState::Down);
        let mut rotation = Rotation::new(3, 0);
        for (mode, why) in [
            (Mode::Cluster, NoNode::NoneReady),
            (single("n2"), NoNode::Raised),
            (Mode::Maintenance, NoNode::Raised),
        ] {
            let table = without(mode, &["n2"]);
            assert!(table.is_excluded(NodeIndex(1)) && !table.allows(NodeIndex(1)));
            assert!(table.routed().all(|(index, _)| index != NodeIndex(1)));
            let picked = table.pick(Balance::RoundRobin, &mut rotation, &Tried::default(), 1);
            assert_eq!(picked, Err(why), "{:?}", table.mode);
        }
        assert!(!without(Mode::Cluster, &["n2"]).is_excluded(NodeIndex(9)));
    }

    #[test]
    fn every_state_but_ready_keeps_new_requests_away_and_busy_only_in_cluster() {
        let nodes = nodes(&[1]);
        let mut rotation = Rotation::new(1, 0);
        for state in NodeState::ALL {
            nodes[0].set_state(state);
            let mut pick = |mode| {
                let table = table(mode, &nodes);
                table.pick(Balance::RoundRobin, &mut rotation, &Tried::default(), 1).is_ok()
            };
            assert_eq!(pick(Mode::Cluster), state == NodeState::Ready, "{state}");
            let single_takes = matches!(state, NodeState::Ready | NodeState::Busy);
            assert_eq!(pick(single("n1")), single_takes, "{state}");
        }
    }

    #[test]
    fn an_ejected_node_is_passed_over_but_the_last_one_is_not() {
        let nodes = nodes(&[1, 1]);
        let table = table(Mode::Cluster, &nodes);
        while nodes[0].failed(1).is_none() {}
        assert_eq!(picks(&table, Balance::RoundRobin, 4), [1; 4]);
        nodes[1].set_state(NodeState::Down);
        assert_eq!(picks(&table, Balance::RoundRobin, 4), [0; 4]);
    }

    #[test]
    fn a_node_that_was_tried_is_not_picked_again() {
        let nodes = nodes(&[1, 1]);
        let table = table(Mode::Cluster, &nodes);
        let mut rotation = Rotation::new(2, 0);
        let mut tried = Tried::default();
        let first = table.pick(Balance::RoundRobin, &mut rotation, &tried, 1).expect("a node");
        assert!(tried.add(first));
        let second = table.pick(Balance::RoundRobin, &mut rotation, &tried, 1).expect("a node");
        assert_ne!(first, second);
        assert!(tried.add(second));
        let third = table.pick(Balance::RoundRobin, &mut rotation, &tried, 1);
        assert_eq!(third, Err(NoNode::AllTried));
    }

    #[test]
    fn a_worker_node_takes_no_traffic_in_any_mode() {
        let id: crate::model::NodeId = "w1".parse().expect("a legal id");
        let node = Node::new(id.clone(), NodeRole::Worker, Weight::ONE, String::new());
        node.set_state(NodeState::Ready);
        let nodes: Nodes = Arc::from([Arc::new(node)]);
        for mode in [Mode::Cluster, Mode::Single(id), Mode::Maintenance] {
            assert_eq!(table(mode, &nodes).routed().count(), 0);
        }
    }
}
