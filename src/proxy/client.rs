//! One client connection, as its requests and the worker's coarse timer see it.
//!
//! A timer per connection costs more than all of this. Instead the connection notes when it last
//! moved, and the worker's tick ends what is overdue.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Waker};

use super::inbound::Inbound;
use super::tunnel::Tunnel;
use super::worker::{Settings, millis};
use crate::upstream::Stream;

/// What a client connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPhase {
    /// Between requests.
    Idle,
    /// Some bytes of a head have come.
    Head,
    /// A request is being served.
    Busy,
    /// Upgraded.
    Tunnel,
}

/// What was wrong with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Longer than the configured limit.
    TooLarge,
    /// Nothing came for too long.
    Stalled,
    /// Malformed, or cut short by the client.
    Broken,
}

/// Whether the peer is one of the configured proxies, whose forwarding headers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Trusted,
    Untrusted,
}

/// A client connection.
#[derive(Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub peer: Peer,
    pub stream: Stream,
    pub inbound: Inbound,
    /// The peer's address, ready to be sent as X-Forwarded-For.
    pub forwarded_for: Box<[u8]>,
    phase: Cell<ClientPhase>,
    since_ms: Cell<u64>,
    /// Since when the client takes none of our bytes; 0 while it does.
    write_blocked_ms: Cell<u64>,
    /// Since when a node waits for more of the request's body; 0 while it does not.
    body_wanted_ms: Cell<u64>,
    body_moved_ms: Cell<u64>,
    patience: Cell<Patience>,
    body_fault: Cell<Option<BodyFault>>,
    body_bytes: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// How many times the client has taken bytes of ours.
    takings: Cell<u64>,
    ending: Cell<Ending>,
}

/// What an end of the connection in order means to the client now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// That something is missing, or nothing at all.
    Plain,
    /// That the answer is whole: it has no length and no chunks.
    LooksWhole,
}

/// Do write stalls end this connection?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Limited,
    /// Event streams may be silent, and their readers slow.
    Endless,
}

/// Told to a client whose request head does not come; the connection closes behind it.
const HEAD_TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\n\
Content-Length: 44\r\nConnection: close\r\n\r\nclient side: the request head came too late\n";

impl Client {
    pub fn new(address: SocketAddr, peer: Peer, stream: Stream, now_ms: u64) -> Rc<Self> {
        let forwarded_for = unmapped(address.ip()).to_string().into_bytes().into();
        Rc::new(Self {
            address,
            peer,
            inbound: Inbound::new(stream.clone()),
            stream,
            forwarded_for,
            phase: Cell::new(ClientPhase::Idle),
            since_ms: Cell::new(now_ms),
            write_blocked_ms: Cell::new(0),
            body_wanted_ms: Cell::new(0),
            body_moved_ms: Cell::new(0),
            patience: Cell::new(Patience::Limited),
            body_fault: Cell::new(None),
            body_bytes: Cell::new(0),
            waker: RefCell::new(None),
            tunnel: RefCell::new(None),
            takings: Cell::new(0),
            ending: Cell::new(Ending::Plain),
        })
    }

    pub fn phase(&self) -> ClientPhase {
        self.phase.get()
    }

    pub fn enter(&self, phase: ClientPhase, now_ms: u64) {
        self.phase.set(phase);
        self.since_ms.set(now_ms);
    }

    /// A request's head is complete.
    pub fn request_began(&self, now_ms: u64) {
        self.enter(ClientPhase::Busy, now_ms);
        self.body_wanted_ms.set(0);
        self.body_moved_ms.set(0);
        self.patience.set(Patience::Limited);
        self.body_fault.set(None);
        self.body_bytes.set(0);
    }

    /// Its answer was handed over whole.
    pub fn request_ended(&self, now_ms: u64) {
        if self.phase.get() == ClientPhase::Busy {
            self.enter(ClientPhase::Idle, now_ms);
        }
    }

    pub fn bytes_read(&self, now_ms: u64) {
        if self.phase.get() == ClientPhase::Idle {
            self.enter(ClientPhase::Head, now_ms);
        }
    }

    pub fn write_blocked(&self, now_ms: u64) {
        if self.write_blocked_ms.get() == 0 {
            self.write_blocked_ms.set(now_ms);
        }
    }

