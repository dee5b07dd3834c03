//! Heads, taken off a buffer and put into one.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use memchr::memmem::Finder;

use super::Malformed;
use super::lines::{Lines, elements};
use crate::model::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    pub target: Uri,
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
        self.version == Version::HTTP_11 && !says_close(&self.headers)
    }
}

impl RequestHead {
    /// Does the client want its connection to be kept? (RFC 9112 section 9.3)
    pub fn keeps_alive(&self) -> bool {
        if says_close(&self.headers) {
            return false;
        }
        self.version == Version::HTTP_11 || lists(&self.headers, &CONNECTION, b"keep-alive")
    }

    /// Does the client read the lines behind a chunked body? (RFC 9110 section 6.5.1)
    pub fn takes_trailers(&self) -> bool {
        lists(&self.headers, &TE, b"trailers")
    }

    /// Does it wait to be told to send its body? (RFC 9110 section 10.1.1)
    pub fn expects_continue(&self) -> bool {
        self.version == Version::HTTP_11 && lists(&self.headers, &EXPECT, b"100-continue")
    }
}

/// Is the connection to close behind the message of this head?
pub fn says_close(headers: &Lines) -> bool {
    lists(headers, &CONNECTION, b"close")
}

fn lists(headers: &Lines, name: &HeaderName, option: &[u8]) -> bool {
    elements(headers.get_all(name)).any(|said| said.eq_ignore_ascii_case(option))
}

/// Where the parser puts the lines.
type Room<'a> = [MaybeUninit<httparse::Header<'a>>; HEADERS_MAX];

/// Takes a whole request head off the front of `buffer`; `None` while there is more to come. Empty
/// lines before it are dropped (RFC 9112 section 2.2).
///
/// # Errors
/// [`Malformed`]: what is in `buffer`, which keeps it, cannot be trusted.
pub fn take_request_head(buffer: &mut BytesMut) -> Result<Option<RequestHead>, Malformed> {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    let Some(end) = section_end(buffer)? else { return Ok(None) };
    let head = buffer.split_to(end).freeze();
    let parsed = parse_request(&head);
    if parsed.is_err() {
        let mut all = BytesMut::from(&head[..]);
        all.extend_from_slice(buffer);
        *buffer = all;
    }
    parsed.map(Some)
}

fn parse_request(head: &Bytes) -> Result<RequestHead, Malformed> {
    let mut lines: Room<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(
        &mut request,
        head,
        &mut lines,
    );
    whole(parsed, head.len())?;
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
    let target = head.slice_ref(request.path.unwrap_or_default().as_bytes());
    if memchr::memchr(b'#', &target).is_some() {
        // RFC 9112 section 3.2 has no fragment; some cut it off, some do not.
        return Err(Malformed::Head("the target"));
    }
    let version = match request.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    Ok(RequestHead {
        method: method.map_err(|_| Malformed::Head("the method"))?,
        target: Uri::from_maybe_shared(target).map_err(|_| Malformed::Head("the target"))?,
        version,
        headers: Lines::read(request.headers, head),
    })
}

/// Takes a whole response head off the front of `buffer`; `None` while there is more to come.
///
/// # Errors
/// [`Malformed`]; nothing that follows in `buffer` can be trusted then.
pub fn take_response_head(buffer: &mut BytesMut) -> Result<Option<ResponseHead>, Malformed> {
    let Some(end) = section_end(buffer)? else { return Ok(None) };
    let head = buffer.split_to(end).freeze();
    let mut lines: Room<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        &head,
        &mut lines,
    );
    whole(parsed, head.len())?;
    let version = match response.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    Ok(Some(ResponseHead {
        version,
        status: status.ok_or(Malformed::Head("no such status"))?,
        headers: Lines::read(response.headers, &head),
    }))
}

/// Takes the trailer lines that follow a chunked body, up to and with their empty line.
///
/// # Errors
/// As [`take_response_head`].
pub(super) fn take_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    let Some(end) = section_end(buffer)? else { return Ok(None) };
    let section = buffer.split_to(end).freeze();
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(&section, &mut lines) {
        Ok(httparse::Status::Complete((length, lines))) if length == section.len() => {
            header_map(lines, &section).map(Some)
        }
        Err(error) => Err(refusal(error)),
        Ok(_) => Err(Malformed::Head("its lines do not end where it ends")),
    }
}

/// Where the lines that begin `bytes` end: behind the first empty one.
fn section_end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let end = match bytes {
        [b'\r', b'\n', ..] => Some(2),
        bytes => EMPTY_LINE.find(bytes).map(|at| at + 4),
    };
    if has_bare_feed(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()) {
        return Err(Malformed::BareLineFeed);
    }
    match end {
        Some(end) if end <= HEAD_BYTES_MAX => Ok(Some(end)),
        None if bytes.len() <= HEAD_BYTES_MAX => Ok(None),
        Some(_) | None => Err(Malformed::HeadTooLong),
    }
}

/// Is there a line feed without a carriage return before it? Without a branch for each byte, so
/// that many are looked at at once.
fn has_bare_feed(section: &[u8]) -> bool {
    let follows = section.iter().zip(section.get(1..).unwrap_or_default());
    let bare = follows.fold(0, |bare, (before, byte)| {
        bare | (u8::from(*byte == b'\n') & u8::from(*before != b'\r'))
    });
    bare != 0 || section.first() == Some(&b'\n')
}

