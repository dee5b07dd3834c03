//! From single readings to a state: pure counting, so that one odd answer moves nothing.
//!
//! What a node says of itself is believed at once; what the prober concludes must repeat. Between
//! two states that both take no traffic, the last reading decides; except that *down*, which
//! closes tunnels and counts as evidence, is only reached by failing to reach the node again and
//! again.

use std::num::NonZeroU32;

use crate::model::NodeState;
use crate::nocobase::{Reading, ReadingKind, Source};

/// Readings without a first verdict, in multiples of `rise + fall`, before a node that answers
/// each time differently counts as failing.
const UNDECIDED_ROUNDS_MAX: u32 = 2;

/// The state of one node, and the readings that speak against it.
#[derive(Clone, Debug)]
pub struct Verdict {
    state: NodeState,
    rise: u32,
    fall: u32,
    /// Readings since the start while there is no verdict.
    undecided: u32,
    /// Ready readings in a row.
    ready: u32,
    /// Readings in a row that contradict the state and are not ready.
    against: u32,
    /// Down readings in a row.
    down: u32,
}

impl Verdict {
    pub fn new(rise: NonZeroU32, fall: NonZeroU32) -> Self {
        let (rise, fall) = (rise.get(), fall.get());
        let state = NodeState::Unknown;
        Self { state, rise, fall, undecided: 0, ready: 0, against: 0, down: 0 }
    }

    pub fn state(&self) -> NodeState {
        self.state
    }

    /// Ready readings up to the last one, without a break.
    pub fn ready_in_a_row(&self) -> u32 {
        self.ready
    }

    /// Takes one reading. Returns the new state where it changed.
    pub fn take(&mut self, reading: &Reading) -> Option<NodeState> {
        self.count(reading.kind);
        let next = match self.state {
            // Unknown -> any
            NodeState::Unknown => self.first(reading),
            // Ready -> (Busy | Starting | Failing | Down)
            // Busy -> (Ready | Starting | Failing | Down)
            NodeState::Ready | NodeState::Busy => self.while_serving(reading),
            // Starting -> (Ready | Busy | Failing | Down)
            // Failing -> (Ready | Busy | Starting | Down)
            NodeState::Starting | NodeState::Failing => self.while_out(reading),
            // Down -> (Ready | Busy | Starting | Failing)
            NodeState::Down => match reading.kind {
                ReadingKind::Ready => self.risen(),
                ReadingKind::Down => None,
                ReadingKind::Starting | ReadingKind::Busy | ReadingKind::Failing => {
                    Some(reading.kind.state())
                }
            },
        };
        let next = next.filter(|next| *next != self.state)?;
        self.state = next;
        self.against = 0;
        Some(next)
    }

    fn count(&mut self, kind: ReadingKind) {
        self.undecided = self.undecided.saturating_add(1);
        let next = |count: u32| count.saturating_add(1);
        self.ready = if kind == ReadingKind::Ready { next(self.ready) } else { 0 };
        self.down = if kind == ReadingKind::Down { next(self.down) } else { 0 };
        let contradicts = kind != ReadingKind::Ready && kind.state() != self.state;
        self.against = if contradicts { next(self.against) } else { 0 };
    }

    fn first(&self, reading: &Reading) -> Option<NodeState> {
        let limit = UNDECIDED_ROUNDS_MAX * self.rise.saturating_add(self.fall);
        let settled = match reading.kind {
            ReadingKind::Ready => self.risen(),
            ReadingKind::Starting
            | ReadingKind::Busy
            | ReadingKind::Failing
            | ReadingKind::Down => self.fallen(reading),
        };
        settled.or_else(|| (limit <= self.undecided).then_some(NodeState::Failing))
    }

    fn while_serving(&self, reading: &Reading) -> Option<NodeState> {
        match reading.kind {
            ReadingKind::Ready => self.risen(),
            ReadingKind::Starting
            | ReadingKind::Busy
            | ReadingKind::Failing
            | ReadingKind::Down => self.fallen(reading),
        }
    }

    fn while_out(&self, reading: &Reading) -> Option<NodeState> {
        match reading.kind {
            ReadingKind::Ready => self.risen(),
            ReadingKind::Down => (self.fall <= self.down).then_some(NodeState::Down),
            ReadingKind::Starting | ReadingKind::Busy | ReadingKind::Failing => {
                Some(reading.kind.state())
            }
        }
    }

    fn risen(&self) -> Option<NodeState> {
        (self.rise <= self.ready).then_some(NodeState::Ready)
    }

