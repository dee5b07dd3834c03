//! A body taken off the bytes that follow a head.

use http::HeaderMap;

use super::chunked::ChunkedDecoder;
use super::{BodyLength, Buffer, Malformed};

/// What a step brought.
#[derive(Debug)]
pub enum Decoded {
    /// A piece of the body, never empty.
    Data(Buffer),
    /// The body's end, with the lines behind it.
    Trailers(Box<HeaderMap>),
    /// The body's end. Bytes left in the buffer are not its own.
    End,
    /// Nothing yet: more bytes are needed.
    More,
}

/// A body's connection ended before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection ended in the middle of the body")]
pub struct CutShort;

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder(Left);

#[derive(Clone, Copy, Debug)]
enum Left {
    Bytes(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyDecoder {
    pub fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::None => Left::Bytes(0),
            BodyLength::Sized(bytes) => Left::Bytes(bytes),
            BodyLength::Chunked => Left::Chunked(ChunkedDecoder::new()),
            BodyLength::UntilClose => Left::UntilClose,
        })
    }

    /// Takes the next piece off the front of `buffer`: as much of the body as is there.
    ///
    /// # Errors
    /// [`Malformed::Chunk`], or of the trailers.
    pub fn decode(&mut self, buffer: &mut Buffer) -> Result<Decoded, Malformed> {
        Ok(match &mut self.0 {
            Left::Bytes(0) => Decoded::End,
            Left::Bytes(left) => take(buffer, *left).map_or(Decoded::More, |data| {
                *left -= data.len() as u64;
                Decoded::Data(data)
            }),
            Left::Chunked(decoder) => decoder.decode(buffer)?,
            Left::UntilClose => take(buffer, u64::MAX).map_or(Decoded::More, Decoded::Data),
        })
    }

    /// The connection has ended, and its bytes are all taken: the end of a body that lasts until
    /// then, and of no other.
    ///
    /// # Errors
    /// [`CutShort`]: the body goes on.
    pub fn closed(&mut self) -> Result<(), CutShort> {
        match self.0 {
            Left::UntilClose => {
                self.0 = Left::Bytes(0);
                Ok(())
            }
            Left::Bytes(_) | Left::Chunked(_) if self.is_ended() => Ok(()),
            Left::Bytes(_) | Left::Chunked(_) => Err(CutShort),
        }
    }

    /// Has all of it been handed out?
    pub fn is_ended(&self) -> bool {
        match &self.0 {
            Left::Bytes(left) => *left == 0,
            Left::Chunked(decoder) => decoder.is_ended(),
            Left::UntilClose => false,
        }
    }

    /// Bytes still to be handed out, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            Left::Bytes(left) => Some(left),
            Left::Chunked(_) | Left::UntilClose => None,
        }
    }
}

/// At most `left` bytes off the front; `None` where there are none.
fn take(buffer: &mut Buffer, left: u64) -> Option<Buffer> {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    (here != 0).then(|| buffer.take(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sized_body_ends_at_its_size_whatever_follows() {
        let mut body = BodyDecoder::new(BodyLength::Sized(5));
        let mut buffer = Buffer::from("he");
        assert!(matches!(body.decode(&mut buffer), Ok(Decoded::Data(data)) if data[..] == *b"he"));
        assert!(matches!(body.decode(&mut buffer), Ok(Decoded::More)));
        assert_eq!(body.closed(), Err(CutShort));
        buffer.extend_from_slice(b"lloHTTP");
        assert!(matches!(body.decode(&mut buffer), Ok(Decoded::Data(data)) if data[..] == *b"llo"));
        assert!(body.is_ended());
        assert!(matches!(body.decode(&mut buffer), Ok(Decoded::End)));
        assert_eq!((&buffer[..], body.closed()), (&b"HTTP"[..], Ok(())));
    }

    #[test]
    fn only_a_body_without_a_length_ends_with_its_connection() {
        let mut open = BodyDecoder::new(BodyLength::UntilClose);
        let mut buffer = Buffer::from("all");
        assert!(matches!(open.decode(&mut buffer), Ok(Decoded::Data(data)) if data[..] == *b"all"));
        assert!(!open.is_ended());
        assert_eq!(open.closed(), Ok(()));
        assert!(open.is_ended());
        assert_eq!(BodyDecoder::new(BodyLength::Chunked).closed(), Err(CutShort));
        assert_eq!(BodyDecoder::new(BodyLength::None).closed(), Ok(()));
    }
}
