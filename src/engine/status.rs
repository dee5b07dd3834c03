//! What is true now, as it is told to operators.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{MustRestart, Shown};
use crate::model::{Generation, Mode, NodeId, NodeRole, NodeState, Revision, Timestamp, Weight};
use crate::procedure::Excluded;

/// Everything an operator can see, taken at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    pub taken: Timestamp,
    pub mode: Mode,
    pub revision: Revision,
    pub generation: Generation,
    /// When the mode was set.
    pub since: Timestamp,
    /// Who set it: a user's name, or `initial_mode`, or `doubt`.
    pub by: String,
    pub why: Option<String>,
    /// Why the gateway came up raised without being told to; ends with the next command.
    pub doubt: Option<String>,
    /// What was before the doubt; nothing where there is none.
    pub before_doubt: BeforeDoubt,
    /// The switch that is running, if one is.
    pub switch: Option<RunningSwitch>,
    pub journal: JournalState,
    /// Workers that do not confirm the published table; the gateway is sick while there are any.
    pub unfenced_workers: Vec<usize>,
    /// Nodes that serve something older than a guarded call left behind: each is an objection to
    /// letting it carry traffic, until it was restarted.
    pub must_restart: Vec<MustRestart>,
    /// The procedure that was begun last; it may be over.
    pub procedure: Option<Arc<Shown>>,
    /// Nodes that are left out of every table until they are included again.
    pub excluded: Vec<Excluded>,
    /// Things that are not wrong now but will be (a state directory on tmpfs, say).
    pub warnings: Vec<String>,
    pub nodes: Vec<BackNode>,
    /// Where the gateway listens, as bound.
    pub listen: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub version: &'static str,
    pub pid: u32,
    pub started: Timestamp,
}

/// What is known of the time before a doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeforeDoubt {
    /// The mode that was in force; `None` where the journal that knew it was lost.
    pub mode: Option<Mode>,
    /// Where the journal that could not be read was moved to.
    pub damaged_journal: Option<String>,
}

impl BeforeDoubt {
    /// What the operator can do about the doubt.
    pub fn remedy(&self) -> String {
        let end =
            "look at what the nodes run, then say the mode: any `drawspan mode` ends the doubt";
        match self.mode {
            Some(_) => end.to_owned(),
            None => format!("{end}; {UNKNOWN_CALLS}"),
        }
    }
}

/// What a lost journal leaves open.
pub(super) const UNKNOWN_CALLS: &str = "whether a call that changes what runs passed to one node alone before is not known: \
     if it may have, restart the other nodes before they carry traffic";

/// A switch between its journal record and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningSwitch {
    pub from: Mode,
    pub to: Mode,
    pub revision: Revision,
    pub began: Timestamp,
    pub fenced: bool,
}

/// Can the journal be written?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    Ok,
    /// It cannot, for this reason: only raising is possible.
    Degraded(String),
}

/// One node as `status` shows it.
#[derive(Clone, Debug)]
pub struct BackNode {
    pub id: NodeId,
    /// `host:port` as configured.
    pub address: String,
    /// What it resolves to now.
    pub resolved: Vec<SocketAddr>,
    pub role: NodeRole,
    pub weight: Weight,
    pub state: NodeState,
    /// Why it is in that state, in the node's or the prober's words.
    pub reason: String,
    /// When it came into that state.
    pub since: Timestamp,
    /// The last probe's answer and when it came.
    pub last_answer: Option<(Timestamp, String)>,
    /// Does the present mode route to it?
    pub routed: bool,
    /// Does it get new requests now: routed to, in a state for it, and not ejected?
    pub takes_requests: bool,
    /// Passed over for now because it failed requests.
    pub ejected: bool,
    /// Requests that the gateway holds on it.
    pub in_flight: usize,
    pub tunnels: usize,
    pub abandoned: u64,
}
