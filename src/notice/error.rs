//! Errors that the gateway answers by itself: small, and silent about what stands behind it.

use http::header::{ALLOW, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};

use super::answer::{Answer, Form};
use crate::model::limits::{OWN_503_RETRY_AFTER, REQUEST_ID_BYTES_MAX};
use crate::nocobase::RequestClass;

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request was not one, or came too slowly.
    Client,
    /// The application answered badly, or not at all.
    Node,
    /// The gateway itself.
    Gateway,
}

impl Side {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::Gateway => "gateway",
        }
    }
}

/// What went wrong, and whose fault it is.
#[derive(Clone, Copy, Debug)]
pub struct OwnError<'a> {
    pub status: StatusCode,
    pub side: Side,
    /// What exactly, in words of ours: who wrote the request can mend it.
    pub reason: Option<&'a str>,
}

/// An error in the form that this class of request can read. `request_id` is shown where it is
/// harmless, so that whoever reports the error can name the request.
pub fn own_error(error: OwnError<'_>, class: RequestClass, request_id: Option<&str>) -> Answer {
    let OwnError { status, side, reason } = error;
    let (code, message) = words(status, side);
    let request_id = request_id.filter(|id| is_harmless(id));
    let form = Form::of(class);
    let body = match form {
        Form::Json => {
            let mut error = serde_json::json!({
                "message": message,
                "code": code,
                "side": side.as_str(),
            });
            if let Some(reason) = reason {
                error["reason"] = reason.into();
            }
            if let Some(id) = request_id {
                error["requestId"] = id.into();
            }
            serde_json::json!({ "errors": [error] }).to_string()
        }
        Form::Text => {
            let reason = reason.map(|reason| format!(" Reason: {reason}.")).unwrap_or_default();
            let id = request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
            format!("{} {message}{reason}{id}\n", status.as_u16())
        }
        Form::Html => html(error, message, request_id),
    };
    let answer = Answer::new(status, form, body);
    let answer = match form {
        Form::Html => answer.with(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        ),
        Form::Json | Form::Text => answer,
    };
    match status {
        StatusCode::METHOD_NOT_ALLOWED => answer
            .with(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
        StatusCode::SERVICE_UNAVAILABLE => answer.with_retry_after(OWN_503_RETRY_AFTER),
        _ => answer,
    }
}

/// A stable name for programs and a sentence for people.
fn words(status: StatusCode, side: Side) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("BAD_REQUEST", "The request could not be understood."),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("METHOD_NOT_ALLOWED", "This method is not available here.")
        }
        StatusCode::REQUEST_TIMEOUT => ("REQUEST_TIMEOUT", "The request took too long to arrive."),
        StatusCode::PAYLOAD_TOO_LARGE => ("CONTENT_TOO_LARGE", "The request is too large."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("HEAD_TOO_LARGE", "The request's headers are too large.")
        }
        StatusCode::NOT_IMPLEMENTED => ("NOT_IMPLEMENTED", "This method is not supported."),
        StatusCode::BAD_GATEWAY => {
            ("BAD_GATEWAY", "The application did not answer as it should. Please try again.")
        }
        StatusCode::GATEWAY_TIMEOUT => {
            ("GATEWAY_TIMEOUT", "The application did not answer in time. Please try again.")
        }
        StatusCode::SERVICE_UNAVAILABLE => match side {
            Side::Client | Side::Gateway => {
                ("OVERLOADED", "Too much is going on right now. Please try again.")
            }
            Side::Node => ("UNAVAILABLE", "The application cannot answer now. Please try again."),
        },
        _ => match side {
            Side::Client => ("REFUSED", "The request was refused."),
            Side::Node => ("APPLICATION_ERROR", "The application did not answer as it should."),
            Side::Gateway => ("GATEWAY_ERROR", "The gateway could not handle the request."),
        },
    }
}

fn html(error: OwnError<'_>, message: &str, request_id: Option<&str>) -> String {
    let status = error.status;
    let reason = error.reason.map(|reason| format!("<p>Reason: {reason}.</p>")).unwrap_or_default();
    let id = request_id.map(|id| format!("<p><small>Request {id}</small></p>")).unwrap_or_default();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{status}</title>\
         <style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;\
         padding:0 1.5rem}}small{{opacity:.65}}</style>\
         <main><h1>{status}</h1><p>{message}</p>{reason}{id}</main></html>\n"
    )
}

/// A client may have chosen it: no letter of it may mean anything in HTML or JSON.
fn is_harmless(id: &str) -> bool {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(&b);
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(harmless)
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, RETRY_AFTER};

    use super::*;

    const STATUSES: [u16; 9] = [400, 405, 408, 413, 431, 501, 502, 503, 504];

    fn of(status: StatusCode, side: Side) -> OwnError<'static> {
        OwnError { status, side, reason: None }
    }

    fn body(answer: &Answer) -> String {
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn every_error_of_ours_is_told_in_the_form_of_its_request() {
        for status in STATUSES {
            let status = StatusCode::from_u16(status).expect("a status");
            for class in RequestClass::ALL {
                let answer = own_error(of(status, Side::Node), class, Some("abc-1"));
                assert_eq!(answer.status, status);
                assert!(body(&answer).contains("abc-1"), "{status} {class:?}");
                let kind = answer.header(&CONTENT_TYPE).unwrap_or_default();
                assert_eq!(kind.starts_with("text/html"), class == RequestClass::Page);
            }
        }
    }

    #[test]
    fn the_api_reads_errors_in_nocobases_shape_with_the_side_that_failed() {
        let error = of(StatusCode::BAD_GATEWAY, Side::Node);
        let answer = own_error(error, RequestClass::Api, Some("r1"));
        let read: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let error = &read["errors"][0];
        assert_eq!(error["code"], "BAD_GATEWAY");
        assert_eq!(error["side"], "node");
        assert_eq!(error["requestId"], "r1");
        assert!(error["message"].is_string());
    }

    #[test]
    fn a_request_id_that_is_markup_is_left_out() {
        for id in ["<script>", "a\"b", "a\\b", "a b", "", &"x".repeat(129), "é"] {
            for class in [RequestClass::Page, RequestClass::Api, RequestClass::Asset] {
                let error = of(StatusCode::BAD_REQUEST, Side::Client);
                let with = own_error(error, class, Some(id));
                let without = own_error(error, class, None);
                assert_eq!(body(&with), body(&without), "{id}");
            }
        }
    }

    #[test]
    fn a_refused_method_hears_which_are_allowed_and_an_overload_when_to_come_again() {
        let told = |status| own_error(of(status, Side::Gateway), RequestClass::Asset, None);
        assert!(told(StatusCode::METHOD_NOT_ALLOWED).header(&ALLOW).is_some());
        assert!(told(StatusCode::SERVICE_UNAVAILABLE).header(&RETRY_AFTER).is_some());
        assert!(told(StatusCode::BAD_GATEWAY).header(&RETRY_AFTER).is_none());
    }

    #[test]
    fn whoever_wrote_a_request_that_is_refused_hears_what_is_wrong_with_it() {
        let reason = Some("a header's name");
        let error = OwnError { reason, ..of(StatusCode::BAD_REQUEST, Side::Client) };
        for class in RequestClass::ALL {
            let told = body(&own_error(error, class, None));
            assert!(told.contains("a header's name"), "{class:?}: {told}");
        }
    }
}
