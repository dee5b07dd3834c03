//! Taking connections from the kernel, within the cap.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::exchange::Serving;
use crate::model::limits::ACCEPT_RETRY_DELAY;
use crate::proxy::Worker;

/// Told to a client beyond the cap; the connection closes behind it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
Cache-Control: no-store\r\nRetry-After: 5\r\nContent-Length: 39\r\nConnection: close\r\n\r\n\
gateway side: too many connections now\n";

/// The connection cap, shared by all workers.
#[derive(Clone, Debug)]
pub struct Slots {
    open: Arc<AtomicUsize>,
    most: usize,
}

/// One connection's place under the cap.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    pub fn take(&self) -> Option<Slot> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(self.open.clone());
        (before < self.most).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where accepted connections are served.
pub(super) struct Hall<F> {
    pub worker: Rc<Worker>,
    pub slots: Slots,
    pub connections: TaskTracker,
    pub places: Rc<Serving<F>>,
}

/// Accepts until `stop`, then until the queue is empty: a connection that the kernel has taken
/// on our behalf is not dropped.
pub(super) async fn accept<F>(listener: TcpListener, hall: Rc<Hall<F>>, stop: CancellationToken)
where
    F: Future<Output = Infallible> + 'static,
{
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => hall.start(stream, address),
            // Usually out of descriptors: an immediate retry would spin.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                hall.worker.metrics.accept_failed();
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    // The runtime may not know of the last ones yet, so the queue itself is asked.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, address)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            hall.start(stream, address);
        }
    }
}

impl<F> Hall<F>
where
    F: Future<Output = Infallible> + 'static,
{
    fn start(&self, stream: TcpStream, address: SocketAddr) {
        match self.slots.take() {
            Some(slot) => {
                self.worker.metrics.client_accepted();
                let (worker, places) = (self.worker.clone(), self.places.clone());
                let served = connection::serve(worker, places, (stream, address), slot);
                self.connections.spawn_local(served);
            }
            None => {
                self.worker.metrics.client_refused();
                // One attempt, without waiting: whoever floods us is not waited for.
                let _ = stream.try_write(FULL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_counts_what_is_open_and_a_place_comes_free_again() {
        let slots = Slots::new(2);
        let first = slots.take().expect("a place");
        let _second = slots.take().expect("a place");
        assert!(slots.take().is_none());
        assert!(slots.take().is_none());
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn the_answer_beyond_the_cap_counts_its_own_bytes() {
        let text = std::str::from_utf8(FULL).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
