//! Addresses to listen on, and addresses of nodes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::problems::shown;

/// The port of an `http://` address that names none.
const HTTP_PORT: u16 = 80;

/// Where a node is reached. The host is an IP address without brackets, or a name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    pub host: String,
    pub port: u16,
}

impl NodeAddress {
    /// The host where it is a number: a name has to be resolved first.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Does it surely lead to this machine itself?
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for NodeAddress {
    /// `host:port`, an IPv6 address in brackets: an authority of RFC 3986.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The text names no address of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNodeAddress {
    #[error("is empty; write the node's address, as http://10.0.0.1:13000")]
    Empty,
    // The text is not repeated: it may hold a password.
    #[error("holds a user name or password (an @); write http://HOST:PORT alone")]
    UserInfo,
    #[error("{0} asks for TLS; TLS towards nodes is not supported yet, write http://")]
    Tls(String),
    #[error("{0} has another scheme than http; write http://HOST:PORT")]
    Scheme(String),
    #[error("{0} has a path or query; write http://HOST:PORT (APP_PUBLIC_PATH is app.public_path)")]
    Path(String),
    #[error("{shown} has no port; write {host}:PORT, or http://{host} for port 80")]
    NoPort { shown: String, host: String },
    #[error("{0} has no port from 1 to 65535; write http://HOST:PORT")]
    Port(String),
    #[error("{0} is an IPv6 address without brackets; write it as [::1]:13000")]
    Brackets(String),
    #[error("{0} names a zone (%), which is not supported; use another address of the node")]
    Zone(String),
    #[error("{0} is no address that can be connected to; write the node's own")]
    NotUnicast(String),
    #[error("{0} is no IP address and no host name; write http://HOST:PORT")]
    Host(String),
}

/// Reads `http://HOST[:PORT]` or `HOST:PORT`. Resolves nothing: a name that does not resolve is a
/// node that is down.
pub(super) fn node_address(text: &str) -> Result<NodeAddress, InvalidNodeAddress> {
    use InvalidNodeAddress as Invalid;
    let text = text.trim();
    if text.is_empty() {
        return Err(Invalid::Empty);
    }
    if text.contains('@') {
        return Err(Invalid::UserInfo);
    }
    let (scheme, rest) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
    };
    match scheme.as_deref() {
        None | Some("http") => {}
        Some("https") => return Err(Invalid::Tls(shown(text))),
        Some(_) => return Err(Invalid::Scheme(shown(text))),
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(Invalid::Path(shown(text)));
    }
    let (host, port) = split_port(authority, text)?;
    let host = checked_host(host, text)?;
    let port = match (port, scheme) {
        (Some(port), _) => port_number(port).ok_or_else(|| Invalid::Port(shown(text)))?,
        (None, Some(_)) => HTTP_PORT,
        (None, None) => return Err(Invalid::NoPort { shown: shown(text), host }),
    };
    Ok(NodeAddress { host, port })
}

/// Splits `host:port`; the host keeps its brackets.
fn split_port<'a>(
    authority: &'a str,
    text: &str,
) -> Result<(&'a str, Option<&'a str>), InvalidNodeAddress> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return Err(InvalidNodeAddress::Host(shown(text)));
        };
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(InvalidNodeAddress::Host(shown(text))),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, port)) if port.contains(':') => Err(InvalidNodeAddress::Brackets(shown(text))),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// The host in the one form in which two spellings of it are equal.
fn checked_host(host: &str, text: &str) -> Result<String, InvalidNodeAddress> {
    use InvalidNodeAddress as Invalid;
    let ip = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) if inner.contains('%') => return Err(Invalid::Zone(shown(text))),
        Some(inner) => {
            let ip: Ipv6Addr = inner.parse().map_err(|_| Invalid::Host(shown(text)))?;
            Some(IpAddr::V6(ip).to_canonical())
        }
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    match ip {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST => {
            Err(Invalid::NotUnicast(shown(text)))
        }
        Some(ip) => Ok(ip.to_string()),
        None if is_host_name(host) => Ok(host.to_ascii_lowercase()),
        None => Err(Invalid::Host(shown(text))),
    }
}

