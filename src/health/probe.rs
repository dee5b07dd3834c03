//! One round of probes: two HTTP calls to one node within one budget.
//!
//! Each call has a connection of its own. It costs little at this pace, and a probe then never
//! meets a kept connection that the node is just closing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::model::limits::{
    HEADERS_MAX, PROBE_BODY_BYTES_MAX, PROBE_HEAD_BYTES_MAX, PROBE_PAGE_BYTES_MAX,
    PROBE_PLUGINS_BYTES_MAX,
};
use crate::nocobase::{Answer, Paths, ProbeAnswer, build_of, plugins_of};

const USER_AGENT: &str = "drawspan-probe";

/// What one round found.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub health: ProbeAnswer,
    /// Asked only where the health call answered 200.
    pub info: Option<ProbeAnswer>,
}

/// Where a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// Sent as `Host`.
    pub authority: &'a str,
    /// Tried in this order until one accepts.
    pub addresses: &'a [SocketAddr],
}

/// Asks nodes how they are. Every call ends within the budget of its implementation.
pub(super) trait Probe: Send + Sync + 'static {
    fn round(&self, target: Target<'_>) -> impl Future<Output = Round> + Send;

    /// The build that the node's page names.
    fn build(&self, target: Target<'_>) -> impl Future<Output = Option<String>> + Send;

    /// The enabled plugins that the node lists, sorted.
    fn plugins(&self, target: Target<'_>) -> impl Future<Output = Option<Arc<[String]>>> + Send;
}

/// The real probe.
#[derive(Debug)]
pub(super) struct HttpProbe {
    health: String,
    info: String,
    page: String,
    plugins: String,
    /// For a whole round.
    budget: Duration,
}

impl HttpProbe {
    pub fn new(paths: &Paths, budget: Duration) -> Self {
        let page = format!("{}/", paths.public.trim_end_matches('/'));
        let plugins = paths.enabled_plugins();
        Self { health: paths.health(), info: paths.app_info(), page, plugins, budget }
    }

    /// The body of a 200 to one more call, as far as `body_max`.
    async fn body(&self, target: Target<'_>, path: &str, body_max: usize) -> Option<Vec<u8>> {
        let deadline = Instant::now() + self.budget;
        match (Call { target, path, body_max, deadline }).answer().await {
            ProbeAnswer::Answered(Answer { status: 200, body, .. }) => Some(body),
            ProbeAnswer::Answered(_)
            | ProbeAnswer::Refused
            | ProbeAnswer::Unreachable(_)
            | ProbeAnswer::NotTried(_)
            | ProbeAnswer::TimedOut
            | ProbeAnswer::Unresolved(_)
            | ProbeAnswer::Broken(_) => None,
        }
    }
}

impl Probe for HttpProbe {
    async fn round(&self, target: Target<'_>) -> Round {
        let deadline = Instant::now() + self.budget;
        let call = |path| Call { target, path, body_max: PROBE_BODY_BYTES_MAX, deadline };
        let health = call(&self.health).answer().await;
        let info = match &health {
            ProbeAnswer::Answered(Answer { status: 200, .. }) => {
                Some(call(&self.info).answer().await)
            }
            ProbeAnswer::Answered(_)
            | ProbeAnswer::Refused
            | ProbeAnswer::Unreachable(_)
            | ProbeAnswer::NotTried(_)
            | ProbeAnswer::TimedOut
            | ProbeAnswer::Unresolved(_)
            | ProbeAnswer::Broken(_) => None,
        };
        Round { health, info }
    }

    async fn build(&self, target: Target<'_>) -> Option<String> {
        build_of(&self.body(target, &self.page, PROBE_PAGE_BYTES_MAX).await?)
    }

    async fn plugins(&self, target: Target<'_>) -> Option<Arc<[String]>> {
        // One byte more than is allowed tells a list that is too long from one that just fits.
        let body = self.body(target, &self.plugins, PROBE_PLUGINS_BYTES_MAX + 1).await?;
        let whole = body.len() <= PROBE_PLUGINS_BYTES_MAX;
        whole.then(|| plugins_of(&body)).flatten().map(Arc::from)
    }
}

/// One GET.
struct Call<'a> {
    target: Target<'a>,
    path: &'a str,
    body_max: usize,
    deadline: Instant,
}

impl Call<'_> {
    async fn answer(&self) -> ProbeAnswer {
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(answer) => return answer,
        };
        match timeout_at(self.deadline, self.exchange(stream)).await {
            Ok(Ok(answer)) => ProbeAnswer::Answered(answer),
            Ok(Err(broken)) => ProbeAnswer::Broken(broken.to_string()),
            Err(_) => ProbeAnswer::TimedOut,
        }
    }

    /// Tries the addresses in turn, each with its share of the time that is left, so that one
    /// which swallows packets does not hide the next.
    async fn connect(&self) -> Result<TcpStream, ProbeAnswer> {
        let mut failures = Vec::new();
        let count = self.target.addresses.len();
        for (tried, address) in self.target.addresses.iter().enumerate() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(count - tried).unwrap_or(u32::MAX);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failures.push(error),
                Err(_) => failures.push(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(why_unreachable(&failures))
    }

    async fn exchange(&self, stream: TcpStream) -> Result<Answer, BrokenAnswer> {
        let request = Request::get(self.path)
            .header(header::HOST, self.target.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(PROBE_HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let answer = async { read(sender.send_request(request).await?, self.body_max).await };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            // What arrived before the connection ended is still to be read, and ends at once.
            _ = &mut connection => answer.await,
        }
    }
}

/// Not an answer in HTTP.
#[derive(Debug, thiserror::Error)]
enum BrokenAnswer {
    #[error("cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("no HTTP answer: {0}")]
    Response(#[from] hyper::Error),
}

async fn read(response: Response<Incoming>, body_max: usize) -> Result<Answer, BrokenAnswer> {
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while body.len() < body_max {
        let Some(frame) = incoming.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            let room = body_max - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(Answer { status, location, body })
}

/// Refused only where every address did: with one that timed out, nobody knows, nor with one that
/// this process could not try.
fn why_unreachable(failures: &[io::Error]) -> ProbeAnswer {
    let is = |kind: io::ErrorKind| move |error: &io::Error| error.kind() == kind;
    if failures.iter().any(is(io::ErrorKind::TimedOut)) {
        return ProbeAnswer::TimedOut;
    }
    if let Some(ours) = failures.iter().find(|error| !finds_nobody(error)) {
        return ProbeAnswer::NotTried(ours.to_string());
    }
    match failures.last() {
        None => ProbeAnswer::Unresolved("it has no address".to_owned()),
        Some(_) if failures.iter().all(is(io::ErrorKind::ConnectionRefused)) => {
            ProbeAnswer::Refused
        }
        Some(last) => ProbeAnswer::Unreachable(last.to_string()),
    }
}

/// Does this failure say something about the other end?
fn finds_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_refuses_only_where_all_its_addresses_do() {
        let error = |kind: io::ErrorKind| io::Error::from(kind);
        let refused = || error(io::ErrorKind::ConnectionRefused);
        assert_eq!(why_unreachable(&[refused(), refused()]), ProbeAnswer::Refused);
        let timed_out = error(io::ErrorKind::TimedOut);
        assert_eq!(why_unreachable(&[timed_out, refused()]), ProbeAnswer::TimedOut);
        let unreachable = why_unreachable(&[error(io::ErrorKind::HostUnreachable), refused()]);
        assert!(matches!(unreachable, ProbeAnswer::Unreachable(_)));
        assert!(matches!(why_unreachable(&[]), ProbeAnswer::Unresolved(_)));
        let out_of_descriptors = io::Error::from_raw_os_error(24);
        let not_tried = why_unreachable(&[refused(), out_of_descriptors, refused()]);
        assert!(matches!(not_tried, ProbeAnswer::NotTried(_)), "{not_tried:?}");
    }
}
