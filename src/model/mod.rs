//! Names, values, units and limits: what every floor above speaks with.

mod count;
pub mod limits;
mod mode;
mod node;
mod pace;
mod serial;
mod time;

pub use count::{Generation, Revision, counted};
pub use mode::{Mode, ModeKind};
pub use node::{InvalidNodeId, NodeId, NodeRole, NodeState, Weight};
pub use pace::Pace;
pub use time::Timestamp;