    pub fn write_moved(&self, now_ms: u64) {
        self.takings.set(self.takings.get() + 1);
        if self.write_blocked_ms.replace(0) != 0 {
            // The tail of an answer still flowed: the quiet between requests begins now.
            self.since_ms.set(now_ms);
        }
    }

    /// Grows while the client takes what it is sent.
    pub fn takings(&self) -> u64 {
        self.takings.get()
    }

    /// An answer begins whose end the client finds like this.
    pub fn answer_ends(&self, ending: Ending) {
        self.ending.set(ending);
    }

    /// Ends the connection at once. What was sent so far must not look whole.
    pub fn cut(&self) {
        match self.ending.get() {
            Ending::Plain => self.stream.cut(),
            Ending::LooksWhole => self.stream.cut_by_reset(),
        }
        self.wake();
    }

    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked_ms.get() != 0
    }

    pub fn body_wanted(&self, now_ms: u64) {
        if self.body_wanted_ms.get() == 0 {
            self.body_wanted_ms.set(now_ms);
        }
    }

    pub fn body_moved(&self, bytes: usize, now_ms: u64) {
        self.body_wanted_ms.set(0);
        self.body_moved_ms.set(now_ms);
        self.body_bytes.set(self.body_bytes.get() + bytes as u64);
    }

    /// When a piece of the present request's body last came; 0 for never.
    pub fn body_moved_ms(&self) -> u64 {
        self.body_moved_ms.get()
    }

    /// Bytes of the present request's body so far.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes.get()
    }

    pub fn body_failed(&self, fault: BodyFault) {
        if self.body_fault.get().is_none() {
            self.body_fault.set(Some(fault));
        }
    }

    pub fn body_fault(&self) -> Option<BodyFault> {
        self.body_fault.get()
    }

    pub fn has_patience(&self, patience: Patience) {
        self.patience.set(patience);
    }

    /// Would it take more of an answer, and be right to miss it?
    pub fn waits_for_body(&self) -> bool {
        !self.is_write_blocked() && self.patience.get() == Patience::Limited
    }

    /// Since when it is in its phase, or takes our bytes again.
    pub fn since_ms(&self) -> u64 {
        self.since_ms.get()
    }

    /// Left by a request that was upgraded, for the connection's task to run.
    pub fn leave_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    pub fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.borrow_mut().take()
    }

    /// Notes whom to wake when something outside the connection's own I/O concerns it.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Ends what is overdue; called by the worker's tick.
    pub fn enforce_limits(&self, settings: &Settings, now_ms: u64) {
        let waited = now_ms.saturating_sub(self.since_ms.get());
        match self.phase.get() {
            ClientPhase::Idle if self.is_write_blocked() => self.enforce_stalls(settings, now_ms),
            ClientPhase::Idle if millis(settings.keep_alive) <= waited => self.stream.cut(),
            ClientPhase::Head if millis(settings.head_timeout) <= waited => {
                // Nothing of ours is under way on this connection, so this is a whole message.
                let _ = self.stream.write_now(HEAD_TIMED_OUT);
                self.stream.cut();
            }
            // With its upload held up by a node, nobody would see it go.
            ClientPhase::Busy if self.stream.has_failed() => self.cut(),
            ClientPhase::Busy => {
                if self.inbound.is_full() && self.stream.has_finished() {
                    self.inbound.ended_unread();
                    self.wake();
                }
                self.enforce_stalls(settings, now_ms);
            }
            ClientPhase::Idle | ClientPhase::Head | ClientPhase::Tunnel => {}
        }
    }

    fn enforce_stalls(&self, settings: &Settings, now_ms: u64) {
        let stalled = |since_ms: u64| {
            since_ms != 0 && millis(settings.body_stall) <= now_ms.saturating_sub(since_ms)
        };
        if stalled(self.body_wanted_ms.get()) {
            self.body_failed(BodyFault::Stalled);
            self.stream.stop_reading();
        }
        if self.patience.get() == Patience::Limited && stalled(self.write_blocked_ms.get()) {
            self.cut();
        }
    }
}

/// `::ffff:192.0.2.1` is the IPv4 client it stands for.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_late_head_answer_counts_its_own_bytes() {
        let text = std::str::from_utf8(HEAD_TIMED_OUT).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn a_mapped_address_is_shown_as_the_ipv4_it_stands_for() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(unmapped(mapped).to_string(), "192.0.2.1");
    }
}
