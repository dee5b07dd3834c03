//! One connection's bytes: heads and bodies in, anything out.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::head::{Framing, Head, Parsed, Refusal};

/// Bytes that a client may send ahead of the answer before the node stops reading.
const READ_AHEAD_MAX: usize = 256 * 1024;
/// Trailers of one body.
const TRAILERS_MAX: usize = 100;
/// A line that holds a chunk's size, or a trailer.
const CHUNK_LINE_BYTES_MAX: usize = 16 * 1024;

pub(super) struct Wire {
    stream: TcpStream,
    pub(super) buffer: BytesMut,
    /// The response under construction; kept for its allocation.
    pub(super) out: Vec<u8>,
}

/// What came in place of, or as, the next request.
pub(super) enum Next {
    Request(Box<Head>),
    Refused(Refusal),
    /// The client closed, or was silent for too long.
    Ended,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(8 * 1024), out: Vec::new() }
    }

    pub(super) async fn next(&mut self, patience: Duration) -> Next {
        loop {
            match Head::parse(&self.buffer) {
                Parsed::Head(head, length) => {
                    self.buffer.advance(length);
                    return Next::Request(head);
                }
                Parsed::Refused(refusal) => return Next::Refused(refusal),
                Parsed::Partial => {}
            }
            match tokio::time::timeout(patience, self.fill()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Next::Ended,
            }
        }
    }

    /// Reads what there is; at the end of the stream an error.
    ///
    /// # Cancel safety
    /// No byte is lost.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Resolves when the client has left. What it sends meanwhile is kept.
    ///
    /// # Cancel safety
    /// No byte is lost.
    pub(super) async fn gone(&mut self) {
        while self.buffer.len() < READ_AHEAD_MAX {
            if self.fill().await.is_err() {
                return;
            }
        }
        pending().await
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Writes what stands in `out`.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.out).await;
        self.out.clear();
        written
    }

    /// Ends our side; the client reads what was written, then the end.
    pub(super) async fn finish(&mut self) {
        // It fails where the client was faster, which is the same to us.
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a RST.
    pub(super) fn reset(self) {
        // Only this socket option turns a close into a reset; it cannot fail on an open socket.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    async fn line(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(line);
            }
            if CHUNK_LINE_BYTES_MAX < self.buffer.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.fill().await?;
        }
    }
}

/// The rest of a request's body.
pub(super) struct Body {
    state: BodyState,
    /// `100 Continue` is owed before the first byte is read.
    owes_continue: bool,
    pub(super) trailers: Vec<String>,
}

#[derive(Clone, Copy)]
enum BodyState {
    Fixed(u64),
    ChunkHead,
    Chunk(u64),
    Done,
}

impl Body {
    pub(super) fn of(head: &Head) -> Self {
        let state = match head.framing {
            Framing::None | Framing::Length(0) => BodyState::Done,
            Framing::Length(length) => BodyState::Fixed(length),
            Framing::Chunked => BodyState::ChunkHead,
        };
        let owes_continue = head.minor == 1 && head.lists("expect", "100-continue");
        Self { state, owes_continue, trailers: Vec::new() }
    }

    /// The next piece, or `None` after the last.
    pub(super) async fn piece(&mut self, wire: &mut Wire) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut self.owes_continue) {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        loop {
            match self.state {
                BodyState::Done => return Ok(None),
                BodyState::Fixed(left) => {
                    let piece = Self::up_to(wire, left).await?;
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 { BodyState::Done } else { BodyState::Fixed(left) };
                    return Ok(Some(piece));
                }
                BodyState::Chunk(0) => {
                    wire.line().await?;
                    self.state = BodyState::ChunkHead;
                }
                BodyState::Chunk(left) => {
                    let piece = Self::up_to(wire, left).await?;
                    self.state = BodyState::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                BodyState::ChunkHead => self.chunk_head(wire).await?,
            }
        }
    }

    /// Reads to the end, keeping at most `limit` bytes; also says how many there were.
    pub(super) async fn collect(
        &mut self,
        wire: &mut Wire,
        limit: usize,
    ) -> io::Result<(Vec<u8>, u64)> {
        let (mut kept, mut total) = (Vec::new(), 0);
        while let Some(piece) = self.piece(wire).await? {
            total += piece.len() as u64;
            let room = limit - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Ok((kept, total))
    }

    async fn up_to(wire: &mut Wire, left: u64) -> io::Result<Bytes> {
        if wire.buffer.is_empty() {
            wire.fill().await?;
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(wire.buffer.len());
        Ok(wire.buffer.split_to(length).freeze())
    }

    async fn chunk_head(&mut self, wire: &mut Wire) -> io::Result<()> {
        let line = wire.line().await?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        self.state = BodyState::Chunk(size);
        if size == 0 { self.trailers(wire).await } else { Ok(()) }
    }

    /// What follows the last chunk, to the empty line.
    async fn trailers(&mut self, wire: &mut Wire) -> io::Result<()> {
        loop {
            let line = wire.line().await?;
            if line.is_empty() {
                self.state = BodyState::Done;
                return Ok(());
            }
            if TRAILERS_MAX <= self.trailers.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.trailers.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
}