    /// Out of the states that carry traffic, and out of none.
    fn fallen(&self, reading: &Reading) -> Option<NodeState> {
        match (reading.source, reading.kind) {
            (Source::Node, kind) => Some(kind.state()),
            (Source::Probe, _) if self.against < self.fall => None,
            // Out it goes, but not yet as down: the readings before this one were other failures.
            (Source::Probe, ReadingKind::Down) if self.down < self.fall => Some(NodeState::Failing),
            (Source::Probe, kind) => Some(kind.state()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RISE: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
    const FALL: NonZeroU32 = NonZeroU32::new(3).expect("not zero");

    fn reading(kind: ReadingKind) -> Reading {
        let source = if kind == ReadingKind::Busy { Source::Node } else { Source::Probe };
        Reading { kind, reason: String::new(), source, starts: false }
    }

    fn said(kind: ReadingKind) -> Reading {
        Reading { kind, reason: String::new(), source: Source::Node, starts: false }
    }

    fn verdict_in(state: NodeState) -> Verdict {
        let mut verdict = Verdict::new(RISE, FALL);
        let kind = ReadingKind::ALL.into_iter().find(|kind| kind.state() == state);
        for _ in 0..if kind.is_some() { 9 } else { 0 } {
            verdict.take(&reading(kind.expect("looked at just above")));
        }
        assert_eq!(verdict.state(), state);
        verdict
    }

    /// How many equal readings it takes to leave `state` by them; 0 for never.
    fn readings_needed(state: NodeState, reading: &Reading) -> usize {
        let mut verdict = verdict_in(state);
        (1..=9).find(|_| verdict.take(reading).is_some()).unwrap_or(0)
    }

    #[test]
    fn every_state_needs_so_many_equal_readings_to_become_another() {
        // Columns: starting, ready, busy, failing, down.
        let table = [
            (NodeState::Unknown, [3, 2, 1, 3, 3]),
            (NodeState::Starting, [0, 2, 1, 1, 3]),
            (NodeState::Ready, [3, 0, 1, 3, 3]),
            (NodeState::Busy, [3, 2, 0, 3, 3]),
            (NodeState::Failing, [1, 2, 1, 0, 3]),
            (NodeState::Down, [1, 2, 1, 1, 0]),
        ];
        for (state, needed) in table {
            for (kind, needed) in ReadingKind::ALL.into_iter().zip(needed) {
                assert_eq!(readings_needed(state, &reading(kind)), needed, "{state} and {kind:?}");
            }
        }
    }

    #[test]
    fn a_node_that_says_it_starts_is_believed_at_once() {
        for state in NodeState::ALL {
            let needed = usize::from(state != NodeState::Starting);
            assert_eq!(readings_needed(state, &said(ReadingKind::Starting)), needed, "{state}");
        }
    }

    #[test]
    fn two_failures_between_answers_move_nothing() {
        let mut verdict = verdict_in(NodeState::Ready);
        for kind in [ReadingKind::Down, ReadingKind::Failing, ReadingKind::Ready].repeat(20) {
            assert_eq!(verdict.take(&reading(kind)), None);
        }
    }

    #[test]
    fn one_answer_between_failures_does_not_bring_a_node_back() {
        let mut verdict = verdict_in(NodeState::Down);
        for kind in [ReadingKind::Ready, ReadingKind::Down].repeat(20) {
            assert_eq!(verdict.take(&reading(kind)), None);
        }
    }

    #[test]
    fn a_single_refusal_after_other_failures_is_failing_and_not_yet_down() {
        let mut verdict = verdict_in(NodeState::Ready);
        verdict.take(&reading(ReadingKind::Failing));
        verdict.take(&reading(ReadingKind::Failing));
        assert_eq!(verdict.take(&reading(ReadingKind::Down)), Some(NodeState::Failing));
        assert_eq!(verdict.take(&reading(ReadingKind::Down)), None);
        assert_eq!(verdict.take(&reading(ReadingKind::Down)), Some(NodeState::Down));
    }

    #[test]
    fn failures_count_anew_after_a_busy_time() {
        let mut verdict = verdict_in(NodeState::Busy);
        for _ in 0..5 {
            assert_eq!(verdict.take(&reading(ReadingKind::Failing)), None);
            assert_eq!(verdict.take(&reading(ReadingKind::Failing)), None);
            assert_eq!(verdict.take(&reading(ReadingKind::Busy)), None);
        }
    }

    #[test]
    fn a_node_that_never_answers_twice_alike_gets_a_first_verdict_all_the_same() {
        let mut verdict = Verdict::new(RISE, FALL);
        let flapping = [ReadingKind::Ready, ReadingKind::Down].repeat(10);
        let settled = flapping.into_iter().find_map(|kind| verdict.take(&reading(kind)));
        assert_eq!(settled, Some(NodeState::Failing));
    }

    proptest! {
        #[test]
        fn ready_is_only_reached_by_enough_ready_readings_in_a_row(
            kinds in proptest::collection::vec(0usize..5, 0..60)
        ) {
            let mut verdict = Verdict::new(RISE, FALL);
            let mut in_a_row = 0;
            for kind in kinds.into_iter().map(|kind| ReadingKind::ALL[kind]) {
                in_a_row = if kind == ReadingKind::Ready { in_a_row + 1 } else { 0 };
                if verdict.take(&reading(kind)) == Some(NodeState::Ready) {
                    prop_assert!(RISE.get() <= in_a_row);
                }
                prop_assert_eq!(verdict.ready_in_a_row(), in_a_row);
            }
        }
    }
}
