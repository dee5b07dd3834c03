//! Since when nobody is there: pure counting over rounds of probes.
//!
//! A refused port or a host without a route is a fact about the node. A time-out is not: a node
//! that is busy, or a packet that was lost, looks the same. So the first thing that is not such a
//! fact ends the streak, and a node is called down only by an unbroken one.

use std::time::Duration;

use crate::model::limits::UNREACHED_GAP_MAX;
use crate::nocobase::ProbeAnswer;

/// The unbroken refusals of one node.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    streak: Option<Streak>,
}

#[derive(Debug)]
struct Streak {
    since: u64,
    last: u64,
    epoch: u32,
}

impl Unreached {
    /// Takes the health answer of a round that ended at `at` of the uptime clock, asked at the
    /// addresses of `epoch`. Returns since when every round failed to reach the node.
    ///
    /// A streak begins anew where the node's name moved to other addresses, and where the rounds
    /// lie so far apart (the gateway was frozen) that the node may have been up between them.
    pub fn take(&mut self, answer: &ProbeAnswer, at: u64, epoch: u32) -> Option<u64> {
        if !finds_nobody(answer) {
            self.streak = None;
            return None;
        }
        let goes_on = |streak: &Streak| {
            let gap = Duration::from_millis(at.saturating_sub(streak.last));
            streak.epoch == epoch && gap <= UNREACHED_GAP_MAX
        };
        let since = self.streak.as_ref().filter(|streak| goes_on(streak)).map_or(at, |s| s.since);
        self.streak = Some(Streak { since, last: at, epoch });
        Some(since)
    }
}

fn finds_nobody(answer: &ProbeAnswer) -> bool {
    match answer {
        ProbeAnswer::Refused | ProbeAnswer::Unreachable(_) => true,
        ProbeAnswer::Answered(_)
        | ProbeAnswer::NotTried(_)
        | ProbeAnswer::TimedOut
        | ProbeAnswer::Unresolved(_)
        | ProbeAnswer::Broken(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nocobase::Answer;

    #[test]
    fn the_first_refusal_begins_a_streak_and_refusals_carry_it_on() {
        let mut unreached = Unreached::default();
        assert_eq!(unreached.take(&ProbeAnswer::Refused, 100, 1), Some(100));
        assert_eq!(unreached.take(&ProbeAnswer::Refused, 600, 1), Some(100));
        let no_route = ProbeAnswer::Unreachable("no route to host".into());
        assert_eq!(unreached.take(&no_route, 1_100, 1), Some(100));
    }

    #[test]
    fn whatever_is_no_refusal_ends_a_streak() {
        let text = String::new;
        let answered = Answer { status: 502, location: None, body: Vec::new() };
        for end in [
            ProbeAnswer::Answered(answered),
            ProbeAnswer::NotTried(text()),
            ProbeAnswer::TimedOut,
            ProbeAnswer::Unresolved(text()),
            ProbeAnswer::Broken(text()),
        ] {
            let mut unreached = Unreached::default();
            unreached.take(&ProbeAnswer::Refused, 100, 1);
            assert_eq!(unreached.take(&end, 200, 1), None, "{end:?}");
            assert_eq!(unreached.take(&ProbeAnswer::Refused, 300, 1), Some(300), "{end:?}");
        }
    }

    #[test]
    fn refusals_of_other_addresses_are_another_streak() {
        let mut unreached = Unreached::default();
        unreached.take(&ProbeAnswer::Refused, 100, 1);
        assert_eq!(unreached.take(&ProbeAnswer::Refused, 200, 2), Some(200));
    }

    #[test]
    fn refusals_with_a_long_silence_between_them_are_another_streak() {
        let gap = u64::try_from(UNREACHED_GAP_MAX.as_millis()).expect("a few seconds");
        let mut unreached = Unreached::default();
        unreached.take(&ProbeAnswer::Refused, 100, 1);
        assert_eq!(unreached.take(&ProbeAnswer::Refused, 100 + gap, 1), Some(100));
        assert_eq!(unreached.take(&ProbeAnswer::Refused, 101 + 2 * gap, 1), Some(101 + 2 * gap));
    }
}
