//! The admin address: what monitoring and balancers ask. It changes nothing.

mod answer;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
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
/// keeps needs no idle time to be bounded. Where there are too many the oldest gives way: what asks
/// nothing must not keep a liveness probe waiting.
pub async fn serve(listener: TcpListener, vitals: Vitals, stop: CancellationToken) {
    let connections = TaskTracker::new();
    // By age. Those that have ended are still in it, and give way like the others.
    let mut newest: VecDeque<CancellationToken> = VecDeque::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                if newest.len() == ADMIN_CONNECTIONS_MAX
                    && let Some(oldest) = newest.pop_front()
                {
                    oldest.cancel();
                }
                let gives_way = CancellationToken::new();
                newest.push_back(gives_way.clone());
                let connection = connection(stream, vitals.clone(), stop.clone());
                connections.spawn(gives_way.run_until_cancelled_owned(connection));
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
