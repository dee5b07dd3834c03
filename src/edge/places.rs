//! The memory in which a worker's requests are served, one after another.
//!
//! Serving a request takes far more memory than waiting for one, and of many connections few are
//! served at any moment: a connection borrows a place for each of its requests. A place does not
//! end with a request, it goes on to the next: its work is made once, and never moved.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::model::limits::PLACES_KEPT;

/// The free places of one worker for work of one kind.
pub(super) struct Places<A, T, F> {
    work: fn(Rc<Desk<A, T>>) -> F,
    free: RefCell<Vec<Place<A, T, F>>>,
}

/// What a place works on.
pub(super) struct Desk<A, T> {
    begins: Cell<Option<A>>,
    ended: Cell<Option<T>>,
}

struct Place<A, T, F> {
    desk: Rc<Desk<A, T>>,
    work: Pin<Box<F>>,
}

impl<A, T> Desk<A, T> {
    /// What the next work begins with.
    pub async fn next(&self) -> A {
        poll_fn(|_| self.begins.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Lays down what came of it.
    pub fn ends(&self, with: T) {
        self.ended.set(Some(with));
    }
}

impl<A, T, F> Places<A, T, F> {
    /// None yet. `work` goes on for ever: it asks its desk for the next, and tells it the end.
    pub fn new(work: fn(Rc<Desk<A, T>>) -> F) -> Rc<Self> {
        Rc::new(Self { work, free: RefCell::default() })
    }

    /// Begins work at a free place. Nothing of it runs before the first poll.
    pub fn begin(self: &Rc<Self>, with: A) -> Placed<A, T, F> {
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| self.made());
        place.desk.begins.set(Some(with));
        Placed { places: self.clone(), place: Some(place) }
    }

    fn made(&self) -> Place<A, T, F> {
        let desk = Rc::new(Desk { begins: Cell::new(None), ended: Cell::new(None) });
        Place { work: Box::pin((self.work)(desk.clone())), desk }
    }

    fn keep(&self, place: Place<A, T, F>) {
        let mut free = self.free.borrow_mut();
        if free.len() < PLACES_KEPT {
            free.push(place);
        }
    }
}

impl<A, T, F> fmt::Debug for Places<A, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("free", &self.free.borrow().len()).finish_non_exhaustive()
    }
}

/// Work at its place, which is free again at its end. Dropped before that, the place goes with all
/// that the work held.
pub(super) struct Placed<A, T, F> {
    places: Rc<Places<A, T, F>>,
    place: Option<Place<A, T, F>>,
}

impl<A, T, F: Future<Output = Infallible>> Future for Placed<A, T, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let placed = &mut *self;
        // Polled again after its end, as nobody does.
        let Some(place) = &mut placed.place else { return Poll::Pending };
        let Poll::Pending = place.work.as_mut().poll(cx);
        let Some(ended) = place.desk.ended.take() else { return Poll::Pending };
        placed.place.take().into_iter().for_each(|place| placed.places.keep(place));
        Poll::Ready(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Counted = (Rc<Cell<u32>>, bool);

    async fn counting(desk: Rc<Desk<Counted, u32>>) -> Infallible {
        loop {
            let (count, waits) = desk.next().await;
            if waits {
                poll_fn(|_| Poll::<()>::Pending).await;
            }
            count.set(count.get() + 1);
            let ended = count.get();
            drop(count);
            desk.ends(ended);
        }
    }

    #[tokio::test]
    async fn a_place_is_used_again_and_holds_nothing_between() {
        let places = Places::new(counting);
        let count = Rc::new(Cell::new(0));
        for k in 1..=3 {
            assert_eq!(places.begin((count.clone(), false)).await, k);
            assert_eq!((places.free.borrow().len(), Rc::strong_count(&count)), (1, 1));
        }
        let first = places.begin((count.clone(), false));
        let second = places.begin((count.clone(), false));
        assert_eq!((first.await, second.await), (4, 5));
        assert_eq!(places.free.borrow().len(), 2);
    }

    #[test]
    fn work_that_is_given_up_ends_with_its_place() {
        let places = Places::new(counting);
        let count = Rc::new(Cell::new(0));
        let mut placed = Box::pin(places.begin((count.clone(), true)));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(placed.as_mut().poll(&mut cx).is_pending());
        drop(placed);
        drop(places.begin((count.clone(), false)));
        assert_eq!((places.free.borrow().len(), Rc::strong_count(&count)), (0, 1));
    }

    #[tokio::test]
    async fn no_more_places_are_kept_than_are_worth_it() {
        let places = Places::new(counting);
        let count = Rc::new(Cell::new(0));
        let all: Vec<_> = (0..=PLACES_KEPT).map(|_| places.begin((count.clone(), false))).collect();
        for one in all {
            one.await;
        }
        assert_eq!(places.free.borrow().len(), PLACES_KEPT);
    }
}
