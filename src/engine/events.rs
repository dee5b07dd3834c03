//! The last things that happened, kept for those who come late, and told to those who listen.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::broadcast;

use super::{Event, EventKind};
use crate::clock;
use crate::model::Revision;
use crate::model::limits::EVENTS_KEPT;

/// The event log of this process.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Events {
    /// Starts with what the journal remembers.
    pub fn new(remembered: impl IntoIterator<Item = Event>) -> Self {
        let (live, _) = broadcast::channel(EVENTS_KEPT);
        Self { kept: Mutex::new(remembered.into_iter().collect()), live }
    }

    pub fn tell(&self, revision: Revision, kind: EventKind) {
        let event = Event { at: clock::now(), revision, kind };
        // Kept and sent under one lock, so that a listener misses none and gets none twice.
        let mut kept = lock(&self.kept);
        if EVENTS_KEPT <= kept.len() {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody may be listening.
        let _ = self.live.send(event);
    }

    /// The kept events after `after`, and all that follow.
    pub fn listen(&self, after: Option<Revision>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = lock(&self.kept);
        let past = match after {
            Some(after) => kept.iter().filter(|event| after < event.revision).cloned().collect(),
            None => Vec::new(),
        };
        (past, self.live.subscribe())
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
        let events = Events::new([]);
        events.tell(Revision(1), EventKind::Stopping);
        events.tell(Revision(2), EventKind::Stopping);
        let (past, mut live) = events.listen(Some(Revision(1)));
        assert_eq!(past.iter().map(|e| e.revision).collect::<Vec<_>>(), [Revision(2)]);
        assert!(live.try_recv().is_err());
        events.tell(Revision(3), EventKind::Stopping);
        assert_eq!(live.try_recv().expect("told").revision, Revision(3));
    }

    #[test]
    fn only_so_many_are_kept() {
        let events = Events::new([]);
        for revision in 1..=EVENTS_KEPT as u64 + 5 {
            events.tell(Revision(revision), EventKind::Stopping);
        }
        let (past, _) = events.listen(Some(Revision(0)));
        assert_eq!(past.len(), EVENTS_KEPT);
        assert_eq!(past[0].revision, Revision(6));
    }
}
