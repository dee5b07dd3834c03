//! Lines of a head, one byte after another (RFC 9112 sections 2.2 and 5): where a name ends, where a
//! value does, and what may stand in neither.

use super::names::{ONES, Packed, marked};
use super::{Kind, Malformed};

/// A header line: where its parts stand in the bytes that were scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub kind: Kind,
    pub name: (usize, usize),
    /// Without the blanks around it.
    pub value: (usize, usize),
    /// Behind its line feed.
    pub end: usize,
}

/// What stands at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    Line(Found),
    /// The empty line; the section ends behind it.
    End(usize),
    /// The line goes on behind these bytes.
    More,
}

/// Scans the line that begins at `begin`.
///
/// # Errors
/// [`Malformed`]: it is no header line, however it goes on.
#[inline]
pub(super) fn line(bytes: &[u8], begin: usize) -> Result<Scanned, Malformed> {
    if bytes.get(begin) == Some(&b'\r') {
        return empty_line(bytes, begin);
    }
    let Some((kind, colon)) = name(bytes, begin)? else { return Ok(Scanned::More) };
    let from = colon + 1 + blanks(bytes.get(colon + 1..).unwrap_or_default().iter());
    let until = from + text_length(bytes.get(from..).unwrap_or_default());
    let Some(end) = line_end(bytes, until, "a header's value")? else { return Ok(Scanned::More) };
    let trailing = blanks(bytes.get(from..until).unwrap_or_default().iter().rev());
    Ok(Scanned::Line(Found { kind, name: (begin, colon), value: (from, until - trailing), end }))
}

/// The name that begins at `begin`: what it is, and where its colon stands.
#[inline]
fn name(bytes: &[u8], begin: usize) -> Result<Option<(Kind, usize)>, Malformed> {
    let Some((packed, length)) = Packed::until_colon(bytes, begin) else {
        return long_name(bytes, begin);
    };
    let colon = begin + length;
    if let Some(known) = Kind::known(packed, length) {
        return Ok(Some((known, colon)));
    }
    let name = bytes.get(begin..colon).unwrap_or_default();
    if name.is_empty() || !is_token(name) {
        return Err(feed_or(bytes, begin + token_length(name), "a header's name"));
    }
    Ok(Some((Kind::other(packed, name), colon)))
}

/// One that is not there as a whole, or longer than those that are known.
#[cold]
fn long_name(bytes: &[u8], begin: usize) -> Result<Option<(Kind, usize)>, Malformed> {
    let colon = begin + token_length(bytes.get(begin..).unwrap_or_default());
    match bytes.get(colon) {
        Some(b':') if begin < colon => {
            Ok(Some((Kind::of(bytes.get(begin..colon).unwrap_or_default()), colon)))
        }
        Some(_) => Err(feed_or(bytes, colon, "a header's name")),
        None => Ok(None),
    }
}

fn empty_line(bytes: &[u8], begin: usize) -> Result<Scanned, Malformed> {
    match bytes.get(begin + 1) {
        Some(b'\n') => Ok(Scanned::End(begin + 2)),
        Some(_) => Err(Malformed::Head("a line's end")),
        None => Ok(Scanned::More),
    }
}

/// A text ended at `until`. Where its line ends; `None` while that has not come.
///
/// # Errors
/// It ends with something else than CR LF.
#[inline]
pub(super) fn line_end(
    bytes: &[u8],
    until: usize,
    what: &'static str,
) -> Result<Option<usize>, Malformed> {
    match (bytes.get(until), bytes.get(until + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(until + 2)),
        (Some(b'\r'), Some(_)) => Err(Malformed::Head("a line's end")),
        (Some(b'\r'), None) | (None, _) => Ok(None),
        (Some(_), _) => Err(feed_or(bytes, until, what)),
    }
}

/// What is wrong with the byte at `at`.
fn feed_or(bytes: &[u8], at: usize, what: &'static str) -> Malformed {
    match bytes.get(at) {
        Some(b'\n') => Malformed::BareLineFeed,
        Some(_) | None => Malformed::Head(what),
    }
}