/// A name as DNS or a container network knows it (RFC 1123, and the underscore that compose files
/// use). One whose last label is a number was meant to be an IPv4 address.
fn is_host_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// 1 to 65535 in digits alone.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Reads an address to listen on: `10.0.0.1:8080`, `[::1]:8080`; `:8080` and `8080` mean every IPv4
/// address of the machine. Port 0 asks the system for a free one.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let every = Ipv4Addr::UNSPECIFIED;
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) {
        let port = port
            .parse()
            .map_err(|_| format!("{} has a port beyond 65535; write a smaller one", shown(text)))?;
        return Ok((every, port).into());
    }
    let instead = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("{ip}:8080, with a port"),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:8080, with brackets and a port"),
        Err(_) if text.contains("://") => "it without a scheme, as 0.0.0.0:8080".to_owned(),
        Err(_) if text.starts_with("localhost") => "127.0.0.1 for localhost".to_owned(),
        Err(_) => "an IP address of this machine and a port, as 0.0.0.0:8080".to_owned(),
    };
    Err(format!("{} is no address to listen on; write {instead}", shown(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_is_named_by_a_url_or_by_host_and_port() {
        for (text, shown) in [
            ("http://10.0.0.1:13000", "10.0.0.1:13000"),
            ("HTTP://App-1.Example/", "app-1.example:80"),
            ("app_1:13000", "app_1:13000"),
            ("http://[2001:DB8::1]:81", "[2001:db8::1]:81"),
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("app.internal.:80", "app.internal.:80"),
        ] {
            let address = node_address(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_names_no_node_says_what_to_write() {
        let long = format!("{}.example:80", "x".repeat(64));
        for (text, says) in [
            ("", "is empty"),
            ("http://user:hunter2@h:1", "write http://HOST:PORT alone"),
            ("https://h:1", "not supported yet, write http://"),
            ("ftp://h:1", "another scheme than http"),
            ("http://h:1/app", "app.public_path"),
            ("http://h:1?x", "path or query"),
            ("h", "http://h for port 80"),
            ("10.0.0.1", "write 10.0.0.1:PORT"),
            ("http://h:", "no port from 1 to 65535"),
            ("http://h:0", "no port from 1 to 65535"),
            ("http://h:65536", "no port from 1 to 65535"),
            ("http://h:+80", "no port from 1 to 65535"),
            ("::1:80", "[::1]:13000"),
            ("http://[fe80::1%eth0]:80", "names a zone"),
            ("http://0.0.0.0:80", "no address that can be connected to"),
            ("http://[::]:80", "no address that can be connected to"),
            ("http://224.0.0.1:80", "no address that can be connected to"),
            ("10.0.0.300:80", "no IP address and no host name"),
            ("http://[::1", "no IP address and no host name"),
            ("http://[::1]80", "no IP address and no host name"),
            ("http://:80", "no IP address and no host name"),
            ("http://a b:80", "no IP address and no host name"),
            ("http://-a:80", "no IP address and no host name"),
            ("http://a..b:80", "no IP address and no host name"),
            ("http://höst:80", "no IP address and no host name"),
            (&long, "no IP address and no host name"),
        ] {
            let error = node_address(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_address_to_listen_on_may_be_a_port_alone() {
        for (text, address) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("8080", "0.0.0.0:8080"),
            ("[::]:443", "[::]:443"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            let read = listen_address(text).map(|address| address.to_string());
            assert_eq!(read.as_deref(), Ok(address), "{text}");
        }
        for (text, says) in [
            ("", "as 0.0.0.0:8080"),
            ("70000", "port beyond 65535"),
            ("10.0.0.1", "write 10.0.0.1:8080"),
            ("::1", "write [::1]:8080"),
            ("localhost:80", "127.0.0.1 for localhost"),
            ("http://0.0.0.0:80", "without a scheme"),
            ("example.org:80", "an IP address of this machine"),
        ] {
            let error = listen_address(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic_and_an_address_reads_back(text in ".{0,40}") {
            let _ = listen_address(&text);
            if let Ok(address) = node_address(&text) {
                prop_assert_eq!(node_address(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn every_socket_address_reads_back(address: SocketAddr) {
            prop_assert!(listen_address(&address.to_string()).is_ok());
        }
    }
}
