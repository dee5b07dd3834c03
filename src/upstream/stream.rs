//! A TCP connection with two holders on one thread: the HTTP engine that reads and writes it, and
//! the worker that may have to look at it or cut it from outside.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::model::limits::HEAD_BYTES_MAX;

thread_local! {
    /// What heads are read into before it is known how long they are.
    static HEADS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A shared handle; the connection closes with the last one.
#[derive(Clone, Debug)]
pub struct Stream(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: RefCell<TcpStream>,
    /// By us: then the end that a reader finds is not the peer's.
    is_cut: Cell<bool>,
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

    fn while_whole(&self) -> io::Result<()> {
        if self.0.is_cut.get() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Pretends towards our own reader that the peer has finished; answers can still be written.
    pub fn stop_reading(&self) {
        let _ = SockRef::from(&*self.0.socket.borrow()).shutdown(Shutdown::Read);
    }

    /// Asks the kernel, not the runtime's last news: a connection that its node closed a moment
    /// ago is found out here.
    pub fn waiting(&self) -> Waiting {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        match SockRef::from(&*self.0.socket.borrow()).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Waiting::Nothing,
            Ok(_) | Err(_) => Waiting::Something,
        }
    }

    /// Reads the beginning of a message, at most `room` bytes of it and [`HEAD_BYTES_MAX`], behind
    /// what is in `buffer`; 0 is the connection's end. `buffer` grows by what came and no more: most heads are small.
    pub fn poll_read_head(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            // What it held is with others now; waiting, it holds nothing.
            *buffer = BytesMut::new();
        }
        HEADS.with_borrow_mut(|scratch| {
            scratch.resize(HEAD_BYTES_MAX, 0);
            let scratch = scratch.get_mut(..room).unwrap_or_default();
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.clone()).poll_read(cx, &mut read))?;
            buffer.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    /// Reads more of a body, at most about `room` bytes, straight into `buffer`; 0 is the
    /// connection's end. Takes memory only when there is something to put into it.
    pub fn poll_read_body(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        ready!(self.0.socket.borrow().poll_read_ready(cx))?;
        buffer.reserve(room);
        poll_read_buf(Pin::new(&mut self.clone()), cx, buffer)
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

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.while_whole()?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.while_whole()?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.while_whole()?;
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.socket.borrow_mut()).poll_shutdown(cx)
    }
}
