//! Path to answer.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::Vitals;

/// Answers one request. hyper leaves the body of an answer to HEAD out by itself.
pub(super) fn answer(vitals: &Vitals, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut refusal = error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/metrics" => metrics(vitals),
        "/live" => live(vitals),
        "/ready" => ready(vitals),
        _ => error(StatusCode::NOT_FOUND, "there are /metrics, /live and /ready"),
    }
}

fn metrics(vitals: &Vitals) -> Response<Full<Bytes>> {
    match vitals.metrics.render() {
        Ok(text) => response(
            StatusCode::OK,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            text,
        ),
        Err(cause) => {
            tracing::error!(error = %cause, "cannot write the metrics");
            error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written")
        }
    }
}

fn live(vitals: &Vitals) -> Response<Full<Bytes>> {
    let complaints = vitals.liveness.complaints();
    if complaints.is_empty() {
        return json_response(StatusCode::OK, &json!({"live": true}));
    }
    let complaint = |(cause, reason)| json!({"cause": cause, "reason": reason});
    let complaints: Vec<_> = complaints.into_iter().map(complaint).collect();
    json_response(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({"live": false, "complaints": complaints}),
    )
}

fn ready(vitals: &Vitals) -> Response<Full<Bytes>> {
    match vitals.readiness.objection() {
        None => json_response(StatusCode::OK, &json!({"ready": true})),
        Some(reason) => json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"ready": false, "reason": reason}),
        ),
    }
}

fn error(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"error": message}))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    response(status, HeaderValue::from_static("application/json"), format!("{body}\n"))
}

fn response(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let headers: [(HeaderName, HeaderValue); 2] =
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}
