//! The floor of what a proxy can cost: bytes from one socket into another, nothing parsed.
//!
//! One node connection is kept for each client connection; the nodes take turns by connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::Fault;
use crate::arguments::Arguments;
use crate::poll::{Interest, Poll, Ready};

/// Of the buffer that all connections share.
const SCRATCH_BYTES: usize = 256 * 1024;
const LISTENER: u64 = u64::MAX;

struct Floor {
    poll: Poll,
    listener: TcpListener,
    nodes: Vec<SocketAddr>,
    accepted: usize,
    /// Side `s` of pair `p` has the token `2 p + s`.
    pairs: Vec<Option<[Side; 2]>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

struct Side {
    stream: TcpStream,
    /// Bytes for this side that it did not take at once. While there are any, the other side is not
    /// read.
    pending: Vec<u8>,
    interest: Interest,
}

enum Moved {
    Alive,
    Ended,
}

pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let listen: SocketAddr = arguments.value("listen")?;
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::READ)?;
    let mut floor = Floor {
        poll,
        listener,
        nodes: arguments.addresses("nodes")?,
        accepted: 0,
        pairs: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
    };
    loop {
        floor.turn()?;
    }
}

impl Floor {
    fn turn(&mut self) -> Result<(), Fault> {
        let batch: Vec<Ready> = self.poll.wait(None)?.iter().map(|&event| event.into()).collect();
        // Reused only after the batch: a later event of it may be about the old pair.
        let mut ended = Vec::new();
        for ready in batch {
            if ready.token == LISTENER {
                self.accept()?;
                continue;
            }
            let (pair, side) = (ready.token as usize / 2, ready.token as usize % 2);
            let moved = match &mut self.pairs[pair] {
                Some(sides) => {
                    let moved = serve(sides, side, ready, &mut self.scratch);
                    moved.and_then(|moved| watch(&self.poll, pair, sides).map(|()| moved))
                }
                None => continue,
            };
            if matches!(moved, Ok(Moved::Ended) | Err(_)) {
                self.pairs[pair] = None;
                ended.push(pair);
            }
        }
        self.free.append(&mut ended);
        Ok(())
    }

    fn accept(&mut self) -> Result<(), Fault> {
        let client = match self.listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Blocks, for microseconds: a node on the loopback address accepts at once or refuses.
        let Ok(node) = TcpStream::connect(self.nodes[self.accepted % self.nodes.len()]) else {
            return Ok(());
        };
        self.accepted += 1;
        let pair = self.free.pop().unwrap_or(self.pairs.len());
        if pair == self.pairs.len() {
            self.pairs.push(None);
        }
        for (stream, token) in [&client, &node].into_iter().zip(2 * pair as u64..) {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.poll.add(stream, token, Interest::READ)?;
        }
        let side = |stream| Side { stream, pending: Vec::new(), interest: Interest::READ };
        self.pairs[pair] = Some([side(client), side(node)]);
        Ok(())
    }
}

/// Does what `ready` allows on one side of a pair.
fn serve(sides: &mut [Side; 2], at: usize, ready: Ready, scratch: &mut [u8]) -> io::Result<Moved> {
    let [first, second] = sides;
    let (this, other) = if at == 0 { (first, second) } else { (second, first) };
    if ready.writable && !this.pending.is_empty() {
        let written = write_some(&this.stream, &this.pending)?;
        this.pending.drain(..written);
    }
    if !ready.readable || !other.pending.is_empty() {
        return Ok(if ready.ended { Moved::Ended } else { Moved::Alive });
    }
    let length = match (&this.stream).read(scratch) {
        Ok(0) => return Ok(Moved::Ended),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Moved::Alive),
        Err(error) => return Err(error),
    };
    let written = write_some(&other.stream, &scratch[..length])?;
    other.pending.extend_from_slice(&scratch[written..length]);
    Ok(Moved::Alive)
}

/// Tells epoll what changed, which under plain requests is nothing.
fn watch(poll: &Poll, pair: usize, sides: &mut [Side; 2]) -> io::Result<()> {
    let pending = [!sides[0].pending.is_empty(), !sides[1].pending.is_empty()];
    for at in 0..2 {
        let interest = Interest { read: !pending[1 - at], write: pending[at] };
        if sides[at].interest != interest {
            poll.change(&sides[at].stream, (2 * pair + at) as u64, interest)?;
            sides[at].interest = interest;
        }
    }
    Ok(())
}

fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
