//! From a request's head to its answer, on one worker thread.
//!
//! `decide` looks at a request and refuses what no node should see; `forward` finds a node and
//! carries the exchange; `tunnel` carries what was upgraded; `drain` empties nodes that a switch
//! removed. Every attempt at a node is begun by [`Worker::begin_attempt`]: load, pick and count
//! without an await between them.

mod answer;
mod attempt;
mod body;
mod client;
mod decide;
mod drain;
mod forward;
mod headers;
mod inbound;
mod journey;
mod retry;
mod tunnel;
mod worker;

pub use answer::malformed;
pub use body::{Response, ResponseBody, Undiscarded, poll_discard};
pub use client::{Client, ClientPhase, Ending, Peer};
pub use drain::{close_all_tunnels, leave_lost_nodes, obey};
pub use forward::Forward;
pub use headers::{Upgrade, upgrade_asked};
pub use inbound::{InboundError, Left};
pub use tunnel::Tunnel;
pub use worker::{Kick, Settings, Worker, WorkerParts};
