//! The nodes: each by itself, and against the others.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::super::address::node_address;
use super::super::document::Section;
use super::super::network::is_public;
use super::super::problems::{At, Place};
use super::super::values::number_of;
use super::super::{Flags, NodeAddress, NodeConfig};
use super::drivers::{PerNode, per_node};
use super::listen::Sockets;
use crate::model::limits::{NODE_WEIGHT_MAX, NODES_MAX};
use crate::model::{NodeId, NodeRole, Weight};

/// A node as it was declared; `config` where nothing about it is wrong.
pub(super) struct Declared {
    pub(super) id: Option<NodeId>,
    pub(super) role: NodeRole,
    pub(super) config: Option<NodeConfig>,
    pub(super) address: Option<At<NodeAddress>>,
    /// Commands of its own.
    pub(super) own: PerNode,
}

/// A node as it was written.
struct Written {
    /// The node as a whole: its table, or its flag.
    place: Place,
    id: Option<At<String>>,
    address: WrittenAddress,
    role: NodeRole,
    weight: Weight,
    own: PerNode,
}

enum WrittenAddress {
    Missing(Place),
    /// There, but no text; already noted.
    Wrong,
    Text(At<String>),
}

pub(super) fn declared(top: &mut Section, flags: &Flags, general: &PerNode) -> Vec<Declared> {
    let mut written = top.tables("nodes", from_table);
    if !flags.nodes.is_empty() {
        if top.is_file() {
            let message = "cannot be given with a file; write the node into the file's [[nodes]]";
            top.problem(&Place::Flag("--node".to_owned()), message);
        }
        let count = flags.nodes.len();
        let nodes = flags.nodes.iter().enumerate();
        written.extend(nodes.map(|(i, text)| from_flag(text, number_of("--node", i, count))));
    }
    let place = top.missing("nodes", "--node");
    if written.is_empty() && !top.has("nodes") {
        let message = match place {
            Place::Flag(_) => {
                "is missing; name each node, as --node http://10.0.0.1:13000, or a \
                               file with --config FILE"
            }
            Place::Key { .. } | Place::Text { .. } => {
                "is missing; write a [[nodes]] section for \
                each node, with its address = \"http://HOST:PORT\""
            }
        };
        top.problem(&place, message);
        return Vec::new();
    }
    if NODES_MAX < written.len() {
        let message = format!("has {} nodes; write at most {NODES_MAX}", written.len());
        top.problem(&place, message);
        written.truncate(NODES_MAX);
    }
    if written.iter().all(|node| node.role == NodeRole::Worker) {
        let message = "has no node of role request, so nobody would be served; write role = \
                       \"request\" for at least one";
        top.problem(&place, message);
    }
    let nodes = written.into_iter().enumerate().map(|(i, node)| declare(top, i, node, general));
    let nodes: Vec<_> = nodes.collect();
    differ(top, &nodes);
    nodes.into_iter().map(|(node, _)| node).collect()
}

fn from_table(s: &mut Section) -> Written {
    let address = match s.text("address", "http://10.0.0.1:13000") {
        Some(text) => WrittenAddress::Text(text),
        None if s.has("address") => WrittenAddress::Wrong,
        None => WrittenAddress::Missing(s.place("address")),
    };
    let roles = [("request", NodeRole::Request), ("worker", NodeRole::Worker)];
    let weight = s.count("weight", &(1..=NODE_WEIGHT_MAX)).and_then(Weight::new);
    Written {
        place: s.here(),
        id: s.text("id", "n1"),
        address,
        role: s.choice("role", &roles, NodeRole::Request),
        weight: weight.unwrap_or(Weight::ONE),
        own: s.section_called("drivers", "nodes.drivers", per_node),
    }
}

/// `[ID=]URL`. A URL that is allowed here holds no `=`.
fn from_flag(text: &str, flag: String) -> Written {
    let place = Place::Flag(flag);
    let at = |value: &str| At { place: place.clone(), value: value.to_owned() };
    let (id, url) = match text.split_once('=') {
        Some((id, url)) if !id.contains([':', '/']) => (Some(at(id)), at(url)),
        _ => (None, at(text)),
    };
    let address = WrittenAddress::Text(url);
    let own = PerNode::default();
    Written { id, address, role: NodeRole::Request, weight: Weight::ONE, place, own }
}

