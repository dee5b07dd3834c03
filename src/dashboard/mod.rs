//! The admin address: what monitoring and balancers ask. It changes nothing.

mod answer;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::limits::{
    ACCEPT_RETRY_DELAY, ADMIN_CONNECTION_TIME_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX,
    ADMIN_HEAD_TIMEOUT,
};
use crate::telemetry::{Liveness, Metrics, Readiness};

/// What the admin address shows.
#[derive(Clone, Debug)]
pub struct Vitals {
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub liveness: Liveness,
}

/// Answers on `listener` until `stop`, then lets the answers that are under way go out. They are
/// bounded in time, so this ends soon after.
///
/// Each connection carries one request: probes and scrapes are few, and a connection that nobody
/// keeps needs no idle time to be bounded.
pub async fn serve(listener: TcpListener, vitals: Vitals, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &slots)).await {
        match accepted {
            Ok((stream, slot)) => {
                let connection = connection(stream, vitals.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin address");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// Takes a slot before the connection, so that what is too much waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, vitals: Vitals, stop: CancellationToken) {
    let service = service_fn(|request| {
        let answer = answer::answer(&vitals, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ADMIN_HEAD_TIMEOUT)
            .max_buf_size(ADMIN_HEAD_BYTES_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let whole = timeout(ADMIN_CONNECTION_TIME_MAX, async {
        if stop.run_until_cancelled(serving.as_mut()).await.is_none() {
            serving.as_mut().graceful_shutdown();
            // An unfinished request or a slow reader is not worth an error here.
            let _ = serving.await;
        }
    });
    let _ = whole.await; // too slow: the connection ends here
}
