//! A second reader of HTTP/1.1, written from the grammar of RFC 9112 and from nothing else: what the
//! gateway passes on is read by it. It knows one way to read a message, and no limits.

#![allow(
    dead_code,
    reason = "the fuzz targets and the differential tests use their own parts of it"
)]

use std::fmt;

/// A header line: its name, and its value without the blanks around it.
pub type Line = (Vec<u8>, Vec<u8>);

#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    /// 0 of HTTP/1.0.
    pub minor: u8,
    pub lines: Vec<Line>,
    pub body: Vec<u8>,
    pub trailers: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub minor: u8,
    pub lines: Vec<Line>,
    pub body: Vec<u8>,
    pub trailers: Vec<Line>,
}

/// Lines, a body and trailers as a person reads them.
pub fn text(first: &str, lines: &[Line], body: &[u8], trailers: &[Line]) -> String {
    let shown = |lines: &[Line]| {
        let line =
            |(name, value): &Line| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
        lines.iter().map(line).collect::<Vec<_>>().join(" | ")
    };
    format!("<{first} | {} || {} || {}>", shown(lines), body.escape_ascii(), shown(trailers))
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, minor, lines, body, trailers } = self;
        let first = format!("{} {} 1.{minor}", method.escape_ascii(), target.escape_ascii());
        f.write_str(&text(&first, lines, body, trailers))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, minor, lines, body, trailers } = self;
        f.write_str(&text(&format!("{status} 1.{minor}"), lines, body, trailers))
    }
}

/// What the bytes from here on are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// A message of so many bytes.
    Whole(T, usize),
    /// The beginning of one.
    More,
    Wrong(&'static str),
}

impl<T> Read<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Whole(value, end) => Read::Whole(change(value), end),
            Self::More => Read::More,
            Self::Wrong(why) => Read::Wrong(why),
        }
    }
}

/// Goes on where the value is whole.
macro_rules! whole {
    ($read:expr) => {
        match $read {
            Read::Whole(value, end) => (value, end),
            Read::More => return Read::More,
            Read::Wrong(why) => return Read::Wrong(why),
        }
    };
}

/// May chunks carry extensions?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extensions {
    Passed,
    Wrong,
}

/// Where the stream of bytes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    More,
    TheEnd,
}

/// All values of a name.
pub fn values<'a>(lines: &'a [Line], name: &str) -> Vec<&'a [u8]> {
    let named = lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| value.as_slice()).collect()
}

/// The elements of a list over all lines of this name, in small letters.
pub fn elements(lines: &[Line], name: &str) -> Vec<String> {
    let values = values(lines, name);
    let elements = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
    elements
        .map(|element| String::from_utf8_lossy(element).trim().to_ascii_lowercase())
        .filter(|element| !element.is_empty())
        .collect()
}

fn is_token(bytes: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(legal)
}

/// One line, without its CR LF; in it there is neither of the two, nor any other control byte.
fn line(bytes: &[u8]) -> Read<&[u8]> {
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => {
                return match bytes.get(at + 1) {
                    Some(b'\n') => Read::Whole(&bytes[..at], at + 2),
                    Some(_) => Read::Wrong("a bare CR"),
                    None => Read::More,
                };
            }
            b'\n' => return Read::Wrong("a bare LF"),
            b'\t' => {}
            0..b' ' | 0x7F => return Read::Wrong("a control byte"),
            _ => {}
        }
    }
    Read::More
}

/// Header or trailer lines, up to and with the empty line.
fn lines(bytes: &[u8]) -> Read<Vec<Line>> {
    let (mut lines, mut at) = (Vec::new(), 0);
    loop {
        let (text, length) = whole!(line(&bytes[at..]));
        at += length;
        if text.is_empty() {
            return Read::Whole(lines, at);
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            return Read::Wrong("a line without a colon");
        };
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Read::Wrong("a name that is no token");
        }
        lines.push((name.to_vec(), value.to_vec()));
    }
}

