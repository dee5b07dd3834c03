//! The accept loop of the control socket: who gets in, for how long, and how it ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{Access, Role};
use super::peer::{Peer, peer};
use super::router::{Admission, answer};
use super::socket::{ControlListener, SocketError};
use super::stall::Unstalled;
use crate::engine::Commands;
use crate::model::limits::{
    ACCEPT_RETRY_DELAY, CONTROL_CONNECTIONS_MAX, CONTROL_CONNECTIONS_RESERVED,
    CONTROL_READ_TIMEOUT, CONTROL_STOP_GRACE, CONTROL_TURNED_AWAY_MAX, CONTROL_TURNED_AWAY_TIME,
    CONTROL_WRITE_STALL, HEAD_BYTES_MAX, HEADERS_MAX,
};

/// What the configuration says about the control socket.
#[derive(Clone, Debug)]
pub struct Settings {
    pub access: Access,
    /// Of a switch that names none.
    pub drain_timeout: Duration,
    pub bounds: Bounds,
}

/// What one caller may cost. The default is the product's; tests lower it.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    /// Of them, kept for operators.
    pub connections_reserved: usize,
    /// For a head, for a body, and for a connection that asks nothing.
    pub read_timeout: Duration,
    pub write_stall: Duration,
    /// For calls that still run at the stop.
    pub stop_grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: CONTROL_CONNECTIONS_MAX,
            connections_reserved: CONTROL_CONNECTIONS_RESERVED,
            read_timeout: CONTROL_READ_TIMEOUT,
            write_stall: CONTROL_WRITE_STALL,
            stop_grace: CONTROL_STOP_GRACE,
        }
    }
}

/// What every connection shares.
pub(super) struct Server<E> {
    pub(super) engine: E,
    pub(super) settings: Settings,
    /// Owns connections, event streams and running commands.
    pub(super) tasks: TaskTracker,
    /// The gateway stops: waits and streams end, calls are answered.
    pub(super) stop: CancellationToken,
    /// The grace is over: everything ends.
    pub(super) given_up: CancellationToken,
    slots: Slots,
}

/// Serves until `stop` is cancelled and what was begun has ended, or the grace is over. Removes
/// the socket's file first of all then, so that a successor may bind at once. Run it before the
/// engine stops and inside a runtime with timers.
///
/// # Errors
/// The socket cannot be handed to the runtime.
pub async fn serve<E: Commands>(
    socket: ControlListener,
    engine: E,
    settings: Settings,
    stop: CancellationToken,
) -> Result<(), SocketError> {
    let ControlListener { listener, file, gid } = socket;
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(|source| file.failed("serve", source))?;
    let server = Arc::new(Server {
        engine,
        slots: Slots::new(&settings.bounds),
        settings,
        tasks: TaskTracker::new(),
        stop: stop.clone(),
        given_up: CancellationToken::new(),
    });
    stop.run_until_cancelled(accept(&server, &listener, gid)).await;
    file.remove();
    accept_the_rest(&server, listener, gid);
    server.tasks.close();
    if timeout(server.settings.bounds.stop_grace, server.tasks.wait()).await.is_err() {
        tracing::warn!(calls = server.tasks.len(), "calls on the control socket were cut");
        server.given_up.cancel();
        server.tasks.wait().await;
    }
    Ok(())
}

async fn accept<E: Commands>(server: &Arc<Server<E>>, listener: &UnixListener, gid: u32) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(server, stream, gid),
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                // Usually out of descriptors: an immediate retry would spin.
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Callers that connected before the file went are answered too. The runtime may not know of them
/// yet, so the queue itself is asked.
fn accept_the_rest<E: Commands>(server: &Arc<Server<E>>, listener: UnixListener, gid: u32) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        if let Ok(stream) = stream {
            admit(server, stream, gid);
        }
    }
}

