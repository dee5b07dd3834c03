//! The header names that the gateway acts on, told apart once, when a line is read.

use super::lanes::{LANES, Lanes};

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

/// The longest known name fits into so many words of eight bytes.
const WORDS: usize = 3;

/// What the words of a name are compared with.
#[derive(Clone, Copy)]
struct Pattern {
    words: [u64; WORDS],
    /// The bits that count: those of its own bytes.
    counted: [u64; WORDS],
}

impl Pattern {
    /// Of a text of small letters and hyphens.
    const fn of(text: &str) -> Self {
        let text = text.as_bytes();
        let (mut words, mut counted) = ([0; WORDS], [0; WORDS]);
        let mut at = 0;
        while at < text.len() {
            assert!(text[at].is_ascii_lowercase() || text[at] == b'-', "case would not be folded");
            let (word, shift) = (at / 8, at % 8 * 8);
            words[word] |= (text[at] as u64) << shift;
            counted[word] |= 0xFF << shift;
            at += 1;
        }
        Self { words, counted }
    }

    /// Does `name` begin so?
    #[inline]
    const fn begins(&self, name: [u64; WORDS]) -> bool {
        let [a, b, c] = name;
        let other = (a ^ self.words[0]) & self.counted[0]
            | (b ^ self.words[1]) & self.counted[1]
            | (c ^ self.words[2]) & self.counted[2];
        other == 0
    }
}

const FORWARDED: &str = "x-forwarded-";

impl Kind {
    /// Of a name as it came, in whatever case (RFC 9110 section 5.1).
    pub fn of(name: &[u8]) -> Self {
        if name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-') {
            let mut front = [0; LANES];
            front.iter_mut().zip(name).for_each(|(byte, from)| *byte = *from);
            return Self::of_letters(&front, name.len());
        }
        match name.get(..FORWARDED.len()) {
            Some(front) if is(front, FORWARDED) => Self::Forwarded,
            Some(_) | None if name.contains(&b'_') && is_disguised(name) => Self::Disguised,
            Some(_) | None => Self::Other,
        }
    }

    /// Of a name of letters and hyphens, as every known name is: it is the first `length` bytes of
    /// `front`, or its beginning is all of them.
    #[inline]
    pub(super) fn of_letters(front: &Lanes, length: usize) -> Self {
        use Name as N;
        // This bit tells a letter from its capital, and a hyphen has it.
        const SMALL: u64 = u64::MAX / 0xFF * 0x20;
        let (words, _) = front.as_chunks();
        let &[a, b, c, ..] = words else { return Self::Other };
        let name = [a, b, c].map(|word| u64::from_le_bytes(word) | SMALL);
        macro_rules! of {
            ($($known:expr),+) => {
                {$(if const { Pattern::of($known.text()) }.begins(name) {
                    return Self::Known($known);
                })+}
            };
        }
        match length {
            2 => of![N::Te],
            4 => of![N::Host, N::Date],
            6 => of![N::Accept, N::Expect],
            7 => of![N::Upgrade, N::Expires],
            9 => of![N::Forwarded, N::XRealIp],
            10 => of![N::Connection, N::UserAgent, N::KeepAlive],
            12 => of![N::ContentType, N::XRequestId],
            13 => of![N::CacheControl],
            14 => of![N::ContentLength, N::SecFetchMode],
            15 => of![N::XForwardedFor],
            16 => of![N::XForwardedHost, N::ProxyConnection],
            17 => of![N::TransferEncoding, N::XForwardedProto],
            18 => of![N::ProxyAuthenticate],
            19 => of![N::ProxyAuthorization],
            _ => {}
        }
        let family = const { Pattern::of(FORWARDED) };
        if FORWARDED.len() <= length && family.begins(name) {
            return Self::Forwarded;
        }
        Self::Other
    }
}

/// Of those without a `-` nothing can be disguised so.
const MEANT: Names =
    Names::of(&[Name::ContentLength, Name::TransferEncoding, Name::XRealIp, Name::XRequestId]);

fn is_disguised(name: &[u8]) -> bool {
    let plain: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    match Kind::of(&plain) {
        Kind::Known(name) => MEANT.contains(name) || name.text().starts_with(FORWARDED),
        Kind::Forwarded => true,
        Kind::Disguised | Kind::Other => false,
    }
}

/// Is `name`, as it was sent, that of `known`, which is in small letters?
pub fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
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
            ("X-Forwarded-2", Kind::Forwarded),
            ("X-Forwarded-Client_Cert", Kind::Forwarded),
            ("X_Forwarded-For", Kind::Disguised),
            ("content_length", Kind::Disguised),
            ("Transfer_Encoding", Kind::Disguised),
            ("x-real_ip", Kind::Disguised),
            ("x_request_id", Kind::Disguised),
            ("x-forwarded", Kind::Other),
            ("my_header", Kind::Other),
            ("hosts", Kind::Other),
            ("iost", Kind::Other),
            ("hos\u{0}", Kind::Other),
            ("content\rlength", Kind::Other),
            ("x-forwarded-and-much-more-than-that", Kind::Forwarded),
            ("proxy-authorization-and-more", Kind::Other),
            ("\u{48}ost", Kind::Known(Name::Host)),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn a_name_is_known_exactly_where_it_is_equal() {
        let known = |name: &[u8]| match Kind::of(name) {
            Kind::Known(known) => Some(known),
            Kind::Forwarded | Kind::Disguised | Kind::Other => None,
        };
        for text in ALL.map(Name::text) {
            for (place, byte) in (0..=text.len()).flat_map(|at| (0..=u8::MAX).map(move |b| (at, b)))
            {
                let mut name = text.as_bytes().to_vec();
                match name.get_mut(place) {
                    Some(changed) => *changed = byte,
                    None => name.push(byte),
                }
                let equal = ALL.into_iter().find(|known| is(&name, known.text()));
                assert_eq!(known(&name), equal, "{}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Names::of(&[Name::Te, Name::Host]).and(Names::of(&[Name::Expect]));
        let held: Vec<Name> = ALL.into_iter().filter(|name| set.contains(*name)).collect();
        assert_eq!(held, [Name::Expect, Name::Host, Name::Te]);
    }
}
