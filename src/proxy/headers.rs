//! Header lines that stop at the gateway, and those it adds (RFC 9110 section 7.6).

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, EXPIRES, FORWARDED, HOST,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body::Frame;

use super::client::{Client, Peer, unmapped};
use super::worker::Settings;
use crate::model::limits::REQUEST_ID_BYTES_MAX;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What a request asks its connection to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    None,
    /// Passed on as it was asked for; `h2c` never is.
    To(HeaderValue),
}

impl Upgrade {
    /// Does a 101 with these lines agree to just what was asked for?
    pub fn is_granted_by(&self, headers: &HeaderMap) -> bool {
        match (self, upgrade_asked(headers)) {
            (Self::To(asked), Self::To(granted)) => {
                asked.as_bytes().eq_ignore_ascii_case(granted.as_bytes())
            }
            (Self::None, _) | (_, Self::None) => false,
        }
    }

    pub fn is_websocket(&self) -> bool {
        matches!(self, Self::To(value) if value.as_bytes().eq_ignore_ascii_case(b"websocket"))
    }
}

/// The upgrade that a request's head asks for. `h2c` is not one: a node that took it would speak
/// a protocol that nobody on the way has checked.
pub fn upgrade_asked(headers: &HeaderMap) -> Upgrade {
    let Some(value) = headers.get(UPGRADE) else { return Upgrade::None };
    let nominated = connection_options(headers).any(|o| o.eq_ignore_ascii_case("upgrade"));
    let protocols = value.to_str().unwrap_or_default().split(',').map(str::trim);
    let http = |protocol: &str| {
        let name = protocol.split('/').next().unwrap_or_default();
        name.is_empty() || ["h2c", "h2", "http", "tls"].iter().any(|p| name.eq_ignore_ascii_case(p))
    };
    let one = headers.get_all(UPGRADE).iter().count() == 1;
    if !nominated || !one || protocols.clone().any(http) {
        return Upgrade::None;
    }
    if value.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return Upgrade::To(WEBSOCKET);
    }
    Upgrade::To(value.clone())
}

/// The options of every Connection line, without blanks.
pub fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

/// Does this line belong to one connection, whatever it says? (RFC 9110 section 7.6.1)
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == TE
        || *name == UPGRADE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// Drops the lines that `drops` picks out and those that Connection lines name. What tells where
/// a message ends or whom it is from cannot be named away, whoever asks.
fn strip(headers: &mut HeaderMap, drops: impl Fn(&HeaderName) -> bool) {
    // Most heads have one such line or none: looking is cheaper than removing what is not there.
    let mut found: [Option<HeaderName>; STRIPPED_MAX] = Default::default();
    let present = headers.keys().filter(|name| drops(name));
    for (slot, name) in found.iter_mut().zip(present) {
        *slot = Some(name.clone());
    }
    if found.contains(&Some(CONNECTION)) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    for name in found.into_iter().flatten() {
        headers.remove(name);
    }
}

/// Names that are stripped: six that are hop by hop, and four of a client's.
const STRIPPED_MAX: usize = 10;

/// The lines that Connection names for removal.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let protects = |name: &HeaderName| {
        *name == HOST
            || *name == CONTENT_LENGTH
            || *name == X_REQUEST_ID
            || name.as_str().starts_with("x-forwarded-")
    };
    let options = connection_options(headers);
    options
        .filter(|option| {
            !["close", "keep-alive", "upgrade"].iter().any(|o| option.eq_ignore_ascii_case(o))
        })
        .filter_map(|option| option.parse().ok())
        .filter(|name| !protects(name))
        .collect()
}