/// A request's head; its body is empty yet.
pub fn request_head(bytes: &[u8]) -> Read<Request> {
    let (first, start) = whole!(line(bytes));
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Read::Wrong("a first line that is not three words");
    };
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return Read::Wrong("a version"),
    };
    if !is_token(method) {
        return Read::Wrong("a method that is no token");
    }
    // The grammar has ASCII alone. Servers take and send on what is UTF-8.
    let readable = std::str::from_utf8(target).is_ok_and(|text| !text.contains(['\t', '#']));
    if target.is_empty() || !readable {
        return Read::Wrong("a target");
    }
    let head = lines(&bytes[start..]);
    let (lines, end) = whole!(head);
    let request = Request {
        method: method.to_vec(),
        target: target.to_vec(),
        minor,
        lines,
        body: Vec::new(),
        trailers: Vec::new(),
    };
    Read::Whole(request, start + end)
}

/// One request with its body.
pub fn request(bytes: &[u8], extensions: Extensions) -> Read<Request> {
    let (mut request, head) = whole!(request_head(bytes));
    let framing = match framing(request.minor, &request.lines) {
        Ok(framing) => framing,
        Err(why) => return Read::Wrong(why),
    };
    let after = match framing {
        Framing::Silent => Read::Whole((Vec::new(), Vec::new()), 0),
        Framing::Sized(length) => sized(&bytes[head..], length),
        Framing::Chunked => chunked(&bytes[head..], extensions),
    };
    let ((body, trailers), length) = whole!(after);
    (request.body, request.trailers) = (body, trailers);
    Read::Whole(request, head + length)
}

/// One response to a request of `method`, 1xx or not. A body without a length ends with the stream.
pub fn response(
    bytes: &[u8],
    method: &[u8],
    extensions: Extensions,
    after: After,
) -> Read<Response> {
    let (mut response, head) = whole!(response_head(bytes));
    let framing = match framing(response.minor, &response.lines) {
        Ok(framing) => framing,
        Err(why) => return Read::Wrong(why),
    };
    let bodiless = matches!(response.status, 100..200 | 204 | 304) || method == b"HEAD";
    let rest = &bytes[head..];
    let body = match framing {
        _ if bodiless => Read::Whole((Vec::new(), Vec::new()), 0),
        Framing::Sized(length) => sized(rest, length),
        Framing::Chunked => chunked(rest, extensions),
        Framing::Silent => match after {
            After::TheEnd => Read::Whole((rest.to_vec(), Vec::new()), rest.len()),
            After::More => Read::More,
        },
    };
    let ((body, trailers), length) = whole!(body);
    (response.body, response.trailers) = (body, trailers);
    Read::Whole(response, head + length)
}

fn response_head(bytes: &[u8]) -> Read<Response> {
    let (first, start) = whole!(line(bytes));
    let minor = match first.get(..9) {
        Some(b"HTTP/1.0 ") => 0,
        Some(b"HTTP/1.1 ") => 1,
        _ => return Read::Wrong("a version"),
    };
    let status = match first.get(9..12) {
        Some(code) if code.iter().all(u8::is_ascii_digit) => {
            code.iter().fold(0_u16, |sum, digit| 10 * sum + u16::from(digit - b'0'))
        }
        _ => return Read::Wrong("a status that is not three digits"),
    };
    // RFC 9112 section 4 wants the blank even where no reason follows; Node.js and others forget it.
    if !matches!(first.get(12), Some(b' ') | None) || status < 100 {
        return Read::Wrong("a status line");
    }
    lines(&bytes[start..]).then(start, |lines| Response {
        status,
        minor,
        lines,
        body: Vec::new(),
        trailers: Vec::new(),
    })
}

