//! The data plane over real sockets: what a client and a node see of each other through a gateway.

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod counting;
mod cuts;
mod exchange;
mod forwarding;
mod limits;
mod notices;
mod peer;
mod raw_node;
mod retries;
mod streaming;
mod tunnels;
mod upgrades;
