//! The header lines of a head, as they came: their order, their case, their bytes.
//!
//! What was read stays where it was read and is pointed at; what is added stands behind it. Heads
//! have few lines, and looking one up is a walk; most of those that are looked up are not there,
//! which a mask of what is tells without one.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::model::limits::HEAD_BYTES_MAX;

/// Header lines. Names are compared without case (RFC 9110 section 5.1).
#[derive(Clone, Debug, Default)]
pub struct Lines {
    section: Bytes,
    read: Vec<Span>,
    /// The marks of all names that were read; those of removed lines stay.
    marks: u64,
    added: Vec<(HeaderName, HeaderValue)>,
}

/// Where in the section a line's name and value stand.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: (u16, u16),
    value: (u16, u16),
}

const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize, "a span could not point at its end");

impl Lines {
    /// Of `lines`, which are parts of `section`.
    pub(super) fn read(lines: &[httparse::Header<'_>], section: &Bytes) -> Self {
        let begin = section.as_ptr() as usize;
        let span = |part: &[u8]| {
            let at = (part.as_ptr() as usize).saturating_sub(begin);
            let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
            (place(at), place(at + part.len()))
        };
        // An empty value may point anywhere.
        let value = |part: &[u8]| if part.is_empty() { (0, 0) } else { span(part) };
        let mut marks = 0;
        let read = lines
            .iter()
            .map(|line| {
                marks |= mark(line.name.as_bytes());
                Span { name: span(line.name.as_bytes()), value: value(line.value) }
            })
            .collect();
        Self { section: section.clone(), read, marks, added: Vec::new() }
    }

    /// The lines read whose name is `known`. Asked often: the length alone tells most apart.
    fn read_as<'a>(&'a self, known: &str) -> impl Iterator<Item = &'a Span> {
        let there = self.marks & mark(known.as_bytes()) != 0;
        let read = if there { self.read.as_slice() } else { &[] };
        read.iter().filter(move |Span { name: (from, to), .. }| {
            usize::from(to - from) == known.len() && is(self.part((*from, *to)), known)
        })
    }

    fn part(&self, (from, to): (u16, u16)) -> &[u8] {
        self.section.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }

    /// Every line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let read = self.read.iter().map(|span| (self.part(span.name), self.part(span.value)));
        let added = self.added.iter();
        read.chain(added.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }

    /// The values of the lines of this name, in order.
    pub fn get_all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let read = self.read_as(name.as_str()).map(|span| self.part(span.value));
        let added = self.added.iter().filter(move |(other, _)| other == name);
        read.chain(added.map(|(_, value)| value.as_bytes()))
    }

    /// The first value of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        if let Some(span) = self.read_as(name.as_str()).next() {
            return Some(self.part(span.value));
        }
        let added = self.added.iter().find(|(other, _)| other == name);
        added.map(|(_, value)| value.as_bytes())
    }

    /// The first value of this name, where it is text.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of this name, to keep.
    pub fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        let value = self.get(name)?;
        HeaderValue::from_bytes(value).ok()
    }

    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Appends a line, whatever there is of its name.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.added.push((name, value));
    }

    /// Makes this the only line of its name.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove(&name);
        self.add(name, value);
    }

    pub fn remove(&mut self, name: &HeaderName) {
        let name = name.as_str();
        self.retain(|other| !is(other, name));
    }

    /// Keeps the lines whose names `keeps` takes.
    pub fn retain(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let Self { section, read, added, marks: _ } = self;
        read.retain(|Span { name: (from, to), .. }| {
            keeps(section.get(usize::from(*from)..usize::from(*to)).unwrap_or_default())
        });
        added.retain(|(name, _)| keeps(name.as_str().as_bytes()));
    }

    /// Appends them, and the empty line that ends them.
    pub fn put(&self, into: &mut Vec<u8>) {
        into.reserve(self.section.len());
        for Span { name, value } in &self.read {
            match self.part((name.0, value.1)) {
                // An empty value stands nowhere.
                [] => put_line(into, self.part(*name), b""),
                line => {
                    into.extend_from_slice(line);
                    into.extend_from_slice(b"\r\n");
                }
            }
        }
        for (name, value) in &self.added {
            put_line(into, name.as_str().as_bytes(), value.as_bytes());
        }
        into.extend_from_slice(b"\r\n");
    }
}

