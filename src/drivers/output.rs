//! The output file of a command: kept bounded while it is written, read from its end or from an
//! offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use crate::model::limits::{COMMAND_OUTPUT_BYTES_MAX, OUTPUT_LINE_CHARS_MAX};

/// Of a file that grew too long, so much of its start and of its end is kept.
const KEPT: u64 = 1024 * 1024;

/// Holes begin and end at blocks.
const BLOCK: u64 = 64 * 1024;

/// Keeps an output file bounded while others append to it: its middle is given back to the disk as a
/// hole, which loses nothing that is written meanwhile. When the command has ended, the hole is
/// closed.
pub(super) struct Bound {
    file: Option<File>,
    hole_end: u64,
    left_out: u64,
}

impl Bound {
    pub(super) fn of(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).append(true).open(path).ok();
        Self { file, hole_end: 0, left_out: 0 }
    }

    /// While it is written. Output is for people to read; a command is not ended because of it.
    pub(super) fn keep(&mut self) {
        let Some(file) = &self.file else { return };
        let Ok(length) = file.metadata().map(|data| data.len()) else { return };
        if length.saturating_sub(self.hole_end) <= COMMAND_OUTPUT_BYTES_MAX {
            return;
        }
        let end = (length - KEPT) / BLOCK * BLOCK;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(file, hole, KEPT, end - KEPT) {
            Ok(()) => self.hole_end = end,
            // The disk knows no holes: what is written in the very moment of the cut may be lost.
            Err(_) => self.close(),
        }
    }

    /// When it is written no more.
    pub(super) fn close(&mut self) {
        if let Some(file) = &self.file
            && let Ok(Some(left_out)) = cut(file, self.left_out)
        {
            (self.left_out, self.hole_end) = (left_out, 0);
        }
    }
}

/// Takes the middle out of a file that grew too long. Returns how many bytes are missing by now.
fn cut(file: &File, before: u64) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    if length <= COMMAND_OUTPUT_BYTES_MAX {
        return Ok(None);
    }
    let mut end = vec![0; usize::try_from(KEPT).unwrap_or_default()];
    file.read_exact_at(&mut end, length - KEPT)?;
    file.set_len(KEPT)?;
    let left_out = before + (length - 2 * KEPT);
    (&*file).write_all(&[said(left_out).as_bytes(), &end].concat())?;
    Ok(Some(left_out))
}

fn said(left_out: u64) -> String {
    let most = COMMAND_OUTPUT_BYTES_MAX >> 20;
    format!("\n[drawspan: more than {most} MiB; {left_out} bytes are left out here]\n")
}

/// The last lines of a file, at most `bytes_max` bytes of it, as text that is safe on a terminal.
pub(super) fn tail(path: &Path, lines: usize, bytes_max: usize) -> io::Result<Vec<String>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(bytes_max as u64);
    let mut bytes = read_at(&file, start, bytes_max)?;
    if 0 < start && bytes.contains(&b'\n') {
        // The first line is a part of one.
        let at = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.drain(..at);
    }
    Ok(last_lines(&bytes, lines))
}

/// The last lines of bytes, as text that is safe on a terminal.
pub(super) fn last_lines(bytes: &[u8], lines: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut last: Vec<String> = text.lines().rev().take(lines).map(safe).collect();
    last.reverse();
    last
}

fn safe(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (k, c) in line.chars().enumerate() {
        if k == OUTPUT_LINE_CHARS_MAX {
            // A dump without line breaks would fill every screen that shows the status.
            out.push_str("...");
            break;
        }
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What stands from `offset` on, at most `bytes_max` bytes, and the offset behind it. Where the
/// middle is missing, it goes on from a line that says so.
pub(super) fn after(path: &Path, offset: u64, bytes_max: usize) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let offset = if length < offset { length.min(KEPT) } else { offset };
    // Behind the last byte there is no data either.
    let data = seek(&file, SeekFrom::Data(offset)).unwrap_or(offset);
    if offset < data {
        return Ok((said(data - offset).into_bytes(), data));
    }
    let hole = seek(&file, SeekFrom::Hole(offset)).unwrap_or(length);
    let until = usize::try_from(hole.saturating_sub(offset)).unwrap_or(usize::MAX);
    let bytes = read_at(&file, offset, bytes_max.min(until))?;
    let next = offset + bytes.len() as u64;
    Ok((bytes, next))
}

fn read_at(file: &File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(bytes_max)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn the_tail_is_whole_lines_and_cannot_write_to_the_terminal() {
        let file = file(b"one\ntwo\n\x1b[2Jthree\r\n\xff\tfour");
        let tail = |lines, bytes| tail(file.path(), lines, bytes).expect("it is there");
        assert_eq!(tail(2, 1_000), ["\\u{1b}[2Jthree", "\u{fffd}\tfour"]);
        assert_eq!(tail(9, 1_000).len(), 4);
        assert_eq!(tail(9, 20), ["\\u{1b}[2Jthree", "\u{fffd}\tfour"]);
        assert_eq!(tail(9, 3), ["our"]);
        assert_eq!(tail(0, 1_000), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_keeps_start_and_end_and_says_how_much_is_missing() {
        let file = file(b"first\n");
        let mut writer = OpenOptions::new().append(true).open(file.path()).expect("it opens");
        let long = vec![b'x'; usize::try_from(COMMAND_OUTPUT_BYTES_MAX).expect("it fits") - 6];
        writer.write_all(&long).expect("written");
        let mut bound = Bound::of(file.path());
        bound.keep();
        assert_eq!(bound.hole_end, 0);
        writer.write_all(b"\nlast\n").expect("written");
        bound.keep();
        let hole_end = bound.hole_end;
        assert!(COMMAND_OUTPUT_BYTES_MAX - KEPT - BLOCK < hole_end, "{hole_end}");
        writer.write_all(b"more\n").expect("written");

        // Read over the hole while it is written.
        let (start, next) = after(file.path(), 0, 6).expect("readable");
        assert_eq!((&start[..], next), (&b"first\n"[..], 6));
        let (end, next) = after(file.path(), KEPT - 3, 60).expect("readable");
        assert_eq!((&end[..], next), (&b"xxx"[..], KEPT));
        let (middle, next) = after(file.path(), next, 60).expect("readable");
        assert_eq!(next, hole_end);
        assert_eq!(String::from_utf8_lossy(&middle), said(hole_end - KEPT));
        assert_eq!(tail(file.path(), 2, 100).expect("readable"), ["last", "more"]);

        bound.close();
        let length = file.as_file().metadata().expect("it is there").len();
        assert!(length < 3 * KEPT, "{length}");
        assert_eq!(bound.left_out, COMMAND_OUTPUT_BYTES_MAX + 11 - 2 * KEPT);
        assert_eq!(tail(file.path(), 2, 100).expect("readable"), ["last", "more"]);
        let (middle, next) = after(file.path(), COMMAND_OUTPUT_BYTES_MAX, 60).expect("readable");
        let middle = String::from_utf8_lossy(&middle).into_owned();
        assert!(middle.starts_with("\n[drawspan: more than 16 MiB; "), "{middle}");
        assert_eq!(next, KEPT + 60);
    }

    #[test]
    fn reading_on_gives_every_byte_once() {
        let file = file(b"0123456789");
        let (mut offset, mut all) = (0, Vec::new());
        loop {
            let (bytes, next) = after(file.path(), offset, 3).expect("readable");
            if bytes.is_empty() {
                break;
            }
            all.extend(bytes);
            offset = next;
        }
        assert_eq!(all, b"0123456789");
    }
}
