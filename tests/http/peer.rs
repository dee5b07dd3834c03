//! A client, or a node's end of a connection, that sees every byte.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{InProcess, PATIENCE, Wish, command};
use drawspan::control::client::Conditions;
use drawspan::control::wire::SwitchDoc;
use drawspan::standin::{Options, StandIn};

/// One end of a connection, and what was read ahead.
pub struct Peer {
    pub stream: TcpStream,
    pub ahead: Vec<u8>,
}

/// A message's head and body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
    pub whole: Whole,
}

/// Did the body come to the end that its head, or its last chunk, says?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    Yes,
    No,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// The first header of this name in a raw head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.expect("somebody accepts"))
    }

    pub fn of(stream: TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes).await.expect("the other side reads");
    }

    pub async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads what there is; 0 at the end of the stream, however it came.
    pub async fn fill(&mut self) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let count = read.expect("something comes in time").unwrap_or(0);
        self.ahead.extend_from_slice(&piece[..count]);
        count
    }

    /// The next head, its empty line included; `None` where the connection ended before.
    pub async fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    pub async fn head(&mut self) -> String {
        let head = self.try_head().await;
        head.unwrap_or_else(|| panic!("no head, only {:?}", String::from_utf8_lossy(&self.ahead)))
    }

    /// Exactly so many bytes, or fewer where the connection ended.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count && self.fill().await != 0 {}
        let count = count.min(self.ahead.len());
        self.ahead.drain(..count).collect()
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await != 0 {}
        std::mem::take(&mut self.ahead)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// The next answer, 1xx heads left out.
    pub async fn answer(&mut self) -> Answer {
        loop {
            let head = self.head().await;
            if !head.starts_with("HTTP/1.1 1") {
                return self.body_of(head).await;
            }
        }
    }

    /// An answer to HEAD: it has no body, whatever its head says.
    pub async fn answer_to_head(&mut self) -> Answer {
        let head = self.head().await;
        let status = status(&head);
        Answer { status, head, body: vec![], trailers: String::new(), whole: Whole::Yes }
    }

    /// The body that `head` announces.
    pub async fn body_of(&mut self, head: String) -> Answer {
        let status = status(&head);
        let mut answer =
            Answer { status, head, body: vec![], trailers: String::new(), whole: Whole::Yes };
        let length = answer.header("content-length").map(|n| n.parse().expect("a number"));
        if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer).await;
        } else if let Some(length) = length {
            if !matches!(status, 204 | 304) {
                answer.body = self.take(length).await;
                answer.whole = if answer.body.len() == length { Whole::Yes } else { Whole::No };
            }
        } else if !matches!(status, 204 | 304) {
            answer.body = self.rest().await;
        }
        answer
    }

    async fn chunks(&mut self, answer: &mut Answer) {
        answer.whole = Whole::No;
        while let Some(line) = self.line().await {
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            if size == 0 {
                while let Some(line) = self.line().await {
                    if line.is_empty() {
                        answer.whole = Whole::Yes;
                        return;
                    }
                    answer.trailers.push_str(&line);
                    answer.trailers.push('\n');
                }
                return;
            }
            answer.body.extend(self.take(size).await);
            self.take(2).await;
        }
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: &str) -> Answer {
        self.say(request).await;
        self.answer().await
    }
}

fn status(head: &str) -> u16 {
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}

/// A GET of an HTTP/1.1 client.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n")
}

/// A POST of text.
pub fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A gateway with one worker over `count` stand-ins, its settings changed as wished.
pub async fn gateway(
    count: usize,
    settings: fn(&mut drawspan::config::Config),
) -> (Vec<StandIn>, InProcess) {
    let nodes = crate::common::nodes(count);
    let gateway = InProcess::start(&nodes, Wish { workers: 1, settings }).await;
    (nodes, gateway)
}

/// One stand-in of these options behind a gateway with one worker.
pub async fn gateway_over(options: Options) -> (StandIn, InProcess) {
    let node = StandIn::start(options).expect("a stand-in starts");
    let wish = Wish { workers: 1, ..Wish::default() };
    let gateway = InProcess::start(std::slice::from_ref(&node), wish).await;
    (node, gateway)
}

/// `cluster`, `maintenance` or `single NODE`.
pub async fn switch(gateway: &InProcess, mode: &str) -> SwitchDoc {
    let switched = gateway.client.switch(&command(mode), &Conditions::default()).await;
    switched.unwrap_or_else(|error| panic!("{mode}: {error}")).doc
}

/// The value of a metric's first line with all of `labels`.
pub async fn metric(gateway: &InProcess, name: &str, labels: &[&str]) -> f64 {
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let text = crate::common::http(gateway.admin, request).await.expect("metrics");
    let line = text.lines().find(|line| {
        let named = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        named && labels.iter().all(|label| line.contains(label))
    });
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.unwrap_or_else(|| panic!("no {name} {labels:?}")).parse().expect("a number")
}