/// Gives the connection a task, or closes it where even the seats for those who are turned away
/// are taken.
fn admit<E: Commands>(server: &Arc<Server<E>>, stream: UnixStream, socket_gid: u32) {
    let peer = match peer(&stream) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(%error, "a caller on the control socket cannot be told; closed");
            return;
        }
    };
    let role = server.settings.access.role(&peer, socket_gid);
    if let Some((admission, permit)) = server.slots.seat(peer, role) {
        let connection = serve_connection(server.clone(), stream, admission);
        server.tasks.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

async fn serve_connection<E: Commands>(
    server: Arc<Server<E>>,
    stream: UnixStream,
    admission: Admission,
) {
    let bounds = &server.settings.bounds;
    // One who came after the stop is answered once, and not sent away before it has asked.
    let late = server.stop.is_cancelled();
    let admitted = matches!(admission, Admission::Admitted { .. });
    let stay = if admitted { Duration::MAX } else { CONTROL_TURNED_AWAY_TIME };
    let service = service_fn(|request| {
        let answered = answer(server.clone(), admission.clone(), request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.read_timeout)
        .keep_alive(admitted && !late)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Unstalled::new(stream, bounds.write_stall)), service);
    let mut connection = pin!(connection);
    let over = timeout(stay, async {
        tokio::select! {
            biased;
            over = connection.as_mut() => return over,
            () = server.stop.cancelled(), if !late => connection.as_mut().graceful_shutdown(),
            () = server.given_up.cancelled() => return Ok(()),
        }
        tokio::select! {
            over = connection.as_mut() => over,
            () = server.given_up.cancelled() => Ok(()),
        }
    });
    if let Ok(Err(error)) = over.await {
        // Clients leave, stall and talk nonsense; none of it is the gateway's trouble.
        tracing::debug!(%error, "a connection on the control socket failed");
    }
}

/// The seats: for everybody, for operators when those are taken, and for a moment for those who
/// are told that they cannot have one.
struct Slots {
    everybody: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

impl Slots {
    fn new(bounds: &Bounds) -> Self {
        let reserved = bounds.connections_reserved.min(bounds.connections_max);
        Self {
            everybody: Arc::new(Semaphore::new(bounds.connections_max - reserved)),
            operators: Arc::new(Semaphore::new(reserved)),
            turned_away: Arc::new(Semaphore::new(CONTROL_TURNED_AWAY_MAX)),
        }
    }

    fn seat(&self, peer: Peer, role: Role) -> Option<(Admission, OwnedSemaphorePermit)> {
        let take = |seats: &Arc<Semaphore>| Arc::clone(seats).try_acquire_owned().ok();
        let seat = match role {
            Role::None => return Some((Admission::Stranger(peer), take(&self.turned_away)?)),
            Role::Viewer => take(&self.everybody),
            Role::Operator => take(&self.everybody).or_else(|| take(&self.operators)),
        };
        match seat {
            Some(seat) => Some((Admission::Admitted { peer, role }, seat)),
            None => Some((Admission::Full, take(&self.turned_away)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(connections_max: usize, connections_reserved: usize) -> Bounds {
        Bounds { connections_max, connections_reserved, ..Bounds::default() }
    }

    fn take(slots: &Slots, role: Role) -> Option<(Admission, OwnedSemaphorePermit)> {
        slots.seat(Peer { uid: 1, pid: None, gids: vec![] }, role)
    }

    fn is_admitted(seat: Option<&(Admission, OwnedSemaphorePermit)>) -> bool {
        matches!(seat, Some((Admission::Admitted { .. }, _)))
    }

    #[test]
    fn viewers_that_take_every_seat_leave_some_to_operators() {
        let slots = Slots::new(&bounds(3, 1));
        let viewers: Vec<_> = (0..3).map(|_| take(&slots, Role::Viewer)).collect();
        assert!(is_admitted(viewers[0].as_ref()) && is_admitted(viewers[1].as_ref()));
        assert!(matches!(viewers[2], Some((Admission::Full, _))));
        let operator = take(&slots, Role::Operator);
        assert!(is_admitted(operator.as_ref()));
        assert!(!is_admitted(take(&slots, Role::Operator).as_ref()));
        drop(viewers);
        assert!(is_admitted(take(&slots, Role::Viewer).as_ref()));
    }

    #[test]
    fn strangers_cost_no_seat_and_a_flood_of_them_is_closed_unanswered() {
        let slots = Slots::new(&bounds(2, 1));
        let strangers: Vec<_> =
            (0..CONTROL_TURNED_AWAY_MAX).map(|_| take(&slots, Role::None)).collect();
        assert!(strangers.iter().all(|seat| matches!(seat, Some((Admission::Stranger(_), _)))));
        assert!(take(&slots, Role::None).is_none());
        assert!(is_admitted(take(&slots, Role::Viewer).as_ref()));
        assert!(is_admitted(take(&slots, Role::Operator).as_ref()));
    }
}
