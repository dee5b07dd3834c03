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
        match report {
            Some(report) => evidence(report, &Clocks::read()),
            None => NodeEvidence::unprobed(clock::now()),
        }
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

fn evidence(report: NodeReport, clocks: &Clocks) -> NodeEvidence {
    let wall = |uptime_ms: u64| clocks.wall(uptime_ms);
    // A call that changes what runs must lie before the node was *seen down*: a node that went
    // down before it did not restart for it.
    let restarted = match (report.down_seen, report.ready_since) {
        (Some(down), Some(ready)) if down <= ready => Some(wall(down)),
        (Some(_) | None, Some(_) | None) => None,
    };
    NodeEvidence {
        state: report.state,
        reason: report.reason,
        since: report.since,
        last_answer: report.last_answer,
        taken: report.taken.map(wall),
        ready_in_a_row: report.ready_in_a_row,
        unreached_since: report.unreached_since.map(wall),
        answered: report.answered.map(wall),
        version: report.version,
        build: report.build,
        plugins: report.plugins,
        looked_up: report.looked_up.map(wall),
        restarted,
    }
}

/// Both clocks at one moment, so that the times of one report keep their distances, whatever was
/// done to the wall clock meanwhile.
struct Clocks {
    now: Timestamp,
    uptime_ms: u64,
}

impl Clocks {
    fn read() -> Self {
        Self { now: clock::now(), uptime_ms: clock::uptime_ms() }
    }

    /// The moment at which the uptime clock showed `uptime_ms`.
    fn wall(&self, uptime_ms: u64) -> Timestamp {
        let ago = i64::try_from(self.uptime_ms.saturating_sub(uptime_ms)).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.now.as_millis().saturating_sub(ago))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeState;

    #[test]
    fn times_of_the_uptime_clock_become_moments_with_the_same_distances() {
        let clocks = Clocks { now: Timestamp::from_millis(1_000_000), uptime_ms: 40_000 };
        assert_eq!(clocks.wall(40_000), Timestamp::from_millis(1_000_000));
        assert_eq!(clocks.wall(10_000), Timestamp::from_millis(970_000));
        assert_eq!(clocks.wall(40_001), clocks.now, "read after the clocks were");
    }

    #[test]
    fn every_fact_of_the_report_reaches_the_engine() {
        let now = clock::uptime_ms();
        let report = NodeReport {
            state: NodeState::Ready,
            reason: "a reason".to_owned(),
            since: Timestamp::from_millis(1),
            last_answer: Some((Timestamp::from_millis(2), "an answer".to_owned())),
            taken: Some(now + 60),
            ready_in_a_row: 7,
            unreached_since: Some(now),
            answered: Some(now + 20),
            version: Some("2.3.0".to_owned()),
            down_seen: Some(now + 10),
            ready_since: Some(now + 30),
            build: Some("index-1.js".to_owned()),
            plugins: Some(["acl".to_owned()].into()),
            looked_up: Some(now + 40),
        };
        // The uptime clock has passed all of them.
        let clocks = Clocks { now: clock::now(), uptime_ms: now + 100 };
        let at = |ms: u64| Some(clocks.wall(now + ms));
        let known = evidence(report.clone(), &clocks);
        let times = [known.unreached_since, known.restarted, known.answered, known.looked_up];
        assert_eq!(times, [at(0), at(10), at(20), at(40)]);
        assert_eq!((known.taken, known.ready_in_a_row), (at(60), 7));
        assert_eq!(
            (known.state, known.reason, known.since),
            (report.state, report.reason, report.since)
        );
        assert_eq!((known.version, known.build), (report.version, report.build));
        assert_eq!((known.plugins, known.last_answer), (report.plugins, report.last_answer));
    }
}
