//! The header lines of a head, as they came: their order, their case, their bytes.
//!
//! The head stands in a text of its own, in which each line is pointed at; lines that are added stand
//! behind it. What each line is was told once, when it was read: asking for one compares small numbers,
//! and most that are asked for are not there, which one look tells.

use std::cell::RefCell;

use super::names::{Kind, Name, Names};
use super::scan::Found;
use super::{Buffer, ConnectionOptions};
use crate::model::limits::{HEAD_BYTES_KEPT, HEADS_KEPT};

/// Header lines. Names are compared without case (RFC 9110 section 5.1).
#[derive(Debug)]
pub struct Lines {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// The known names that stand in a line.
    present: Names,
    connection: ConnectionOptions,
}

/// Where a line's parts stand.
#[derive(Clone, Copy, Debug)]
struct Line {
    kind: Kind,
    /// Where its name begins and ends, and where its value does.
    name: (u32, u32),
    value: (u32, u32),
}

thread_local! {
    /// The memory of earlier heads.
    static SPARE: RefCell<Vec<(Vec<u8>, Vec<Line>)>> = const { RefCell::new(Vec::new()) };
}

/// What most heads have.
const LINES_GUESS: usize = 24;

/// What most heads take, with what is added to them.
const TEXT_GUESS: usize = 2048;

impl Default for Lines {
    /// None, in the memory of an earlier head.
    fn default() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let (text, lines) = spare
            .unwrap_or_else(|| (Vec::with_capacity(TEXT_GUESS), Vec::with_capacity(LINES_GUESS)));
        let (present, connection) = (Names::default(), ConnectionOptions::default());
        Self { text, lines, present, connection }
    }
}

impl Clone for Lines {
    /// The same, in the memory of an earlier head.
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.text.extend_from_slice(&self.text);
        copy.lines.extend_from_slice(&self.lines);
        (copy.present, copy.connection) = (self.present, self.connection);
        copy
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let (mut text, mut lines) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.lines));
        if HEAD_BYTES_KEPT < text.capacity() {
            return;
        }
        text.clear();
        lines.clear();
        // At the thread's end there is no later head.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < HEADS_KEPT {
                spare.push((text, lines));
            }
        });
    }
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Appends a line that was found in `bytes`, which [`Lines::were_in`] gets.
    #[inline]
    pub(super) fn found(&mut self, bytes: &[u8], line: &Found) {
        if line.kind == Kind::Known(Name::Connection) {
            let value = bytes.get(line.value.0..line.value.1).unwrap_or_default();
            self.connection = self.connection.and(value);
        }
        self.push(line.kind, line.name, line.value);
    }

    /// The bytes that they were found in, up to the end of the last of them.
    pub(super) fn were_in(&mut self, head: &[u8]) {
        self.text.extend_from_slice(head);
    }

    fn push(&mut self, kind: Kind, name: (usize, usize), value: (usize, usize)) {
        if let Kind::Known(name) = kind {
            self.present = self.present.and(Names::of(&[name]));
        }
        #[expect(clippy::cast_possible_truncation, reason = "no head is near 4 GiB")]
        let place = |(from, to): (usize, usize)| (from as u32, to as u32);
        self.lines.push(Line { kind, name: place(name), value: place(value) });
    }

    /// Of what was read: the bytes from one place to another.
    pub(super) fn part(&self, (from, to): (u32, u32)) -> &[u8] {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Every line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.part(line.name), self.part(line.value)))
    }

    /// The values of the lines of this name, in order.
    #[inline]
    pub fn get_all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let lines = if self.contains(name) { self.lines.as_slice() } else { &[] };
        let of_name = lines.iter().filter(move |line| line.kind == Kind::Known(name));
        of_name.map(|line| self.part(line.value))
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
        let begin = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.added(kind, begin, (name.len(), value.len()));
        if kind == Kind::Known(Name::Connection) {
            self.connection = self.connection.and(value);
        }
    }

    /// A name and a value of these lengths were written at `begin`.
    fn added(&mut self, kind: Kind, begin: usize, (name, value): (usize, usize)) {
        let end = self.text.len();
        self.text.extend_from_slice(b"\r\n");
        self.push(kind, (begin, begin + name), (end - value, end));
    }

    /// Appends a line with the value of another one that is there.
    pub fn add_same(&mut self, name: Name, as_of: Name) {
        let line = self.lines.iter().find(|line| line.kind == Kind::Known(as_of));
        let Some(&Line { value: (from, to), .. }) = line else { return };
        let (begin, text) = (self.text.len(), name.text().as_bytes());
        self.text.extend_from_slice(text);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_within(from as usize..to as usize);
        self.added(Kind::Known(name), begin, (text.len(), (to - from) as usize));
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
        let Self { text, lines, present, connection } = self;
        *present = Names::default();
        lines.retain(|line| {
            let name = text.get(line.name.0 as usize..line.name.1 as usize).unwrap_or_default();
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

    /// Appends them, and the empty line that ends them. Lines that stand side by side are copied
    /// together.
    pub fn put(&self, into: &mut Buffer) {
        let mut run: Option<(u32, u32)> = None;
        for line in &self.lines {
            let (begin, end) = (line.name.0, line.value.1);
            run = match run {
                // Between them there is the line's end and nothing else.
                Some((from, to)) if to + 2 == begin => Some((from, end)),
                before => {
                    self.put_run(into, before);
                    Some((begin, end))
                }
            };
        }
        self.put_run(into, run);
        into.extend_from_slice(b"\r\n");
    }

    fn put_run(&self, into: &mut Buffer, run: Option<(u32, u32)>) {
        if let Some(run) = run {
            into.extend_from_slice(self.part(run));
            into.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends one header line.
pub fn put_line(into: &mut Buffer, name: &[u8], value: &[u8]) {
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
        let (mut lines, mut at) = (Lines::default(), 0);
        while let Scanned::Line(found) = scan::line(text.as_bytes(), at).expect("well-formed") {
            lines.found(text.as_bytes(), &found);
            at = found.end;
        }
        lines.were_in(&text.as_bytes()[..at]);
        lines
    }

    fn text(lines: &Lines) -> String {
        let mut bytes = Buffer::default();
        lines.put(&mut bytes);
        String::from_utf8(bytes.to_vec()).expect("text")
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
