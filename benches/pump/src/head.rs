//! Heads of requests and answers, read in the simplest way: these come from our own programs.

use crate::Fault;

/// Where the head ends, its empty line included.
pub fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Name and value of every line but the first.
pub fn lines(head: &[u8]) -> Result<Vec<(String, &str)>, Fault> {
    let text = std::str::from_utf8(head)?;
    let pair = |line: &'_ str| -> Option<(String, usize)> {
        line.find(':').map(|at| (line[..at].to_ascii_lowercase(), at + 1))
    };
    let mut found = Vec::new();
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, at) = pair(line).ok_or_else(|| format!("no header line: {line}"))?;
        found.push((name, line[at..].trim()));
    }
    Ok(found)
}

pub fn value<'a>(lines: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    lines.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

/// Of an answer: its status, and the bytes of its body by Content-Length.
pub fn answer(head: &[u8]) -> Result<(u16, usize), Fault> {
    let text = std::str::from_utf8(head)?;
    let status = text.split(' ').nth(1).ok_or("no status line")?.parse()?;
    match value(&lines(head)?, "content-length") {
        Some(length) => Ok((status, length.parse()?)),
        None if status == 101 => Ok((status, 0)),
        None => Err("an answer without Content-Length".into()),
    }
}
