//! Header lines that stop at the gateway, and those it adds (RFC 9110 section 7.6).

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HOST, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Uri};
use http_body::Frame;

use super::client::{Client, Peer, unmapped};
use super::worker::Settings;
use crate::http1::{self, Lines, is};
use crate::model::limits::REQUEST_ID_BYTES_MAX;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    let mut values = headers.get_all(&UPGRADE);
    let (Some(value), None) = (values.next(), values.next()) else { return Upgrade::None };
    let nominated = connection_options(headers).any(|o| o.eq_ignore_ascii_case(b"upgrade"));
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

/// The options of every Connection line.
fn connection_options(headers: &Lines) -> impl Iterator<Item = &[u8]> {
    http1::elements(headers.get_all(&CONNECTION)).filter(|option| !option.is_empty())
}

/// Does this line belong to one connection, whatever it says? (RFC 9110 section 7.6.1)
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    // Asked of every line of every head: the length alone tells most of them apart.
    match name.len() {
        2 => is(name, "te"),
        7 => is(name, "upgrade"),
        10 => is(name, "connection") || is(name, "keep-alive"),
        16 => is(name, "proxy-connection"),
        17 => is(name, "transfer-encoding"),
        _ => false,
    }
}

/// Drops the lines that `drops` picks out and those that Connection lines name. What tells where
/// a message ends or whom it is from cannot be named away, whoever asks.
fn strip(headers: &mut Lines, drops: impl Fn(&[u8]) -> bool) {
    let nominated: Vec<Vec<u8>> = connection_options(headers)
        .filter(|option| !KNOWN_OPTIONS.iter().any(|known| is(option, known)))
        .filter(|name| !is_protected(name))
        .map(<[u8]>::to_vec)
        .collect();
    let named = |name: &[u8]| nominated.iter().any(|other| name.eq_ignore_ascii_case(other));
    headers.retain(|name| !drops(name) && !named(name));
}

/// Options of Connection that name no header line.
const KNOWN_OPTIONS: [&str; 3] = ["close", "keep-alive", "upgrade"];

fn is_protected(name: &[u8]) -> bool {
    let exactly = ["host", "content-length", "x-request-id"];
    exactly.iter().any(|known| is(name, known)) || is_forwarded(name)
}

/// One of the X-Forwarded family?
fn is_forwarded(name: &[u8]) -> bool {
    let begin = name.get(..FORWARDED_FAMILY.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(FORWARDED_FAMILY))
}

const FORWARDED_FAMILY: &[u8] = b"x-forwarded-";

/// Makes a client's head into the one that a node gets: hop-by-hop lines go, the client's address
/// and the request's id are set.
pub fn towards_node(headers: &mut Lines, client: &Client, settings: &Settings, id: &HeaderValue) {
    let takes_trailers = http1::elements(headers.get_all(&TE)).any(|coding| is(coding, "trailers"));
    let origin = Origin::of(headers, client, settings);
    let untrusted = client.peer == Peer::Untrusted;
    strip(headers, |name| {
        is_hop_by_hop(name)
            || is(name, "proxy-authorization")
            // The client is told to go on when a node's side reads its body.
            || is(name, "expect")
            || is(name, "x-request-id")
            || is_origin(name)
            // The rest of the family: a stranger's are made up.
            || untrusted && is_forwarded(name)
            || untrusted && (is(name, "forwarded") || is(name, "x-real-ip"))
            || is_disguised(name)
    });
    if takes_trailers {
        headers.add(TE, HeaderValue::from_static("trailers"));
    }
    headers.add(X_FORWARDED_FOR, origin.address);
    headers.add(X_FORWARDED_PROTO, origin.proto);
    if let Some(host) = origin.host {
        headers.add(X_FORWARDED_HOST, host);
    }
    headers.add(X_REQUEST_ID, id.clone());
}

/// One of the lines that say where a request comes from, which we write ourselves?
fn is_origin(name: &[u8]) -> bool {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].iter().any(|own| is(name, own))
}

/// Where a request comes from, as a node is told.
struct Origin {
    address: HeaderValue,
    proto: HeaderValue,
    host: Option<HeaderValue>,
}

impl Origin {
    /// What the connection says; of a trusted peer, what its lines say.
    fn of(headers: &Lines, client: &Client, settings: &Settings) -> Self {
        let own = Self {
            address: client.forwarded_for.clone(),
            proto: HeaderValue::from_static("http"),
            host: headers.value(&HOST),
        };
        match client.peer {
            Peer::Untrusted => own,
            Peer::Trusted => {
                let address = client_address(headers, settings);
                let address = address.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok());
                Self {
                    address: address.unwrap_or(own.address),
                    proto: headers.value(&X_FORWARDED_PROTO).unwrap_or(own.proto),
                    host: headers.value(&X_FORWARDED_HOST).or(own.host),
                }
            }
        }
    }
}

