//! What health knows about every node, for the engine and the surfaces to read.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{NodeState, Timestamp};
use crate::routing::NodeIndex;

/// What is known about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    pub state: NodeState,
    /// Why it is in that state, in the node's or the prober's words.
    pub reason: String,
    /// When it came into that state.
    pub since: Timestamp,
    /// What the last probe said and when; that may contradict the state until it repeats.
    pub last_answer: Option<(Timestamp, String)>,
    /// Uptime clock: when the last round of probes ended.
    pub taken: Option<u64>,
    /// Ready readings up to the last one, without a break.
    pub ready_in_a_row: u32,
    /// Uptime clock: since when every probe was refused, or found no route, without a break. A
    /// time-out, an unresolved name, an answer or a broken connection ends it.
    pub unreached_since: Option<u64>,
    /// Uptime clock: when it last answered with HTTP at all, whatever the status.
    pub answered: Option<u64>,
    /// The version row, as its last `app:getInfo` of status 200 told it; `None` where that named
    /// none.
    pub version: Option<String>,
    /// Uptime clock: when a probe last proved that the application was not running: every address
    /// refused, or the node said itself that it starts. Time-outs, unresolved names and a front
    /// server's 502 prove nothing.
    pub down_seen: Option<u64>,
    /// Uptime clock: since when it has been ready without such a proof; `None` while it is not.
    pub ready_since: Option<u64>,
    /// Name of the entry script of its page, looked up after it last became ready. `None` where
    /// that was not found out: unknown, not "no build".
    pub build: Option<String>,
    /// Names of its enabled plugins, sorted; looked up with the build, and as unknown.
    pub plugins: Option<Arc<[String]>>,
    /// Uptime clock: when the look-up of build and plugins began that gave what stands here.
    pub looked_up: Option<u64>,
}

impl NodeReport {
    /// Was it seen down after `since` of the uptime clock, and is it ready since then?
    pub fn restarted_since(&self, since: u64) -> bool {
        match (self.down_seen, self.ready_since) {
            (Some(down), Some(ready)) => since < down && down <= ready,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

/// The reports of all nodes. Cheap to clone; written by health alone. Not for workers: they read
/// `routing::Node`.
#[derive(Clone, Debug)]
pub struct Board(Arc<[Mutex<NodeReport>]>);

impl Board {
    pub(super) fn new(nodes: usize, now: Timestamp) -> Self {
        let unknown = || {
            Mutex::new(NodeReport {
                state: NodeState::Unknown,
                reason: "not probed yet".to_owned(),
                since: now,
                last_answer: None,
                taken: None,
                ready_in_a_row: 0,
                unreached_since: None,
                answered: None,
                version: None,
                down_seen: None,
                ready_since: None,
                build: None,
                plugins: None,
                looked_up: None,
            })
        };
        Self((0..nodes).map(|_| unknown()).collect())
    }

    /// The report of one node; `None` where there is no such node.
    pub fn report(&self, index: NodeIndex) -> Option<NodeReport> {
        let report = self.0.get(index.0)?;
        Some(report.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// All reports, by node index. Each is of one moment; together they need not be.
    pub fn reports(&self) -> Vec<NodeReport> {
        (0..self.0.len()).filter_map(|index| self.report(NodeIndex(index))).collect()
    }

    pub(super) fn write(&self, index: NodeIndex, change: impl FnOnce(&mut NodeReport)) {
        if let Some(report) = self.0.get(index.0) {
            change(&mut report.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_down_and_then_ready_both_after_the_moment_asked_for() {
        let board = Board::new(1, Timestamp::from_millis(0));
        let restarted = |down_seen, ready_since| {
            board.write(NodeIndex(0), |report| {
                report.down_seen = down_seen;
                report.ready_since = ready_since;
            });
            board.report(NodeIndex(0)).is_some_and(|report| report.restarted_since(100))
        };
        assert!(restarted(Some(101), Some(102)));
        assert!(!restarted(Some(99), Some(102)), "down before the moment asked for");
        assert!(!restarted(Some(101), Some(50)), "ready before it was down");
        assert!(!restarted(Some(101), None), "not ready");
        assert!(!restarted(None, Some(102)), "never seen down");
    }

    #[test]
    fn there_is_no_report_of_a_node_that_is_not_there() {
        let board = Board::new(1, Timestamp::from_millis(0));
        assert_eq!(board.report(NodeIndex(1)), None);
        assert_eq!(board.reports().len(), 1);
    }
}
