//! Frames of RFC 6455, whole ones in memory.

use crate::Fault;

/// The key of the sample handshake in RFC 6455 section 1.3, and its answer: every client here sends
/// this one, so no digest is needed.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const BINARY_FINAL: u8 = 0x82;
const MASKED: u8 = 0x80;
const PING: u8 = 0x9;
pub const CLOSE: u8 = 0x8;
/// What a frame may hold here.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// A frame from a client that arrived whole, by offsets into what was read.
pub struct Arrived {
    pub opcode: u8,
    first: u8,
    key: [u8; 4],
    start: usize,
    pub end: usize,
}

/// How much of a frame is there.
pub enum Progress {
    Whole(Arrived),
    /// The frame is known to end after so many bytes; 0 while not even that is known.
    Needs(usize),
}

/// Reads the frame that `bytes` begins with.
pub fn arrived(bytes: &[u8]) -> Result<Progress, Fault> {
    let [first, second, ..] = *bytes else { return Ok(Progress::Needs(0)) };
    if second & MASKED == 0 {
        return Err("a client's frame without a mask".into());
    }
    let (head, length) = match (second & 0x7f, bytes) {
        (126, [_, _, a, b, ..]) => (8, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (14, usize::try_from(length)?)
        }
        (126 | 127, _) => return Ok(Progress::Needs(0)),
        (length, _) => (6, usize::from(length)),
    };
    if PAYLOAD_BYTES_MAX < length {
        return Err(format!("a frame of {length} bytes").into());
    }
    let end = head + length;
    if bytes.len() < end {
        return Ok(Progress::Needs(end));
    }
    let key = [bytes[head - 4], bytes[head - 3], bytes[head - 2], bytes[head - 1]];
    Ok(Progress::Whole(Arrived { opcode: first & 0xf, first, key, start: head, end }))
}

impl Arrived {
    /// Makes the answer out of the frame where it lies: unmasked, a ping as its pong. The offset
    /// is where the answer begins; it ends where the frame did, and never reaches before it.
    pub fn answer(&self, bytes: &mut [u8]) -> usize {
        let payload = &mut bytes[self.start..self.end];
        let key = u32::from_ne_bytes(self.key);
        let mut words = payload.chunks_exact_mut(4);
        for word in &mut words {
            let plain = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ key;
            word.copy_from_slice(&plain.to_ne_bytes());
        }
        for (byte, mask) in words.into_remainder().iter_mut().zip(self.key) {
            *byte ^= mask;
        }
        let first = if self.opcode == PING { self.first ^ PING ^ 0xa } else { self.first };
        let head = head(first, 0, self.end - self.start);
        let begin = self.start - head.len();
        bytes[begin..self.start].copy_from_slice(&head);
        begin
    }
}

/// A message as a client sends it, masked, and as it comes back from an echo.
pub fn message(payload: &[u8], key: [u8; 4]) -> (Vec<u8>, Vec<u8>) {
    let mut sent = head(BINARY_FINAL, MASKED, payload.len());
    sent.extend(key);
    sent.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    let mut echoed = head(BINARY_FINAL, 0, payload.len());
    echoed.extend(payload);
    (sent, echoed)
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    match u16::try_from(length) {
        Ok(short @ 0..126) => vec![first, mask | short as u8],
        Ok(middle) => [&[first, mask | 126][..], &middle.to_be_bytes()].concat(),
        Err(_) => [&[first, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_a_message_comes_back_as_it_was_sent() {
        for length in [0, 1, 125, 126, 4096, 65535, 65536, 65543] {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let (mut sent, echoed) = message(&payload, [1, 2, 3, 4]);
            assert!(matches!(arrived(&sent[..sent.len() - 1]), Ok(Progress::Needs(_))));
            let Ok(Progress::Whole(frame)) = arrived(&sent) else { panic!("{length}: not whole") };
            let begin = frame.answer(&mut sent);
            assert!(sent[begin..frame.end] == echoed, "{length}");
        }
    }
}
