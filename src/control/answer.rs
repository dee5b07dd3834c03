//! Answers as HTTP: JSON documents, problems, and their headers.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use super::problem::{Code, Problem};
use crate::model::Revision;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A problem is boxed: it is large, and most calls have none.
pub type Outcome<T> = Result<T, Box<Problem>>;

/// A document of state; the revision is its ETag.
pub fn document(revision: Revision, document: &impl Serialize) -> Response<Body> {
    tagged(json(StatusCode::OK, "application/json", document), revision)
}

/// The document of something that was made, and where it is found from now on.
pub fn created(location: &str, revision: Revision, document: &impl Serialize) -> Response<Body> {
    let mut response = json(StatusCode::CREATED, "application/json", document);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    tagged(response, revision)
}

fn tagged(mut response: Response<Body>, revision: Revision) -> Response<Body> {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

pub fn problem(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, "application/problem+json", problem);
    if problem.code == Code::Busy.as_str() || problem.code == Code::Stopping.as_str() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

pub fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let detail = format!("this resource takes {allowed}");
    let mut response = problem(&Problem::new(Code::MethodNotAllowed, detail));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub fn stream(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(
    status: StatusCode,
    content_type: &'static str,
    document: &impl Serialize,
) -> Response<Body> {
    let mut bytes = serde_json::to_vec(document)
        .expect("the wire's documents hold only strings, numbers and lists under string keys");
    bytes.push(b'\n'); // Kind to people who use curl.
    let mut response = stream(Full::new(Bytes::from(bytes)).boxed_unsync(), content_type);
    *response.status_mut() = status;
    response
}
