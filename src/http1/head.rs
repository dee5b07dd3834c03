//! Heads, taken off a buffer and put into one.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::lines::{Lines, elements};
use super::scan::{self, Scanned};
use super::{Buffer, Malformed, Name, Target};
use crate::model::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    pub target: Target,
    /// Where the target stands in the text of the lines.
    written: (u32, u32),
    pub version: Version,
    pub headers: Lines,
}

/// A response's head.
#[derive(Debug)]
pub struct ResponseHead {
    pub version: Version,
    pub status: StatusCode,
    pub headers: Lines,
}

impl ResponseHead {
    /// May the connection carry another exchange once this one is over? (RFC 9112 section 9.3;
    /// of HTTP/1.0 we do not ask it.)
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::HTTP_11 && !self.headers.connection().close()
    }
}

impl RequestHead {
    /// The path that is asked for, and its query; `*` for the server as such, a host that stands
    /// alone.
    pub fn path(&self) -> &[u8] {
        match &self.target {
            Target::Absolute { path, .. } => path,
            Target::Origin | Target::Asterisk | Target::Authority(_) => {
                self.headers.part(self.written)
            }
        }
    }

    /// Does the client want its connection to be kept? (RFC 9112 section 9.3)
    pub fn keeps_alive(&self) -> bool {
        let options = self.headers.connection();
        !options.close() && (self.version == Version::HTTP_11 || options.keep_alive())
    }

    /// Does the client read the lines behind a chunked body? (RFC 9110 section 6.5.1)
    pub fn takes_trailers(&self) -> bool {
        lists(&self.headers, Name::Te, b"trailers")
    }

    /// Does it wait to be told to send its body? (RFC 9110 section 10.1.1)
    pub fn expects_continue(&self) -> bool {
        self.version == Version::HTTP_11 && lists(&self.headers, Name::Expect, b"100-continue")
    }
}

fn lists(headers: &Lines, name: Name, option: &[u8]) -> bool {
    elements(headers.get_all(name)).any(|said| said.eq_ignore_ascii_case(option))
}

/// Takes a whole request head off the front of `buffer`; `None` while there is more to come. Empty
/// lines before it are dropped (RFC 9112 section 2.2).
///
/// # Errors
/// [`Malformed`]: what is in `buffer`, which keeps it, cannot be trusted.
pub fn take_request_head(buffer: &mut Buffer) -> Result<Option<RequestHead>, Malformed> {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    if buffer[..] == *b"\r" {
        // Half of such a line.
        return Ok(None);
    }
    let Some(first) = request_line(buffer)? else { return unfinished(buffer) };
    let Some((headers, end)) = section(buffer, first.end)? else { return unfinished(buffer) };
    let method = Method::from_bytes(buffer.get(..first.method_end).unwrap_or_default());
    let method = method.map_err(|_| Malformed::Head("the method"))?;
    let (from, to) = first.target;
    let target = Target::of(buffer.get(from..to).unwrap_or_default())?;
    #[expect(clippy::cast_possible_truncation, reason = "no head is near 4 GiB")]
    let written = (from as u32, to as u32);
    buffer.advance(end);
    Ok(Some(RequestHead { method, target, written, version: first.version, headers }))
}

/// Takes a whole response head off the front of `buffer`; `None` while there is more to come.
///
/// # Errors
/// [`Malformed`]; nothing that follows in `buffer` can be trusted then.
pub fn take_response_head(buffer: &mut Buffer) -> Result<Option<ResponseHead>, Malformed> {
    let Some((version, status, lines)) = status_line(buffer)? else { return unfinished(buffer) };
    let Some((headers, end)) = section(buffer, lines)? else { return unfinished(buffer) };
    buffer.advance(end);
    Ok(Some(ResponseHead { version, status, headers }))
}

/// Takes the trailer lines that follow a chunked body, up to and with their empty line.
///
/// # Errors
/// As [`take_response_head`].
pub(super) fn take_trailers(buffer: &mut Buffer) -> Result<Option<HeaderMap>, Malformed> {
    let Some((lines, end)) = section(buffer, 0)? else { return unfinished(buffer) };
    buffer.advance(end);
    header_map(&lines).map(Some)
}

