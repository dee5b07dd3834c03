//! The control socket: HTTP/1.1 + JSON on a Unix socket, and the client of the command line.
//!
//! The kernel names the caller; every attempt to change something is audited; an answer comes
//! when the effect is true, and a refusal lists every objection. A client that hangs, floods or
//! leaves cancels nothing and takes nothing from the others.

mod access;
mod answer;
mod audit;
mod change;
pub mod client;
mod duration;
mod events;
mod fields;
mod peer;
pub mod problem;
mod procedures;
mod query;
mod refusal;
mod route;
mod router;
mod say;
mod seats;
mod server;
mod socket;
mod stall;
mod users;
mod wait;
pub mod wire;

pub use access::{Access, Role};
pub use duration::{parse_duration, show_duration};
pub use server::{Bounds, Settings, serve};
pub use socket::{ControlListener, SocketError};
pub use users::{UnknownGroup, group_id, user_name};
pub use wait::{Condition, InvalidCondition};
