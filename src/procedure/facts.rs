//! What is known of the world at one moment. Facts carry their time; old ones count for nothing.

use std::time::Duration;

use crate::model::{Mode, NodeId, NodeState, Timestamp};

/// What is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub now: Timestamp,
    /// The mode in force.
    pub mode: Mode,
    /// A switch still runs: not every worker is fenced and drained.
    pub switching: bool,
    /// Why the switch that this phase wants was refused, or could not be fenced.
    pub switch_refused: Option<String>,
    pub nodes: Vec<NodeFacts>,
    /// Free bytes where the backup goes.
    pub free_bytes: Option<u64>,
}

/// What is known of one node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    pub id: NodeId,
    /// When the last probe ended.
    pub taken: Option<Timestamp>,
    pub state: NodeState,
    /// Why it is in that state.
    pub reason: String,
    pub ready_in_a_row: u32,
    /// Since when it is refused or unreachable without a break.
    pub unreached_since: Option<Timestamp>,
    /// The last time it answered at all.
    pub answered: Option<Timestamp>,
    /// The entry script of its page.
    pub build: Option<String>,
    pub image: Image,
    /// The version row of the database, as this node reads it.
    pub version: Option<String>,
    pub plugins: Option<Vec<String>>,
    /// What the operator's `status` command said last.
    pub status: Option<Reported>,
    /// A guarded call passed it by and it was not restarted since.
    pub must_restart: bool,
    pub in_flight: usize,
    pub abandoned: u64,
}

/// What the operator's `build` command says that a node runs, asked since it came up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Image {
    /// There is no command, or no answer yet.
    #[default]
    Untold,
    /// The command failed, for this reason.
    Unknown(String),
    Known(String),
}

impl Image {
    pub const fn known(&self) -> Option<&String> {
        match self {
            Self::Known(image) => Some(image),
            Self::Untold | Self::Unknown(_) => None,
        }
    }
}

/// An answer of a `status` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// When it was asked.
    pub at: Timestamp,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeStatus {
    Running {
        /// When it was started, where the command tells.
        started: Option<Timestamp>,
    },
    Stopped,
    Unknown(String),
}

/// Is a node down?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Downness {
    /// It is, by this.
    Proven(String),
    /// It is refused, but not for long enough.
    Refused { since: Timestamp },
    /// It answers, or its `status` command says that it runs.
    Answers(String),
    /// It answered, but before what is asked about: the next probe tells.
    Unseen,
    /// Nothing proves anything: time-outs, no address, no fresh probe.
    Unclear(String),
}

impl Facts {
    pub fn node(&self, id: &NodeId) -> Option<&NodeFacts> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The same; of one that nobody told of, that nothing is known.
    pub(super) fn of(&self, id: &NodeId) -> NodeFacts {
        self.node(id).cloned().unwrap_or_else(|| NodeFacts::unknown(id.clone()))
    }
}

impl NodeFacts {
    /// Of a node that nothing is known of.
    pub fn unknown(id: NodeId) -> Self {
        Self {
            id,
            taken: None,
            state: NodeState::Unknown,
            reason: "not probed".to_owned(),
            ready_in_a_row: 0,
            unreached_since: None,
            answered: None,
            build: None,
            image: Image::Untold,
            version: None,
            plugins: None,
            status: None,
            must_restart: false,
            in_flight: 0,
            abandoned: 0,
        }
    }

    pub(super) fn is_fresh(&self, now: Timestamp, stale_after: Duration) -> bool {
        self.taken.is_some_and(|taken| is_fresh(taken, now, stale_after))
    }

    fn fresh_status(&self, now: Timestamp, stale_after: Duration) -> Option<&Reported> {
        self.status.as_ref().filter(|reported| is_fresh(reported.at, now, stale_after))
    }

    /// Is it down, for something that was over at `after`? A refused port alone is no proof until it
    /// lasted `down_after`: a port is also refused while a node starts.
    pub(super) fn downness(&self, now: Timestamp, after: Timestamp, bounds: Enough) -> Downness {
        let fresh = self.is_fresh(now, bounds.stale_after);
        let answers = self.answered.is_some() && self.answered == self.taken;
        let seen_since = self.taken.is_some_and(|taken| is_since(taken, after, now));
        if fresh && answers && seen_since {
            return Downness::Answers(format!("{}: {}", self.state, self.reason));
        }
        if let Some(reported) = self.fresh_status(now, bounds.stale_after)
            && is_since(reported.at, after, now)
        {
            match &reported.status {
                NodeStatus::Stopped => {
                    return Downness::Proven("its status command says stopped".to_owned());
                }
                NodeStatus::Running { .. } => {
                    return Downness::Answers("its status command says running".to_owned());
                }
                NodeStatus::Unknown(_) => {}
            }
        }
        match self.unreached_since.filter(|_| fresh) {
            // For how long nobody can tell.
            Some(_) if now < after => Downness::Unclear("the clock was set back".to_owned()),
            Some(unreached) => {
                let since = unreached.max(after);
                if bounds.down_after <= now.since(since) {
                    let seconds = bounds.down_after.as_secs();
                    let how = format!("refused or unreachable for more than {seconds} s");
                    return Downness::Proven(how);
                }
                Downness::Refused { since }
            }
            None if fresh && answers && !seen_since => Downness::Unseen,
            None if fresh => Downness::Unclear(self.reason.clone()),
            None => Downness::Unclear("no fresh probe of it".to_owned()),
        }
    }

    /// Ready so many times in a row, as far as is known now.
    pub(super) fn is_ready(&self, now: Timestamp, enough: Enough) -> bool {
        self.is_fresh(now, enough.stale_after)
            && self.state == NodeState::Ready
            && enough.ready_in_a_row <= self.ready_in_a_row
    }

    /// The same, and seen after `moment`: what was seen before a stop says nothing after it.
    pub(super) fn is_ready_after(&self, moment: Timestamp, now: Timestamp, enough: Enough) -> bool {
        let after = |taken: Timestamp| taken != moment && is_since(taken, moment, now);
        self.is_ready(now, enough) && self.taken.is_some_and(after)
    }

    /// A node without an address is only known by its `status` command.
    pub(super) fn is_running(&self, now: Timestamp, enough: Enough) -> bool {
        let reported = self.fresh_status(now, enough.stale_after);
        reported.is_some_and(|reported| matches!(reported.status, NodeStatus::Running { .. }))
    }

    /// When its `status` command says that it was started.
    pub(super) fn started(&self) -> Option<Timestamp> {
        match &self.status.as_ref()?.status {
            NodeStatus::Running { started } => *started,
            NodeStatus::Stopped | NodeStatus::Unknown(_) => None,
        }
    }
}

fn is_fresh(known: Timestamp, now: Timestamp, stale_after: Duration) -> bool {
    known <= now && now.since(known) <= stale_after
}

/// Is what is known of `known`, and fresh, of that moment or later? A moment that lies ahead was
/// written down before the clock was set back: all that is fresh came after it.
pub(super) fn is_since(known: Timestamp, moment: Timestamp, now: Timestamp) -> bool {
    moment <= known || now < moment
}

/// How much of a fact is enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enough {
    pub down_after: Duration,
    pub stale_after: Duration,
    pub ready_in_a_row: u32,
}
