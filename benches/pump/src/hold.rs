//! Opens connections, one request on each, and keeps them open until it is ended. Says so in one
//! line when all are open; ends itself where one of them closes or speaks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::arguments::Arguments;
use crate::poll::{Interest, Poll, Ready};
use crate::{Fault, head};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let (address, request) = (arguments.value("connect")?, arguments.request()?);
    let (count, status) = (arguments.value("connections")?, arguments.value("status")?);
    let mut poll = Poll::new()?;
    let mut held = Vec::new();
    // One after another: what a proxy needs for many requests at once is not asked here.
    for number in 0..count {
        let stream = asked(address, &request, status)
            .map_err(|fault| format!("connection {number} of {count}: {fault}"))?;
        poll.add(&stream, number, Interest::READ)?;
        held.push(stream);
    }
    eprintln!("{{\"held\":{count}}}");
    let first = poll.wait(None)?.first().map(|&event| Ready::from(event).token);
    Err(format!("connection {first:?} closed or spoke while all were held").into())
}

/// A connection on which one request was answered with `status`.
pub fn asked(address: SocketAddr, request: &[u8], status: u16) -> Result<TcpStream, Fault> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(request)?;
    let (mut bytes, mut scratch) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = head::end(&bytes) {
            let (told, body) = head::answer(&bytes[..end])?;
            if told != status {
                return Err(format!("status {told}, not {status}").into());
            }
            match bytes.len().cmp(&(end + body)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(stream),
                std::cmp::Ordering::Greater => return Err("bytes after the answer".into()),
            }
        }
        match stream.read(&mut scratch)? {
            0 => return Err("closed before the answer's end".into()),
            length => bytes.extend_from_slice(&scratch[..length]),
        }
    }
}
