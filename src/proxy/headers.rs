//! Header lines that stop at the gateway, and those it adds (RFC 9110 section 7.6).

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

use super::client::{Client, Peer, unmapped};
use super::worker::Settings;
use crate::http1::{self, ConnectionOptions, Kind, Lines, Name, Names, Target, is};
use crate::model::limits::REQUEST_ID_BYTES_MAX;
use crate::upstream::Piece;

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
    pub fn is_granted_by(&self, headers: &Lines) -> bool {
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
pub fn upgrade_asked(headers: &Lines) -> Upgrade {
    let mut values = headers.get_all(Name::Upgrade);
    let (Some(value), None) = (values.next(), values.next()) else { return Upgrade::None };
    let nominated = headers.connection().upgrade();
    let http = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        let of_ours = [&b""[..], b"h2c", b"h2", b"http", b"tls"];
        of_ours.iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    if !nominated || http1::elements([value].into_iter()).any(http) {
        return Upgrade::None;
    }
    if value.eq_ignore_ascii_case(b"websocket") {
        return Upgrade::To(WEBSOCKET);
    }
    HeaderValue::from_bytes(value).map_or(Upgrade::None, Upgrade::To)
}

/// The lines that belong to one connection, whatever they say (RFC 9110 section 7.6.1).
const HOP_BY_HOP: Names = Names::of(&[
    Name::Connection,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
]);

/// What never reaches a node as the client sent it.
const NOT_TO_NODE: Names = HOP_BY_HOP.and(Names::of(&[
    Name::ProxyAuthorization,
    // The client is told to go on when a node's side reads its body.
    Name::Expect,
    // Where a request comes from, and which it is, we say ourselves.
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
    Name::XRequestId,
]));

/// The rest of those: a stranger's are made up.
const ORIGIN: Names = Names::of(&[Name::Forwarded, Name::XRealIp]);

const NOT_TO_CLIENT: Names =
    HOP_BY_HOP.and(Names::of(&[Name::ProxyAuthenticate, Name::XRequestId]));

/// Drops the lines that `drops` picks out and those that Connection lines name.
fn strip(headers: &mut Lines, drops: impl Fn(Kind) -> bool) {
    if !headers.connection().names_lines() {
        return headers.retain(|kind, _| !drops(kind));
    }
    let nominated: Vec<Vec<u8>> = ConnectionOptions::lines_named(headers)
        .filter(|name| !is_protected(name))
        .map(<[u8]>::to_vec)
        .collect();
    let named = |name: &[u8]| nominated.iter().any(|other| name.eq_ignore_ascii_case(other));
    headers.retain(|kind, name| !drops(kind) && !named(name));
}

/// What tells where a message ends or whom it is from cannot be named away, whoever asks.
fn is_protected(name: &[u8]) -> bool {
    const PROTECTED: Names = Names::of(&[
        Name::ContentLength,
        Name::Host,
        Name::XForwardedFor,
        Name::XForwardedHost,
        Name::XForwardedProto,
        Name::XRequestId,
    ]);
    match Kind::of(name) {
        Kind::Known(name) => PROTECTED.contains(name),
        Kind::Forwarded => true,
        Kind::Disguised | Kind::Other => false,
    }
}

/// Makes a client's head into the one that a node gets: hop-by-hop lines go, the client's address
/// and the request's id are set.
pub fn towards_node(headers: &mut Lines, client: &Client, settings: &Settings, id: &[u8]) {
    let takes_trailers = http1::elements(headers.get_all(Name::Te)).any(|one| is(one, "trailers"));
    let said = match client.peer {
        Peer::Trusted => Some(Said::by_proxy(headers, settings)),
        Peer::Untrusted => None,
    };
    strip(headers, |kind| match kind {
        Kind::Known(name) => NOT_TO_NODE.contains(name) || said.is_none() && ORIGIN.contains(name),
        Kind::Forwarded => said.is_none(),
        Kind::Disguised => true,
        Kind::Other => false,
    });
    if takes_trailers {
        headers.add(Name::Te, b"trailers");
    }
    let said = said.unwrap_or_default();
    let address = said.address.as_ref().map_or(&client.forwarded_for[..], HeaderValue::as_bytes);
    headers.add(Name::XForwardedFor, address);
    headers.add(Name::XForwardedProto, said.proto.as_deref().unwrap_or(b"http"));
    match said.host {
        Some(host) => headers.add(Name::XForwardedHost, &host),
        None => headers.add_same(Name::XForwardedHost, Name::Host),
    }
    headers.add(Name::XRequestId, id);
}

/// What a trusted proxy says of where a request comes from.
#[derive(Default)]
struct Said {
    address: Option<HeaderValue>,
    proto: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

impl Said {
    fn by_proxy(headers: &Lines, settings: &Settings) -> Self {
        let address = client_address(headers, settings);
        Self {
            address: address.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok()),
            proto: headers.get(Name::XForwardedProto).map(<[u8]>::to_vec),
            host: headers.get(Name::XForwardedHost).map(<[u8]>::to_vec),
        }
    }
}

/// The address nearest to us that no trusted proxy has: read from the right, for everything left
/// of an untrusted address may be made up.
fn client_address(headers: &Lines, settings: &Settings) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all(Name::XForwardedFor)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
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

/// The lines of an informational head as the client gets them.
pub fn hint(headers: &mut Lines) {
    const NOT_IN_HINT: Names = HOP_BY_HOP.and(Names::of(&[Name::ContentLength]));
    strip(headers, |kind| matches!(kind, Kind::Known(name) if NOT_IN_HINT.contains(name)));
}

/// The head of a node's response as the client gets it.
pub fn towards_client(headers: &mut Lines, id: &[u8]) {
    strip(headers, |kind| matches!(kind, Kind::Known(name) if NOT_TO_CLIENT.contains(name)));
    headers.add(Name::XRequestId, id);
    revalidate_pages(headers);
}

/// A stream that may be silent for long, whatever was asked for.
pub fn is_event_stream(headers: &Lines) -> bool {
    is_of_kind(headers, b"text/event-stream")
}

fn is_of_kind(headers: &Lines, kind: &[u8]) -> bool {
    let said = headers.get(Name::ContentType).unwrap_or_default();
    said.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind))
}

