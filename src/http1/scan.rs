//! Lines of a head, one byte after another (RFC 9112 sections 2.2 and 5): where a name ends, where a
//! value does, and what may stand in neither.

use super::lanes::{self, LANES, Lanes};
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

/// Scans the line that begins at `begin`. What is seldom seen is told apart byte by byte, behind the
/// quick looks at what nearly always comes.
///
/// # Errors
/// [`Malformed`]: it is no header line, however it goes on.
#[inline]
pub(super) fn line(bytes: &[u8], begin: usize) -> Result<Scanned, Malformed> {
    let (kind, colon) = match plain_name(bytes, begin) {
        Some(plain) => plain,
        None if bytes.get(begin) == Some(&b'\r') => return empty_line(bytes, begin),
        None => match any_name(bytes, begin)? {
            Some(name) => name,
            None => return Ok(Scanned::More),
        },
    };
    let (name, from) = ((begin, colon), colon + 1);
    let Some(text) = bytes.get(from..) else { return Ok(Scanned::More) };
    // As nearly every value is written.
    if let Some(length) = first(text, lanes::control)
        && let Some([b' ', first, .., last, b'\r', b'\n']) = text.get(..length + 2)
        && b' ' < *first
        && b' ' < *last
    {
        let until = from + length;
        return Ok(Scanned::Line(Found { kind, name, value: (from + 1, until), end: until + 2 }));
    }
    let Some(length) = text_length(text)? else { return Ok(Scanned::More) };
    let Some(end) = line_end(bytes, from + length)? else { return Ok(Scanned::More) };
    let value = trimmed(bytes, from, from + length);
    Ok(Scanned::Line(Found { kind, name, value, end }))
}

/// Without the blanks around it.
fn trimmed(bytes: &[u8], mut from: usize, mut until: usize) -> (usize, usize) {
    while from < until && is_blank(bytes.get(from)) {
        from += 1;
    }
    while from < until && is_blank(bytes.get(until - 1)) {
        until -= 1;
    }
    (from, until)
}

/// The name of letters and hyphens that begins at `begin`: what it is, and where its colon stands.
#[inline]
fn plain_name(bytes: &[u8], begin: usize) -> Option<(Kind, usize)> {
    let rest = bytes.get(begin..)?;
    let padded_front;
    let front = match rest.first_chunk() {
        Some(front) => front,
        None if rest.first() == Some(&b'\r') => return None,
        None => {
            padded_front = padded(rest);
            &padded_front
        }
    };
    let length = lanes::no_letter(front).filter(|length| *length != 0)?;
    if front.get(length) != Some(&b':') {
        return None;
    }
    Some((Kind::of_letters(front, length), begin + length))
}

