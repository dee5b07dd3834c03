//! The chunked coding (RFC 9112 section 7.1), taken apart and put together.
//!
//! Strict where parsers are known to differ: a size is hexadecimal digits, at least one and no
//! sign; every line ends with CR LF; a chunk's bytes are followed by CR LF and by nothing else
//! (CVE-2025-55315). Extensions are dropped.

use http::HeaderMap;

use super::head::take_trailers;
use super::lines::put_line;
use super::{Buffer, Decoded, Malformed};
use crate::model::limits::CHUNK_EXTENSION_BYTES_MAX;

/// Appends the line that comes before a chunk of `bytes`, which is not 0.
pub fn put_chunk_size(into: &mut Buffer, bytes: usize) {
    debug_assert!(bytes != 0, "a chunk of no bytes ends the body");
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        let value = (bytes >> (4 * digit)) & 0xF;
        into.extend_from_slice(b"0123456789abcdef".get(value..=value).unwrap_or_default());
    }
    into.extend_from_slice(b"\r\n");
}

/// Appends what ends a chunked body, with its `trailers`.
pub fn put_last_chunk(into: &mut Buffer, trailers: &HeaderMap) {
    into.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        put_line(into, name.as_str().as_bytes(), value.as_bytes());
    }
    into.extend_from_slice(b"\r\n");
}

/// Takes chunks apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkedDecoder {
    at: At,
    extension_bytes: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size {
        value: u64,
        digits: u8,
    },
    /// Blanks behind a size: only an extension may follow.
    Blank {
        value: u64,
    },
    Extension {
        value: u64,
    },
    SizeFeed {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataFeed,
    Trailers,
    End,
}

const SIZE: At = At::Size { value: 0, digits: 0 };

/// As many as the longest size has; more could only be zeros in front.
const SIZE_DIGITS_MAX: u8 = 16;

impl ChunkedDecoder {
    pub(super) const fn new() -> Self {
        Self { at: SIZE, extension_bytes: 0 }
    }

