//! Responses, written as Node.js writes them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use jiff::SignedDuration;

use super::head::{Head, Refusal};

/// Who states the body's length: it decides what HEAD and HTTP/1.0 see of it, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The application, among its own headers.
    Given,
    /// Node.js, last, and only where it needs it.
    Implied,
}

/// What the connection does after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive { timeout_s: u64 },
    Close,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) body: Bytes,
    pub(super) length: Length,
}

impl Reply {
    /// An answer of the API (koa).
    pub(super) fn api(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![
            ("X-Request-Id", request_id().into()),
            ("Vary", "Origin".into()),
            ("Content-Type", kind.into()),
        ];
        Self { status, headers, body: body.into(), length: Length::Given }
    }

    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::api(status, "application/json; charset=utf-8", value.to_string())
    }

    /// An answer of the gate in front of the application, which writes `maintaining` by itself.
    pub(super) fn gate(status: u16, body: String) -> Self {
        let headers = vec![
            ("X-Request-Id", request_id().into()),
            ("Content-Type", "application/json".into()),
        ];
        Self { status, headers, body: body.into(), length: Length::Implied }
    }

    /// An answer without a header of its own.
    pub(super) fn bare(body: &'static str) -> Self {
        let body = Bytes::from_static(body.as_bytes());
        Self { status: 200, headers: Vec::new(), body, length: Length::Implied }
    }

    /// A file of the shell.
    pub(super) fn file(name: &str, kind: &'static str, body: Bytes) -> Self {
        let headers = vec![
            ("Content-Disposition", format!("inline; filename=\"{name}\"").into()),
            ("Accept-Ranges", "bytes".into()),
            ("Last-Modified", "Sun, 22 Nov 2026 10:29:33 GMT".into()),
            ("Content-Type", kind.into()),
            ("Vary", "Accept-Encoding".into()),
        ];
        Self { status: 200, headers, body, length: Length::Given }
    }

    /// Writes the head, and the body where the method has one.
    pub(super) fn write(&self, out: &mut Vec<u8>, head: &Head, after: After) {
        let bodiless = matches!(self.status, 204 | 304);
        start(out, self.status);
        if self.length == Length::Given && !bodiless {
            field(out, "Content-Length", itoa::Buffer::new().format(self.body.len()));
        }
        for (name, value) in &self.headers {
            field(out, name, value);
        }
        connection(out, after);
        let shown = head.method() != "HEAD" && !bodiless;
        if self.length == Length::Implied && shown && head.minor == 1 {
            field(out, "Content-Length", itoa::Buffer::new().format(self.body.len()));
        }
        out.extend_from_slice(b"\r\n");
        if shown {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The status line.
pub(super) fn start(out: &mut Vec<u8>, status: u16) {
    let reason = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    // Writing into memory does not fail.
    let _ = write!(out, "HTTP/1.1 {status} {}\r\n", reason.unwrap_or("unknown"));
}

pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The headers that Node.js itself adds.
pub(super) fn connection(out: &mut Vec<u8>, after: After) {
    date(out);
    match after {
        After::KeepAlive { timeout_s } => {
            field(out, "Connection", "keep-alive");
            let _ = write!(out, "Keep-Alive: timeout={timeout_s}\r\n");
        }
        After::Close => field(out, "Connection", "close"),
    }
}

/// What Node.js says before it closes on a client that it does not understand.
pub(super) fn refusal(out: &mut Vec<u8>, refusal: Refusal) {
    match refusal {
        Refusal::Malformed => start(out, 400),
        Refusal::HeadTooLarge => start(out, 431),
        Refusal::NoHost => {
            start(out, 400);
            field(out, "Connection", "close");
            date(out);
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
            return;
        }
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
}

/// `Date`, made once a second.
fn date(out: &mut Vec<u8>) {
    static LAST: Mutex<(i64, String)> = Mutex::new((0, String::new()));
    let second = crate::clock::now().as_millis() / 1_000;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.0 != second {
        *last = (second, http_date(second));
    }
    field(out, "Date", &last.1);
}

/// A cookie's end, a week from now.
pub(super) fn in_a_week() -> String {
    let week = SignedDuration::from_hours(7 * 24).as_secs();
    http_date(crate::clock::now().as_millis() / 1_000 + week)
}

/// RFC 9110 section 5.6.7.
fn http_date(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn request_id() -> String {
    let bits = fastrand::u128(..);
    let mut id = String::with_capacity(36);
    let part = |from: u32, count: u32| bits >> from & ((1 << count) - 1);
    let _ = write!(
        id,
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 12),
        part(48, 14) | 0x8000,
        part(0, 48)
    );
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_ids_have_the_usual_form() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        let id = request_id();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
    }
}
