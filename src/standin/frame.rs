//! WebSocket frames (RFC 6455 section 5) as a server reads and writes them, and the handshake's key.

use bytes::{Buf, BytesMut};
use sha1::{Digest, Sha1};

/// The `ws` library's `maxPayload`.
pub(super) const MESSAGE_BYTES_MAX: u64 = 100 * 1024 * 1024;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// Close codes (RFC 6455 section 7.4.1).
pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const NOT_UTF8: u16 = 1007;
pub(super) const TOO_BIG: u16 = 1009;

/// One frame of a client, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) fin: bool,
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// Takes one frame off the front of `buffer`: `None` when more bytes are needed.
///
/// # Errors
/// The close code that the client's mistake deserves.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, u16> {
    let &[first, second, ..] = &buffer[..] else { return Ok(None) };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
    let control_misused = opcode >= CLOSE && (!fin || second & 0x7f > 125);
    if first & 0x70 != 0 || second & 0x80 == 0 || !known || control_misused {
        return Err(PROTOCOL_ERROR);
    }
    let (length, head) = match second & 0x7f {
        126 => match buffer[..] {
            [_, _, a, b, ..] => (u64::from(u16::from_be_bytes([a, b])), 4),
            _ => return Ok(None),
        },
        127 => match buffer[..] {
            [_, _, a, b, c, d, e, f, g, h, ..] => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
            }
            _ => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if MESSAGE_BYTES_MAX < length {
        return Err(TOO_BIG);
    }
    let length = usize::try_from(length).map_err(|_| TOO_BIG)?;
    if buffer.len() < head + 4 + length {
        return Ok(None);
    }
    buffer.advance(head);
    let mask = [buffer[0], buffer[1], buffer[2], buffer[3]];
    buffer.advance(4);
    let masked = buffer.split_to(length);
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Ok(Some(Frame { fin, opcode, payload }))
}

/// Whether a frame ends its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    Last,
    More,
}

/// The head of a frame that a server sends.
pub(super) fn head(opcode: u8, fin: Fin, length: usize) -> Vec<u8> {
    let first = opcode | if fin == Fin::Last { 0x80 } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => vec![first, short],
        (_, Ok(medium)) => [&[first, 126][..], &medium.to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// A whole frame that ends its message.
pub(super) fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, Fin::Last, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`.
pub(super) fn accept(key: &str) -> String {
    let mut digest = Sha1::new();
    digest.update(key.as_bytes());
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&digest.finalize())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for position in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_the_one_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn base64_pads_as_the_rfc_does() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let bytes = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x89];
        let mut buffer = BytesMut::new();
        for byte in &bytes[..7] {
            buffer.extend_from_slice(&[*byte]);
            assert_eq!(take(&mut buffer), Ok(None));
        }
        buffer.extend_from_slice(&bytes[7..]);
        let frame = Frame { fin: true, opcode: TEXT, payload: b"hi".to_vec() };
        assert_eq!(take(&mut buffer), Ok(Some(frame)));
        assert_eq!(buffer.len(), 1);
    }

    #[test]
    fn a_frame_says_its_length_in_the_shortest_form() {
        assert_eq!(head(TEXT, Fin::Last, 125), [0x81, 125]);
        assert_eq!(head(TEXT, Fin::More, 126), [0x01, 126, 0, 126]);
        assert_eq!(head(BINARY, Fin::Last, 65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
