//! The header lines of a head, as they came: their order, their case, their bytes.
//!
//! What was read stays where it was read and is pointed at; what is added stands in a text of its
//! own behind it. What each line is was told once, when it was read: asking for one compares small
//! numbers, and most that are asked for are not there, which one look tells.

use bytes::Bytes;

use super::ConnectionOptions;
use super::names::{Kind, Name, Names};
use super::scan::Found;

/// Header lines. Names are compared without case (RFC 9110 section 5.1).
#[derive(Clone, Debug, Default)]
pub struct Lines {
    read: Bytes,
    added: Vec<u8>,
    lines: Vec<Line>,
    /// The known names that stand in a line.
    present: Names,
    connection: ConnectionOptions,
}

/// Where a line's parts stand.
#[derive(Clone, Copy, Debug)]
struct Line {
    kind: Kind,
    text: Text,
    /// Where its name begins and ends, and where its value does.
    name: (u32, u32),
    value: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Read,
    Added,
}

/// What most heads have.
const LINES_GUESS: usize = 24;

/// What is added to most, in bytes.
const ADDED_GUESS: usize = 256;

impl Lines {
    /// None yet; those that are read are parts of what [`Lines::were_in`] gets.
    pub(super) fn to_read() -> Self {
        Self { lines: Vec::with_capacity(LINES_GUESS), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Appends a line that was found in `bytes`.
    #[inline]
    pub(super) fn found(&mut self, bytes: &[u8], line: &Found) {
        if line.kind == Kind::Known(Name::Connection) {
            let value = bytes.get(line.value.0..line.value.1).unwrap_or_default();
            self.connection = self.connection.and(value);
        }
        self.push(line.kind, Text::Read, line.name, line.value);
    }

    /// The bytes that they were found in.
    pub(super) fn were_in(&mut self, read: Bytes) {
        self.read = read;
    }

    fn push(&mut self, kind: Kind, text: Text, name: (usize, usize), value: (usize, usize)) {
        if let Kind::Known(name) = kind {
            self.present = self.present.and(Names::of(&[name]));
        }
        #[expect(clippy::cast_possible_truncation, reason = "no head is near 4 GiB")]
        let place = |(from, to): (usize, usize)| (from as u32, to as u32);
        self.lines.push(Line { kind, text, name: place(name), value: place(value) });
    }

    fn part(&self, text: Text, (from, to): (u32, u32)) -> &[u8] {
        let bytes = match text {
            Text::Read => &self.read[..],
            Text::Added => &self.added[..],
        };
        bytes.get(from as usize..to as usize).unwrap_or_default()
    }

    fn value_of(&self, line: &Line) -> &[u8] {
        self.part(line.text, line.value)
    }

    /// Every line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.part(line.text, line.name), self.value_of(line)))
    }

    /// The values of the lines of this name, in order.
    #[inline]
    pub fn get_all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let lines = if self.contains(name) { self.lines.as_slice() } else { &[] };
        let of_name = lines.iter().filter(move |line| line.kind == Kind::Known(name));
        of_name.map(|line| self.value_of(line))
    }

    /// The first value of this name.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value of this name, where it is text.
    pub fn text(&self, name: Name) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// What the Connection lines say.
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    #[inline]
    pub fn contains(&self, name: Name) -> bool {
        self.present.contains(name)
    }

    /// Appends a line, whatever there is of its name. Of what was read, or of ours: `value` holds no
    /// control character.
    pub fn add(&mut self, name: Name, value: &[u8]) {
        self.add_as(Kind::Known(name), name.text().as_bytes(), value);
    }

    /// Appends a line of a name that nothing here asks for by itself.
    pub fn add_line(&mut self, name: &[u8], value: &[u8]) {
        self.add_as(Kind::of(name), name, value);
    }

    fn add_as(&mut self, kind: Kind, name: &[u8], value: &[u8]) {
        debug_assert!(!value.iter().any(|b| b"\r\n\0".contains(b)), "it would be two lines");
        self.added.reserve(ADDED_GUESS);
        let begin = self.added.len();
        put_line(&mut self.added, name, value);
        let end = self.added.len() - b"\r\n".len();
        if kind == Kind::Known(Name::Connection) {
            self.connection = self.connection.and(value);
        }
        self.push(kind, Text::Added, (begin, begin + name.len()), (end - value.len(), end));
    }

    /// Appends a line with the value of another one that is there.
    pub fn add_same(&mut self, name: Name, as_of: Name) {
        let line = self.lines.iter().find(|line| line.kind == Kind::Known(as_of));
        let Some(&Line { text, value: (from, to), .. }) = line else { return };
        let begin = self.added.len();
        self.added.extend_from_slice(name.text().as_bytes());
        self.added.extend_from_slice(b": ");
        let value = from as usize..to as usize;
        match text {
            Text::Read => {
                self.added.extend_from_slice(self.read.get(value).unwrap_or_default());
            }
            Text::Added => self.added.extend_from_within(value),
        }
        let end = self.added.len();
        self.added.extend_from_slice(b"\r\n");
        let value = end - (to - from) as usize;
        let name_end = begin + name.text().len();
        self.push(Kind::Known(name), Text::Added, (begin, name_end), (value, end));
    }

