//! WebSocket messages through a proxy to an echo: each connection sends one, waits for all of it to
//! come back, compares every byte, and sends the next.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::latency::Latencies;
use crate::poll::{Interest, Poll, Ready};
use crate::{Fault, frame, hold};

/// How many different messages there are: an answer that went astray is not the expected one.
const MESSAGES: usize = 61;
const SCRATCH_BYTES: usize = 256 * 1024;
/// For what is still under way when the time is over.
const LAST_ECHO_LIMIT: Duration = Duration::from_secs(10);

struct Load {
    /// As sent, and as expected back.
    messages: Vec<(Vec<u8>, Vec<u8>)>,
    tunnels: Vec<Tunnel>,
    scratch: Vec<u8>,
    latencies: Latencies,
}

struct Tunnel {
    stream: TcpStream,
    message: usize,
    sent: usize,
    echoed: usize,
    began: Instant,
    interest: Interest,
}

pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let (address, request): (SocketAddr, _) = (arguments.value("connect")?, arguments.request()?);
    let (count, bytes): (usize, _) = (arguments.value("connections")?, arguments.value("bytes")?);
    let length = Duration::from_secs(arguments.value("seconds")?);
    let mut poll = Poll::new()?;
    let mut tunnels = Vec::new();
    for number in 0..count {
        let stream = hold::asked(address, &request, 101)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, number as u64, Interest::READ)?;
        let (message, began) = (number % MESSAGES, Instant::now());
        let interest = Interest::READ;
        tunnels.push(Tunnel { stream, message, sent: 0, echoed: 0, began, interest });
    }
    let messages = (0..MESSAGES).map(|number| message(number, bytes)).collect();
    let (scratch, latencies) = (vec![0; SCRATCH_BYTES], Latencies::default());
    let mut load = Load { messages, tunnels, scratch, latencies };
    let began = Instant::now();
    for tunnel in 0..count {
        load.begin(tunnel)?;
        load.watch(&poll, tunnel)?;
    }
    let mut running = count;
    while running > 0 {
        if length + LAST_ECHO_LIMIT < began.elapsed() {
            return Err(format!("{running} messages did not come back").into());
        }
        let batch: Vec<Ready> =
            poll.wait(Some(LAST_ECHO_LIMIT))?.iter().map(|&event| event.into()).collect();
        for ready in batch {
            let tunnel = usize::try_from(ready.token)?;
            if load.serve(tunnel, ready)? {
                if began.elapsed() < length { load.begin(tunnel)? } else { running -= 1 }
            }
            load.watch(&poll, tunnel)?;
        }
    }
    load.latencies.tell(began.elapsed().as_secs_f64(), "");
    Ok(())
}

/// Bytes that differ from message to message and from place to place.
fn message(number: usize, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let mut state = number as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let key = [next(), next(), next(), next()];
    let payload: Vec<u8> = (0..bytes).map(|_| next()).collect();
    frame::message(&payload, key)
}

impl Load {
    fn begin(&mut self, tunnel: usize) -> Result<(), Fault> {
        let one = &mut self.tunnels[tunnel];
        one.message = (one.message + 1) % MESSAGES;
        (one.sent, one.echoed, one.began) = (0, 0, Instant::now());
        self.send(tunnel)
    }

    fn send(&mut self, tunnel: usize) -> Result<(), Fault> {
        let one = &mut self.tunnels[tunnel];
        let wire = &self.messages[one.message].0;
        while one.sent < wire.len() {
            match one.stream.write(&wire[one.sent..]) {
                Ok(length) => one.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// True where the message has come back whole.
    fn serve(&mut self, tunnel: usize, ready: Ready) -> Result<bool, Fault> {
        if ready.writable {
            self.send(tunnel)?;
        }
        if !ready.readable && !ready.ended {
            return Ok(false);
        }
        let one = &mut self.tunnels[tunnel];
        let expected = &self.messages[one.message].1;
        let length = match one.stream.read(&mut self.scratch) {
            Ok(0) => return Err(format!("tunnel {tunnel} was closed").into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if expected.get(one.echoed..one.echoed + length) != Some(&self.scratch[..length]) {
            return Err(format!("tunnel {tunnel}: another echo than what was sent").into());
        }
        one.echoed += length;
        let whole = one.echoed == expected.len();
        if whole {
            self.latencies.add(one.began.elapsed());
        }
        Ok(whole)
    }

    fn watch(&mut self, poll: &Poll, tunnel: usize) -> io::Result<()> {
        let one = &mut self.tunnels[tunnel];
        let unsent = one.sent < self.messages[one.message].0.len();
        let interest = Interest { read: true, write: unsent };
        if one.interest != interest {
            poll.change(&one.stream, tunnel as u64, interest)?;
            one.interest = interest;
        }
        Ok(())
    }
}
