//! What the surfaces above may ask of the engine. They know this trait and not the engine behind
//! it, so that each can be tested with a stand-in.

use std::future::Future;

use tokio::sync::broadcast;

use super::{Event, Status, SwitchCommand, SwitchError, SwitchReply};
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

    /// The kept events whose revision is greater than `after` (none of them where it is `None`),
    /// and every later one: no gap and no duplicate between the two.
    fn events(&self, after: Option<Revision>) -> (Vec<Event>, broadcast::Receiver<Event>);

    /// The last switches, the youngest first.
    fn history(&self, limit: usize) -> impl Future<Output = Vec<HistoryEntry>> + Send;
}

/// One switch as the journal remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub revision: Revision,
    pub at: Timestamp,
    pub by: String,
    pub from: Mode,
    pub to: Mode,
    pub why: Option<String>,
    pub forced: bool,
    /// Is the end of the switch recorded?
    pub finished: bool,
}