/// Makes a client's head into the one that a node gets: hop-by-hop lines go, the client's address
/// and the request's id are set.
pub fn towards_node(
    headers: &mut HeaderMap,
    client: &Client,
    settings: &Settings,
    id: &HeaderValue,
) {
    let takes_trailers = headers.get_all(TE).iter().any(names_trailers);
    let untrusted = client.peer == Peer::Untrusted;
    strip(headers, |name| {
        is_hop_by_hop(name)
            || *name == PROXY_AUTHORIZATION
            // The client is told to go on when a node's side reads its body.
            || *name == EXPECT
            || (untrusted && (*name == FORWARDED || *name == X_REAL_IP))
    });
    let forged = |name: &&HeaderName| {
        is_disguised(name) || untrusted && name.as_str().starts_with("x-forwarded-")
    };
    for name in headers.keys().filter(forged).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let host = headers.get(HOST).cloned();
    match client.peer {
        Peer::Untrusted => {
            headers.insert(X_FORWARDED_FOR, client.forwarded_for.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
            set_or_remove(headers, X_FORWARDED_HOST, host);
        }
        Peer::Trusted => {
            let address = client_address(headers, settings);
            let forwarded_for = address.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok());
            let forwarded_for = forwarded_for.unwrap_or_else(|| client.forwarded_for.clone());
            headers.insert(X_FORWARDED_FOR, forwarded_for);
            if !headers.contains_key(X_FORWARDED_PROTO) {
                headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
            }
            if !headers.contains_key(X_FORWARDED_HOST) {
                set_or_remove(headers, X_FORWARDED_HOST, host);
            }
        }
    }
    headers.insert(X_REQUEST_ID, id.clone());
}

/// Is this a line that frames a message or tells its origin, with `_` for `-`? What stands behind us
/// may read both as one (CGI does), and we have checked only one of them (pingora#674).
fn is_disguised(name: &HeaderName) -> bool {
    const MEANT: [&str; 8] = [
        "connection",
        "content-length",
        "forwarded",
        "host",
        "transfer-encoding",
        "upgrade",
        "x-real-ip",
        "x-request-id",
    ];
    if !name.as_str().contains('_') {
        return false;
    }
    let plain = name.as_str().replace('_', "-");
    MEANT.contains(&plain.as_str()) || plain.starts_with("x-forwarded-")
}

fn set_or_remove(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => {
            headers.insert(name, value);
        }
        None => {
            headers.remove(name);
        }
    }
}

/// The address nearest to us that no trusted proxy has: read from the right, for everything left
/// of an untrusted address may be made up.
fn client_address(headers: &HeaderMap, settings: &Settings) -> Option<IpAddr> {
    let lines: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let mut nearest = None;
    for element in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = parse_address(element.trim()) else { break };
        nearest = Some(address);
        if !settings.trusts(address) {
            break;
        }
    }
    nearest
}

/// An element of X-Forwarded-For; some proxies add a port.
fn parse_address(element: &str) -> Option<IpAddr> {
    let with_port = || element.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || element.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    element.parse().ok().or_else(with_port).or_else(bracketed).map(unmapped)
}

/// The head of a node's response as the client gets it.
pub fn towards_client(headers: &mut HeaderMap, id: &HeaderValue) {
    strip(headers, |name| is_hop_by_hop(name) || *name == PROXY_AUTHENTICATE);
    headers.insert(X_REQUEST_ID, id.clone());
    revalidate_pages(headers);
}

/// A stream that may be silent for long, whatever was asked for.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

/// A node says of its pages when they were last modified, and not how long they are good for: then
/// a browser guesses (RFC 9111 section 4.2.2), and shows them for minutes or hours without asking.
/// It would never see the notice, and after an upgrade it would ask for scripts that are gone, for
/// which a node sends a page as well. Nodes behind their own front server say it themselves.
fn revalidate_pages(headers: &mut HeaderMap) {
    let is_page = |kind: &HeaderValue| {
        kind.as_bytes().get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
    };
    let silent = !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES);
    if silent && headers.get(CONTENT_TYPE).is_some_and(is_page) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
}

/// The head of a 101 as the client gets it: here the hop-by-hop lines are the message.
pub fn upgraded(headers: &mut HeaderMap, upgrade: &Upgrade, id: &HeaderValue) {
    towards_client(headers, id);
    headers.remove(CONTENT_LENGTH);
    upgrading(headers, upgrade);
}