/// Where the word that begins at `begin` ends: at a space. `None` while that has not come.
///
/// # Errors
/// It holds what no target may.
pub(super) fn word_end(bytes: &[u8], begin: usize) -> Result<Option<usize>, Malformed> {
    let plain = super::target::plain_length(bytes.get(begin..).unwrap_or_default());
    let word = bytes.get(begin + plain..).unwrap_or_default();
    let end = word.iter().position(|byte| *byte <= b' ' || *byte == 0x7F);
    let Some(end) = end.map(|end| begin + plain + end) else { return Ok(None) };
    match bytes.get(end) {
        Some(b' ') if begin < end => Ok(Some(end)),
        _ => Err(feed_or(bytes, end, "the target")),
    }
}

fn blanks<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// How many bytes at the front belong to a token (RFC 9110 section 5.6.2).
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(bytes.len())
}

/// Without a branch for each byte.
#[inline]
fn is_token(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_token_byte(*byte))
}

#[inline]
fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
            | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
            | b'`' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};

/// How many bytes at the front may stand in a field's value or a reason: all but control characters;
/// a tab may (RFC 9110 section 5.5).
#[inline]
pub(super) fn text_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += controls_at(bytes.get(at..).unwrap_or_default());
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Where the first control character is; the length where there is none. Eight bytes at a time.
#[inline]
fn controls_at(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (k, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte below 0x20 borrows from its highest bit, and one of 0x7F does after the xor. What
        // a borrow does to the bytes above it does not matter: the lowest that is marked is right.
        let low = word.wrapping_sub(ONES * 0x20) & !word & (ONES * 0x80);
        let marks = low | marked(word ^ (ONES * 0x7F));
        if marks != 0 {
            return 8 * k + marks.trailing_zeros() as usize / 8;
        }
    }
    let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7F;
    let before = bytes.len() - rest.len();
    before + rest.iter().position(is_control).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::Name;

    fn found(text: &str) -> Result<Scanned, Malformed> {
        line(text.as_bytes(), 0)
    }

    #[test]
    fn a_line_is_a_name_and_a_value_without_the_blanks_around_it() {
        let kind = Kind::Known(Name::Host);
        let line = Found { kind, name: (0, 4), value: (6, 9), end: 13 };
        assert_eq!(found("Host:\ta b \t\r\n"), Ok(Scanned::Line(line)));
        let empty = Found { kind: Kind::Other, name: (0, 1), value: (3, 3), end: 5 };
        assert_eq!(found("X: \r\nY: 1\r\n"), Ok(Scanned::Line(empty)));
        assert_eq!(found("\r\nrest"), Ok(Scanned::End(2)));
    }

    #[test]
    fn what_is_no_line_is_refused_as_soon_as_that_is_known() {
        for wrong in
            [": x", " x: y", "x : y", "x\r\n", "x\ny", "x: y\rz", "x: y\0", "\rx", "x:\x7f"]
        {
            assert!(matches!(found(wrong), Err(Malformed::Head(_) | Malformed::BareLineFeed)));
        }
        assert_eq!(found("x: y\n"), Err(Malformed::BareLineFeed));
        assert_eq!(found("\n"), Err(Malformed::BareLineFeed));
    }

    proptest! {
        #[test]
        fn a_text_ends_at_its_first_control_character(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\t'), Just(0x7F), Just(0x7E), Just(0x80), any::<u8>()], 0..40)
        ) {
            let is_text = |byte: &u8| *byte == b'\t' || 0x20 <= *byte && *byte != 0x7F;
            let expected = bytes.iter().position(|byte| !is_text(byte)).unwrap_or(bytes.len());
            prop_assert_eq!(text_length(&bytes), expected);
        }

        #[test]
        fn a_token_ends_where_the_standard_says(bytes in any::<Vec<u8>>()) {
            let is_token = |byte: &u8| {
                byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
            };
            let expected = bytes.iter().position(|byte| !is_token(byte)).unwrap_or(bytes.len());
            prop_assert_eq!(token_length(&bytes), expected);
        }
    }
}