/// The parser agrees that the section ends where its empty line is.
fn whole(
    parsed: Result<httparse::Status<usize>, httparse::Error>,
    length: usize,
) -> Result<(), Malformed> {
    match parsed {
        Ok(httparse::Status::Complete(end)) if end == length => Ok(()),
        Ok(_) => Err(Malformed::Head("its lines do not end where it ends")),
        Err(error) => Err(refusal(error)),
    }
}

fn refusal(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::HeaderName => Malformed::Head("a header's name"),
        httparse::Error::HeaderValue => Malformed::Head("a header's value"),
        httparse::Error::NewLine => Malformed::Head("a line's end"),
        httparse::Error::Status => Malformed::Head("the status line"),
        httparse::Error::Token => Malformed::Head("the first line"),
        httparse::Error::TooManyHeaders => Malformed::TooManyLines,
        httparse::Error::Version => Malformed::Head("the version"),
    }
}

/// Trailers, as everybody else knows them.
fn header_map(lines: &[httparse::Header<'_>], section: &Bytes) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let name = name.map_err(|_| Malformed::Head("a header's name"))?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(line.value));
        headers.append(name, value.map_err(|_| Malformed::Head("a header's value"))?);
    }
    Ok(headers)
}

/// Appends a request's head in HTTP/1.1, with its empty line.
pub fn put_request_head(into: &mut Vec<u8>, head: &RequestHead) {
    into.extend_from_slice(head.method.as_str().as_bytes());
    into.push(b' ');
    let target = head.target.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    into.extend_from_slice(target.as_bytes());
    into.extend_from_slice(b" HTTP/1.1\r\n");
    head.headers.put(into);
}

/// Appends a status line in HTTP/1.1, whatever the client speaks (RFC 9110 section 6.2).
pub fn put_status_line(into: &mut Vec<u8>, status: StatusCode) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(status.as_str().as_bytes());
    into.push(b' ');
    into.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::header::{SERVER, SET_COOKIE};

    use super::*;

    fn taken(text: &str) -> Result<Option<ResponseHead>, Malformed> {
        take_response_head(&mut BytesMut::from(text))
    }

    #[test]
    fn a_head_is_taken_whole_and_what_follows_stays() {
        let mut buffer = BytesMut::from(
            "HTTP/1.1 404 Not Found\r\nServer: a\r\nset-cookie: 1\r\nSet-Cookie:2 \r\nX:\r\n\r\nrest",
        );
        let head = take_response_head(&mut buffer).expect("well-formed").expect("whole");
        assert_eq!((head.status, head.version), (StatusCode::NOT_FOUND, Version::HTTP_11));
        let cookies: Vec<_> = head.headers.get_all(&SET_COOKIE).collect();
        assert_eq!(cookies, [b"1", b"2"]);
        assert_eq!(head.headers.text(&SERVER), Some("a"));
        assert_eq!(&buffer[..], b"rest");
    }

    /// Line by line, as one would read it.
    fn walked(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut begin = 0;
        for (feed, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if feed == 0 || bytes[feed - 1] != b'\r' {
                return Err(Malformed::BareLineFeed);
            }
            if feed - begin == 1 {
                return Ok(Some(feed + 1));
            }
            begin = feed + 1;
        }
        Ok(None)
    }

    proptest::proptest! {
        #[test]
        fn a_section_ends_where_a_walk_over_its_lines_ends(text in "[a\r\n]{0,40}") {
            let found = section_end(text.as_bytes());
            proptest::prop_assert_eq!(format!("{found:?}"), format!("{:?}", walked(text.as_bytes())));
        }

        #[test]
        fn lines_end_well_wherever_they_begin(lines in proptest::collection::vec("a{0,3}", 0..20)) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let found = section_end(text.as_bytes());
            proptest::prop_assert_eq!(format!("{found:?}"), format!("{:?}", walked(text.as_bytes())));
        }
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
        let mut buffer = BytesMut::from(text);
        let head = take_request_head(&mut buffer).expect("well-formed").expect("whole");
        assert_eq!((head.method.as_str(), head.target.to_string()), ("POST", "/a?b".to_owned()));
        assert!(head.keeps_alive() && head.expects_continue());
        assert_eq!(&buffer[..], b"body");
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
            assert!(take_request_head(&mut BytesMut::from(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_old_client_keeps_its_connection_only_by_asking() {
        let kept = |text: &str| {
            let head = take_request_head(&mut BytesMut::from(text));
            head.expect("well-formed").expect("whole").keeps_alive()
        };
        assert!(!kept("GET / HTTP/1.0\r\n\r\n"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: upgrade, close\r\n\r\n"));
    }

    #[test]
    fn a_request_head_is_written_as_a_node_reads_it() {
        let text = "GET /a?b=c HTTP/1.0\r\nHost: example.org\r\naccept:*/*\r\n\r\n";
        let head = take_request_head(&mut BytesMut::from(text)).expect("well-formed");
        let mut bytes = Vec::new();
        put_request_head(&mut bytes, &head.expect("whole"));
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\naccept:*/*\r\n\r\n");
    }
}