impl<T> Read<T> {
    /// Behind `start` bytes that were read before.
    fn then<U>(self, start: usize, change: impl FnOnce(T) -> U) -> Read<U> {
        match self.map(change) {
            Read::Whole(value, end) => Read::Whole(value, start + end),
            other => other,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Silent,
    Sized(u64),
    Chunked,
}

/// Section 6.3, where one way to say it is enough.
fn framing(minor: u8, lines: &[Line]) -> Result<Framing, &'static str> {
    match (&values(lines, "transfer-encoding")[..], &values(lines, "content-length")[..]) {
        ([], []) => Ok(Framing::Silent),
        ([], [length]) => {
            let text = std::str::from_utf8(length).unwrap_or("");
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let length = text.parse().ok().filter(|_| digits);
            length.map(Framing::Sized).ok_or("a Content-Length that is no number")
        }
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && minor == 1 => {
            Ok(Framing::Chunked)
        }
        ([_], []) => Err("a Transfer-Encoding"),
        _ => Err("two framings"),
    }
}

type Body = (Vec<u8>, Vec<Line>);

fn sized(bytes: &[u8], length: u64) -> Read<Body> {
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() => {
            Read::Whole((bytes[..length].to_vec(), Vec::new()), length)
        }
        _ => Read::More,
    }
}

/// A body in chunks, with its trailers.
pub fn chunked(bytes: &[u8], extensions: Extensions) -> Read<Body> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (size, length) = whole!(chunk_size(&bytes[at..], extensions));
        at += length;
        if size == 0 {
            return lines(&bytes[at..]).then(at, |trailers| (body, trailers));
        }
        let rest = &bytes[at..];
        let here = usize::try_from(size).unwrap_or(usize::MAX);
        if rest.len() <= here {
            return Read::More;
        }
        body.extend_from_slice(&rest[..here]);
        match rest[here..] {
            [b'\r', b'\n', ..] => at += here + 2,
            [b'\r'] => return Read::More,
            _ => return Read::Wrong("no CR LF behind a chunk"),
        }
    }
}

/// The line before a chunk.
fn chunk_size(bytes: &[u8], extensions: Extensions) -> Read<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let mut size = 0_u64;
    for digit in &bytes[..digits] {
        let value = u64::from(char::from(*digit).to_digit(16).unwrap_or(0));
        match size.checked_mul(16) {
            Some(shifted) => size = shifted + value,
            None => return Read::Wrong("a chunk that no body has"),
        }
    }
    let Some(next) = bytes.get(digits) else { return Read::More };
    if digits == 0 {
        return Read::Wrong("a chunk without a size");
    }
    let (rest, length) = match (next, extensions) {
        (b'\r', _) | (b';' | b' ' | b'\t', Extensions::Passed) => whole!(line(&bytes[digits..])),
        _ => return Read::Wrong("a size line with more than a size"),
    };
    // BWS may stand before an extension, and before nothing else (section 7.1.1).
    if !rest.is_empty() && rest.trim_ascii_start().first() != Some(&b';') {
        return Read::Wrong("blanks behind a size");
    }
    Read::Whole(size, digits + length)
}

/// Every request that `bytes` hold, one after another, and what follows the last whole one. Empty
/// lines before a request are passed (section 2.2).
pub fn requests(bytes: &[u8]) -> (Vec<Request>, Read<()>) {
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        while bytes[at..].starts_with(b"\r\n") {
            at += 2;
        }
        match request(&bytes[at..], Extensions::Passed) {
            Read::Whole(request, length) => {
                all.push(request);
                at += length;
            }
            Read::More if bytes.len() == at => return (all, Read::Whole((), at)),
            Read::More => return (all, Read::More),
            Read::Wrong(why) => return (all, Read::Wrong(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_reader_reads_one_way_only() {
        let read = |text: &str| request(text.as_bytes(), Extensions::Wrong);
        let whole = read("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET");
        let Read::Whole(request, end) = whole else { panic!("{whole:?}") };
        assert_eq!((&request.target[..], &request.body[..], end), (&b"/a"[..], &b"hi"[..], 50));
        let chunks =
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n";
        let Read::Whole(request, _) = read(chunks) else { panic!("chunks") };
        assert_eq!((&request.body[..], request.trailers.len()), (&b"hi"[..], 1));
        for wrong in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiX",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n",
        ] {
            assert!(matches!(read(wrong), Read::Wrong(_)), "{wrong:?}: {:?}", read(wrong));
        }
    }
}