/// A node says of its pages when they were last modified, and not how long they are good for: then
/// a browser guesses (RFC 9111 section 4.2.2), and shows them for minutes or hours without asking.
/// It would never see the notice, and after an upgrade it would ask for scripts that are gone, for
/// which a node sends a page as well. Nodes behind their own front server say it themselves.
fn revalidate_pages(headers: &mut Lines) {
    let silent =
        |headers: &Lines| !headers.contains(Name::CacheControl) && !headers.contains(Name::Expires);
    if is_of_kind(headers, b"text/html") && silent(headers) {
        headers.add(Name::CacheControl, b"no-cache");
    }
}

/// The head of a 101 as the client gets it: here the hop-by-hop lines are the message.
pub fn upgraded(headers: &mut Lines, upgrade: &Upgrade, id: &[u8]) {
    towards_client(headers, id);
    headers.remove(Name::ContentLength);
    upgrading(headers, upgrade);
}

/// Sets the two lines that ask for, or agree to, an upgrade.
pub fn upgrading(headers: &mut Lines, upgrade: &Upgrade) {
    if let Upgrade::To(protocol) = upgrade {
        headers.add(Name::Connection, b"upgrade");
        headers.add(Name::Upgrade, protocol.as_bytes());
    }
}

/// Trailers that may not be trailers (framing, routing, authentication: RFC 9110 section 6.5.1)
/// are dropped; a receiver that merged them would be told a second story.
pub fn filter_trailers(mut piece: Piece) -> Piece {
    if let Piece::Trailers(trailers) = &mut piece {
        let forbidden: Vec<HeaderName> =
            trailers.keys().filter(|name| !may_be_trailer(name)).cloned().collect();
        for name in forbidden {
            trailers.remove(name);
        }
    }
    piece
}

