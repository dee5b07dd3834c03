//! A client and a node, played from one thread with real sockets, and a proxy between them.
//!
//! The node notes every byte and reads it by the strict reader alone. When the client has seen the
//! end of its connection, all that the proxy wrote for it lies in the node's sockets, and is read.

#![allow(
    dead_code,
    reason = "the fuzz targets and the differential tests use their own parts of it"
)]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::strict::{self, After, Extensions, Read, Request, Response};

/// A connection that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Said to a request for which the script has no answer left.
pub const DEFAULT_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// At the front of an answer: it is said as soon as a request's head has come.
pub const EARLY: u8 = 0xFD;

/// What both sides say.
pub struct Play<'a> {
    /// The client's bytes, as they are written.
    pub pieces: Vec<&'a [u8]>,
    /// The node's answers, one for each request.
    pub answers: Vec<&'a [u8]>,
}

/// A request that came to the node, and what was answered.
pub struct Visit {
    pub request: Request,
    pub answer: Vec<u8>,
}

/// How the client's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    InOrder,
    Reset,
    Never,
}

/// What came of a play.
pub struct Played {
    pub to_client: Vec<u8>,
    pub end: ClientEnd,
    pub visits: Vec<Visit>,
    /// Requests at the node that never became whole.
    pub cut: Vec<Vec<u8>>,
    /// Bytes at the node that are no request.
    pub faults: Vec<String>,
    /// Bytes at the node behind an upgrade.
    pub tunnelled: Vec<Vec<u8>>,
}

/// How an answer reads, by the strict reader, to a client that asked by `method`.
pub enum Reading {
    Whole(Response),
    Cut,
    Wrong,
}

/// The final answer in `bytes`, past those that are informational, and where it ends.
pub fn reading(bytes: &[u8], method: &[u8]) -> (Reading, usize) {
    let mut at = 0;
    loop {
        match strict::response(&bytes[at..], method, Extensions::Passed, After::TheEnd) {
            Read::Whole(response, length) => {
                at += length;
                if !(100..200).contains(&response.status) || response.status == 101 {
                    return (Reading::Whole(response), at);
                }
            }
            Read::More => return (Reading::Cut, at),
            Read::Wrong(_) => return (Reading::Wrong, at),
        }
    }
}

/// The node's end of a connection.
struct NodeEnd {
    stream: TcpStream,
    buffer: Vec<u8>,
    talk: Talk,
    /// The answer that the present request got before its end.
    early: Option<Vec<u8>>,
    is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    Requests,
    Probes,
    Tunnel,
}

/// The node and its sockets.
pub struct Scene {
    listener: TcpListener,
    ends: Vec<NodeEnd>,
    script: VecDeque<Vec<u8>>,
    visits: Vec<Visit>,
    cut: Vec<Vec<u8>>,
    faults: Vec<String>,
    tunnelled: Vec<Vec<u8>>,
}

impl Scene {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self {
            listener,
            ends: Vec::new(),
            script: VecDeque::new(),
            visits: Vec::new(),
            cut: Vec::new(),
            faults: Vec::new(),
            tunnelled: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// Plays the node for as long as `wait`, or until something came.
    pub fn pump(&mut self, wait: Duration) {
        self.step(None, wait);
    }

    /// Plays both sides against `proxy` until the client's connection ends.
    pub fn play(&mut self, proxy: SocketAddr, play: &Play<'_>) -> Played {
        self.script = play.answers.iter().map(|answer| answer.to_vec()).collect();
        let mut client = Client::connect(proxy);
        let (end, mut pieces) = (Instant::now() + PATIENCE, play.pieces.iter());
        let mut next = pieces.next();
        loop {
            if let (true, Some(piece)) = (client.unsent.is_empty(), next) {
                client.unsent.extend_from_slice(piece);
                next = pieces.next();
            }
            // With its last byte the client says that it sends no more.
            client.write(next.is_none());
            // The proxy may want to see a piece alone.
            let wait = if next.is_some() { Duration::from_millis(1) } else { PATIENCE };
            self.step(Some(&mut client), wait);
            if client.end.is_none() && end < Instant::now() {
                client.end = Some(ClientEnd::Never);
            }
            if let Some(end) = client.end {
                return self.curtain(client, end);
            }
        }
    }

