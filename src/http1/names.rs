//! The header names that the gateway acts on, told apart once, when a line is read.

/// A name that something here asks for, or that never passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Name {
    Accept,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Date,
    Expect,
    Expires,
    Forwarded,
    Host,
    KeepAlive,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    SecFetchMode,
    Te,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

/// What a line is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Known(Name),
    /// Of the X-Forwarded family, and none of those known.
    Forwarded,
    /// A name that frames a message or tells its origin, with `_` for `-`. What stands behind us may
    /// read both as one (CGI does), and we have checked only one of them (pingora#674).
    Disguised,
    Other,
}

/// A set of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u32);

impl Names {
    pub const fn of(names: &[Name]) -> Self {
        let mut set = 0;
        let mut rest = names;
        while let [name, more @ ..] = rest {
            set |= 1 << *name as u8;
            rest = more;
        }
        Self(set)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn contains(self, name: Name) -> bool {
        self.0 & (1 << name as u8) != 0
    }
}

impl Name {
    /// As it is written where we write it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::CacheControl => "cache-control",
            Self::Connection => "connection",
            Self::ContentLength => "content-length",
            Self::ContentType => "content-type",
            Self::Date => "date",
            Self::Expect => "expect",
            Self::Expires => "expires",
            Self::Forwarded => "forwarded",
            Self::Host => "host",
            Self::KeepAlive => "keep-alive",
            Self::ProxyAuthenticate => "proxy-authenticate",
            Self::ProxyAuthorization => "proxy-authorization",
            Self::ProxyConnection => "proxy-connection",
            Self::SecFetchMode => "sec-fetch-mode",
            Self::Te => "te",
            Self::TransferEncoding => "transfer-encoding",
            Self::Upgrade => "upgrade",
            Self::UserAgent => "user-agent",
            Self::XForwardedFor => "x-forwarded-for",
            Self::XForwardedHost => "x-forwarded-host",
            Self::XForwardedProto => "x-forwarded-proto",
            Self::XRealIp => "x-real-ip",
            Self::XRequestId => "x-request-id",
        }
    }
}

const FORWARDED: &[u8] = b"x-forwarded-";

impl Kind {
    /// Of a name as it came, in whatever case (RFC 9110 section 5.1).
    pub fn of(name: &[u8]) -> Self {
        let candidates: &[Name] = match name.len() {
            2 => &[Name::Te],
            4 => &[Name::Host, Name::Date],
            6 => &[Name::Accept, Name::Expect],
            7 => &[Name::Upgrade, Name::Expires],
            9 => &[Name::Forwarded, Name::XRealIp],
            10 => &[Name::Connection, Name::UserAgent, Name::KeepAlive],
            12 => &[Name::ContentType, Name::XRequestId],
            13 => &[Name::CacheControl],
            14 => &[Name::ContentLength, Name::SecFetchMode],
            15 => &[Name::XForwardedFor],
            16 => &[Name::XForwardedHost, Name::ProxyConnection],
            17 => &[Name::TransferEncoding, Name::XForwardedProto],
            18 => &[Name::ProxyAuthenticate],
            19 => &[Name::ProxyAuthorization],
            _ => &[],
        };
        if let Some(known) = candidates.iter().find(|known| is(name, known.text())) {
            return Self::Known(*known);
        }
        match is_forwarded(name) {
            true => Self::Forwarded,
            false if is_disguised(name) => Self::Disguised,
            false => Self::Other,
        }
    }
}

fn is_forwarded(name: &[u8]) -> bool {
    let begin = name.get(..FORWARDED.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(FORWARDED))
}

fn is_disguised(name: &[u8]) -> bool {
    // Of those without a `-` nothing can be disguised so.
    const MEANT: [Name; 4] =
        [Name::ContentLength, Name::TransferEncoding, Name::XRealIp, Name::XRequestId];
    // Asked of most lines: the length tells nearly all of them apart.
    let may_be_forwarded =
        FORWARDED.len() <= name.len() && matches!(name.first(), Some(b'x' | b'X'));
    let may_be = may_be_forwarded || MEANT.iter().any(|known| known.text().len() == name.len());
    if !may_be || !name.contains(&b'_') {
        return false;
    }
    let plain: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    MEANT.iter().any(|known| is(&plain, known.text())) || is_forwarded(&plain)
}

/// Is `name`, as it was sent, that of `known`, which is in small letters?
pub fn is(name: &[u8], known: &str) -> bool {
    let known = known.as_bytes();
    // Most that are not differ in their first letter.
    name.len() == known.len()
        && name.first().map(|first| first | 0x20) == known.first().copied()
        && name.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Name; 24] = [
        Name::Accept,
        Name::CacheControl,
        Name::Connection,
        Name::ContentLength,
        Name::ContentType,
        Name::Date,
        Name::Expect,
        Name::Expires,
        Name::Forwarded,
        Name::Host,
        Name::KeepAlive,
        Name::ProxyAuthenticate,
        Name::ProxyAuthorization,
        Name::ProxyConnection,
        Name::SecFetchMode,
        Name::Te,
        Name::TransferEncoding,
        Name::Upgrade,
        Name::UserAgent,
        Name::XForwardedFor,
        Name::XForwardedHost,
        Name::XForwardedProto,
        Name::XRealIp,
        Name::XRequestId,
    ];

    #[test]
    fn every_name_is_known_in_every_case() {
        for (k, name) in ALL.into_iter().enumerate() {
            assert_eq!(name as usize, k, "one is missing in the list");
            let text = name.text();
            assert_eq!(Kind::of(text.as_bytes()), Kind::Known(name), "{text}");
            assert_eq!(Kind::of(text.to_uppercase().as_bytes()), Kind::Known(name), "{text}");
            assert!(Names::of(&[name]).contains(name));
        }
    }

    #[test]
    fn what_is_not_known_is_told_by_its_family() {
        for (text, kind) in [
            ("x-forwarded-port", Kind::Forwarded),
            ("X-FORWARDED-", Kind::Forwarded),
            ("X_Forwarded-For", Kind::Disguised),
            ("content_length", Kind::Disguised),
            ("Transfer_Encoding", Kind::Disguised),
            ("x-real_ip", Kind::Disguised),
            ("x_request_id", Kind::Disguised),
            ("x-forwarded", Kind::Other),
            ("my_header", Kind::Other),
            ("hosts", Kind::Other),
            ("iost", Kind::Other),
            ("\u{48}ost", Kind::Known(Name::Host)),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Names::of(&[Name::Te, Name::Host]).and(Names::of(&[Name::Expect]));
        let held: Vec<Name> = ALL.into_iter().filter(|name| set.contains(*name)).collect();
        assert_eq!(held, [Name::Expect, Name::Host, Name::Te]);
    }
}
