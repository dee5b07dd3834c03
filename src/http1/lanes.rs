//! Bytes of a head looked at side by side: which of them is the first of another sort.
//!
//! Plain loops of a fixed length and without branches, which the compiler turns into instructions that
//! look at 16 bytes and more at once, on every processor that has them. With fewer lanes it does not:
//! it writes such a loop out first, byte after byte.

/// Bytes that are looked at together.
pub(super) const LANES: usize = 64;

pub(super) type Lanes = [u8; LANES];

/// Where the first control character stands (RFC 5234 appendix B.1).
#[inline]
pub(super) fn control(bytes: &Lanes) -> Option<usize> {
    first(bytes, |byte| (byte < 0x20) | (byte == 0x7F))
}

/// Where the first control character or space stands.
#[inline]
pub(super) fn control_or_space(bytes: &Lanes) -> Option<usize> {
    first(bytes, |byte| (byte <= b' ') | (byte == 0x7F))
}

/// Where the first byte stands that is neither a letter nor a hyphen, of which nearly all names
/// consist.
#[inline]
pub(super) fn no_letter(bytes: &Lanes) -> Option<usize> {
    first(bytes, |byte| {
        // Of both cases of a letter this makes the small one, and of no other byte a letter.
        let folded = byte | 0x20;
        (folded.wrapping_sub(b'a') > b'z' - b'a') & (byte != b'-')
    })
}

#[inline]
fn first(bytes: &Lanes, is_meant: impl Fn(u8) -> bool) -> Option<usize> {
    let mut marks = [0; LANES];
    for (mark, byte) in marks.iter_mut().zip(bytes) {
        *mark = if is_meant(*byte) { u8::MAX } else { 0 };
    }
    let (words, _) = marks.as_chunks();
    let mut before = 0;
    for word in words {
        // Its first byte is the lowest.
        match u64::from_le_bytes(*word) {
            0 => before += word.len(),
            meant => return Some(before + meant.trailing_zeros() as usize / 8),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn each_is_found(bytes: &Lanes) {
        let is_control = |byte: &u8| byte.is_ascii_control();
        assert_eq!(control(bytes), bytes.iter().position(is_control));
        let or_space = bytes.iter().position(|byte| is_control(byte) || *byte == b' ');
        assert_eq!(control_or_space(bytes), or_space);
        let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
        assert_eq!(no_letter(bytes), bytes.iter().position(|byte| !is_letter(byte)));
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        for (place, byte) in (0..LANES).flat_map(|place| (0..=u8::MAX).map(move |b| (place, b))) {
            for (before, behind) in [(b'a', b'a'), (b'-', b'\r'), (b'Z', 0xFF)] {
                let mut bytes = [behind; LANES];
                bytes[..place].fill(before);
                bytes[place] = byte;
                each_is_found(&bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_are_told_apart_whatever_stands_beside_them(front: [u8; 32], back: [u8; 32]) {
            let bytes = [front, back].concat();
            each_is_found(bytes.first_chunk().expect("as many"));
        }
    }
}