    /// Reads what was left for the node, and tells all of it.
    fn curtain(&mut self, client: Client, end: ClientEnd) -> Played {
        self.accept();
        (0..self.ends.len()).for_each(|at| self.listen(at));
        for end in &mut self.ends {
            // Whoever wrote it has left: no more of it comes.
            let buffer = std::mem::take(&mut end.buffer);
            match end.talk {
                Talk::Requests if buffer.is_empty() => continue,
                Talk::Requests => self.cut.push(buffer),
                Talk::Tunnel => self.tunnelled.push(buffer),
                Talk::Probes => {}
            }
            end.is_open = false;
        }
        self.ends.retain(|end| end.is_open);
        Played {
            to_client: client.read,
            end,
            visits: std::mem::take(&mut self.visits),
            cut: std::mem::take(&mut self.cut),
            faults: std::mem::take(&mut self.faults),
            tunnelled: std::mem::take(&mut self.tunnelled),
        }
    }

    /// Waits until some socket has something, and takes it.
    fn step(&mut self, mut client: Option<&mut Client>, wait: Duration) {
        let mut sockets = vec![PollFd::new(&self.listener, PollFlags::IN)];
        sockets.extend(self.ends.iter().map(|end| PollFd::new(&end.stream, PollFlags::IN)));
        if let Some(client) = &client {
            let out = if client.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            sockets.push(PollFd::from_borrowed_fd(client.stream.as_fd(), PollFlags::IN | out));
        }
        let wait = Timespec::try_from(wait).expect("a short time");
        // Interrupted it is asked again by the caller.
        let _ = poll(&mut sockets, Some(&wait));
        let ready: Vec<bool> = sockets.iter().map(|socket| !socket.revents().is_empty()).collect();
        let (first, rest) = ready.split_first().expect("the listener");
        for (at, ready) in rest.iter().take(self.ends.len()).enumerate() {
            if *ready {
                self.listen(at);
            }
        }
        self.ends.retain(|end| end.is_open);
        if *first {
            self.accept();
        }
        if let (Some(client), Some(true)) = (&mut client, rest.last()) {
            client.take();
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).expect("a socket");
            let (buffer, talk) = (Vec::new(), Talk::Requests);
            self.ends.push(NodeEnd { stream, buffer, talk, early: None, is_open: true });
        }
    }

    /// Takes what came on a connection, and answers it.
    fn listen(&mut self, at: usize) {
        let Some(end) = self.ends.get_mut(at) else { return };
        let over = take(&mut end.stream, &mut end.buffer).is_some();
        while end.is_open && end.talk != Talk::Tunnel {
            let before = (end.buffer.len(), end.early.is_some());
            Self::answer(end, &mut self.script, &mut self.visits, &mut self.faults);
            if before == (end.buffer.len(), end.early.is_some()) {
                break;
            }
        }
        if over && end.is_open {
            end.is_open = false;
            match end.talk {
                Talk::Tunnel => self.tunnelled.push(std::mem::take(&mut end.buffer)),
                Talk::Requests if !end.buffer.is_empty() => {
                    self.cut.push(std::mem::take(&mut end.buffer));
                }
                Talk::Requests | Talk::Probes => {}
            }
        }
    }