/// Is this a line that frames a message or tells its origin, with `_` for `-`? What stands behind us
/// may read both as one (CGI does), and we have checked only one of them (pingora#674).
fn is_disguised(name: &[u8]) -> bool {
    // Of those without a `-` nothing can be disguised so.
    const MEANT: [&str; 4] = ["content-length", "transfer-encoding", "x-real-ip", "x-request-id"];
    // Asked of every line: the length tells most of them apart.
    let may_be_forwarded =
        FORWARDED_FAMILY.len() <= name.len() && matches!(name.first(), Some(b'x' | b'X'));
    let may_be = may_be_forwarded || MEANT.iter().any(|known| known.len() == name.len());
    if !may_be || !name.contains(&b'_') {
        return false;
    }
    let plain: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    MEANT.iter().any(|known| is(&plain, known)) || is_forwarded(&plain)
}

/// The address nearest to us that no trusted proxy has: read from the right, for everything left
/// of an untrusted address may be made up.
fn client_address(headers: &Lines, settings: &Settings) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all(&X_FORWARDED_FOR)
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
    strip(headers, |name| is_hop_by_hop(name) || is(name, "content-length"));
}

/// The head of a node's response as the client gets it.
pub fn towards_client(headers: &mut Lines, id: &HeaderValue) {
    strip(headers, |name| {
        is_hop_by_hop(name) || is(name, "proxy-authenticate") || is(name, "x-request-id")
    });
    headers.add(X_REQUEST_ID, id.clone());
    revalidate_pages(headers);
}

/// A stream that may be silent for long, whatever was asked for.
pub fn is_event_stream(headers: &Lines) -> bool {
    is_of_kind(headers, b"text/event-stream")
}

fn is_of_kind(headers: &Lines, kind: &[u8]) -> bool {
    let said = headers.get(&CONTENT_TYPE).unwrap_or_default();
    said.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind))
}

/// A node says of its pages when they were last modified, and not how long they are good for: then
/// a browser guesses (RFC 9111 section 4.2.2), and shows them for minutes or hours without asking.
/// It would never see the notice, and after an upgrade it would ask for scripts that are gone, for
/// which a node sends a page as well. Nodes behind their own front server say it themselves.
fn revalidate_pages(headers: &mut Lines) {
    let silent = |headers: &Lines| !headers.contains(&CACHE_CONTROL) && !headers.contains(&EXPIRES);
    if is_of_kind(headers, b"text/html") && silent(headers) {
        headers.add(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
}

/// The head of a 101 as the client gets it: here the hop-by-hop lines are the message.
pub fn upgraded(headers: &mut Lines, upgrade: &Upgrade, id: &HeaderValue) {
    towards_client(headers, id);
    headers.remove(&CONTENT_LENGTH);
    upgrading(headers, upgrade);
}

/// Sets the two lines that ask for, or agree to, an upgrade.
pub fn upgrading(headers: &mut Lines, upgrade: &Upgrade) {
    if let Upgrade::To(protocol) = upgrade {
        headers.add(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.add(UPGRADE, protocol.clone());
    }
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
pub fn request_id(headers: &Lines) -> HeaderValue {
    let plain = |bytes: &&[u8]| {
        !bytes.is_empty()
            && bytes.len() <= REQUEST_ID_BYTES_MAX
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    let own = headers.get(&X_REQUEST_ID).filter(plain);
    own.and_then(|id| HeaderValue::from_bytes(id).ok()).unwrap_or_else(new_request_id)
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
pub fn origin_form(uri: Uri, headers: &mut Lines) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        headers.set(HOST, host);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match path.starts_with('/') {
        true => path.parse().unwrap_or_default(),
        // `http://host?query` has an empty path.
        false => format!("/{path}").parse().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> Lines {
        let mut headers = Lines::default();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.add(name, value.parse().expect("a value"));
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
        strip(&mut headers, is_hop_by_hop);
        assert_eq!(names(&headers), ["x-forwarded-for", "host", "content-length"]);
    }

    #[test]
    fn a_page_is_asked_for_again_unless_the_node_says_how_long_it_is_good() {
        let kept = |lines: &[(&str, &str)]| {
            let mut headers = map(lines);
            towards_client(&mut headers, &HeaderValue::from_static("id"));
            headers.text(&CACHE_CONTROL).map(str::to_owned)
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
        let lines = [("x-checksum", "1"), ("content-length", "9"), ("authorization", "x")];
        let trailers = lines.map(|(name, value)| line(name, value)).into_iter().collect();
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
        assert_ne!(request_id(&Lines::default()), request_id(&Lines::default()));
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_sets_the_host() {
        let mut headers = map(&[("host", "other")]);
        let uri = origin_form("http://example.org:81/a?b=c".parse().expect("a URI"), &mut headers);
        assert_eq!(uri.to_string(), "/a?b=c");
        assert_eq!(headers.text(&HOST), Some("example.org:81"));
        let uri = origin_form("http://example.org?b=c".parse().expect("a URI"), &mut headers);
        assert_eq!(uri.to_string(), "/?b=c");
    }
}
