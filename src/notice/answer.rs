//! An answer that is ready to be sent, and the short forms of the notice.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::http1::{Lines, Name, is};
use crate::nocobase::RequestClass;

/// Why people get the notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The bridge is raised.
    Raised,
    /// The mode routes to nodes, and none of them can answer.
    NoNode,
}

impl Why {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::NoNode => "no_node",
        }
    }
}

/// In what form a client can read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// HTML is for navigations alone: NocoBase's client shows the whole text of any other.
    pub const fn of(class: RequestClass) -> Self {
        match class {
            RequestClass::Page => Self::Html,
            RequestClass::Api | RequestClass::EventStream => Self::Json,
            RequestClass::WebSocket | RequestClass::Asset => Self::Text,
        }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Html => HeaderValue::from_static("text/html; charset=utf-8"),
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
        }
    }
}

/// A whole answer, ready to be sent; the sender adds `Date`. Clones share their body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Lines,
    pub body: Bytes,
}

impl Answer {
    pub(super) fn new(status: StatusCode, form: Form, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut headers = Lines::default();
        headers.add(Name::ContentLength, body.len().to_string().as_bytes());
        Self { status, headers, body }
            .with(CONTENT_TYPE, form.content_type())
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.add_line(name.as_str().as_bytes(), value.as_bytes());
        self
    }

    /// Whole seconds, rounded up: 0 would say "at once".
    pub(super) fn with_retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() != 0);
        self.with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// A header's value, where it is there and is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| is(other, name.as_str()))?;
        std::str::from_utf8(value).ok()
    }
}

/// NocoBase's own shape, so that its client understands.
pub(super) fn json(why: Why, retry_after: Duration, message: &str) -> Answer {
    let error = match why {
        Why::Raised => serde_json::json!({
            "status": 503,
            "maintaining": true,
            "message": message,
            "command": {"name": "upgrade"},
            "code": "APP_COMMANDING",
        }),
        Why::NoNode => serde_json::json!({
            "status": 503,
            "maintaining": false,
            "message": message,
            "code": "NO_NODE",
        }),
    };
    let body = serde_json::json!({ "error": error }).to_string();
    notice(Form::Json, retry_after, body)
}

pub(super) fn text(retry_after: Duration, message: &str) -> Answer {
    notice(Form::Text, retry_after, format!("{message}\n"))
}

pub(super) fn notice(form: Form, retry_after: Duration, body: String) -> Answer {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, form, body).with_retry_after(retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_not_at_once() {
        let after = |time| {
            let answer = notice(Form::Text, time, String::new());
            answer.header(&RETRY_AFTER).map(str::to_owned)
        };
        assert_eq!(after(Duration::ZERO).as_deref(), Some("1"));
        assert_eq!(after(Duration::from_millis(1)).as_deref(), Some("1"));
        assert_eq!(after(Duration::from_millis(1_500)).as_deref(), Some("2"));
    }
}
