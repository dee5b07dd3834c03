//! The accept loop of the control socket: who gets in, for how long, and how it ends.

use std::convert::Infallible;
use std::future::pending;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{Access, Role};
use super::peer::peer;
use super::router::{Admission, answer};
use super::seats::Seats;
use super::socket::{ControlListener, SocketError};
use super::stall::Unstalled;
use crate::engine::Commands;
use crate::model::limits::{
    ACCEPT_RETRY_DELAY, CONTROL_CONNECTIONS_MAX, CONTROL_CONNECTIONS_RESERVED,
    CONTROL_HANG_UP_LOOK, CONTROL_LISTENERS_MAX, CONTROL_LISTENERS_RESERVED, CONTROL_READ_TIMEOUT,
    CONTROL_STOP_GRACE, CONTROL_TURNED_AWAY_MAX, CONTROL_TURNED_AWAY_TIME, CONTROL_WRITE_STALL,
    HEAD_BYTES_MAX, HEADERS_MAX,
};
use crate::telemetry::Metrics;

/// What the control socket is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub access: Access,
    /// Of a switch that names none.
    pub drain_timeout: Duration,
    pub bounds: Bounds,
    /// Where answers and broken connections are counted.
    pub metrics: Metrics,
}

/// What one caller may cost. The default is the product's; tests lower it.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    /// Of them, kept for operators.
    pub connections_reserved: usize,
    /// Calls that wait or listen to events, at a time.
    pub listeners_max: usize,
    /// Of them, kept for operators.
    pub listeners_reserved: usize,
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
            listeners_max: CONTROL_LISTENERS_MAX,
            listeners_reserved: CONTROL_LISTENERS_RESERVED,
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
    seats: Seats,
    turned_away: Arc<Semaphore>,
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
        seats: Seats::new(&settings.bounds),
        turned_away: Arc::new(Semaphore::new(CONTROL_TURNED_AWAY_MAX)),
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
                server.settings.metrics.control_failed();
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
            server.settings.metrics.control_failed();
            tracing::warn!(%error, "a caller on the control socket cannot be told; closed");
            return;
        }
    };
    let role = server.settings.access.role(&peer, socket_gid);
    let admission = match server.seats.seat(&peer, role) {
        Some(seat) => Admission::Admitted { peer, role, seat },
        None => {
            let Ok(permit) = Arc::clone(&server.turned_away).try_acquire_owned() else {
                server.settings.metrics.control_failed();
                return;
            };
            let permit = Arc::new(permit);
            match role {
                Role::None => Admission::Stranger { peer, _permit: permit },
                Role::Viewer | Role::Operator => Admission::Full { _permit: permit },
            }
        }
    };
    server.tasks.spawn(serve_connection(server.clone(), stream, admission));
}

async fn serve_connection<E: Commands>(
    server: Arc<Server<E>>,
    stream: UnixStream,
    admission: Admission,
) {
    let bounds = &server.settings.bounds;
    // One who came after the stop is answered once, and not sent away before it has asked.
    let late = server.stop.is_cancelled();
    let seat = admission.seat();
    let stay = if seat.is_some() { Duration::MAX } else { CONTROL_TURNED_AWAY_TIME };
    let gone = gone(&stream, seat.as_ref().map(|seat| seat.evicted().clone()));
    let service = service_fn(|request| {
        let answered = answer(&server, &admission, request);
        let metrics = server.settings.metrics.clone();
        async move {
            let response = answered.await;
            metrics.control_answered(response.status().as_u16());
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.read_timeout)
        .keep_alive(seat.is_some() && !late)
        // Who has said all it has to say still wants its answer; `gone` tells who left.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Unstalled::new(stream, bounds.write_stall)), service);
    let mut connection = pin!(connection);
    let over = timeout(stay, async {
        let end = async {
            tokio::select! {
                () = gone => {}
                () = server.given_up.cancelled() => {}
            }
        };
        let mut end = pin!(end);
        tokio::select! {
            biased;
            over = connection.as_mut() => return over,
            () = server.stop.cancelled(), if !late => connection.as_mut().graceful_shutdown(),
            () = end.as_mut() => return Ok(()),
        }
        tokio::select! {
            over = connection.as_mut() => over,
            () = end => Ok(()),
        }
    });
    let over = over.await;
    if let Some(seat) = seat {
        // A change that goes on without its caller has no seat any more.
        seat.leave();
    }
    if let Ok(Err(error)) = over {
        // Clients leave, stall and talk nonsense; none of it is the gateway's trouble.
        server.settings.metrics.control_failed();
        tracing::debug!(%error, "a connection on the control socket failed");
    }
}

/// Returns once the other side has closed its end altogether, or its seat was given to another.
/// hyper sees neither while it waits for an answer of ours.
fn gone(
    stream: &UnixStream,
    evicted: Option<CancellationToken>,
) -> impl Future<Output = ()> + use<> {
    // Who is turned away has not long to stay anyway. Without a descriptor of its own to look at, a
    // call ends by its own bounds.
    let watched = evicted.as_ref().and_then(|_| stream.as_fd().try_clone_to_owned().ok());
    async move {
        let hung_up = async {
            let Some(watched) = watched else { return pending().await };
            let mut looks = interval(CONTROL_HANG_UP_LOOK);
            while !hung_up(watched.as_fd()) {
                looks.tick().await;
            }
        };
        let evicted = async {
            match &evicted {
                Some(evicted) => evicted.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = hung_up => {}
            () = evicted => {}
        }
    }
}

/// Is there nobody at the other end? One who only will not write any more is still there.
fn hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut looked = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut looked, Some(&now)).is_ok_and(|found| found != 0)
        && looked[0].revents().contains(PollFlags::HUP)
}