    /// Takes the next piece off `buffer`: the data of all chunks that are there, put together, for
    /// each piece costs a write.
    pub(super) fn decode(&mut self, buffer: &mut Buffer) -> Result<Decoded, Malformed> {
        let (mut data, mut at) = (0..0, 0);
        while let Some(&byte) = buffer.get(at) {
            match self.at {
                At::End => break,
                At::Trailers => {
                    // Most have none: then the end is told with the last data.
                    if buffer.get(at..at + 2) == Some(b"\r\n") {
                        at += 2;
                        self.at = At::End;
                    }
                    break;
                }
                At::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len() - at);
                    if data.is_empty() {
                        data = at..at;
                    }
                    buffer.move_down(at..at + here, data.end);
                    data.end += here;
                    at += here;
                    let left = left - here as u64;
                    self.at = if left == 0 { At::DataReturn } else { At::Data { left } };
                }
                _ => {
                    self.at = self.step(byte)?;
                    at += 1;
                }
            }
        }
        if !data.is_empty() {
            return Ok(Decoded::Data(buffer.take_within(data, at)));
        }
        buffer.advance(at);
        match self.at {
            At::End => Ok(Decoded::End),
            At::Trailers => self.trailers(buffer),
            _ => Ok(Decoded::More),
        }
    }

    /// One byte of what stands around the data.
    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < SIZE_DIGITS_MAX =>
            {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let value = value.checked_mul(16).and_then(|value| value.checked_add(digit));
                let value = value.ok_or(Malformed::Chunk("a size that no body has"))?;
                At::Size { value, digits: digits + 1 }
            }
            (At::Size { digits: 0, .. }, _) => {
                return Err(Malformed::Chunk("a size without digits"));
            }
            (At::Size { value, .. } | At::Blank { value }, b' ' | b'\t') => {
                self.extension()?;
                At::Blank { value }
            }
            (At::Size { value, .. } | At::Blank { value }, b';') => At::Extension { value },
            (At::Size { value, .. } | At::Extension { value }, b'\r') => At::SizeFeed { value },
            (At::Extension { value }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension()?;
                At::Extension { value }
            }
            (At::SizeFeed { value: 0 }, b'\n') => At::Trailers,
            (At::SizeFeed { value }, b'\n') => At::Data { left: value },
            (At::DataReturn, b'\r') => At::DataFeed,
            (At::DataFeed, b'\n') => SIZE,
            (At::DataReturn | At::DataFeed, _) => {
                return Err(Malformed::Chunk("more data than its size says"));
            }
            _ => return Err(Malformed::Chunk("a size line")),
        })
    }

    fn extension(&mut self) -> Result<(), Malformed> {
        self.extension_bytes += 1;
        if CHUNK_EXTENSION_BYTES_MAX < self.extension_bytes {
            return Err(Malformed::Chunk("too many bytes of extensions"));
        }
        Ok(())
    }

    fn trailers(&mut self, buffer: &mut Buffer) -> Result<Decoded, Malformed> {
        let Some(trailers) = take_trailers(buffer)? else { return Ok(Decoded::More) };
        self.at = At::End;
        Ok(if trailers.is_empty() { Decoded::End } else { Decoded::Trailers(Box::new(trailers)) })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.at == At::End
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body's data, its trailers, and the bytes behind it that are not its own.
    type Whole = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// What a body is when it comes in these pieces.
    fn decoded(pieces: &[&[u8]]) -> Result<Whole, Malformed> {
        let mut decoder = ChunkedDecoder::new();
        let mut buffer = Buffer::default();
        let (mut data, mut trailers) = (Vec::new(), None);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(bytes) => data.extend_from_slice(&bytes),
                    Decoded::Trailers(lines) => trailers = Some(*lines),
                    Decoded::More | Decoded::End => break,
                }
            }
        }
        if !decoder.is_ended() {
            return Err(Malformed::Chunk("more to come"));
        }
        Ok((data, trailers, buffer.to_vec()))
    }

    #[test]
    fn chunks_are_put_together_and_what_follows_is_left() {
        let body = b"5\r\nhello\r\n00a;x=\"y\"\r\n, world...\r\n0\r\n\r\nHTTP/1.1";
        let (data, trailers, rest) = decoded(&[body]).expect("well-formed");
        assert_eq!((&data[..], &rest[..]), (&b"hello, world..."[..], &b"HTTP/1.1"[..]));
        assert!(trailers.is_none());
    }

    #[test]
    fn tiny_chunks_are_put_together() {
        let mut decoder = ChunkedDecoder::new();
        let mut buffer = Buffer::from(&b"1\r\na\r\n".repeat(1_000));
        buffer.extend_from_slice(b"0\r\nX: y\r\n\r\n");
        let Ok(Decoded::Data(data)) = decoder.decode(&mut buffer) else { panic!("no data") };
        assert_eq!(data.len(), 1_000);
        assert!(matches!(decoder.decode(&mut buffer), Ok(Decoded::Trailers(_))));
    }

    #[test]
    fn the_end_is_told_with_the_last_data_where_no_trailers_follow() {
        for (rest, ended) in
            [("0\r\n\r\nGET", true), ("0\r\nA: b\r\n\r\n", false), ("0\r\n\r", false)]
        {
            let mut decoder = ChunkedDecoder::new();
            let mut buffer = Buffer::from(&format!("1\r\na\r\n{rest}"));
            let Ok(Decoded::Data(data)) = decoder.decode(&mut buffer) else { panic!("no data") };
            assert_eq!((&data[..], decoder.is_ended()), (&b"a"[..], ended), "{rest:?}");
        }
    }

    #[test]
    fn trailers_come_last() {
        let (data, trailers, _) =
            decoded(&[b"1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n"]).expect("well-formed");
        assert_eq!(data, b"a");
        assert_eq!(trailers.expect("trailers")["x-sum"], "9");
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for wrong in [
            &b"\r\n"[..],
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r\n0\n\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"10000000000000000\r\n",
            b"00000000000000005\r\nhello\r\n0\r\n\r\n",
            b"0\r\n: x\r\n\r\n",
        ] {
            assert!(decoded(&[wrong]).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn extensions_are_bounded_over_the_whole_body() {
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(100));
        let body = chunk.repeat(CHUNK_EXTENSION_BYTES_MAX / 100 + 1);
        let refused = decoded(&[body.as_bytes()]);
        assert_eq!(refused.unwrap_err(), Malformed::Chunk("too many bytes of extensions"));
    }

    proptest! {
        #[test]
        fn what_is_put_together_comes_apart_wherever_it_is_cut(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
            cut in 1_usize..64,
        ) {
            let mut body = Buffer::default();
            for piece in &pieces {
                put_chunk_size(&mut body, piece.len());
                body.extend_from_slice(piece);
                body.extend_from_slice(b"\r\n");
            }
            put_last_chunk(&mut body, &HeaderMap::new());
            let cuts: Vec<&[u8]> = body.chunks(cut).collect();
            let (data, _, rest) = decoded(&cuts).expect("well-formed");
            prop_assert_eq!(data, pieces.concat());
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_end_in_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decoded(&[&bytes]);
        }
    }
}