    /// Answers the next request of a connection, if it is there.
    fn answer(
        end: &mut NodeEnd,
        script: &mut VecDeque<Vec<u8>>,
        visits: &mut Vec<Visit>,
        faults: &mut Vec<String>,
    ) {
        let (request, length) = match strict::request(&end.buffer, Extensions::Wrong) {
            Read::Whole(request, length) => (request, length),
            Read::More => {
                let head = strict::request_head(&end.buffer);
                let is_early = script.front().is_some_and(|answer| answer.first() == Some(&EARLY));
                if let (Read::Whole(head, _), None, true) = (head, &end.early, is_early) {
                    let answer = script.pop_front().expect("looked at")[1..].to_vec();
                    end.say(&answer, &head.method);
                    end.early = Some(answer);
                    // There is no tunnel in the middle of a request.
                    end.is_open &= end.talk != Talk::Tunnel;
                }
                return;
            }
            Read::Wrong(why) => {
                faults.push(format!("{why}: {}", end.buffer.escape_ascii()));
                end.is_open = false;
                return;
            }
        };
        end.buffer.drain(..length);
        if is_probe(&request) {
            end.talk = Talk::Probes;
            return end.say(&probed(&request.target), &request.method);
        }
        let answer = end.early.take().unwrap_or_else(|| {
            let answer = script.pop_front().unwrap_or_else(|| DEFAULT_ANSWER.to_vec());
            let answer = answer.strip_prefix(&[EARLY]).map_or(answer.clone(), <[u8]>::to_vec);
            end.say(&answer, &request.method);
            answer
        });
        visits.push(Visit { request, answer });
    }
}

/// The gateway says of every request whom it is from, and asks for itself without that.
fn is_probe(request: &Request) -> bool {
    let agent = strict::values(&request.lines, "user-agent");
    agent.iter().any(|agent| agent.starts_with(b"drawspan"))
        && strict::values(&request.lines, "x-forwarded-for").is_empty()
}

fn probed(target: &[u8]) -> Vec<u8> {
    let body = if target.ends_with(b"__health_check") {
        "ok"
    } else if target.ends_with(b"getInfo") {
        r#"{"data":{"database":{"dialect":"postgres"},"version":"2.2.15"}}"#
    } else {
        r#"<script type="module" src="/assets/index-93181bbb.js"></script>"#
    };
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

impl NodeEnd {
    /// Says an answer. A connection whose answer does not say where it ends, or ends early, closes.
    fn say(&mut self, answer: &[u8], method: &[u8]) {
        // An answer fits the socket's buffer; one that does not is cut short.
        let written = self.stream.write(answer).unwrap_or(0);
        let closes = match reading(answer, method) {
            (Reading::Whole(response), _) if response.status == 101 => {
                self.talk = Talk::Tunnel;
                false
            }
            (Reading::Whole(response), _) => {
                let lines = &response.lines;
                let bodiless = matches!(response.status, 204 | 304) || method == b"HEAD";
                let endless = strict::values(lines, "content-length").is_empty()
                    && strict::values(lines, "transfer-encoding").is_empty();
                response.minor == 0
                    || endless && !bodiless
                    || strict::elements(lines, "connection").contains(&"close".to_owned())
            }
            (Reading::Cut | Reading::Wrong, _) => true,
        };
        if closes || written < answer.len() {
            self.is_open = false;
        }
    }
}

/// The client's connection.
struct Client {
    stream: TcpStream,
    unsent: Vec<u8>,
    read: Vec<u8>,
    end: Option<ClientEnd>,
    said_goodbye: bool,
}

impl Client {
    fn connect(proxy: SocketAddr) -> Self {
        let stream = TcpStream::connect(proxy).expect("the proxy listens");
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let (unsent, read) = (Vec::new(), Vec::new());
        Self { stream, unsent, read, end: None, said_goodbye: false }
    }

    fn write(&mut self, then_goodbye: bool) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It takes no more; what it has to say comes through reading.
                Err(_) => self.unsent.clear(),
            }
        }
        if then_goodbye && !self.said_goodbye {
            self.said_goodbye = true;
            // The proxy may have ended the connection already.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    fn take(&mut self) {
        self.end = take(&mut self.stream, &mut self.read);
    }
}

/// Takes all that has come; tells how the stream ended, if it did.
fn take(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<ClientEnd> {
    let mut piece = [0; 16 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Some(ClientEnd::InOrder),
            Ok(count) => into.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Some(ClientEnd::Reset),
        }
    }
}
