//! What the engine knows of the nodes before it moves, and the objections that follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Objection;
use crate::clock;
use crate::journal::record::GuardedCall;
use crate::model::{Mode, NodeId, NodeRole, NodeState, Pace, Timestamp};
use crate::procedure::Image;
use crate::routing::{Node, NodeIndex, Nodes};

/// Where the engine asks about nodes; health answers. None of it waits.
pub trait Evidence: Send + Sync + 'static {
    fn node(&self, index: NodeIndex) -> NodeEvidence;

    /// Has the node probed now rather than at its next turn.
    fn probe_soon(&self, index: NodeIndex);

    /// Has the build and the plugins looked up again in the next round in which the node is
    /// ready. They are fresh once [`NodeEvidence::looked_up`] is after this call.
    fn look_again(&self, index: NodeIndex);

    /// Sets how often all nodes are probed from now on.
    fn hurry(&self, pace: Pace);
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
    /// When the last round of probes ended; `None` where the node is not probed.
    pub taken: Option<Timestamp>,
    /// Ready readings up to the last one, without a break.
    pub ready_in_a_row: u32,
    /// Since when every probe was refused, or found no route, without a break. Time-outs and
    /// unresolved names prove nothing, and end it as an answer does.
    pub unreached_since: Option<Timestamp>,
    /// When it last answered with HTTP at all, whatever the status.
    pub answered: Option<Timestamp>,
    /// The version row as it last told it: the same on all nodes, whatever code they run.
    pub version: Option<String>,
    /// What it really runs, by the name of its entry asset.
    pub build: Option<String>,
    /// Names of the enabled plugins, sorted: rows of the database, as the version is.
    pub plugins: Option<Arc<[String]>>,
    /// When the look-up of build and plugins began that found them.
    pub looked_up: Option<Timestamp>,
    /// When it was last seen ready after having been seen down.
    pub restarted: Option<Timestamp>,
}

impl NodeEvidence {
    /// What is known of a node that was never probed, at `now`: nothing.
    pub fn unprobed(now: Timestamp) -> Self {
        Self {
            state: NodeState::Unknown,
            reason: "not probed".to_owned(),
            since: now,
            last_answer: None,
            taken: None,
            ready_in_a_row: 0,
            unreached_since: None,
            answered: None,
            version: None,
            build: None,
            plugins: None,
            looked_up: None,
            restarted: None,
        }
    }
}

/// Calls that changed, or are changing, what runs on a node while it was the kept one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardedCalls {
    /// The last one of each node that may have run.
    pub ran: Vec<GuardedCall>,
    /// Nodes that have not answered one yet.
    pub under_way: Vec<NodeId>,
}

/// A node that may not take traffic beside the one that was kept until it was restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MustRestart {
    pub node: NodeId,
    /// When the call passed.
    pub since: Timestamp,
    /// Where it passed to.
    pub kept: NodeId,
}

/// What a switch is judged by.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    pub nodes: &'a Nodes,
    pub evidence: &'a dyn Evidence,
    pub guarded: &'a GuardedCalls,
    /// Nodes that were left out.
    pub excluded: &'a [NodeId],
    /// What nodes run by the operator's own command, which outranks the page's fingerprint: one for
    /// each node that has such a command.
    pub images: &'a BTreeMap<NodeId, Image>,
}

/// Every objection to a switch to `target`; raising never has any.
pub fn objections(target: &Mode, by: Judged<'_>) -> Vec<Objection> {
    let mut objections = match target {
        Mode::Maintenance => Vec::new(),
        Mode::Single(kept) => to_single(kept, by),
        Mode::Cluster => to_cluster(by),
    };
    if let Some(kept) = target.node().filter(|kept| by.excluded.contains(kept)) {
        objections.push(Objection::Excluded { node: kept.clone() });
    }
    // What is left out harms nobody.
    objections.retain(|objection| match objection {
        Objection::NotRestarted { node, .. } => !by.excluded.contains(node),
        _ => true,
    });
    objections
}

/// The nodes that run something older than a guarded call left behind. One that is still under way
/// makes every other node old, whenever that was started: it changes something yet.
pub fn must_restart(
    nodes: &Nodes,
    evidence: &dyn Evidence,
    guarded: &GuardedCalls,
) -> Vec<MustRestart> {
    let now = clock::now();
    let under_way = guarded.under_way.iter();
    let under_way = under_way.map(|node| GuardedCall { node: node.clone(), at: now });
    let ran = guarded.ran.iter().filter(|call| !guarded.under_way.contains(&call.node)).cloned();
    let mut all = Vec::new();
    for call in ran.chain(under_way) {
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.id != call.node) {
            let restarted = evidence.node(NodeIndex(index)).restarted;
            if restarted.is_none_or(|restarted| restarted <= call.at) {
                let (node, kept) = (node.id.clone(), call.node.clone());
                all.push(MustRestart { node, since: call.at, kept });
            }
        }
    }
    all
}