fn may_be_trailer(name: &HeaderName) -> bool {
    let of_head_alone = match Kind::of(name.as_str().as_bytes()) {
        Kind::Known(name) => NOT_TO_NODE.contains(name) || ORIGIN.contains(name),
        Kind::Forwarded | Kind::Disguised => true,
        Kind::Other => false,
    };
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST, TRAILER, TE, CONNECTION, UPGRADE];
    let text = name.as_str();
    let forbidden = of_head_alone
        || framing.contains(name)
        || text.starts_with("content-")
        || text.starts_with("proxy-")
        || ["authorization", "cookie", "set-cookie", "expect", "range", "cache-control"]
            .contains(&text)
        || text.starts_with("if-");
    !forbidden
}

/// What a request is called by, at the node and in the log.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// 128 random bits in hexadecimal.
    Made([u8; 32]),
    /// By whoever sent it.
    Given(Box<[u8]>),
}

impl RequestId {
    /// The client's own where it is short and plain, else a new one.
    pub fn of(headers: &Lines) -> Self {
        let plain = |bytes: &&[u8]| {
            !bytes.is_empty()
                && bytes.len() <= REQUEST_ID_BYTES_MAX
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
        };
        let own = headers.get(Name::XRequestId).filter(plain);
        own.map_or_else(Self::made, |own| Self::Given(own.into()))
    }

    pub fn made() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        let (pairs, _) = text.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(fastrand::u128(..).to_le_bytes()) {
            let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
            *pair = [digit(byte >> 4), digit(byte & 0xF)];
        }
        Self::Made(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Made(text) => text,
            Self::Given(text) => text,
        }
    }

    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }
}

/// The authority of an absolute target outranks Host (RFC 9112 section 3.2.2), and becomes it.
pub fn host_of_target(target: &Target, headers: &mut Lines) {
    if let Target::Absolute { authority, .. } = target {
        headers.set(Name::Host, authority);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn map(lines: &[(&str, &str)]) -> Lines {
        let mut headers = Lines::default();
        for (name, value) in lines {
            headers.add_line(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    fn names(headers: &Lines) -> Vec<&str> {
        headers.iter().map(|(name, _)| std::str::from_utf8(name).expect("text")).collect()
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
        let hop_by_hop = |kind| matches!(kind, Kind::Known(name) if HOP_BY_HOP.contains(name));
        strip(&mut headers, hop_by_hop);
        assert_eq!(names(&headers), ["x-forwarded-for", "host", "content-length"]);
    }

    #[test]
    fn a_page_is_asked_for_again_unless_the_node_says_how_long_it_is_good() {
        let kept = |lines: &[(&str, &str)]| {
            let mut headers = map(lines);
            towards_client(&mut headers, b"id");
            headers.text(Name::CacheControl).map(str::to_owned)
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
        let line = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let dropped = [
            "content-length",
            "authorization",
            "x-real-ip",
            "forwarded",
            "x-forwarded-for",
            "x-request-id",
            "keep-alive",
            "content_length",
            "x_forwarded_for",
        ];
        let lines = dropped.into_iter().chain(["x-checksum"]);
        let trailers = lines.map(|name| line(name, "1")).collect();
        let Piece::Trailers(left) = filter_trailers(Piece::Trailers(Box::new(trailers))) else {
            panic!("other than trailers");
        };
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }

    #[test]
    fn a_plain_request_id_is_kept_and_an_odd_one_replaced() {
        let id = |text: &str| RequestId::of(&map(&[("x-request-id", text)])).as_bytes().to_vec();
        assert_eq!(id("abc-123"), b"abc-123");
        assert_eq!(id("a b\"c").len(), 32);
        assert_eq!(id(&"x".repeat(129)).len(), 32);
        assert_ne!(RequestId::made().as_bytes(), RequestId::made().as_bytes());
    }

    #[test]
    fn the_host_of_an_absolute_target_outranks_the_line() {
        let mut headers = map(&[("host", "other")]);
        let (authority, path) = (Bytes::from("example.org:81"), Bytes::from("/a"));
        host_of_target(&Target::Absolute { authority, path }, &mut headers);
        assert_eq!(headers.text(Name::Host), Some("example.org:81"));
        host_of_target(&Target::Origin, &mut headers);
        assert_eq!(headers.get_all(Name::Host).count(), 1);
    }
}
