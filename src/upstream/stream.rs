//! A TCP connection with two holders on one thread: the HTTP engine that reads and writes it, and
//! the worker that may have to look at it or cut it from outside.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A shared handle; the connection closes with the last one.
#[derive(Clone, Debug)]
pub struct Stream(Rc<RefCell<TcpStream>>);

/// What waits in a socket that should be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Nothing,
    /// The peer closed, reset, or spoke without being asked.
    Something,
}

impl Stream {
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(stream)))
    }

    /// Ends the connection at once, in both directions. Whoever reads it sees its end; whoever
    /// writes gets an error: after this call no byte of ours goes to the peer.
    pub fn cut(&self) {
        // The peer may have gone already; then there is nothing left to cut.
        let _ = SockRef::from(&*self.0.borrow()).shutdown(Shutdown::Both);
    }

    /// Pretends towards our own reader that the peer has finished; answers can still be written.
    pub fn stop_reading(&self) {
        let _ = SockRef::from(&*self.0.borrow()).shutdown(Shutdown::Read);
    }

    /// Asks the kernel, not the runtime's last news: a connection that its node closed a moment
    /// ago is found out here.
    pub fn waiting(&self) -> Waiting {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        match SockRef::from(&*self.0.borrow()).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Waiting::Nothing,
            Ok(_) | Err(_) => Waiting::Something,
        }
    }

    /// `Ready` when a read would find something: bytes, or the connection's end.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow().poll_read_ready(cx)
    }

    /// Makes the close that follows a reset: for an answer that would look whole otherwise.
    pub fn reset_on_close(&self) {
        // A peer that has gone needs no telling.
        let _ = SockRef::from(&*self.0.borrow()).set_linger(Some(Duration::ZERO));
    }

    /// Writes what the socket takes right now; for the last words on a connection that has no
    /// engine left to speak through.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow().try_write(bytes)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}
