//! Where a message's body ends (RFC 9112 section 6.3), read strictly: a head that says two things
//! about it, or one thing in an odd way, is refused (CVE-2026-2835, RUSTSEC-2021-0020).

use http::{Method, StatusCode, Version};

use super::{Lines, Malformed, Name, ResponseHead};

/// How a body's end is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No byte belongs to this message behind its head.
    None,
    Sized(u64),
    Chunked,
    /// A response only: its connection's end is its own.
    UntilClose,
}

/// Of a request's head.
///
/// # Errors
/// [`Malformed::Framing`].
pub fn of_request(version: Version, headers: &Lines) -> Result<BodyLength, Malformed> {
    declared(version, headers).map(|declared| declared.unwrap_or(BodyLength::None))
}

/// Of the head that answers a request of `method`.
///
/// # Errors
/// [`Malformed::Framing`].
pub fn of_response(method: &Method, head: &ResponseHead) -> Result<BodyLength, Malformed> {
    let declared = declared(head.version, &head.headers)?;
    let bodiless = head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD;
    Ok(if bodiless { BodyLength::None } else { declared.unwrap_or(BodyLength::UntilClose) })
}

fn declared(version: Version, headers: &Lines) -> Result<Option<BodyLength>, Malformed> {
    let mut codings = headers.get_all(Name::TransferEncoding);
    let mut lengths = headers.get_all(Name::ContentLength);
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(Malformed::Framing("a framing header stands twice"));
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(Malformed::Framing("both Content-Length and Transfer-Encoding")),
        (Some(_), None) if version != Version::HTTP_11 => {
            Err(Malformed::Framing("Transfer-Encoding in HTTP/1.0"))
        }
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Some(BodyLength::Chunked))
        }
        (Some(_), None) => Err(Malformed::Framing("a Transfer-Encoding other than chunked")),
        (None, Some(length)) => content_length(length).map(Some),
        (None, None) => Ok(None),
    }
}

/// The value of Content-Length: digits and nothing else.
fn content_length(value: &[u8]) -> Result<BodyLength, Malformed> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).unwrap_or_default();
    match text.parse::<u64>() {
        Ok(0) if digits => Ok(BodyLength::None),
        Ok(length) if digits => Ok(BodyLength::Sized(length)),
        Ok(_) | Err(_) => Err(Malformed::Framing("a Content-Length that is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> Lines {
        let mut headers = Lines::default();
        for (name, value) in lines {
            headers.add_line(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    #[test]
    fn a_head_that_says_two_things_about_its_end_is_refused() {
        let refused: [&[(&str, &str)]; 9] = [
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "-1")],
            &[("content-length", "0x5")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "xchunked")],
        ];
        for lines in refused {
            let read = of_request(Version::HTTP_11, &map(lines));
            assert!(matches!(read, Err(Malformed::Framing(_))), "{lines:?}");
        }
        let read =
            |lines: &[(&'static str, &'static str)]| of_request(Version::HTTP_11, &map(lines));
        assert_eq!(read(&[("content-length", "5")]), Ok(BodyLength::Sized(5)));
        assert_eq!(read(&[("transfer-encoding", "Chunked")]), Ok(BodyLength::Chunked));
        assert_eq!(read(&[]), Ok(BodyLength::None));
        let old = of_request(Version::HTTP_10, &map(&[("transfer-encoding", "chunked")]));
        assert!(matches!(old, Err(Malformed::Framing(_))));
    }

    #[test]
    fn a_response_ends_by_its_status_its_question_and_its_head() {
        let read = |method: Method, status: u16, lines: &[(&'static str, &'static str)]| {
            let status = StatusCode::from_u16(status).expect("a status");
            let head = ResponseHead { version: Version::HTTP_11, status, headers: map(lines) };
            of_response(&method, &head)
        };
        let five = [("content-length", "5")];
        assert_eq!(read(Method::GET, 200, &five), Ok(BodyLength::Sized(5)));
        assert_eq!(read(Method::GET, 200, &[]), Ok(BodyLength::UntilClose));
        assert_eq!(read(Method::HEAD, 200, &five), Ok(BodyLength::None));
        assert_eq!(read(Method::GET, 304, &five), Ok(BodyLength::None));
        assert_eq!(read(Method::GET, 204, &[]), Ok(BodyLength::None));
        assert_eq!(read(Method::GET, 101, &[]), Ok(BodyLength::None));
        assert!(read(Method::HEAD, 200, &[("content-length", "x")]).is_err());
    }
}
