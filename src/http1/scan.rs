//! Lines of a head, one byte after another (RFC 9112 sections 2.2 and 5): where a name ends, where a
//! value does, and what may stand in neither.

use super::names::{Packed, Underscores};
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
    let mut from = colon + 1;
    while is_blank(bytes.get(from)) {
        from += 1;
    }
    let Some(mut until) = text_end(bytes, from) else { return Ok(Scanned::More) };
    let Some(end) = line_end(bytes, until)? else { return Ok(Scanned::More) };
    while from < until && is_blank(bytes.get(until - 1)) {
        until -= 1;
    }
    Ok(Scanned::Line(Found { kind, name: (begin, colon), value: (from, until), end }))
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
    // Without a branch for each byte.
    let all = name.iter().fold(0, |all, byte| all | class(*byte));
    if name.is_empty() || all & NO_TOKEN != 0 {
        return Err(feed_or(bytes, begin + token_length(name), "a header's name"));
    }
    let underscores = if all & UNDERSCORE == 0 { Underscores::None } else { Underscores::Some };
    Ok(Some((Kind::other(packed, name, underscores), colon)))
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

/// Where the text that begins at `from` ends, be it well or not: at a carriage return or a line feed.
/// What else no text may hold is looked for in all of a head at once, by [`has_controls`].
#[inline]
pub(super) fn text_end(bytes: &[u8], from: usize) -> Option<usize> {
    let end = memchr::memchr2(b'\r', b'\n', bytes.get(from..).unwrap_or_default())?;
    Some(from + end)
}

/// A text ended at `until`. Where its line ends; `None` while that has not come.
///
/// # Errors
/// It ends with something else than CR LF.
#[inline]
pub(super) fn line_end(bytes: &[u8], until: usize) -> Result<Option<usize>, Malformed> {
    match (bytes.get(until), bytes.get(until + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(until + 2)),
        (Some(b'\r') | None, None) => Ok(None),
        (Some(b'\r') | None, Some(_)) => Err(Malformed::Head("a line's end")),
        (Some(_), _) => Err(feed_or(bytes, until, "a line's end")),
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

#[inline]
fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// How many bytes at the front belong to a token (RFC 9110 section 5.6.2).
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| class(*byte) == NO_TOKEN).unwrap_or(bytes.len())
}

const NO_TOKEN: u8 = 1;
const UNDERSCORE: u8 = 2;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(NO_TOKEN)
}

static CLASSES: [u8; 256] = {
    let mut table = [NO_TOKEN; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'_' => UNDERSCORE,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => 0,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' => 0,
            b'`' | b'|' | b'~' => 0,
            _ => NO_TOKEN,
        };
        byte += 1;
    }
    table
};

/// Does a head hold a control character besides its lines' ends and tabs (RFC 9110 section 5.5)?
/// `feeds` of its lines' ends are known.
pub(super) fn has_controls(head: &[u8], feeds: usize) -> bool {
    // Most hold none, and no tab either.
    controls(head) != 2 * feeds
        && head.iter().any(|byte| is_control(*byte) && !b"\t\r\n".contains(byte))
}

const LANES: usize = 32;

/// How many control characters there are. Lane by lane, so that many bytes are looked at at once.
fn controls(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks::<LANES>();
    // No lane counts further than a byte can.
    let in_chunks = chunks.chunks(usize::from(u8::MAX)).map(|chunks| {
        let mut lanes = [0_u8; LANES];
        for chunk in chunks {
            for (lane, byte) in lanes.iter_mut().zip(chunk) {
                *lane += u8::from(is_control(*byte));
            }
        }
        lanes.into_iter().map(usize::from).sum::<usize>()
    });
    in_chunks.sum::<usize>() + rest.iter().filter(|byte| is_control(**byte)).count()
}

#[inline]
const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7F
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
        for wrong in [": x", " x: y", "x : y", "x\r\n", "x\ny", "x: y\rz", "\rx"] {
            assert!(matches!(found(wrong), Err(Malformed::Head(_) | Malformed::BareLineFeed)));
        }
        assert_eq!(found("x: y\n"), Err(Malformed::BareLineFeed));
        assert_eq!(found("\n"), Err(Malformed::BareLineFeed));
    }

    proptest! {
        #[test]
        fn a_control_character_is_found_wherever_it_stands(
            lines in proptest::collection::vec("[\t -~\u{e4}]{0,70}", 0..5),
            place: proptest::sample::Index,
            byte: u8,
        ) {
            let mut head: Vec<u8> = lines.iter().flat_map(|line| [line, "\r\n"].concat().into_bytes()).collect();
            prop_assert!(!has_controls(&head, lines.len()));
            head.insert(place.index(head.len() + 1), byte);
            let allowed = b"\t\r\n".contains(&byte);
            prop_assert_eq!(has_controls(&head, lines.len()), is_control(byte) && !allowed);
        }

        #[test]
        fn many_control_characters_are_counted(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            prop_assert_eq!(controls(&bytes), bytes.iter().filter(|byte| byte.is_ascii_control()).count());
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
