//! The head of a request, kept as it came.

use std::ops::Range;

/// Node.js refuses a larger head with 431.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines; Node.js itself stops at 2,000.
const FIELDS_MAX: usize = 256;

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What stands at the front of a connection's bytes.
pub(super) enum Parsed {
    /// More bytes are needed.
    Partial,
    /// A head of this many bytes.
    Head(Box<Head>, usize),
    Refused(Refusal),
}

/// Why Node.js itself answers and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    NoHost,
    HeadTooLarge,
}

/// A request's head: the bytes, and where in them the parts lie.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Box<[u8]>,
    method: Range<usize>,
    target: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
    pub(super) minor: u8,
    pub(super) framing: Framing,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Parsed {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut slots);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => {
                return Parsed::Partial;
            }
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Parsed::Refused(Refusal::HeadTooLarge);
            }
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(httparse::Status::Complete(_)) => {
                return Parsed::Refused(Refusal::HeadTooLarge);
            }
            Err(_) => return Parsed::Refused(Refusal::Malformed),
        };
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + part.len()
        };
        let mut head = Self {
            bytes: bytes[..length].into(),
            method: place(request.method.unwrap_or_default().as_bytes()),
            target: place(request.path.unwrap_or_default().as_bytes()),
            fields: Vec::with_capacity(request.headers.len()),
            minor: request.version.unwrap_or_default(),
            framing: Framing::None,
        };
        for field in request.headers.iter() {
            head.fields.push((place(field.name.as_bytes()), place(field.value)));
        }
        match head.checked_framing() {
            Err(refusal) => Parsed::Refused(refusal),
            Ok(_) if head.minor == 1 && head.header("host").is_none() => {
                Parsed::Refused(Refusal::NoHost)
            }
            Ok(framing) => {
                head.framing = framing;
                Parsed::Head(Box::new(head), length)
            }
        }
    }

    /// A length and chunks in one head are how requests are smuggled; Node.js refuses them.
    fn checked_framing(&self) -> Result<Framing, Refusal> {
        let mut lengths = self.all("content-length");
        let codings = self.all("transfer-encoding").last();
        match (lengths.next(), lengths.next(), codings) {
            (None, None, None) => Ok(Framing::None),
            (Some(text), None, None) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Framing::Length).map_err(|_| Refusal::Malformed)
            }
            (None, None, Some(codings)) => match codings.rsplit(',').next() {
                Some(last) if last.trim().eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
                _ => Err(Refusal::Malformed),
            },
            _ => Err(Refusal::Malformed),
        }
    }

    pub(super) fn method(&self) -> &str {
        self.text(&self.method)
    }

    pub(super) fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// The path of the target, of an absolute one too.
    pub(super) fn path(&self) -> &str {
        self.origin_form().split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`.
    pub(super) fn query(&self) -> Option<&str> {
        self.origin_form().split_once('?').map(|(_, query)| query)
    }

    /// A value of the query, as it stands there.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
    }

    /// The target without a scheme and host.
    pub(super) fn origin_form(&self) -> &str {
        let target = self.target();
        match target.strip_prefix("http://").map(|rest| rest.find('/').map(|at| &rest[at..])) {
            Some(rest) => rest.unwrap_or("/"),
            None => target,
        }
    }

    /// The first header of this name (in lower case here, in any case there).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All headers, in their order and spelling.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (self.text(name), self.text(value)))
    }

    /// Whether a comma-separated header holds this word.
    pub(super) fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word)))
    }

    fn all<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        self.headers().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Bytes that are not UTF-8 are shown as nothing: no test needs them.
    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Box<Head> {
        match Head::parse(text.as_bytes()) {
            Parsed::Head(head, length) if length == text.len() => head,
            _ => panic!("no head: {text:?}"),
        }
    }

    #[test]
    fn the_parts_of_a_head_are_found_again() {
        let head = head("GET http://a/b?c=d&e=f HTTP/1.1\r\nHost: a\r\nX-One: 1, Two\r\n\r\n");
        assert_eq!((head.method(), head.path(), head.minor), ("GET", "/b", 1));
        assert_eq!((head.parameter("e"), head.parameter("x")), (Some("f"), None));
        assert_eq!(head.headers().collect::<Vec<_>>(), [("Host", "a"), ("X-One", "1, Two")]);
        assert!(head.lists("x-one", "two"));
    }

    #[test]
    fn doubtful_framing_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let parsed = Head::parse(text.as_bytes());
            assert!(matches!(parsed, Parsed::Refused(Refusal::Malformed)), "{fields}");
        }
    }
}
