//! What a request asks for: the second word of its first line (RFC 9112 section 3.2).

use bytes::Bytes;
use http::Uri;
use http::uri::Authority;

use super::Malformed;

/// A request's target, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path that begins with `/`, and its query: as it stands in the head.
    Origin,
    /// `*`: the server as such.
    Asterisk,
    /// A whole URL: whose host outranks the line of that name, and its path, as above.
    Absolute { authority: Bytes, path: Bytes },
    /// A host alone, as it came: what CONNECT asks for.
    Authority(Bytes),
}

impl Target {
    /// Of the bytes between two spaces.
    ///
    /// # Errors
    /// [`Malformed::Head`]: it is no target, or one that would be read in two ways.
    pub(super) fn of(text: &[u8]) -> Result<Self, Malformed> {
        if text.first() == Some(&b'/') && text.len() == plain_length(text) {
            return Ok(Self::Origin);
        }
        Self::of_uri(text)
    }

    fn of_uri(text: &[u8]) -> Result<Self, Malformed> {
        let wrong = Malformed::Head("the target");
        if memchr::memchr(b'#', text).is_some() {
            // RFC 9112 section 3.2 has no fragment; some cut it off, some do not.
            return Err(wrong);
        }
        let uri = Uri::try_from(text).map_err(|_| wrong)?;
        let path = || match uri.path_and_query().map_or("/", |path| path.as_str()) {
            path if path.starts_with('/') => Bytes::copy_from_slice(path.as_bytes()),
            // `http://host?query` has an empty path.
            path => Bytes::from(format!("/{path}")),
        };
        let authority =
            |authority: &Authority| Bytes::copy_from_slice(authority.as_str().as_bytes());
        match (uri.scheme_str(), uri.authority()) {
            (None, None) if text == b"*" => Ok(Self::Asterisk),
            (None, None) if path().as_ref() == text => Ok(Self::Origin),
            (None, Some(alone)) if text == alone.as_str().as_bytes() => {
                Ok(Self::Authority(authority(alone)))
            }
            (Some("http" | "https"), Some(host)) => {
                Ok(Self::Absolute { authority: authority(host), path: path() })
            }
            // Of another protocol, for one.
            (None | Some(_), _) => Err(wrong),
        }
    }
}

/// How many bytes at the front are characters of a path and a query that every parser knows: nearly
/// all that ever come.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)).copied().unwrap_or_default();
    text.iter().position(|byte| !is_plain(byte)).unwrap_or(text.len())
}

/// The characters of RFC 3986 sections 3.3 and 3.4, and some that browsers send as they are.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Target, Malformed> {
        Target::of(text.as_bytes())
    }

    #[test]
    fn each_form_is_told_apart() {
        let path = |text: &'static str| Bytes::from_static(text.as_bytes());
        let url = |authority, at| Target::Absolute { authority: path(authority), path: path(at) };
        for (text, target) in [
            ("/a?b=c", Target::Origin),
            ("/a{b}\"\u{e4}", Target::Origin),
            ("*", Target::Asterisk),
            ("http://example.org:81/a?b", url("example.org:81", "/a?b")),
            ("https://example.org", url("example.org", "/")),
            ("HTTP://example.org?b", url("example.org", "/?b")),
            ("example.org:443", Target::Authority(path("example.org:443"))),
        ] {
            assert_eq!(read(text), Ok(target), "{text}");
        }
        for wrong in [
            "ftp://example.org/a",
            "://a?",
            "a/b",
            "",
            "/a#b",
            "/a`b",
            "/<a>",
            "http://",
            "//\\x y",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_and_the_whole_one_agree(text in "/[!-~]{0,12}") {
            if text.len() == plain_length(text.as_bytes()) {
                prop_assert_eq!(Target::of_uri(text.as_bytes()), Ok(Target::Origin));
            }
        }
    }
}
