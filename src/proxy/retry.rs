//! How many requests may be sent a second time.

use crate::model::limits::{RETRY_BUDGET_MIN, RETRY_BUDGET_PERCENT};

/// Replays of requests that a node may have seen, as a share of all requests: when every node
/// fails, retries must not double the load on what is left. Counts are per worker and forget by
/// half each second.
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: u64,
    replays: u64,
    ticks: u32,
}

/// Ticks ([`crate::model::limits::TICK`]) per second.
pub const TICKS_PER_SECOND: u32 = 4;

impl RetryBudget {
    pub fn request(&mut self) {
        self.requests += 1;
    }

    /// Takes one replay from the budget, if it has one.
    pub fn take(&mut self) -> bool {
        let allowed = RETRY_BUDGET_MIN.max(self.requests * RETRY_BUDGET_PERCENT / 100);
        let granted = self.replays < allowed;
        self.replays += u64::from(granted);
        granted
    }

    pub fn tick(&mut self) {
        self.ticks += 1;
        if TICKS_PER_SECOND <= self.ticks {
            self.ticks = 0;
            self.requests /= 2;
            self.replays /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_replays_are_always_allowed_and_more_only_as_a_share() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..10).filter(|_| budget.take()).count(), 3);
        for _ in 0..100 {
            budget.request();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), 17);
    }

    #[test]
    fn the_budget_fills_again_as_time_passes() {
        let mut budget = RetryBudget::default();
        while budget.take() {}
        for _ in 0..TICKS_PER_SECOND {
            budget.tick();
        }
        assert!(budget.take());
    }
}
