//! The clients of the demonstration, and what became of each of their requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::nodes::NODES;

const QUICK_CLIENTS: usize = 8;
/// Theirs are the requests that a switch finds under way.
const SLOW_CLIENTS: usize = 3;
/// Between an answer and the next request: load, but no trial of strength.
const PAUSE: Duration = Duration::from_millis(10);
/// Answered by the node with its own name.
const QUICK: &str = "/__test/whoami";
const SLOW: &str = "/__test/slow?ms=600";
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Who may answer: a bit for each node, and one for the notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answerers(u8);

impl Answerers {
    pub(super) const NOTICE: Self = Self(1 << 7);
    pub(super) const EVERY_NODE: Self = Self((1 << NODES) - 1);

    pub(super) const fn node(index: usize) -> Self {
        Self(1 << index)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Counts of answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) served: u64,
    /// Those of `served` that named their node.
    pub(super) by_node: [u64; NODES],
    pub(super) noticed: u64,
    /// No answer, a wrong one, or one from where none may come.
    pub(super) failed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, more: &Self) {
        self.served += more.served;
        self.noticed += more.noticed;
        self.failed += more.failed;
        for (mine, theirs) in self.by_node.iter_mut().zip(more.by_node) {
            *mine += theirs;
        }
    }
}

#[derive(Debug)]
struct Seen {
    /// The answerers of today.
    allowed: AtomicU8,
    served: AtomicU64,
    by_node: [AtomicU64; NODES],
    noticed: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    ending: AtomicBool,
}

/// Clients that ask until they are told to end, or dropped.
#[derive(Debug)]
pub(super) struct Load {
    seen: Arc<Seen>,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins, with answers from every node.
    pub(super) fn start(gateway: SocketAddr) -> Self {
        let seen = Arc::new(Seen {
            allowed: AtomicU8::new(Answerers::EVERY_NODE.0),
            served: AtomicU64::default(),
            by_node: Default::default(),
            noticed: AtomicU64::default(),
            failed: AtomicU64::default(),
            first_failure: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let mut clients = JoinSet::new();
        let quick = std::iter::repeat_n(QUICK, QUICK_CLIENTS);
        for target in quick.chain(std::iter::repeat_n(SLOW, SLOW_CLIENTS)) {
            clients.spawn(client(gateway, target, seen.clone()));
        }
        Self { seen, clients }
    }

    /// A switch to `next` begins: the old answerers and the new ones are right.
    pub(super) fn may_also_come_from(&self, next: Answerers) {
        self.seen.allowed.fetch_or(next.0, Ordering::SeqCst);
    }

    /// A switch is acknowledged: whoever asks from now on is answered by these alone.
    pub(super) fn must_come_from(&self, only: Answerers) {
        self.seen.allowed.store(only.0, Ordering::SeqCst);
    }

    /// What was counted since the last call.
    pub(super) fn take(&self) -> Tally {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Tally {
            served: take(&self.seen.served),
            by_node: self.seen.by_node.each_ref().map(take),
            noticed: take(&self.seen.noticed),
            failed: take(&self.seen.failed),
        }
    }

    /// Lets every client have its last answer: one that leaves earlier abandons a request.
    pub(super) async fn end(&mut self) {
        self.seen.ending.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
    }

    pub(super) fn first_failure(&self) -> Option<String> {
        self.seen.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An answer that is one of those that a gateway gives.
enum Answer {
    FromNode(Option<usize>),
    Notice,
}

impl Seen {
    fn allowed(&self) -> Answerers {
        Answerers(self.allowed.load(Ordering::SeqCst))
    }

    /// `sent_under` is who might answer when the request was sent. One that was sent before a
    /// switch may be answered as before it or as after it.
    fn note(&self, sent_under: Answerers, answer: Result<Answer, String>) {
        let allowed = sent_under.or(self.allowed());
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match answer {
            Ok(Answer::FromNode(None)) => count(&self.served),
            Ok(Answer::FromNode(Some(node))) if allowed.includes(Answerers::node(node)) => {
                count(&self.served);
                count(&self.by_node[node]);
            }
            Ok(Answer::FromNode(Some(node))) => {
                self.fail(format!("n{} answered, which was closed to all", node + 1));
            }
            Ok(Answer::Notice) if allowed.includes(Answerers::NOTICE) => count(&self.noticed),
            Ok(Answer::Notice) => self.fail("503 although a node was open".to_owned()),
            Err(why) => self.fail(why),
        }
    }

    fn fail(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(why);
    }
}

/// A kept-alive connection; its driver lives in the set and ends with it.
struct Connection {
    requests: SendRequest<Empty<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(gateway: SocketAddr) -> anyhow::Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(gateway).await?);
        let (requests, driver) = http1::handshake(stream).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The request meets the same error and counts it.
            let _ = driver.await;
        });
        Ok(Self { requests, _driver: tasks })
    }
}

