//! The last things that happened, kept for those who come late, and told to those who listen.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::broadcast;

use super::{After, Event, EventKind};
use crate::clock;
use crate::model::limits::EVENTS_KEPT;
use crate::model::{Revision, Timestamp};

/// Numbers for the events of one millisecond, were there ever so many: those of a process begin at
/// its start's time, so that they grow over its restarts too.
const SEQS_PER_MS: u64 = 1_000;

/// The event log of this process.
#[derive(Debug)]
pub struct Events {
    log: Mutex<EventLog>,
    live: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct EventLog {
    kept: VecDeque<Event>,
    /// Of the next event.
    seq: u64,
}

impl Events {
    /// Begins anew at `started`: nothing of the time before is kept.
    pub fn new(started: Timestamp) -> Self {
        let (live, _) = broadcast::channel(EVENTS_KEPT);
        let started = u64::try_from(started.as_millis()).unwrap_or_default();
        let seq = started.saturating_mul(SEQS_PER_MS);
        Self { log: Mutex::new(EventLog { kept: VecDeque::new(), seq }), live }
    }

    pub fn tell(&self, revision: Revision, kind: EventKind) {
        // Kept and sent under one lock, so that a listener misses none and gets none twice.
        let mut log = lock(&self.log);
        let event = Event { seq: log.seq, at: clock::now(), revision, kind };
        log.seq += 1;
        if EVENTS_KEPT <= log.kept.len() {
            log.kept.pop_front();
        }
        log.kept.push_back(event.clone());
        // Nobody may be listening.
        let _ = self.live.send(event);
    }

    /// The kept events after `after`, and all that follow.
    pub fn listen(&self, after: Option<After>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let log = lock(&self.log);
        let is_after = |event: &&Event| match after {
            Some(After::Revision(after)) => after < event.revision,
            Some(After::Seq(after)) => after < event.seq,
            None => false,
        };
        (log.kept.iter().filter(is_after).cloned().collect(), self.live.subscribe())
    }
}

/// A panic while the lock was held left a whole value: it is only moved in and out.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_listener_gets_what_came_after_its_revision_and_then_what_follows() {
        let events = Events::new(Timestamp::from_millis(1));
        events.tell(Revision(1), EventKind::Stopping);
        events.tell(Revision(2), EventKind::Stopping);
        let (past, mut live) = events.listen(Some(After::Revision(Revision(1))));
        assert_eq!(past.iter().map(|e| e.revision).collect::<Vec<_>>(), [Revision(2)]);
        assert!(live.try_recv().is_err());
        events.tell(Revision(3), EventKind::Stopping);
        assert_eq!(live.try_recv().expect("told").revision, Revision(3));
    }

    #[test]
    fn only_so_many_are_kept() {
        let events = Events::new(Timestamp::from_millis(1));
        for revision in 1..=EVENTS_KEPT as u64 + 5 {
            events.tell(Revision(revision), EventKind::Stopping);
        }
        let (past, _) = events.listen(Some(After::Revision(Revision(0))));
        assert_eq!(past.len(), EVENTS_KEPT);
        assert_eq!(past[0].revision, Revision(6));
    }

    #[test]
    fn a_number_tells_where_a_listener_left_off_within_a_revision_and_over_a_restart() {
        let first = Events::new(Timestamp::from_millis(1));
        first.tell(Revision(1), EventKind::Stopping);
        first.tell(Revision(1), EventKind::Stopping);
        let seqs = |(past, _): (Vec<Event>, _)| past.iter().map(|e| e.seq).collect::<Vec<_>>();
        assert_eq!(seqs(first.listen(Some(After::Seq(0)))), [1_000, 1_001]);
        assert_eq!(seqs(first.listen(Some(After::Seq(1_000)))), [1_001]);
        let second = Events::new(Timestamp::from_millis(2));
        second.tell(Revision(1), EventKind::Stopping);
        assert_eq!(seqs(second.listen(Some(After::Seq(1_001)))), [2_000]);
    }
}