/// Checks one node by itself; also returns the place of its id.
fn declare(
    top: &mut Section,
    index: usize,
    written: Written,
    general: &PerNode,
) -> (Declared, Place) {
    let Written { place, id, address, role, weight, own } = written;
    let (id_place, id) = match id {
        Some(At { place, value }) => (place, value),
        // The default id; where it is taken, the node as a whole is what needs one.
        None => (place, format!("n{}", index + 1)),
    };
    let id = id.parse::<NodeId>().map_err(|wrong| {
        top.problem(&id_place, format!("{wrong}; write one, as n{}", index + 1));
    });
    let address = match address {
        WrittenAddress::Text(at) => check_address(top, at).map(Some),
        WrittenAddress::Wrong => None,
        WrittenAddress::Missing(_) if role == NodeRole::Worker => Some(None),
        WrittenAddress::Missing(place) => {
            let message = "is missing; write where the node is reached, as \
                           \"http://10.0.0.1:13000\" (only a node of role worker may have none)";
            top.problem(&place, message);
            None
        }
    };
    let id = id.ok();
    let value = |at: &At<NodeAddress>| at.value.clone();
    let config = match (&id, &address) {
        (Some(id), Some(address)) => {
            let address = address.as_ref().map(value);
            let drivers = own.or(general);
            Some(NodeConfig { id: id.clone(), role, weight, address, drivers })
        }
        _ => None,
    };
    (Declared { id, role, config, address: address.flatten(), own }, id_place)
}

fn check_address(top: &mut Section, At { place, value }: At<String>) -> Option<At<NodeAddress>> {
    match node_address(&value) {
        Ok(value) => {
            if value.ip().is_some_and(is_public) {
                let message = format!(
                    "{value} is a public address: close the node's port to everybody but the \
                     gateway, or people reach the node past it, a raised bridge included"
                );
                top.warn(&place, message);
            }
            Some(At { place, value })
        }
        Err(wrong) => {
            top.problem(&place, wrong.to_string());
            None
        }
    }
}

/// Two nodes of one id, or at one address, are a slip of copying.
fn differ(top: &mut Section, nodes: &[(Declared, Place)]) {
    let mut ids: HashMap<&NodeId, &Place> = HashMap::new();
    let mut addresses: HashMap<&NodeAddress, &Place> = HashMap::new();
    for (node, id_place) in nodes {
        if let Some(id) = &node.id {
            match ids.get(id) {
                Some(first) => {
                    let message = format!(
                        "the id {id} is also that of {first}; give every node an id of its own \
                         (a node without one is called n1, n2, ... by its position)"
                    );
                    top.problem(id_place, message);
                }
                None => {
                    ids.insert(id, id_place);
                }
            }
        }
        if let Some(At { place, value }) = &node.address {
            match addresses.get(value) {
                Some(first) => {
                    let message =
                        format!("{value} is also {first}; every node has an address of its own");
                    top.problem(place, message);
                }
                None => {
                    addresses.insert(value, place);
                }
            }
        }
    }
}

/// A node at the gateway's own address would send requests round in circles.
pub(super) fn check_loops(top: &mut Section, nodes: &[Declared], sockets: &Sockets) {
    for At { place, value } in nodes.iter().filter_map(|node| node.address.as_ref()) {
        let own = sockets.listen.iter().chain(&sockets.admin);
        if let Some(own) = own.into_iter().find(|own| leads_to(value, own.value)) {
            let message = format!(
                "{value} is the gateway's own address ({} {}): requests would go in circles; \
                 write the node's, or let the gateway listen elsewhere",
                own.place, own.value
            );
            top.problem(place, message);
        }
    }
}

fn leads_to(node: &NodeAddress, socket: SocketAddr) -> bool {
    let wildcard = socket.ip().is_unspecified() && node.is_loopback();
    let localhost = socket.ip().is_loopback() && node.host == "localhost";
    node.port == socket.port() && (wildcard || localhost || node.ip() == Some(socket.ip()))
}
