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

/// A name that reading has to look at: its first bytes, as numbers that are compared at once. Zeros
/// stand behind its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed([u64; WORDS]);

/// The longest known name fits into so many words of eight bytes.
const WORDS: usize = 3;

/// Bytes of a name that are compared as numbers.
const PACKED_MAX: usize = 8 * WORDS;

impl Packed {
    /// Of a name's first bytes.
    pub(super) fn of(name: &[u8]) -> Self {
        let mut bytes = [0; PACKED_MAX];
        for (byte, from) in bytes.iter_mut().zip(name) {
            *byte = *from;
        }
        let (words, _) = bytes.as_chunks::<8>();
        let mut packed = Self::default();
        for (word, from) in packed.0.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*from);
        }
        packed
    }

    /// Of the name that begins at `begin` and ends before a colon within these words: itself and its
    /// length. `None` where the bytes are too few or the name is longer.
    #[inline]
    pub(super) fn until_colon(bytes: &[u8], begin: usize) -> Option<(Self, usize)> {
        let mut packed = Self::default();
        for (k, slot) in packed.0.iter_mut().enumerate() {
            let word = bytes.get(begin + 8 * k..)?.first_chunk::<8>()?;
            let word = u64::from_le_bytes(*word);
            let colons = marked(word ^ (ONES * 0x3A));
            if colons != 0 {
                let bits = colons.trailing_zeros() & !7;
                *slot = word & !(u64::MAX << bits);
                return Some((packed, 8 * k + bits as usize / 8));
            }
            *slot = word;
        }
        None
    }
}

const ONES: u64 = u64::MAX / 0xFF;

/// The highest bit of each byte that is 0; above the lowest of them, of others too.
const fn marked(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES * 0x80)
}

/// What a packed name is compared with.
struct Pattern {
    kind: Kind,
    words: [u64; WORDS],
    /// The bits that do not count: in which a letter differs from its capital, or behind the end.
    free: [u64; WORDS],
}

impl Pattern {
    const fn name(name: Name) -> Self {
        Self::begin(name.text().as_bytes(), Kind::Known(name))
    }

    /// Of a text in small letters.
    const fn begin(text: &[u8], kind: Kind) -> Self {
        let (mut words, mut free) = ([0; WORDS], [0; WORDS]);
        let mut at = 0;
        while at < text.len() {
            let (word, shift) = (at / 8, at % 8 * 8);
            words[word] |= (text[at] as u64) << shift;
            if text[at].is_ascii_lowercase() {
                free[word] |= 0x20 << shift;
            }
            at += 1;
        }
        Self { kind, words, free }
    }

    /// The same, whatever follows its `length` bytes.
    const fn and_more(mut self, length: usize) -> Self {
        let mut at = length;
        while at < PACKED_MAX {
            self.free[at / 8] |= 0xFF << (at % 8 * 8);
            at += 1;
        }
        self
    }

    const fn matches(&self, name: Packed) -> bool {
        let [a, b, c] = name.0;
        let other = (a ^ self.words[0]) & !self.free[0]
            | (b ^ self.words[1]) & !self.free[1]
            | (c ^ self.words[2]) & !self.free[2];
        other == 0
    }
}

/// Are there any in a name?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Underscores {
    None,
    Some,
}

const FORWARDED: &str = "x-forwarded-";

impl Kind {
    /// Of a name as it came, in whatever case (RFC 9110 section 5.1).
    pub fn of(name: &[u8]) -> Self {
        let packed = Packed::of(name);
        let underscores = if name.contains(&b'_') { Underscores::Some } else { Underscores::None };
        let known = Self::known(packed, name.len());
        known.unwrap_or_else(|| Self::other(packed, name, underscores))
    }

    /// Of a name that is known: it is a token then.
    #[inline]
    pub(super) fn known(name: Packed, length: usize) -> Option<Self> {
        use Name as N;
        macro_rules! of {
            ($($name:expr),*) => { const { &[$(Pattern::name($name)),*] } };
        }
        let candidates: &[Pattern] = match length {
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
            _ => &[],
        };
        candidates.iter().find(|known| known.matches(name)).map(|known| known.kind)
    }

    /// Of a token that is not known.
    #[inline]
    pub(super) fn other(packed: Packed, name: &[u8], underscores: Underscores) -> Self {
        const FAMILY: Pattern =
            Pattern::begin(FORWARDED.as_bytes(), Kind::Forwarded).and_more(FORWARDED.len());
        if FAMILY.matches(packed) {
            return FAMILY.kind;
        }
        match underscores {
            Underscores::Some if is_disguised(name) => Self::Disguised,
            Underscores::Some | Underscores::None => Self::Other,
        }
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

    proptest::proptest! {
        #[test]
        fn a_name_ends_at_its_colon(name in "[!-9;-~]{0,30}") {
            let line = [b"x\r\n", name.as_bytes(), b": and more than a word"].concat();
            let packed = (name.len() < PACKED_MAX).then(|| (Packed::of(name.as_bytes()), name.len()));
            proptest::prop_assert_eq!(Packed::until_colon(&line, 3), packed);
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
