//! The engine's evidence is what health has on its board.

use crate::clock;
use crate::engine::{Evidence, NodeEvidence};
use crate::health::{Attention, Board, Health, NodeReport};
use crate::model::{Pace, Timestamp};
use crate::routing::NodeIndex;

/// Health, as the engine asks it.
pub struct FromHealth {
    board: Board,
    attention: Attention,
}

impl FromHealth {
    pub fn of(health: &Health) -> Self {
        Self { board: health.board(), attention: health.attention() }
    }
}

impl Evidence for FromHealth {
    fn node(&self, index: NodeIndex) -> NodeEvidence {
        let report = self.board.report(index);
        report.map_or_else(|| NodeEvidence::unprobed(clock::now()), evidence)
    }

    fn probe_soon(&self, index: NodeIndex) {
        self.attention.probe_soon(index);
    }

    fn look_again(&self, index: NodeIndex) {
        self.attention.look_again(index);
    }

    fn hurry(&self, pace: Pace) {
        self.attention.hurry(pace);
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
        taken: report.taken.map(wall_time),
        ready_in_a_row: report.ready_in_a_row,
        unreached_since: report.unreached_since.map(wall_time),
        answered: report.answered.map(wall_time),
        version: report.version,
        build: report.build,
        plugins: report.plugins,
        looked_up: report.looked_up.map(wall_time),
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