/// A head whose end has not come, and may still come.
fn unfinished<T>(buffer: &Buffer) -> Result<Option<T>, Malformed> {
    if HEAD_BYTES_MAX < buffer.len() { Err(Malformed::HeadTooLong) } else { Ok(None) }
}

/// The first line of a request: where its parts stand.
struct RequestLine {
    method_end: usize,
    target: (usize, usize),
    version: Version,
    end: usize,
}

fn request_line(bytes: &[u8]) -> Result<Option<RequestLine>, Malformed> {
    let method_end = scan::token_length(bytes);
    match bytes.get(method_end) {
        Some(b' ') if method_end != 0 => {}
        Some(b'\n') => return Err(Malformed::BareLineFeed),
        Some(_) => return Err(Malformed::Head("the method")),
        None => return Ok(None),
    }
    let begin = method_end + 1;
    let Some(end) = scan::word_end(bytes, begin)? else { return Ok(None) };
    let Some((version, after)) = version(bytes, end + 1)? else { return Ok(None) };
    let line = scan::line_end(bytes, after)?;
    Ok(line.map(|line| RequestLine { method_end, target: (begin, end), version, end: line }))
}

fn status_line(bytes: &[u8]) -> Result<Option<(Version, StatusCode, usize)>, Malformed> {
    match bytes {
        [b'\r'] => return Ok(None),
        // Only before a request may one stand (RFC 9112 section 2.2).
        [b'\r', b'\n', ..] => return Err(Malformed::Head("an empty line")),
        _ => {}
    }
    let Some((version, after)) = version(bytes, 0)? else { return Ok(None) };
    let Some(code) = bytes.get(after..after + 4) else { return Ok(None) };
    let wrong = Malformed::Head("the status line");
    let code = code.strip_prefix(b" ").ok_or(wrong)?;
    let status = StatusCode::from_bytes(code).map_err(|_| Malformed::Head("no such status"))?;
    let reason = after + 4;
    match bytes.get(reason) {
        Some(b' ' | b'\r') => {}
        Some(b'\n') => return Err(Malformed::BareLineFeed),
        Some(_) => return Err(wrong),
        None => return Ok(None),
    }
    let said = bytes.get(reason..).unwrap_or_default();
    let Some(length) = scan::text_length(said)? else { return Ok(None) };
    let end = scan::line_end(bytes, reason + length)?;
    Ok(end.map(|end| (version, status, end)))
}

/// The version that stands at `begin`, and where it ends.
fn version(bytes: &[u8], begin: usize) -> Result<Option<(Version, usize)>, Malformed> {
    match bytes.get(begin..).unwrap_or_default() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', ..] => {
            Ok(Some((Version::HTTP_11, begin + 8)))
        }
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', ..] => {
            Ok(Some((Version::HTTP_10, begin + 8)))
        }
        rest if b"HTTP/1.".starts_with(rest) => Ok(None),
        rest => Err(match memchr::memchr(b'\n', rest) {
            Some(feed) if !rest[..feed].ends_with(b"\r") => Malformed::BareLineFeed,
            Some(_) | None => Malformed::Head("the version"),
        }),
    }
}

/// The header lines that begin at `begin`, and where they end: behind the first empty line.
fn section(bytes: &[u8], begin: usize) -> Result<Option<(Lines, usize)>, Malformed> {
    let (mut lines, mut at) = (Lines::default(), begin);
    loop {
        match scan::line(bytes, at)? {
            Scanned::Line(_) if lines.len() == HEADERS_MAX => return Err(Malformed::TooManyLines),
            Scanned::Line(found) => {
                lines.found(bytes, &found);
                at = found.end;
            }
            Scanned::End(end) if HEAD_BYTES_MAX < end => return Err(Malformed::HeadTooLong),
            Scanned::End(end) => {
                lines.were_in(bytes.get(..at).unwrap_or_default());
                return Ok(Some((lines, end)));
            }
            Scanned::More => return Ok(None),
        }
    }
}

/// Trailers, as everybody else knows them.
fn header_map(lines: &Lines) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines.iter() {
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed::Head("a header's name"))?;
        let value = HeaderValue::from_bytes(value);
        headers.append(name, value.map_err(|_| Malformed::Head("a header's value"))?);
    }
    Ok(headers)
}

