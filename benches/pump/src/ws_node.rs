//! Three nodes that upgrade to WebSocket and echo each message when all of it is there, as the
//! servers of applications do. Besides they answer what the checks and health checks ask for.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::arguments::Arguments;
use crate::poll::{Interest, Poll, Ready};
use crate::{Fault, frame, head};

const READ_BYTES: usize = 16 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const ANSWER_BYTES: usize = 1024;

struct Nodes {
    poll: Poll,
    /// Their tokens are the first ones.
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

struct Connection {
    stream: TcpStream,
    /// Which of the nodes it belongs to, from 0.
    node: usize,
    stage: Stage,
    /// What arrived, up to `filled`.
    input: Vec<u8>,
    filled: usize,
    /// Answers that the socket did not take at once. While there are any, nothing is read.
    pending: Vec<u8>,
    interest: Interest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Http,
    WebSocket,
    /// Closed once all is written.
    Ending,
}

pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let poll = Poll::new()?;
    let mut listeners = Vec::new();
    for (token, address) in arguments.addresses("listen")?.into_iter().enumerate() {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        poll.add(&listener, token as u64, Interest::READ)?;
        listeners.push(listener);
    }
    let mut nodes = Nodes { poll, listeners, connections: Vec::new(), free: Vec::new() };
    loop {
        nodes.turn()?;
    }
}

impl Nodes {
    fn turn(&mut self) -> Result<(), Fault> {
        let batch: Vec<Ready> = self.poll.wait(None)?.iter().map(|&event| event.into()).collect();
        // Reused only after the batch: a later event of it may be about the old connection.
        let mut ended = Vec::new();
        for ready in batch {
            let token = usize::try_from(ready.token)?;
            let Some(number) = token.checked_sub(self.listeners.len()) else {
                self.accept(token)?;
                continue;
            };
            let Some(connection) = &mut self.connections[number] else { continue };
            let goes_on = connection.serve(ready).and_then(|goes_on| {
                connection.watch(&self.poll, ready.token)?;
                Ok(goes_on)
            });
            match goes_on {
                Ok(true) => continue,
                Ok(false) => {}
                // A proxy that goes away is no fault of a node's, and told all the same.
                Err(fault) => eprintln!("ws-node: {fault}"),
            }
            self.connections[number] = None;
            ended.push(number);
        }
        self.free.append(&mut ended);
        Ok(())
    }

    fn accept(&mut self, node: usize) -> Result<(), Fault> {
        let stream = match self.listeners[node].accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let number = self.free.pop().unwrap_or(self.connections.len());
        if number == self.connections.len() {
            self.connections.push(None);
        }
        let token = (self.listeners.len() + number) as u64;
        self.poll.add(&stream, token, Interest::READ)?;
        self.connections[number] = Some(Connection {
            stream,
            node,
            stage: Stage::Http,
            input: Vec::new(),
            filled: 0,
            pending: Vec::new(),
            interest: Interest::READ,
        });
        Ok(())
    }
}

impl Connection {
    /// False where the connection is over.
    fn serve(&mut self, ready: Ready) -> Result<bool, Fault> {
        if ready.writable && !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.write(&pending)?;
        }
        if (ready.readable || ready.ended) && self.pending.is_empty() {
            if self.input.len() < self.filled + READ_BYTES {
                self.input.resize(self.filled + READ_BYTES, 0);
            }
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            while self.answer_one()? {}
        }
        Ok(self.stage != Stage::Ending || !self.pending.is_empty())
    }

    /// Answers the first request or message that is there whole; false where there is none.
    fn answer_one(&mut self) -> Result<bool, Fault> {
        match self.stage {
            Stage::Http => self.answer_request(),
            Stage::WebSocket => self.answer_message(),
            Stage::Ending => Ok(false),
        }
    }

    fn answer_message(&mut self) -> Result<bool, Fault> {
        let frame = match frame::arrived(&self.input[..self.filled])? {
            frame::Progress::Whole(frame) => frame,
            frame::Progress::Needs(bytes) => {
                // Room for all of it and the read after it: few and large reads.
                if self.input.len() < bytes + READ_BYTES {
                    self.input.resize(bytes + READ_BYTES, 0);
                }
                return Ok(false);
            }
        };
        let mut input = std::mem::take(&mut self.input);
        let begin = frame.answer(&mut input);
        let written = self.write(&input[begin..frame.end]);
        self.input = input;
        self.forget(frame.end);
        if frame.opcode == frame::CLOSE {
            self.stage = Stage::Ending;
        }
        written.map(|()| true)
    }

    fn answer_request(&mut self) -> Result<bool, Fault> {
        let Some(end) = head::end(&self.input[..self.filled]) else {
            if HEAD_BYTES_MAX < self.filled {
                return Err("a head without an end".into());
            }
            return Ok(false);
        };
        let lines = head::lines(&self.input[..end])?;
        let is = |name, wanted: &str| {
            head::value(&lines, name).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        let (answer, stage) = if is("upgrade", "websocket") {
            if head::value(&lines, "sec-websocket-key") != Some(frame::KEY) {
                return Err("a handshake with another key than ours".into());
            }
            (upgraded(self.node), Stage::WebSocket)
        } else {
            let first = self.input[..end].split(|&byte| byte == b'\r').next().unwrap_or_default();
            let line = std::str::from_utf8(first)?;
            let stage = if is("connection", "close") { Stage::Ending } else { Stage::Http };
            (answered(self.node, &body(line, &lines)), stage)
        };
        self.forget(end);
        self.stage = stage;
        self.write(answer.as_bytes())?;
        Ok(true)
    }

    fn forget(&mut self, bytes: usize) {
        self.input.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = match self.pending.is_empty().then(|| self.stream.write(bytes)) {
            None => 0,
            Some(Ok(length)) => length,
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Some(Err(error)) => return Err(error.into()),
        };
        self.pending.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    fn watch(&mut self, poll: &Poll, token: u64) -> Result<(), Fault> {
        let pending = !self.pending.is_empty();
        let interest = Interest { read: !pending, write: pending };
        if self.interest != interest {
            poll.change(&self.stream, token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

fn upgraded(node: usize) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nX-Node: n{}\r\n\r\n",
        frame::ACCEPT,
        node + 1
    )
}

/// A head of nine lines, as the other nodes write it.
fn answered(node: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: pump\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: keep-alive\r\nCache-Control: no-cache\r\nVary: Origin\r\n\
         X-Content-Type-Options: nosniff\r\nX-Node: n{}\r\n\r\n{body}",
        body.len(),
        node + 1
    )
}

fn body(request_line: &str, lines: &[(String, &str)]) -> String {
    let path = request_line.split([' ', '?']).nth(1).unwrap_or_default();
    match path {
        "/api/__health_check" => "ok".to_owned(),
        "/api/app:getInfo" => {
            r#"{"data":{"version":"2.2.15","lang":"en-US","name":"main"}}"#.to_owned()
        }
        "/api/posts:echo" => lines.iter().fold(String::new(), |mut echoed, (name, value)| {
            // Writing to a string cannot fail.
            let _ = writeln!(echoed, "{}={value}", name.replace('-', "_"));
            echoed
        }),
        _ => format!("{{\"data\":\"{}\"}}", "j".repeat(ANSWER_BYTES - 11)),
    }
}
