//! A TCP connection with two holders on one thread: the HTTP engine that reads and writes it, and
//! the worker that may have to look at it or cut it from outside.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::http1::Buffer;

/// A shared handle; the connection closes with the last one.
#[derive(Clone, Debug)]
pub struct Stream(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: RefCell<TcpStream>,
    /// By us: then the end that a reader finds is not the peer's.
    is_cut: Cell<bool>,
}

/// How a socket is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At what the runtime has heard of it, which costs nothing. News of the last moment can be
    /// missing, never what came before the event that the runtime works on.
    Heard,
    /// Into the socket, with a system call.
    Now,
}

/// What waits in a socket that should be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Nothing,
    /// The peer closed, reset, or spoke without being asked.
    Something,
}

impl Stream {
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(Shared { socket: RefCell::new(stream), is_cut: Cell::new(false) }))
    }

    /// Ends the connection at once, in both directions. Whoever reads or writes it gets an error:
    /// after this call no byte of ours goes to the peer, and its end is not taken for the peer's.
    pub fn cut(&self) {
        self.0.is_cut.set(true);
        // The peer may have gone already; then there is nothing left to cut.
        let _ = SockRef::from(&*self.0.socket.borrow()).shutdown(Shutdown::Both);
    }

    /// As [`Self::cut`], but the peer does not see an end in order: the connection is reset when
    /// its last handle goes. Who only waits to write is not woken by it.
    pub fn cut_by_reset(&self) {
        self.0.is_cut.set(true);
        self.reset_on_close();
        let _ = SockRef::from(&*self.0.socket.borrow()).shutdown(Shutdown::Read);
    }

    /// Did we end it?
    pub fn is_cut(&self) -> bool {
        self.0.is_cut.get()
    }

    /// Has the peer reset it? Asks the kernel: nobody may be reading or writing.
    pub fn has_failed(&self) -> bool {
        let error = SockRef::from(&*self.0.socket.borrow()).take_error();
        !matches!(error, Ok(None))
    }

    /// Has the peer sent its last byte, though what it sent was not read yet? Asks the kernel.
    pub fn has_finished(&self) -> bool {
        let socket = self.0.socket.borrow();
        let mut asked = [PollFd::new(&*socket, PollFlags::RDHUP)];
        let heard = rustix::event::poll(&mut asked, Some(&Timespec::default()));
        heard.is_ok() && asked[0].revents().contains(PollFlags::RDHUP)
    }

    fn while_whole(&self) -> io::Result<()> {
        if self.0.is_cut.get() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Pretends towards our own reader that the peer has finished; answers can still be written.
    pub fn stop_reading(&self) {
        let _ = SockRef::from(&*self.0.socket.borrow()).shutdown(Shutdown::Read);
    }

    /// Has something come that nobody asked for? Takes nothing of it.
    pub fn waiting(&self, look: Look) -> Waiting {
        let socket = self.0.socket.borrow();
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let mut peek = || SockRef::from(&*socket).peek(&mut byte);
        let peeked = match look {
            // Not run where nothing was heard.
            Look::Heard => socket.try_io(Interest::READABLE, peek),
            Look::Now => peek(),
        };
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Waiting::Nothing,
            Ok(_) | Err(_) => Waiting::Something,
        }
    }

    /// Reads what has come, at most `most` bytes of it, behind what is in `into`; 0 is the connection's
    /// end. Pending, `into` has settled.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut Buffer,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.while_whole()?;
        let mut socket = self.0.socket.borrow_mut();
        // Most that ask come too early: for them, no block is lent.
        if socket.poll_read_ready(cx).is_pending() {
            into.settle();
            return Poll::Pending;
        }
        let room = into.room();
        let most = most.min(room.len());
        let mut read = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        let polled = Pin::new(&mut *socket).poll_read(cx, &mut read);
        let count = read.filled().len();
        into.filled(count);
        if polled.is_pending() || count == 0 {
            into.settle();
        }
        polled.map_ok(|()| count)
    }

    /// Writes what the socket takes of `bytes`; tells how many those are.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.while_whole()?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_write(cx, bytes)
    }

    /// As [`Self::poll_write`], of several pieces.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.while_whole()?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_write_vectored(cx, slices)
    }

    /// Tells the peer that nothing more comes from us.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_shutdown(cx)
    }

    /// Makes the close that follows a reset: for an answer that would look whole otherwise.
    pub fn reset_on_close(&self) {
        // A peer that has gone needs no telling.
        let _ = SockRef::from(&*self.0.socket.borrow()).set_linger(Some(Duration::ZERO));
    }

    /// Writes what the socket takes right now; for the last words on a connection that has no
    /// engine left to speak through.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.socket.borrow().try_write(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_since_the_runtime_last_heard_is_seen_by_a_look_into_the_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = Stream::new(TcpStream::connect(address).await.expect("connects"));
        let (peer, _) = listener.accept().expect("accepts");
        assert_eq!(stream.waiting(Look::Now), Waiting::Nothing);
        assert_eq!(stream.waiting(Look::Heard), Waiting::Nothing);
        drop(peer);
        // The runtime has no turn meanwhile.
        let arrived = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            stream.waiting(Look::Now) == Waiting::Something
        });
        assert!(arrived);
        assert_eq!(stream.waiting(Look::Heard), Waiting::Nothing);
        let mut read = Buffer::default();
        std::future::poll_fn(|cx| stream.poll_read(cx, &mut read, 1)).await.expect("an end");
        assert_eq!(stream.waiting(Look::Heard), Waiting::Something);
    }
}
