//! The engine's evidence is what health has on its board.

use crate::clock;
use crate::engine::{Evidence, NodeEvidence};
use crate::health::{Board, NodeReport};
use crate::model::{NodeState, Timestamp};
use crate::routing::NodeIndex;

/// Health, as the engine asks it.
pub struct FromHealth(pub Board);

impl Evidence for FromHealth {
    fn node(&self, index: NodeIndex) -> NodeEvidence {
        match self.0.report(index) {
            Some(report) => evidence(report),
            None => NodeEvidence {
                state: NodeState::Unknown,
                reason: "not probed".to_owned(),
                since: clock::now(),
                last_answer: None,
                build: None,
                restarted: None,
            },
        }
    }
}

fn evidence(report: NodeReport) -> NodeEvidence {
    let restarted = match (report.down_seen, report.ready_since) {
        (Some(down), Some(ready)) if down <= ready => Some(wall_time(down)),
        (Some(_) | None, Some(_) | None) => None,
    };
    NodeEvidence {
        state: report.state,
        reason: report.reason,
        since: report.since,
        last_answer: report.last_answer,
        build: report.build,
        restarted,
    }
}

/// The moment at which the uptime clock showed `uptime_ms`. A call that changes what runs must
/// lie before the node was *seen down*: a node that went down before it did not restart for it.
fn wall_time(uptime_ms: u64) -> Timestamp {
    let ago = clock::uptime_ms().saturating_sub(uptime_ms);
    let ago = i64::try_from(ago).unwrap_or(i64::MAX);
    Timestamp::from_millis(clock::now().as_millis().saturating_sub(ago))
}