    /// Makes this the only line of its name.
    pub fn set(&mut self, name: Name, value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    pub fn remove(&mut self, name: Name) {
        if self.contains(name) {
            self.retain(|kind, _| kind != Kind::Known(name));
        }
    }

    /// Keeps the lines that `keeps` takes, by what they are and by their names.
    #[inline]
    pub fn retain(&mut self, keeps: impl Fn(Kind, &[u8]) -> bool) {
        let Self { read, added, lines, present, connection } = self;
        *present = Names::default();
        lines.retain(|line| {
            let bytes = match line.text {
                Text::Read => &read[..],
                Text::Added => &added[..],
            };
            let name = bytes.get(line.name.0 as usize..line.name.1 as usize).unwrap_or_default();
            let kept = keeps(line.kind, name);
            if let (true, Kind::Known(name)) = (kept, line.kind) {
                *present = present.and(Names::of(&[name]));
            }
            kept
        });
        // Its lines go and stay together: what they list says nothing else.
        if !present.contains(Name::Connection) {
            *connection = ConnectionOptions::default();
        }
    }

    /// Appends them, and the empty line that ends them. Lines that stood side by side are copied
    /// together.
    pub fn put(&self, into: &mut Vec<u8>) {
        let mut run: Option<(Text, u32, u32)> = None;
        for line in &self.lines {
            let (begin, end) = (line.name.0, line.value.1);
            run = match run {
                // Between them there is the line's end and nothing else.
                Some((text, from, to)) if text == line.text && to + 2 == begin => {
                    Some((text, from, end))
                }
                before => {
                    self.put_run(into, before);
                    Some((line.text, begin, end))
                }
            };
        }
        self.put_run(into, run);
        into.extend_from_slice(b"\r\n");
    }

    fn put_run(&self, into: &mut Vec<u8>, run: Option<(Text, u32, u32)>) {
        if let Some((text, from, to)) = run {
            into.extend_from_slice(self.part(text, (from, to)));
            into.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends one header line.
pub fn put_line(into: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    into.reserve(name.len() + value.len() + 4);
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
    use super::*;
    use crate::http1::names::is;
    use crate::http1::scan::{self, Scanned};

    fn lines(text: &'static str) -> Lines {
        let (mut lines, mut at) = (Lines::to_read(), 0);
        while let Scanned::Line(found) = scan::line(text.as_bytes(), at).expect("well-formed") {
            lines.found(text.as_bytes(), &found);
            at = found.end;
        }
        lines.were_in(Bytes::from_static(text.as_bytes()));
        lines
    }

    fn text(lines: &Lines) -> String {
        let mut bytes = Vec::new();
        lines.put(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_keep_their_order_and_their_case() {
        let mut lines = lines("X-B: 1\r\nhost:a \r\nACCEPT:\r\nx-b: 2\r\n\r\n");
        assert_eq!(lines.get(Name::Host), Some(&b"a"[..]));
        assert_eq!(lines.get(Name::Accept), Some(&b""[..]));
        assert_eq!(lines.get(Name::Te), None);
        assert_eq!(text(&lines), "X-B: 1\r\nhost:a\r\nACCEPT:\r\nx-b: 2\r\n\r\n");
        lines.set(Name::Host, b"b");
        assert_eq!(text(&lines), "X-B: 1\r\nACCEPT:\r\nx-b: 2\r\nhost: b\r\n\r\n");
        lines.retain(|_, name| !is(name, "x-b"));
        assert_eq!(text(&lines), "ACCEPT:\r\nhost: b\r\n\r\n");
    }

    #[test]
    fn what_was_added_is_found_like_what_was_read() {
        let mut lines = lines("A: b\r\nConnection: x\r\nconnection: y\r\n\r\n");
        lines.add(Name::Host, b"a");
        lines.add_line(b"Connection", b"z");
        assert_eq!((lines.text(Name::Host), lines.contains(Name::Accept)), (Some("a"), false));
        let all: Vec<&[u8]> = lines.get_all(Name::Connection).collect();
        assert_eq!(all, [b"x", b"y", b"z"]);
        lines.remove(Name::Connection);
        assert!(!lines.contains(Name::Connection));
        lines.retain(|kind, _| kind == Kind::Other);
        assert_eq!(text(&lines), "A: b\r\n\r\n");
        assert!(!lines.contains(Name::Host));
    }

    #[test]
    fn a_value_is_added_a_second_time_wherever_it_stands() {
        let mut lines = lines("Host: a\r\n\r\n");
        lines.add_same(Name::XForwardedHost, Name::Host);
        lines.add_same(Name::XRealIp, Name::XForwardedHost);
        lines.add_same(Name::Te, Name::Upgrade);
        let expected = "Host: a\r\nx-forwarded-host: a\r\nx-real-ip: a\r\n\r\n";
        assert_eq!(text(&lines), expected);
        assert_eq!(lines.get(Name::XRealIp), Some(&b"a"[..]));
    }

    #[test]
    fn a_list_over_several_lines_is_one() {
        let lists = [&b"a, b;q=1"[..], b" c"];
        let all: Vec<&[u8]> = elements(lists.into_iter()).collect();
        assert_eq!(all, [b"a", b"b", b"c"]);
    }
}
