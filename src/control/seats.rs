//! Who has a connection on the control socket, and who makes room for the next one.
//!
//! A caller that asks nothing, or whose call is its own to lose, never keeps another one out: where
//! the seats are taken, one of those gives way. Of them it is a connection of the process that has
//! most, so that who floods pushes itself out and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::access::Role;
use super::peer::Peer;
use super::server::Bounds;

/// What a connection does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing that was asked in full.
    Asking,
    /// A question is answered.
    Answering,
    /// A change is made. It goes on without its connection.
    Changing,
    /// A wait or a stream of events: as long as its caller likes.
    Listening,
}

/// The seats of one socket. Clones are the same seats.
#[derive(Clone, Debug)]
pub(super) struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: Mutex<Taken>,
    most: usize,
    /// Of all, kept for operators.
    reserved: usize,
    listening_most: usize,
    /// Of those who listen, kept for operators.
    listening_reserved: usize,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By age: the oldest first.
    seats: BTreeMap<u64, Sitting>,
}

#[derive(Debug)]
struct Sitting {
    role: Role,
    who: (u32, Option<i32>),
    doing: Doing,
    evicted: CancellationToken,
}

/// One connection's seat; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    id: u64,
    role: Role,
    evicted: CancellationToken,
}

/// As long as this lives, the seat's connection counts as doing it.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Seats {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self(Arc::new(Shared {
            taken: Mutex::default(),
            most: bounds.connections_max,
            reserved: bounds.connections_reserved.min(bounds.connections_max),
            listening_most: bounds.listeners_max,
            listening_reserved: bounds.listeners_reserved.min(bounds.listeners_max),
        }))
    }

    /// A seat, where need be one that another connection gives up; `None` where nobody can.
    pub(super) fn seat(&self, peer: &Peer, role: Role) -> Option<Arc<Seat>> {
        let mut taken = self.taken();
        let most = match role {
            Role::None => return None,
            Role::Viewer => self.0.most - self.0.reserved,
            Role::Operator => self.0.most,
        };
        if most <= taken.seats.len() {
            let given = taken.to_give_way(role)?;
            // Its task ends in a moment; the seat is counted as free from now on.
            taken.seats.remove(&given)?.evicted.cancel();
        }
        taken.next += 1;
        let (id, evicted) = (taken.next, CancellationToken::new());
        let who = (peer.uid, peer.pid);
        let doing = Doing::Asking;
        taken.seats.insert(id, Sitting { role, who, doing, evicted: evicted.clone() });
        drop(taken);
        Some(Arc::new(Seat { seats: self.clone(), id, role, evicted }))
    }

    /// No thread panics while it holds it; and what it guards is whole between two statements.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The oldest connection of the process that has most of those that may go. One that asks
    /// nothing goes before one whose change is under way: that one loses only its answer.
    fn to_give_way(&self, to: Role) -> Option<u64> {
        [Doing::Asking, Doing::Changing].into_iter().find_map(|doing| {
            let may_go = |(id, seat): (&u64, &Sitting)| {
                (seat.doing == doing && seat.role <= to).then_some((*id, seat.who))
            };
            let candidates: Vec<_> = self.seats.iter().filter_map(may_go).collect();
            let seats_of = |who| self.seats.values().filter(|seat| seat.who == who).count();
            // The first of several maxima, thus the oldest.
            candidates.iter().rev().max_by_key(|(_, who)| seats_of(*who)).map(|(id, _)| *id)
        })
    }
}

impl Seat {
    /// Another connection needed the seat.
    pub(super) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// The connection is over, whatever is still done for it.
    pub(super) fn leave(&self) {
        self.seats.taken().seats.remove(&self.id);
    }

    pub(super) fn answers(self: &Arc<Self>) -> Busy {
        self.does(Doing::Answering)
    }

    pub(super) fn changes(self: &Arc<Self>) -> Busy {
        self.does(Doing::Changing)
    }