fn not_restarted(must: MustRestart) -> Objection {
    let MustRestart { node, since, kept } = must;
    Objection::NotRestarted { node, since, kept }
}

fn under_way(guarded: &GuardedCalls) -> impl Iterator<Item = Objection> {
    guarded.under_way.iter().map(|node| Objection::GuardedCallUnderWay { node: node.clone() })
}

/// All traffic on a node that a guarded call passed by is as split a state as half of it.
fn to_single(kept: &NodeId, by: Judged<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    for (index, node) in by.nodes.iter().enumerate().filter(|(_, node)| node.id == *kept) {
        if node.role == NodeRole::Worker {
            objections.push(Objection::TakesNoTraffic { node: kept.clone() });
        }
        let known = by.evidence.node(NodeIndex(index));
        if known.state != NodeState::Ready {
            let (state, reason) = (known.state, known.reason);
            objections.push(Objection::NotReady { node: kept.clone(), state, reason });
        }
    }
    let old = must_restart(by.nodes, by.evidence, by.guarded).into_iter();
    objections.extend(old.filter(|old| old.node == *kept).map(not_restarted));
    objections
}

fn to_cluster(by: Judged<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    let known = by.nodes.iter().enumerate();
    let known = known.map(|(index, node)| (node, by.evidence.node(NodeIndex(index))));
    let ready: Vec<_> = known
        .filter(|(node, _)| node.role == NodeRole::Request && !by.excluded.contains(&node.id))
        .filter(|(_, known)| known.state == NodeState::Ready)
        .collect();
    if ready.is_empty() {
        objections.push(Objection::NoNodeReady);
    }
    objections.extend(other_builds(&ready, by.images));
    objections.extend(under_way(by.guarded));
    objections
        .extend(must_restart(by.nodes, by.evidence, by.guarded).into_iter().map(not_restarted));
    objections
}

/// What speaks against letting these nodes serve together.
fn other_builds(
    ready: &[(&Arc<Node>, NodeEvidence)],
    images: &BTreeMap<NodeId, Image>,
) -> Vec<Objection> {
    let image = |id: &NodeId| images.get(id).and_then(Image::known);
    let by_image = ready.iter().all(|(node, _)| image(&node.id).is_some());
    let unknown = ready.iter().filter_map(|(node, _)| match images.get(&node.id) {
        Some(Image::Untold) => Some((&node.id, "it has not answered yet".to_owned())),
        Some(Image::Unknown(why)) => Some((&node.id, why.clone())),
        Some(Image::Known(_)) | None => None,
    });
    let unknown = unknown.map(|(node, why)| Objection::BuildUnknown { node: node.clone(), why });
    let of_images = ready.iter().filter_map(|(node, _)| Some((&node.id, image(&node.id)?)));
    let of_pages = ready.iter().filter_map(|(node, known)| Some((&node.id, known.build.as_ref()?)));
    let mut objections: Vec<Objection> = unknown.collect();
    objections.extend(mixed(of_images).or_else(|| mixed(of_pages.filter(|_| !by_image))));
    objections
}

