//! The kept inputs: two text files for each target, an input to a line. `TARGET.seeds.txt` is
//! written by hand, `TARGET.txt` by a run that found more.
//!
//! Bytes that are no plain text are escaped as in Rust; `\{3000*x}` is a run of one character.

#![allow(
    dead_code,
    reason = "the fuzz targets and the differential tests use their own parts of it"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

/// Shorter runs are written out.
const RUN: usize = 24;

pub fn path(target: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    folder.join(format!("{target}.txt"))
}

/// All that is kept of a target, the seeds first.
pub fn read(target: &str) -> Vec<Vec<u8>> {
    [read_file(&format!("{target}.seeds")), read_file(target)].concat()
}

/// Lines that begin with `#` say something to a reader.
fn read_file(target: &str) -> Vec<Vec<u8>> {
    let path = path(target);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let inputs = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    inputs.map(|line| unescape(line).unwrap_or_else(|| panic!("no input: {line:?}"))).collect()
}

pub fn escape(input: &[u8]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while at < input.len() {
        let byte = input[at];
        let run = input[at..].iter().take_while(|other| **other == byte).count();
        let one = match byte {
            b'#' if at == 0 => "\\x23".to_owned(),
            // Kept as they are: an input is read more often than written.
            b'\'' | b'"' => char::from(byte).to_string(),
            _ => byte.escape_ascii().to_string(),
        };
        if RUN <= run {
            let _ = write!(text, "\\{{{run}*{one}}}");
            at += run;
        } else {
            text.push_str(&one);
            at += 1;
        }
    }
    text
}

pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let (mut input, mut rest) = (Vec::new(), text.as_bytes());
    while !rest.is_empty() {
        if let Some(run) = rest.strip_prefix(b"\\{") {
            let star = run.iter().position(|byte| *byte == b'*')?;
            let count: usize = std::str::from_utf8(&run[..star]).ok()?.parse().ok()?;
            let (byte, after) = one(&run[star + 1..])?;
            input.extend(std::iter::repeat_n(byte, count));
            rest = after.strip_prefix(b"}")?;
        } else {
            let (byte, after) = one(rest)?;
            input.push(byte);
            rest = after;
        }
    }
    Some(input)
}

/// One byte, and what follows it.
fn one(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = text.split_first()?;
    if *first != b'\\' {
        return Some((*first, rest));
    }
    let (kind, rest) = rest.split_first()?;
    let byte = match kind {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'x' => {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            return Some((u8::from_str_radix(digits, 16).ok()?, &rest[2..]));
        }
        other => *other,
    };
    Some((byte, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_comes_back_as_it_was_kept() {
        let every: Vec<u8> = (0..=255).chain([b'\\', b'{', b'}', b'*']).collect();
        for input in [every, vec![b'\\'; 99], vec![0; 40_000], b"# a\r\n".to_vec()] {
            let text = escape(&input);
            assert!(!text.contains('\n') && !text.starts_with('#'), "{text}");
            assert_eq!(unescape(&text), Some(input), "{text}");
        }
    }
}
