//! Where a request may go: the table of the moment, its one publisher, its readers, and the pick.
//!
//! Decisions here read no clock and do no I/O; what the health checks and the workers find out
//! about a node arrives through the atomics of [`Node`].

mod node;
mod pick;
mod publish;
mod table;

pub use node::{GuardedCount, GuardedEnd, GuardedWatch, Node, NodeIndex, Nodes};
pub use pick::{Balance, NoNode, Rotation, Tried};
pub use publish::{Publisher, Reader, Tables};
pub use table::Table;
