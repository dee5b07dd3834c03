//! The memory in which a worker's requests are served, one after another.
//!
//! Serving a request takes far more memory than waiting for one, and of many connections few are
//! served at any moment: a connection borrows a place for each of its requests.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::model::limits::PLACES_KEPT;

/// The free places of one worker for work of one kind.
pub(super) struct Places<A, F> {
    begin: fn(A) -> F,
    free: RefCell<Vec<Place<F>>>,
}

type Place<F> = Pin<Box<Option<F>>>;

impl<A, F> Places<A, F> {
    /// None yet. `begin` is the work that they are for.
    pub fn new(begin: fn(A) -> F) -> Rc<Self> {
        Rc::new(Self { begin, free: RefCell::default() })
    }

    /// Begins work at a free place. Nothing of it runs before the first poll.
    pub fn begin(self: &Rc<Self>, with: A) -> Placed<A, F> {
        let mut place = self.free.borrow_mut().pop().unwrap_or_else(|| Box::pin(None));
        place.as_mut().set(Some((self.begin)(with)));
        Placed { places: self.clone(), place: Some(place) }
    }
}

impl<A, F> fmt::Debug for Places<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("free", &self.free.borrow().len()).finish_non_exhaustive()
    }
}

/// Work at its place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Placed<A, F> {
    places: Rc<Places<A, F>>,
    place: Option<Place<F>>,
}

impl<A, F: Future> Future for Placed<A, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let work = self.place.as_mut().and_then(|place| place.as_mut().as_pin_mut());
        // There is work from the beginning to the drop.
        work.map_or(Poll::Pending, |work| work.poll(cx))
    }
}

impl<A, F> Drop for Placed<A, F> {
    fn drop(&mut self) {
        let Some(mut place) = self.place.take() else { return };
        // What the work held goes first: it may look at the worker.
        place.as_mut().set(None);
        let mut free = self.places.free.borrow_mut();
        if free.len() < PLACES_KEPT {
            free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use super::*;

    async fn twice((count, waits): (Rc<Cell<u32>>, bool)) -> u32 {
        if waits {
            poll_fn(|_| Poll::<()>::Pending).await;
        }
        count.set(count.get() + 1);
        count.get()
    }

    #[tokio::test]
    async fn a_place_is_used_again_and_holds_nothing_between() {
        let places = Places::new(twice);
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
    fn work_that_is_given_up_ends_and_frees_its_place() {
        let places = Places::new(twice);
        let count = Rc::new(Cell::new(0));
        let mut placed = Box::pin(places.begin((count.clone(), true)));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(placed.as_mut().poll(&mut cx).is_pending());
        drop(placed);
        assert_eq!((places.free.borrow().len(), Rc::strong_count(&count)), (1, 1));
    }

    #[test]
    fn no_more_places_are_kept_than_are_worth_it() {
        let places = Places::new(twice);
        let count = Rc::new(Cell::new(0));
        let all: Vec<_> = (0..=PLACES_KEPT).map(|_| places.begin((count.clone(), false))).collect();
        drop(all);
        assert_eq!(places.free.borrow().len(), PLACES_KEPT);
    }
}