/// Appends a request's head in HTTP/1.1, with its empty line.
pub fn put_request_head(into: &mut Buffer, head: &RequestHead) {
    into.extend_from_slice(head.method.as_str().as_bytes());
    into.extend_from_slice(b" ");
    into.extend_from_slice(head.path());
    into.extend_from_slice(b" HTTP/1.1\r\n");
    head.headers.put(into);
}

/// Appends a status line in HTTP/1.1, whatever the client speaks (RFC 9110 section 6.2).
pub fn put_status_line(into: &mut Buffer, status: StatusCode) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(status.as_str().as_bytes());
    into.extend_from_slice(b" ");
    into.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<ResponseHead>, Malformed> {
        take_response_head(&mut Buffer::from(text))
    }

    #[test]
    fn a_head_is_taken_whole_and_what_follows_stays() {
        let mut buffer = Buffer::from(
            "HTTP/1.1 404 Not Found\r\nServer: a\r\nset-cookie: 1\r\nSet-Cookie:2 \r\nX:\r\n\r\nrest",
        );
        let head = take_response_head(&mut buffer).expect("well-formed").expect("whole");
        assert_eq!((head.status, head.version), (StatusCode::NOT_FOUND, Version::HTTP_11));
        let lines: Vec<(&[u8], &[u8])> = head.headers.iter().collect();
        let set_cookie =
            |name: &'static str, value: &'static str| (name.as_bytes(), value.as_bytes());
        let cookies = [set_cookie("set-cookie", "1"), set_cookie("Set-Cookie", "2")];
        assert_eq!(lines[1..3], cookies);
        assert_eq!(&buffer[..], b"rest");
    }

    #[test]
    fn a_connection_is_kept_unless_the_head_says_close() {
        let kept = |text: &str| taken(text).expect("well-formed").expect("whole").keeps_alive();
        assert!(kept("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"));
        assert!(kept("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: y, Close\r\n\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn every_prefix_of_a_head_wants_more() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for end in 0..head.len() {
            assert!(matches!(taken(&head[..end]), Ok(None)), "{end}");
        }
        assert!(matches!(taken(head), Ok(Some(_))));
    }

    #[test]
    fn a_head_that_two_parsers_could_read_differently_is_refused() {
        for wrong in [
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\n\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            assert!(taken(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_in_lines() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_BYTES_MAX));
        assert!(matches!(taken(&long), Err(Malformed::HeadTooLong)));
        let whole = format!("{long}\r\n\r\n");
        assert!(matches!(taken(&whole), Err(Malformed::HeadTooLong)));
        let lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(matches!(taken(&lines(HEADERS_MAX)), Ok(Some(_))));
        assert!(matches!(taken(&lines(HEADERS_MAX + 1)), Err(Malformed::TooManyLines)));
    }

    #[test]
    fn a_request_is_read_from_its_first_line_to_its_empty_one() {
        let text = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\nbody";
        let mut buffer = Buffer::from(text);
        let head = take_request_head(&mut buffer).expect("well-formed").expect("whole");
        assert_eq!((head.method.as_str(), head.path()), ("POST", &b"/a?b"[..]));
        assert!(head.keeps_alive() && head.expects_continue());
        assert_eq!(&buffer[..], b"body");
        assert!(matches!(take_request_head(&mut Buffer::from("\r\n\r")), Ok(None)));
    }

    #[test]
    fn a_request_that_two_parsers_could_read_differently_is_refused() {
        for wrong in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            "GET /\x7f HTTP/1.1\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
        ] {
            assert!(take_request_head(&mut Buffer::from(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_old_client_keeps_its_connection_only_by_asking() {
        let kept = |text: &str| {
            let head = take_request_head(&mut Buffer::from(text));
            head.expect("well-formed").expect("whole").keeps_alive()
        };
        assert!(!kept("GET / HTTP/1.0\r\n\r\n"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: upgrade, close\r\n\r\n"));
    }

    #[test]
    fn a_request_head_is_written_as_a_node_reads_it() {
        let text = "GET /a?b=c HTTP/1.0\r\nHost: example.org\r\naccept:*/*\r\n\r\n";
        let head = take_request_head(&mut Buffer::from(text)).expect("well-formed");
        let mut bytes = Buffer::default();
        put_request_head(&mut bytes, &head.expect("whole"));
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\naccept:*/*\r\n\r\n");
    }
}
