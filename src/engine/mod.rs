//! The only one who changes modes.
//!
//! `handle` is what others hold; `service` is the task: it admits a command, writes it to the
//! journal through `ledger`, publishes the table, has `carry_out` fence and drain the workers, and
//! answers through `reply`. `evidence` says what speaks against a command. A procedure is conducted
//! by the same task (`service::conduct`): the decisions are those of `crate::procedure`, `watch`
//! gathers what the probes do not know, `equipment` is what the operator configured.

mod alarms;
mod api;
mod carry_out;
mod command;
mod equipment;
mod event;
mod events;
mod evidence;
mod handle;
mod history;
mod ledger;
mod outputs;
mod past;
mod procedure;
mod reply;
mod service;
mod status;
mod watch;

pub use api::{Commands, HistoryEnding, HistoryEntry};
pub use command::{
    Acknowledged, Caller, Idempotency, NodeLeft, Objection, Replayed, SwitchCommand, SwitchError,
    SwitchReply, WaitFor, Why,
};
pub use equipment::Equipment;
pub use event::{After, Event, EventKind};
pub use events::Events;
pub use evidence::{Evidence, GuardedCalls, MustRestart, NodeEvidence};
pub use handle::{Constants, Handle, Standing, engine};
pub use past::describe;
pub use procedure::{
    BeginCommand, ChoiceCommand, PastEvent, PastProcedure, Plan, PlanCommand, ProcedureError,
    ProcedureReply, Shown,
};
pub use service::EngineParts;
pub use status::{BackNode, BeforeDoubt, JournalState, RunningSwitch, Status};
