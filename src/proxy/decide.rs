//! The first look at a request: what it is, and whether any node should see it.

use http::header::{ACCEPT, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode, Version};

use super::headers::{Upgrade, upgrade_asked};
use super::worker::Settings;
use crate::nocobase::{self, RequestClass, RequestFacts, RequestHead};

/// Why a request goes to no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two parsers could read it as two different messages.
    #[error("ambiguous framing: {0}")]
    Framing(&'static str),
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    #[error("this method is not served here")]
    Method,
    #[error("the request body is longer than allowed")]
    BodyTooLarge,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Framing(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A request that may go to a node.
#[derive(Debug)]
pub struct Asked {
    pub facts: RequestFacts,
    pub upgrade: Upgrade,
    pub version: Version,
}

/// Looks at a head; decides nothing that depends on the routing table.
///
/// # Errors
/// [`Refusal`]: the request is answered here and its connection closed.
pub fn look(parts: &Parts, settings: &Settings) -> Result<Asked, Refusal> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    check_host(parts)?;
    let body = check_framing(parts)?;
    if let (Some(limit), Body::Sized(length)) = (settings.request_body_max, body)
        && limit < length
    {
        return Err(Refusal::BodyTooLarge);
    }
    // A body beside an upgrade could be read as the upgraded protocol's first bytes.
    let upgrade = match (&parts.method, body, parts.version) {
        (&Method::GET, Body::None, Version::HTTP_11) => upgrade_asked(&parts.headers),
        _ => Upgrade::None,
    };
    Ok(Asked { facts: facts(parts, &upgrade, settings), upgrade, version: parts.version })
}

/// What kind of request a refused head is: its error is told in the form that it can read.
pub fn class(parts: &Parts, settings: &Settings) -> RequestClass {
    facts(parts, &Upgrade::None, settings).class
}

fn facts(parts: &Parts, upgrade: &Upgrade, settings: &Settings) -> RequestFacts {
    let head = RequestHead {
        method: method(&parts.method),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
        accept: text(parts, &ACCEPT),
        upgrade: upgrade.is_websocket().then_some("websocket"),
        sec_fetch_mode: text(parts, &SEC_FETCH_MODE),
    };
    RequestFacts::new(&head, &settings.paths)
}

/// A header's value, where it is text.
fn text<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

fn method(method: &http::Method) -> nocobase::Method {
    match *method {
        http::Method::GET => nocobase::Method::Get,
        http::Method::HEAD => nocobase::Method::Head,
        _ => nocobase::Method::Other,
    }
}

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a head says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    None,
    Sized(u64),
    Chunked,
}

/// RFC 9112 section 6.3, read strictly: where a head says two things about its body's end, or one
/// thing in an odd way, it is refused (CVE-2026-2835, RUSTSEC-2021-0020).
fn check_framing(parts: &Parts) -> Result<Body, Refusal> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(Refusal::Framing("a framing header stands twice"));
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(Refusal::Framing("both Content-Length and Transfer-Encoding")),
        (Some(_), None) if parts.version != Version::HTTP_11 => {
            Err(Refusal::Framing("Transfer-Encoding in HTTP/1.0"))
        }
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Body::Chunked)
        }
        (Some(_), None) => Err(Refusal::Framing("a Transfer-Encoding other than chunked")),
        (None, Some(length)) => sized(length.as_bytes()),
        (None, None) => Ok(Body::None),
    }
}

fn sized(length: &[u8]) -> Result<Body, Refusal> {
    let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(length).unwrap_or_default();
    match text.parse::<u64>() {
        Ok(0) if digits => Ok(Body::None),
        Ok(length) if digits => Ok(Body::Sized(length)),
        Ok(_) | Err(_) => Err(Refusal::Framing("a Content-Length that is no number")),
    }
}

/// RFC 9112 section 3.2: exactly one Host from a client that speaks HTTP/1.1.
fn check_host(parts: &Parts) -> Result<(), Refusal> {
    if parts.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Refusal::Malformed("the target holds user information"));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Refusal::Malformed("Host stands twice")),
        (None, _) if parts.version == Version::HTTP_11 => Err(Refusal::Malformed("no Host")),
        (Some(host), _) if host.as_bytes().iter().any(|b| b" \t,/@?#\\".contains(b)) => {
            Err(Refusal::Malformed("Host is no authority"))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn framing(lines: &[(&str, &str)]) -> Result<Body, Refusal> {
        let mut request = Request::builder().uri("/");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        check_framing(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn a_head_that_says_two_things_about_its_end_is_refused() {
        let refused: [&[(&str, &str)]; 9] = [
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "-1")],
            &[("content-length", "0x5")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "xchunked")],
        ];
        for lines in refused {
            assert!(matches!(framing(lines), Err(Refusal::Framing(_))), "{lines:?}");
        }
        assert_eq!(framing(&[("content-length", "5")]), Ok(Body::Sized(5)));
        assert_eq!(framing(&[("transfer-encoding", "Chunked")]), Ok(Body::Chunked));
        assert_eq!(framing(&[]), Ok(Body::None));
    }

    #[test]
    fn a_request_names_its_host_once() {
        let host = |values: &[&str]| {
            let mut request = Request::builder().uri("/");
            for value in values {
                request = request.header(HOST, *value);
            }
            check_host(&request.body(()).expect("a request").into_parts().0)
        };
        assert!(host(&["example.org:81"]).is_ok());
        for wrong in [&[][..], &["a", "b"], &["a/b"], &["user@a"], &["a, b"]] {
            assert!(host(wrong).is_err(), "{wrong:?}");
        }
    }
}