impl<'a> FromIterator<(&'a HeaderName, &'a HeaderValue)> for Lines {
    fn from_iter<T: IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>>(lines: T) -> Self {
        let added = lines.into_iter().map(|(name, value)| (name.clone(), value.clone()));
        Self { added: added.collect(), ..Self::default() }
    }
}

/// One bit for a name, the same in whatever case it is written: of its length and its ends.
fn mark(name: &[u8]) -> u64 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    // Letters differ in bit 0x20 only between their cases; other bytes may share a bit, and do.
    let ends = usize::from(first & 0x1F) * 7 + usize::from(last & 0x1F);
    1 << ((ends + name.len() * 5) & 0x3F)
}

/// Is `name`, as it was sent, that of `known`, which is in small letters?
pub fn is(name: &[u8], known: &str) -> bool {
    name.len() == known.len() && name.eq_ignore_ascii_case(known.as_bytes())
}

/// Appends one header line.
pub fn put_line(into: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    into.extend_from_slice(name);
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// The elements of comma-separated lists, without their parameters and the blanks around them.
pub fn elements<'a>(lists: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lists
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(|element| element.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST};

    use super::*;

    fn lines(text: &'static str) -> Lines {
        let section = Bytes::from_static(text.as_bytes());
        let mut lines = [httparse::EMPTY_HEADER; 9];
        let parsed = httparse::parse_headers(&section, &mut lines);
        let (_, lines) = parsed.expect("well-formed").unwrap();
        Lines::read(lines, &section)
    }

    fn text(lines: &Lines) -> String {
        let mut bytes = Vec::new();
        lines.put(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_keep_their_order_and_their_case() {
        let mut lines = lines("X-B: 1\r\nhost:a \r\nACCEPT:\r\nx-b: 2\r\n\r\n");
        assert_eq!(lines.get(&HOST), Some(&b"a"[..]));
        assert_eq!(lines.get(&ACCEPT), Some(&b""[..]));
        let x_b = HeaderName::from_static("x-b");
        assert_eq!(lines.get_all(&x_b).collect::<Vec<_>>(), [b"1", b"2"]);
        lines.set(HOST, HeaderValue::from_static("b"));
        assert_eq!(text(&lines), "X-B: 1\r\nACCEPT: \r\nx-b: 2\r\nhost: b\r\n\r\n");
        lines.remove(&x_b);
        assert_eq!(text(&lines), "ACCEPT: \r\nhost: b\r\n\r\n");
    }

    #[test]
    fn what_was_added_is_found_like_what_was_read() {
        let mut lines = lines("A: b\r\n\r\n");
        lines.add(HOST, HeaderValue::from_static("a"));
        assert_eq!((lines.text(&HOST), lines.contains(&ACCEPT)), (Some("a"), false));
        lines.retain(|name| is(name, "a"));
        assert_eq!(text(&lines), "A: b\r\n\r\n");
    }

    #[test]
    fn a_name_has_the_same_mark_in_every_case() {
        for name in ["host", "x-forwarded-for", "te", "a", "sec-fetch-dest", "x_y"] {
            assert_eq!(mark(name.as_bytes()), mark(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        assert_ne!(mark(b"host"), mark(b"te"));
        let lines = lines("HOST: a\r\nx-Request-ID: 1\r\n\r\n");
        assert!(lines.contains(&HOST) && lines.contains(&HeaderName::from_static("x-request-id")));
    }

    #[test]
    fn a_list_over_several_lines_is_one() {
        let lists = [&b"a, b;q=1"[..], b" c"];
        let all: Vec<&[u8]> = elements(lists.into_iter()).collect();
        assert_eq!(all, [b"a", b"b", b"c"]);
    }
}
