//! The output file of a command: kept bounded while it is written, read from its end or from an
//! offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::limits::{COMMAND_OUTPUT_BYTES_MAX, OUTPUT_LINE_CHARS_MAX};

/// Of a file that grew too long, so much of its start and of its end is kept.
const KEPT: u64 = 1024 * 1024;

/// Keeps an output file bounded while others append to it.
pub(super) struct Bound {
    file: Option<File>,
    left_out: u64,
}

impl Bound {
    pub(super) fn of(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).append(true).open(path).ok();
        Self { file, left_out: 0 }
    }

    /// Cuts the middle out of a file that grew too long. Whoever writes appends, so the next bytes
    /// come behind the cut; what is written in the very moment of the cut may be lost.
    pub(super) fn keep(&mut self) {
        // Output is for people to read; a command is not ended because of it.
        if let Some(file) = &self.file
            && let Ok(Some(left_out)) = cut(file, self.left_out)
        {
            self.left_out = left_out;
        }
    }
}

/// Returns how many bytes are missing by now.
fn cut(file: &File, before: u64) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    if length <= COMMAND_OUTPUT_BYTES_MAX {
        return Ok(None);
    }
    let mut end = vec![0; usize::try_from(KEPT).unwrap_or_default()];
    file.read_exact_at(&mut end, length - KEPT)?;
    file.set_len(KEPT)?;
    let left_out = before + (length - 2 * KEPT);
    let most = COMMAND_OUTPUT_BYTES_MAX >> 20;
    let line = format!("\n[drawspan: more than {most} MiB; {left_out} bytes are left out here]\n");
    (&*file).write_all(&[line.as_bytes(), &end].concat())?;
    Ok(Some(left_out))
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
/// file was cut below the offset, it goes on from the line that says so.
pub(super) fn after(path: &Path, offset: u64, bytes_max: usize) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let offset = if length < offset { length.min(KEPT) } else { offset };
    let bytes = read_at(&file, offset, bytes_max)?;
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
    fn a_cut_keeps_start_and_end_and_says_how_much_is_missing() {
        let file = file(b"first\n");
        file.as_file().set_len(COMMAND_OUTPUT_BYTES_MAX).expect("long");
        let mut bound = Bound::of(file.path());
        bound.keep();
        assert_eq!(bound.left_out, 0);
        let mut writer = OpenOptions::new().append(true).open(file.path()).expect("it opens");
        writer.write_all(b"\nlast\n").expect("written");
        bound.keep();
        assert_eq!(bound.left_out, COMMAND_OUTPUT_BYTES_MAX + 6 - 2 * KEPT);
        writer.write_all(b"more\n").expect("written");

        let length = file.as_file().metadata().expect("it is there").len();
        assert!(length < 3 * KEPT, "{length}");
        let (start, _) = after(file.path(), 0, 6).expect("readable");
        assert_eq!(start, b"first\n");
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
