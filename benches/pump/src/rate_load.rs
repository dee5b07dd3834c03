//! Requests at a fixed rate, whatever the answers do: request `i` is due at `i / rate`, and its
//! latency counts from then, also where it had to wait for a free connection. A generator that
//! waits for slow answers before it sends the next would not see them (coordinated omission).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::latency::Latencies;
use crate::poll::{Interest, Poll, Ready};
use crate::{Fault, head};

/// A proxy that does not keep up with the rate has no latency at that rate.
const BEHIND_MAX: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

struct Connection {
    stream: TcpStream,
    due: Instant,
    answer: Vec<u8>,
}

struct Load {
    connections: Vec<Connection>,
    /// The longest unused first: all of them take part.
    idle: VecDeque<usize>,
    request: Vec<u8>,
    body_bytes: usize,
    latencies: Latencies,
    /// How late the generator itself was.
    lateness: Latencies,
    scratch: Vec<u8>,
}

pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let address: SocketAddr = arguments.value("connect")?;
    let (seconds, rate): (u32, u32) = (arguments.value("seconds")?, arguments.value("rate")?);
    let count: usize = arguments.value("connections")?;
    // The kernel's default is 50 us, which would be added to every latency.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..count {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, number as u64, Interest::READ)?;
        connections.push(Connection { stream, due: Instant::now(), answer: Vec::new() });
    }
    let mut load = Load {
        connections,
        idle: (0..count).collect(),
        request: arguments.request()?,
        body_bytes: arguments.value("bytes")?,
        latencies: Latencies::default(),
        lateness: Latencies::default(),
        scratch: vec![0; 64 * 1024],
    };
    let began = Instant::now();
    load.keep_rate(&mut poll, began, (rate, rate * seconds))?;
    let late = format!("\"late_p50_us\":{:.1},", load.lateness.within(0.5));
    load.latencies.tell(began.elapsed().as_secs_f64(), &late);
    Ok(())
}

impl Load {
    fn keep_rate(
        &mut self,
        poll: &mut Poll,
        began: Instant,
        (rate, total): (u32, u32),
    ) -> Result<(), Fault> {
        let due = |number: u32| began + Duration::from_secs(1) * number / rate;
        let mut next = 0;
        while next < total || self.idle.len() < self.connections.len() {
            let now = Instant::now();
            while next < total && due(next) <= now {
                let Some(free) = self.idle.pop_front() else { break };
                self.send(free, due(next))?;
                next += 1;
            }
            let behind = if next < total {
                now.saturating_duration_since(due(next))
            } else {
                Duration::ZERO
            };
            if BEHIND_MAX < behind {
                return Err(format!("{rate} requests a second are not kept up with").into());
            }
            let may_send = next < total && !self.idle.is_empty();
            let wait = if may_send {
                due(next).saturating_duration_since(Instant::now())
            } else {
                ANSWER_LIMIT
            };
            let batch: Vec<Ready> =
                poll.wait(Some(wait))?.iter().map(|&event| event.into()).collect();
            if batch.is_empty() && !may_send {
                return Err("no answer for 10 s".into());
            }
            for ready in batch {
                self.receive(usize::try_from(ready.token)?)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize, due: Instant) -> Result<(), Fault> {
        let one = &mut self.connections[number];
        one.due = due;
        self.lateness.add(due.elapsed());
        // An idle connection takes a request of some hundred bytes at once.
        let length = one.stream.write(&self.request)?;
        if length < self.request.len() {
            return Err("a request was not taken at once".into());
        }
        Ok(())
    }

    fn receive(&mut self, number: usize) -> Result<(), Fault> {
        let one = &mut self.connections[number];
        match one.stream.read(&mut self.scratch) {
            Ok(0) => return Err("a connection was closed".into()),
            Ok(length) => one.answer.extend_from_slice(&self.scratch[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let Some(end) = head::end(&one.answer) else { return Ok(()) };
        let (status, body) = head::answer(&one.answer[..end])?;
        if (status, body) != (200, self.body_bytes) {
            return Err(format!("status {status} and {body} bytes").into());
        }
        if one.answer.len() < end + body {
            return Ok(());
        }
        if end + body < one.answer.len() {
            return Err("bytes after the answer".into());
        }
        self.latencies.add(one.due.elapsed());
        one.answer.clear();
        self.idle.push_back(number);
        Ok(())
    }
}