fn mixed<'a>(runs: impl Iterator<Item = (&'a NodeId, &'a String)>) -> Option<Objection> {
    let runs: Vec<_> = runs.collect();
    let different = runs.iter().map(|(_, build)| build).collect::<BTreeSet<_>>();
    (1 < different.len()).then(|| {
        let named: Vec<String> = runs.iter().map(|(id, build)| format!("{id} {build}")).collect();
        Objection::MixedBuilds { builds: named.join(", ") }
    })
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

        fn probe_soon(&self, _: NodeIndex) {}

        fn look_again(&self, _: NodeIndex) {}

        fn hurry(&self, _: Pace) {}
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
            build: build.map(str::to_owned),
            restarted: restarted.map(Timestamp::from_millis),
            ..NodeEvidence::unprobed(Timestamp::from_millis(0))
        }
    }

    fn judged(
        target: &Mode,
        nodes: &Nodes,
        evidence: &Known,
        guarded: &GuardedCalls,
        images: &[Image],
    ) -> Vec<&'static str> {
        let images = nodes.iter().zip(images).map(|(n, image)| (n.id.clone(), image.clone()));
        let images = images.collect();
        let by = Judged { nodes, evidence, guarded, excluded: &[], images: &images };
        objections(target, by).iter().map(Objection::code).collect()
    }

    fn none() -> GuardedCalls {
        GuardedCalls::default()
    }

    const REQUEST: NodeRole = NodeRole::Request;

    #[test]
    fn raising_never_has_an_objection() {
        let evidence = Known(vec![known(NodeState::Down, None, None)]);
        assert!(judged(&Mode::Maintenance, &nodes(&[REQUEST]), &evidence, &none(), &[]).is_empty());
    }

    #[test]
    fn single_wants_a_ready_node_that_takes_traffic() {
        let nodes = nodes(&[REQUEST, NodeRole::Worker]);
        let evidence =
            Known(vec![known(NodeState::Ready, None, None), known(NodeState::Down, None, None)]);
        let to = |kept| judged(&Mode::Single(id(kept)), &nodes, &evidence, &none(), &[]);
        assert!(to("n1").is_empty());
        assert_eq!(to("n2"), ["takes_no_traffic", "not_ready"]);
    }

    #[test]
    fn cluster_wants_a_ready_node_one_build_and_every_other_node_restarted() {
        let nodes = nodes(&[REQUEST, REQUEST]);
        let to = |evidence: Vec<NodeEvidence>, calls: &[GuardedCall]| {
            let calls = GuardedCalls { ran: calls.to_vec(), under_way: Vec::new() };
            judged(&Mode::Cluster, &nodes, &Known(evidence), &calls, &[])
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

    #[test]
    fn what_the_operators_command_says_outranks_the_page() {
        let nodes = nodes(&[REQUEST, REQUEST]);
        let runs = |image: &str| Image::Known(image.to_owned());
        let to = |builds: [&str; 2], images: &[Image]| {
            let evidence = builds.map(|build| known(NodeState::Ready, Some(build), None));
            judged(&Mode::Cluster, &nodes, &Known(evidence.to_vec()), &none(), images)
        };
        assert_eq!(to(["a", "a"], &[runs("x"), runs("y")]), ["mixed_builds"]);
        assert!(to(["a", "b"], &[runs("x"), runs("x")]).is_empty());
        // Only one has such a command: the pages are compared.
        assert_eq!(to(["a", "b"], &[runs("x")]), ["mixed_builds"]);
        assert!(to(["a", "a"], &[runs("x")]).is_empty());
        let untold = [runs("x"), Image::Untold];
        assert_eq!(to(["a", "a"], &untold), ["build_unknown"]);
        let failed = [Image::Unknown("exit code 1".to_owned()), runs("x")];
        assert_eq!(to(["a", "b"], &failed), ["build_unknown", "mixed_builds"]);
    }

    #[test]
    fn a_call_under_way_speaks_against_lowering_whenever_the_others_were_restarted() {
        let nodes = nodes(&[REQUEST, REQUEST]);
        let later = clock::now().as_millis() - 1;
        let ready = |restarted| known(NodeState::Ready, None, restarted);
        let evidence = Known(vec![ready(None), ready(Some(later))]);
        let calls = GuardedCalls { ran: Vec::new(), under_way: vec![id("n1")] };
        let to = |mode| judged(&mode, &nodes, &evidence, &calls, &[]);
        assert_eq!(to(Mode::Cluster), ["guarded_call_under_way", "not_restarted"]);
        assert_eq!(to(Mode::Single(id("n2"))), ["not_restarted"]);
        assert!(to(Mode::Single(id("n1"))).is_empty());
        assert!(to(Mode::Maintenance).is_empty());
    }

    #[test]
    fn single_wants_a_node_that_no_guarded_call_passed_by() {
        let nodes = nodes(&[REQUEST, REQUEST]);
        let ran = vec![GuardedCall { node: id("n1"), at: Timestamp::from_millis(100) }];
        let calls = GuardedCalls { ran, under_way: Vec::new() };
        let to = |kept, restarted| {
            let ready = |restarted| known(NodeState::Ready, None, restarted);
            let evidence = Known(vec![ready(None), ready(restarted)]);
            judged(&Mode::Single(id(kept)), &nodes, &evidence, &calls, &[])
        };
        assert_eq!(to("n2", None), ["not_restarted"]);
        assert_eq!(to("n2", Some(99)), ["not_restarted"]);
        assert!(to("n2", Some(101)).is_empty());
        assert!(to("n1", None).is_empty());
    }
}