/// The same of any name, or of one that is not there as a whole.
fn any_name(bytes: &[u8], begin: usize) -> Result<Option<(Kind, usize)>, Malformed> {
    let rest = bytes.get(begin..).unwrap_or_default();
    let (name, after) = rest.split_at_checked(token_length(rest)).unwrap_or_default();
    match after.first() {
        Some(b':') if !name.is_empty() => Ok(Some((Kind::of(name), begin + name.len()))),
        Some(_) => Err(feed_or(bytes, begin + name.len(), "a header's name")),
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

/// How many bytes stand before a line's end, be it well or not: before a carriage return or a line
/// feed.
///
/// # Errors
/// There is another control character besides tabs (RFC 9110 section 5.5).
pub(super) fn text_length(text: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut from = 0;
    while let Some(at) = first(text.get(from..).unwrap_or_default(), lanes::control) {
        match text.get(from + at) {
            Some(b'\r' | b'\n') => return Ok(Some(from + at)),
            Some(b'\t') => from += at + 1,
            Some(_) | None => return Err(Malformed::Head("a header's value")),
        }
    }
    Ok(None)
}

/// Where the first of the bytes stands that `of_lanes` looks for.
#[inline]
fn first(bytes: &[u8], of_lanes: impl Fn(&Lanes) -> Option<usize>) -> Option<usize> {
    let mut rest = bytes;
    while let Some((lanes, more)) = rest.split_first_chunk() {
        if let Some(at) = of_lanes(lanes) {
            return Some(bytes.len() - rest.len() + at);
        }
        rest = more;
    }
    let at = of_lanes(&padded(rest)).filter(|at| *at < rest.len())?;
    Some(bytes.len() - rest.len() + at)
}

/// The last bytes that have come, too few for all lanes, with zeros behind them.
#[cold]
fn padded(bytes: &[u8]) -> Lanes {
    let mut lanes = [0; LANES];
    if let Some(front) = lanes.get_mut(..bytes.len()) {
        front.copy_from_slice(bytes);
    }
    lanes
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
    let word = bytes.get(begin..).unwrap_or_default();
    let Some(end) = first(word, lanes::control_or_space).map(|end| begin + end) else {
        return Ok(None);
    };
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
        for wrong in [
            ": x",
            " x: y",
            "x : y",
            "x\r\n",
            "x\ny",
            "x: y\rz",
            "x: long\rz",
            "\rx",
            "x: long\t\n",
            "x: long\u{0}\n",
            "x: long\n\n",
            "x: long\r\r\n",
            "_: \n",
            "a7\r",
        ] {
            assert!(matches!(found(wrong), Err(Malformed::Head(_) | Malformed::BareLineFeed)));
        }
        assert_eq!(found("x: y\n"), Err(Malformed::BareLineFeed));
        assert_eq!(found("\n"), Err(Malformed::BareLineFeed));
    }

    #[test]
    fn blanks_may_stand_around_a_value_and_in_it_as_they_like() {
        for value in [
            "",
            " ",
            "\t",
            " \t ",
            "a",
            " a",
            "a ",
            "ab",
            " a\tb",
            "  a b",
            "a\t\t",
            " ab\t",
            "abc",
            " abc",
            " ab ",
            "\tab",
            " \u{e4}\u{e4}\u{e4}",
        ] {
            let text = format!("X:{value}\r\n");
            let Ok(Scanned::Line(line)) = found(&text) else { panic!("{text:?}") };
            assert_eq!(&text[line.value.0..line.value.1], value.trim_ascii(), "{text:?}");
            assert_eq!(line.end, text.len());
        }
    }

    #[test]
    fn a_name_is_read_whatever_its_length() {
        for length in 1..80 {
            for (letter, kind) in [("a", Kind::Other), ("7", Kind::Other), ("_", Kind::Other)] {
                let name = letter.repeat(length);
                let expected = Found {
                    kind,
                    name: (0, length),
                    value: (length + 2, length + 3),
                    end: length + 5,
                };
                for rest in ["", "\r\n", &"b".repeat(80)] {
                    let text = format!("{name}: v\r\n{rest}");
                    assert_eq!(found(&text), Ok(Scanned::Line(expected)), "{text:?}");
                }
                assert_eq!(found(&name), Ok(Scanned::More));
            }
        }
    }

    #[test]
    fn every_byte_of_a_name_is_looked_at() {
        for (place, byte) in (0..40).flat_map(|place| (0..=u8::MAX).map(move |b| (place, b))) {
            let mut text = b"a-name-of-letters-and-hyphens-that-is-long: v\r\n".to_vec();
            text[place] = byte;
            let expected = match byte {
                b':' if place != 0 => Some(place),
                _ if token_length(&[byte]) == 1 => Some(42),
                _ => None,
            };
            let colon = match line(&text, 0) {
                Ok(Scanned::Line(line)) => Some(line.name.1),
                _ => None,
            };
            assert_eq!(colon, expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_word_ends_at_its_space_as_soon_as_that_has_come() {
        for length in 1..200 {
            let text = format!("x {} HTTP/1.1", "/".repeat(length));
            let (word, _) = text.split_at(2 + length);
            assert_eq!(word_end(word.as_bytes(), 2), Ok(None));
            assert_eq!(word_end(text.as_bytes(), 2), Ok(Some(2 + length)));
        }
        for byte in (0..b' ').chain([0x7F]) {
            let text = [b"x /a", &[byte][..], b" "].concat();
            assert!(word_end(&text, 2).is_err(), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn a_text_ends_where_a_look_at_each_byte_finds_its_end(
            // Few tabs, so that there are long pieces without any.
            text in "([ -~]{0,90}[\t\u{e4}]?){0,3}",
            place: proptest::sample::Index,
            byte: u8,
            rest in "[\t -~\r\n]{0,70}",
        ) {
            let mut bytes = [&text, "\r\n", &rest].concat().into_bytes();
            let length = text.len();
            prop_assert_eq!(text_length(&bytes), Ok(Some(length)));
            prop_assert_eq!(text_length(text.as_bytes()), Ok(None));
            let place = place.index(length + 1);
            bytes.insert(place, byte);
            let expected = match byte {
                b'\r' | b'\n' => Ok(Some(place)),
                b'\t' => Ok(Some(length + 1)),
                _ if byte.is_ascii_control() => Err(Malformed::Head("a header's value")),
                _ => Ok(Some(length + 1)),
            };
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
