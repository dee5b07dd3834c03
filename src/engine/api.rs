//! What the surfaces above may ask of the engine. They know this trait and not the engine behind
//! it, so that each can be tested with a stand-in.

use std::future::Future;

use tokio::sync::broadcast;

use super::{
    After, BeginCommand, ChoiceCommand, Event, PastProcedure, Plan, PlanCommand, ProcedureError,
    ProcedureReply, Status, SwitchCommand, SwitchError, SwitchReply,
};
use crate::model::{Mode, Revision, Timestamp};

/// A handle on the engine; cheap to clone.
pub trait Commands: Clone + Send + Sync + 'static {
    /// What is true now. A snapshot: it waits for no node and no disk.
    fn status(&self) -> impl Future<Output = Status> + Send;

    /// Changes the mode, and answers once the switch is as far as [`SwitchCommand::wait`] asks.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing: a switch that was accepted goes on.
    fn switch(
        &self,
        command: SwitchCommand,
    ) -> impl Future<Output = Result<SwitchReply, SwitchError>> + Send;

    /// The kept events after `after` (none of them where it is `None`), and every later one: no gap
    /// and no duplicate between the two.
    fn events(&self, after: Option<After>) -> (Vec<Event>, broadcast::Receiver<Event>);

    /// What a procedure would do, and what speaks against it now. Changes nothing.
    fn plan(
        &self,
        command: PlanCommand,
    ) -> impl Future<Output = Result<Plan, ProcedureError>> + Send;

    /// Begins a procedure; answers when its begin is in the journal.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing.
    fn begin(
        &self,
        command: BeginCommand,
    ) -> impl Future<Output = Result<ProcedureReply, ProcedureError>> + Send;

    /// Says something to the running procedure; answers when that is in the journal.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing.
    fn choose(
        &self,
        command: ChoiceCommand,
    ) -> impl Future<Output = Result<ProcedureReply, ProcedureError>> + Send;

    /// The last procedures, the youngest first, or the one with this id; each with everything that
    /// happened to it, as far as the journal still has it.
    fn procedures(&self, id: Option<u64>) -> impl Future<Output = Vec<PastProcedure>> + Send;

    /// The last switches, the youngest first.
    fn history(&self, limit: usize) -> impl Future<Output = Vec<HistoryEntry>> + Send;
}

/// One switch, or a raise at a start, as the journal remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub revision: Revision,
    pub at: Timestamp,
    pub by: String,
    /// `None` where it is not known: the journal that knew was lost.
    pub from: Option<Mode>,
    pub to: Mode,
    pub why: Option<String>,
    /// Id of the procedure that made it.
    pub procedure: Option<u64>,
    pub forced: bool,
    pub ending: HistoryEnding,
}

/// How a past switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryEnding {
    Running,
    /// Nothing old was left on removed nodes, or it was cut.
    Drained,
    /// The marker held the mode while the journal could not be written.
    ByMarker,
    /// A raise at a start, without a command.
    AtStart,
    /// A switch to a less open mode took over.
    Superseded,
    /// The gateway died before it ended.
    Interrupted,
    /// It ended, and the journal could not take that.
    Unrecorded,
}

impl HistoryEnding {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Drained => "drained",
            Self::ByMarker => "by_marker",
            Self::AtStart => "at_start",
            Self::Superseded => "superseded",
            Self::Interrupted => "interrupted",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Did what it was for come true, on record?
    pub const fn is_finished(self) -> bool {
        match self {
            Self::Drained | Self::ByMarker | Self::AtStart => true,
            Self::Running | Self::Superseded | Self::Interrupted | Self::Unrecorded => false,
        }
    }
}
