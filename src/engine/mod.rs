//! The only one who changes modes.

mod api;
mod command;
mod event;
mod status;

pub use api::{Commands, HistoryEntry};
pub use command::{
    Acknowledged, Caller, Idempotency, NodeLeft, Objection, SwitchCommand, SwitchError,
    SwitchReply, WaitFor, Why,
};
pub use event::{Event, EventKind};
pub use status::{BackNode, JournalState, RunningSwitch, Status};