/// Sets the two lines that ask for, or agree to, an upgrade.
pub fn upgrading(headers: &mut HeaderMap, upgrade: &Upgrade) {
    if let Upgrade::To(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
}

fn names_trailers(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Trailers that may not be trailers (framing, routing, authentication: RFC 9110 section 6.5.1)
/// are dropped; a receiver that merged them would be told a second story.
pub fn filter_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let forbidden: Vec<HeaderName> =
                trailers.keys().filter(|name| !may_be_trailer(name)).cloned().collect();
            for name in forbidden {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

fn may_be_trailer(name: &HeaderName) -> bool {
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST, TRAILER, TE, CONNECTION, UPGRADE];
    let text = name.as_str();
    let forbidden = framing.contains(name)
        || text.starts_with("content-")
        || text.starts_with("x-forwarded-")
        || text.starts_with("proxy-")
        || ["authorization", "cookie", "set-cookie", "expect", "range", "cache-control"]
            .contains(&text)
        || text.starts_with("if-");
    !forbidden
}

/// The request's id: the client's own where it is short and plain, else a new one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= REQUEST_ID_BYTES_MAX
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    headers.get(X_REQUEST_ID).filter(plain).cloned().unwrap_or_else(new_request_id)
}

/// 128 random bits in hexadecimal.
fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = fastrand::u128(..);
    let mut text = [0_u8; 32];
    for byte in &mut text {
        *byte = DIGITS.get((random & 0xF) as usize).copied().unwrap_or(b'0');
        random >>= 4;
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// The target in origin form (RFC 9112 section 3.2.1): nodes get a path, never a whole URL. The
/// authority of an absolute target outranks Host (section 3.2.2), and becomes it.
pub fn origin_form(uri: Uri, headers: &mut HeaderMap) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn what_connection_names_is_dropped_except_framing_and_origin() {
        let mut headers = map(&[
            ("connection", "close, X-Secret, X-Forwarded-For , Host"),
            ("connection", "content-length"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("host", "example.org"),
            ("content-length", "0"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
        ]);
        strip(&mut headers, is_hop_by_hop);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-forwarded-for"]);
    }

    #[test]
    fn a_page_is_asked_for_again_unless_the_node_says_how_long_it_is_good() {
        let kept = |lines: &[(&str, &str)]| {
            let mut headers = map(lines);
            towards_client(&mut headers, &HeaderValue::from_static("id"));
            headers.get(CACHE_CONTROL).map(|value| value.to_str().expect("text").to_owned())
        };
        let page = ("content-type", "Text/HTML; charset=utf-8");
        assert_eq!(kept(&[page]).as_deref(), Some("no-cache"));
        assert_eq!(kept(&[page, ("cache-control", "max-age=9")]).as_deref(), Some("max-age=9"));
        assert_eq!(kept(&[page, ("expires", "0")]), None);
        assert_eq!(kept(&[("content-type", "application/javascript")]), None);
        assert_eq!(kept(&[]), None);
    }

    #[test]
    fn h2c_is_never_an_upgrade() {
        let asks = |upgrade: &str| {
            upgrade_asked(&map(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", upgrade)]))
        };
        for refused in ["h2c", "H2C", "websocket, h2c", "h2", "HTTP/2.0", "TLS/1.0", ""] {
            assert_eq!(asks(refused), Upgrade::None, "{refused}");
        }
        assert!(asks("WebSocket").is_websocket());
        assert!(matches!(asks("custom"), Upgrade::To(_)));
        assert_eq!(upgrade_asked(&map(&[("upgrade", "websocket")])), Upgrade::None);
    }

    #[test]
    fn trailers_that_frame_or_authenticate_are_dropped() {
        let trailers = map(&[("x-checksum", "1"), ("content-length", "9"), ("authorization", "x")]);
        let frame = filter_trailers(Frame::trailers(trailers));
        let left = frame.into_trailers().expect("trailers");
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }

    #[test]
    fn a_plain_request_id_is_kept_and_an_odd_one_replaced() {
        let id = |text: &str| request_id(&map(&[("x-request-id", text)]));
        assert_eq!(id("abc-123"), "abc-123");
        assert_eq!(id("a b\"c").len(), 32);
        assert_eq!(id(&"x".repeat(129)).len(), 32);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_sets_the_host() {
        let mut headers = map(&[("host", "other")]);
        let uri = origin_form("http://example.org:81/a?b=c".parse().expect("a URI"), &mut headers);
        assert_eq!(uri.to_string(), "/a?b=c");
        assert_eq!(headers["host"], "example.org:81");
    }
}