/// Asks again and again on one connection; a new one is made only after a failure.
async fn client(gateway: SocketAddr, target: &'static str, seen: Arc<Seen>) {
    let mut connection = None;
    while !seen.ending.load(Ordering::Relaxed) {
        let sent_under = seen.allowed();
        let answer = match timeout(ANSWER_WITHIN, ask(&mut connection, gateway, target)).await {
            Ok(answer) => answer.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("no answer within {ANSWER_WITHIN:?}")),
        };
        if answer.is_err() {
            connection = None;
        }
        seen.note(sent_under, answer);
        sleep(PAUSE).await;
    }
}

async fn ask(
    connection: &mut Option<Connection>,
    gateway: SocketAddr,
    target: &str,
) -> anyhow::Result<Answer> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(gateway).await?),
    };
    connection.requests.ready().await?;
    let request = Request::get(target).header(HOST, gateway.to_string()).body(Empty::new())?;
    let (head, body) = connection.requests.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("a broken answer: {error}"))?.to_bytes();
    match head.status {
        StatusCode::OK => Ok(Answer::FromNode(named(&body))),
        StatusCode::SERVICE_UNAVAILABLE if head.headers.contains_key(RETRY_AFTER) => {
            Ok(Answer::Notice)
        }
        status => anyhow::bail!("answered with {status}"),
    }
}

/// The node that an answer names.
fn named(body: &[u8]) -> Option<usize> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let number: usize = document["node"].as_str()?.strip_prefix('n')?.parse().ok()?;
    number.checked_sub(1).filter(|index| *index < NODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(allowed: Answerers) -> Load {
        let load = Load::start(([127, 0, 0, 1], 1).into());
        load.must_come_from(allowed);
        load
    }

    #[tokio::test]
    async fn an_answer_from_a_closed_node_is_a_failure_and_says_which() {
        let load = seen(Answerers::node(0));
        let sent_under = load.seen.allowed();
        load.seen.note(sent_under, Ok(Answer::FromNode(Some(0))));
        load.seen.note(sent_under, Ok(Answer::FromNode(Some(1))));
        let Tally { served, by_node, failed, .. } = load.take();
        assert_eq!((served, by_node, failed), (1, [1, 0, 0], 1));
        assert!(load.first_failure().is_some_and(|why| why.contains("n2")));
    }

    #[tokio::test]
    async fn a_request_sent_before_a_switch_may_be_answered_by_either_side_of_it() {
        let load = seen(Answerers::EVERY_NODE);
        let sent_under = load.seen.allowed();
        load.may_also_come_from(Answerers::NOTICE);
        load.must_come_from(Answerers::NOTICE);
        load.seen.note(sent_under, Ok(Answer::FromNode(Some(2))));
        load.seen.note(sent_under, Ok(Answer::Notice));
        let sent_after = load.seen.allowed();
        load.seen.note(sent_after, Ok(Answer::FromNode(Some(2))));
        let Tally { served, noticed, failed, .. } = load.take();
        assert_eq!((served, noticed, failed), (1, 1, 1));
    }
}