    /// `None` where as many listen as may.
    pub(super) fn listens(self: &Arc<Self>) -> Option<Busy> {
        let mut taken = self.seats.taken();
        let shared = &self.seats.0;
        let most = match self.role {
            Role::None => 0,
            Role::Viewer => shared.listening_most - shared.listening_reserved,
            Role::Operator => shared.listening_most,
        };
        let listen = taken.seats.values().filter(|seat| seat.doing == Doing::Listening).count();
        if most <= listen {
            return None;
        }
        if let Some(sitting) = taken.seats.get_mut(&self.id) {
            sitting.doing = Doing::Listening;
        }
        drop(taken);
        Some(Busy(self.clone()))
    }

    fn does(self: &Arc<Self>, doing: Doing) -> Busy {
        self.is(doing);
        Busy(self.clone())
    }

    /// A connection that left or was evicted is no longer counted, whatever it does.
    fn is(&self, doing: Doing) {
        if let Some(sitting) = self.seats.taken().seats.get_mut(&self.id) {
            sitting.doing = doing;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is(Doing::Asking);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections_max: usize, connections_reserved: usize) -> Seats {
        let bounds = Bounds { connections_max, connections_reserved, ..Bounds::default() };
        Seats::new(&bounds)
    }

    fn peer(pid: i32) -> Peer {
        Peer { uid: 1, pid: Some(pid), gids: vec![] }
    }

    fn gone(seat: &Seat) -> bool {
        seat.evicted().is_cancelled()
    }

    #[test]
    fn who_asks_nothing_gives_way_the_one_that_has_most_and_of_its_connections_the_oldest() {
        let seats = seats(4, 0);
        let take = |pid| seats.seat(&peer(pid), Role::Operator).expect("a seat");
        let (patient, flood) = (take(1), [take(2), take(2), take(2)]);
        let newcomer = take(3);
        assert_eq!(flood.each_ref().map(|seat| gone(seat)), [true, false, false]);
        let more = take(2);
        assert_eq!(flood.each_ref().map(|seat| gone(seat)), [true, true, false]);
        assert!(!gone(&patient) && !gone(&newcomer) && !gone(&more));
    }

    #[test]
    fn a_question_that_is_answered_keeps_its_seat_and_a_change_loses_it_last() {
        let seats = seats(2, 0);
        let take = || seats.seat(&peer(1), Role::Operator);
        let (one, two) = (take().expect("a seat"), take().expect("a seat"));
        let (answering, changing) = (one.answers(), two.changes());
        let third = take().expect("the seat of the change");
        assert!(gone(&two) && !gone(&one));
        let listening = third.listens().expect("few do");
        assert!(take().is_none(), "one answers and one listens");
        drop(answering);
        assert!(take().is_some() && gone(&one) && !gone(&third));
        drop((changing, listening));
    }

    #[test]
    fn viewers_that_take_every_seat_leave_some_to_operators_and_drive_none_away() {
        let seats = seats(3, 1);
        let operator = seats.seat(&peer(1), Role::Operator).expect("a seat");
        let viewer = seats.seat(&peer(2), Role::Viewer).expect("a seat");
        let busy = viewer.answers();
        assert!(seats.seat(&peer(2), Role::Viewer).is_none());
        assert!(!gone(&operator) && !gone(&viewer));
        let second = seats.seat(&peer(1), Role::Operator).expect("kept for operators");
        assert!(!gone(&operator));
        drop((busy, second));
        assert!(seats.seat(&peer(3), Role::None).is_none(), "strangers have none");
    }

    #[test]
    fn those_who_listen_are_bounded_apart_and_viewers_leave_some_of_it_to_operators() {
        let few = Bounds { listeners_max: 3, listeners_reserved: 1, ..Bounds::default() };
        let seats = Seats::new(&few);
        let take = |role| seats.seat(&peer(1), role).expect("a seat");
        let viewers = [take(Role::Viewer), take(Role::Viewer), take(Role::Viewer)];
        let listening = viewers.each_ref().map(Seat::listens);
        assert_eq!(listening.each_ref().map(Option::is_some), [true, true, false]);
        let operator = take(Role::Operator);
        let busy = operator.listens().expect("kept for operators");
        assert!(take(Role::Operator).listens().is_none());
        drop(busy);
        assert!(take(Role::Operator).listens().is_some(), "it is given again");
    }
}
