//! The first look at a request: what it is, and whether any node should see it.

use http::{Method, StatusCode, Version};

use super::headers::{Upgrade, upgrade_asked};
use super::worker::Settings;
use crate::http1::{self, BodyLength, Name, RequestHead, Target};
use crate::nocobase::{self, RequestClass, RequestFacts};

/// Why a request goes to no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none, or two parsers could read it as two different ones.
    #[error(transparent)]
    Unreadable(#[from] http1::Malformed),
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
            Self::Unreadable(http1::Malformed::HeadTooLong | http1::Malformed::TooManyLines) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Unreadable(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
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
    /// Where its body ends.
    pub body: BodyLength,
    pub version: Version,
}

/// Looks at a head; decides nothing that depends on the routing table.
///
/// # Errors
/// [`Refusal`]: the request is answered here and its connection closed.
pub fn look(head: &RequestHead, settings: &Settings) -> Result<Asked, Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    check_target(head)?;
    check_host(head)?;
    let body = http1::of_request(head.version, &head.headers)?;
    if let (Some(limit), BodyLength::Sized(length)) = (settings.request_body_max, body)
        && limit < length
    {
        return Err(Refusal::BodyTooLarge);
    }
    // A body beside an upgrade could be read as the upgraded protocol's first bytes.
    let upgrade = match (&head.method, body, head.version) {
        (&Method::GET, BodyLength::None, Version::HTTP_11) => upgrade_asked(&head.headers),
        _ => Upgrade::None,
    };
    Ok(Asked { facts: facts(head, &upgrade, settings), upgrade, body, version: head.version })
}

/// What kind of request a refused head is: its error is told in the form that it can read.
pub fn class(head: &RequestHead, settings: &Settings) -> RequestClass {
    facts(head, &Upgrade::None, settings).class
}

/// What kind of request a head is of which nothing but this could be read.
pub fn class_of_target(target: &str, settings: &Settings) -> RequestClass {
    let head = nocobase::RequestHead {
        method: nocobase::Method::Other,
        target,
        accept: None,
        upgrade: None,
        sec_fetch_mode: None,
    };
    RequestFacts::new(&head, &settings.paths).class
}

fn facts(head: &RequestHead, upgrade: &Upgrade, settings: &Settings) -> RequestFacts {
    let facts = nocobase::RequestHead {
        method: method(&head.method),
        target: std::str::from_utf8(head.path()).unwrap_or("/"),
        accept: head.headers.text(Name::Accept),
        upgrade: upgrade.is_websocket().then_some("websocket"),
        sec_fetch_mode: head.headers.text(Name::SecFetchMode),
    };
    RequestFacts::new(&facts, &settings.paths)
}

fn method(method: &http::Method) -> nocobase::Method {
    match *method {
        http::Method::GET => nocobase::Method::Get,
        http::Method::HEAD => nocobase::Method::Head,
        _ => nocobase::Method::Other,
    }
}

/// RFC 9112 section 3.2: a path or a whole URL; `*` asks about the server as such.
fn check_target(head: &RequestHead) -> Result<(), Refusal> {
    match &head.target {
        Target::Origin => Ok(()),
        Target::Absolute { authority, .. } if authority.contains(&b'@') => {
            Err(Refusal::Malformed("the target holds user information"))
        }
        Target::Absolute { authority, .. } if !is_authority(authority) => {
            Err(Refusal::Malformed("the target's host is no authority"))
        }
        Target::Absolute { .. } => Ok(()),
        Target::Asterisk if head.method == Method::OPTIONS => Ok(()),
        Target::Asterisk | Target::Authority(_) => Err(Refusal::Malformed("the target is no path")),
    }
}

/// RFC 9112 section 3.2: exactly one Host from a client that speaks HTTP/1.1.
fn check_host(head: &RequestHead) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(Name::Host);
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Refusal::Malformed("Host stands twice")),
        (None, _) if head.version == Version::HTTP_11 => Err(Refusal::Malformed("no Host")),
        (Some(host), _) if !is_authority(host) => Err(Refusal::Malformed("Host is no authority")),
        (Some(_) | None, _) => Ok(()),
    }
}

/// A host and perhaps a port (RFC 3986 section 3.2), without user information. What the host's name is
/// made of is left to whoever resolves it; what could end it, or begin another, is not.
fn is_authority(host: &[u8]) -> bool {
    let wrong = |byte: &u8| b" \t,/@?#\\".contains(byte);
    let name_end = if host.first() == Some(&b'[') {
        memchr::memchr(b']', host).map_or(0, |at| at + 1)
    } else {
        memchr::memchr(b':', host).unwrap_or(host.len())
    };
    let is_port = |port: &[u8]| match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !host.iter().any(wrong) && is_port(host.get(name_end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Buffer, take_request_head};

    #[test]
    fn a_request_names_its_host_once() {
        let host = |values: &[&str]| {
            let lines: String = values.iter().map(|value| format!("Host: {value}\r\n")).collect();
            let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            let head = take_request_head(&mut Buffer::from(&text)).expect("well-formed");
            check_host(&head.expect("whole"))
        };
        for right in ["example.org:81", "a", "a:", "", "[::1]", "[::1]:80"] {
            assert!(host(&[right]).is_ok(), "{right}");
        }
        for wrong in [
            &[][..],
            &["a", "b"],
            &["a/b"],
            &["user@a"],
            &["a, b"],
            &["a:x1"],
            &["a:1:2"],
            &["a:-1"],
            &["[::1"],
            &["[::1]a"],
            &["::1"],
        ] {
            assert!(host(wrong).is_err(), "{wrong:?}");
        }
    }
}
