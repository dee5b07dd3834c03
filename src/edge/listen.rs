//! The public addresses: each is bound once per worker, and by nobody else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::model::limits::LISTEN_BACKLOG;
use crate::upstream::tune;

/// How often an address is asked for that somebody else has: who stays has it.
const CLAIMS_MAX: u32 = 4;
const CLAIM_PAUSE_MS: u64 = 20;

/// Why a public address could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{address} is in use by another process: stop it, or choose another address \
         (`ss -ltnp 'sport = :{}'` shows who has it)", .address.port()
    )]
    InUse { address: SocketAddr },
    #[error("may not listen on {address}: ports under 1024 need CAP_NET_BIND_SERVICE")]
    NotAllowed { address: SocketAddr },
    #[error("{address} is no address of this machine: `ip address` lists those it has")]
    NotHere { address: SocketAddr },
    #[error(
        "cannot listen on {address}: too many open files for a listener of each worker: raise the \
         limit (LimitNOFILE= in systemd, ulimit -n), or run fewer workers"
    )]
    TooManyFiles { address: SocketAddr },
    #[error("cannot listen on {address}: {source}; choose another address")]
    Io {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    pub fn new(address: SocketAddr, source: io::Error) -> Self {
        let raw = source.raw_os_error();
        if raw == Some(libc::EMFILE) || raw == Some(libc::ENFILE) {
            return Self::TooManyFiles { address };
        }
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { address },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { address },
            _ => Self::Io { address, source },
        }
    }
}

/// One worker's listening sockets.
pub type Gate = Vec<TcpListener>;

/// The public addresses, open.
#[derive(Debug)]
pub struct Listeners {
    /// As bound: port 0 has become a real one.
    pub addresses: Vec<SocketAddr>,
    /// By worker.
    pub gates: Vec<Gate>,
}

/// Opens every address once per worker (SO_REUSEPORT): the kernel spreads connections over them.
///
/// That option alone would let a second gateway of the same user share the port silently, so each
/// address is first taken without it, and only then shared with our own workers.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be had; nothing stays open then.
pub fn bind(addresses: &[SocketAddr], workers: usize) -> Result<Listeners, ListenError> {
    let mut bound = Vec::new();
    let mut gates: Vec<Gate> = (0..workers).map(|_| Gate::new()).collect();
    for address in addresses {
        let fail = |source| ListenError::new(*address, source);
        let claim = claim(*address).map_err(fail)?;
        let taken = claim.local_addr().map_err(fail)?;
        let actual = taken.as_socket().unwrap_or(*address);
        for gate in &mut gates {
            gate.push(open(actual).map_err(fail)?);
        }
        // Not before: in a moment without it another gateway could come in.
        drop(claim);
        bound.push(actual);
    }
    Ok(Listeners { addresses: bound, gates })
}

/// Takes an address that nobody else listens on, or has just taken like this.
///
/// A socket that listens without SO_REUSEPORT keeps everybody out; switched on afterwards, the option
/// lets in only what has it as well and is of this user, which is ourselves: another gateway has to
/// get past this step first.
fn claim(address: SocketAddr) -> io::Result<Socket> {
    let mut tries = 0;
    loop {
        tries += 1;
        match take(address) {
            // Two that come at the same instant may refuse each other: chance tells who is first.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < CLAIMS_MAX => {
                thread::sleep(Duration::from_millis(fastrand::u64(1..=CLAIM_PAUSE_MS)));
            }
            taken => return taken,
        }
    }
}

fn take(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit these, so that no connection costs a system call for them.
    tune(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT are no reason not to start.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("an address")
    }

    #[test]
    fn a_port_that_another_gateway_listens_on_is_refused_though_it_shares_it() {
        let first = bind(&[loopback()], 2).expect("a free port");
        let second = bind(&first.addresses, 2);
        assert!(matches!(second, Err(ListenError::InUse { .. })), "{second:?}");
    }

    #[test]
    fn of_many_that_start_at_once_exactly_one_gets_the_address() {
        for _ in 0..20 {
            // Where no other test looks for a port meanwhile.
            let free = TcpListener::bind("127.9.9.9:0").expect("a free port");
            let address = free.local_addr().expect("bound");
            drop(free);
            let start = std::sync::Barrier::new(10);
            let one = || {
                start.wait();
                bind(&[address], 3).ok()
            };
            let got: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..10).map(|_| scope.spawn(one)).collect();
                starts.into_iter().filter_map(|start| start.join().expect("no panic")).collect()
            });
            assert_eq!(got.len(), 1, "{address}");
        }
    }

    #[test]
    fn every_worker_has_its_own_listener_on_the_same_port() {
        let listeners = bind(&[loopback()], 3).expect("a free port");
        let ports = listeners.gates.iter().map(|gate| gate[0].local_addr().expect("bound"));
        assert!(ports.eq([listeners.addresses[0]; 3]));
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let elsewhere = "192.0.2.1:80".parse().expect("an address");
        let error = bind(&[elsewhere], 1).expect_err("not ours");
        assert!(error.to_string().contains("192.0.2.1:80"), "{error}");
    }
}
