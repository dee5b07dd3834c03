//! What NocoBase answers: the gate in front of the application, the API, the shell.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::head::Head;
use super::node::{Command, Node};
use super::reply::{self, Length, Reply};
use super::words::{self, Refresh};
use super::{Login, State};

/// A JSON body over this is refused with 413.
pub(super) const JSON_BYTES_MAX: usize = 10 * 1024 * 1024;
const API: &str = "/api/";
const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "application/javascript; charset=utf-8";
/// The one account, as NocoBase's install makes it.
const ACCOUNT: &str = "admin@nocobase.com";
const USER_NAME: &str = "nocobase";
const PASSWORD: &str = "admin123";
/// How the stand-in's tokens begin; every stand-in takes those of any other.
const TOKEN_PREFIX: &str = "stand-in-token.";
/// Size of the translations that a real node sends.
const LANG_BYTES: usize = 568_054;

/// A request whose body was read.
pub(super) struct Request<'a> {
    pub(super) head: &'a Head,
    /// At most [`JSON_BYTES_MAX`] of it.
    pub(super) body: &'a [u8],
    /// All of it.
    pub(super) body_bytes: u64,
}

pub(super) fn answer(node: &Arc<Node>, request: &Request<'_>) -> Reply {
    if let State::RefusingFront(status) = *node.state.borrow() {
        return front(status);
    }
    let head = request.head;
    let Some(rest) = head.path().strip_prefix(API) else { return shell(node, head) };
    let (application, rest) = application(head, rest);
    if let Some(name) = application.filter(|name| *name != "main") {
        return stranger(node, name);
    }
    if let Some(reply) = gate(&node.state.borrow(), head, rest) {
        return reply;
    }
    let mut reply = api(node, request, rest);
    if let Some(origin) = head.header("origin") {
        reply.headers.push(("Access-Control-Allow-Origin", origin.to_owned().into()));
        let exposed = "content-disposition,x-new-token";
        reply.headers.push(("Access-Control-Expose-Headers", exposed.into()));
    }
    reply
}

/// The front server of the official image, while nothing answers behind it.
fn front(status: u16) -> Reply {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    let title = format!("{status} {}", reason.unwrap_or_default());
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    let headers = vec![("Server", "nginx".into()), ("Content-Type", "text/html".into())];
    Reply { status, headers, body: body.into(), length: Length::Given }
}

/// The application that is meant, where one is named, and the path in it.
fn application<'a>(head: &'a Head, rest: &'a str) -> (Option<&'a str>, &'a str) {
    let named = head.header("x-app").or_else(|| head.parameter("__appName"));
    match rest.strip_prefix("__app/").and_then(|rest| rest.split_once('/')) {
        Some((name, rest)) => (named.or(Some(name)), rest),
        None => (named, rest),
    }
}

/// The first question makes NocoBase look for the application; later ones know better.
fn stranger(node: &Node, name: &str) -> Reply {
    let (status, message, code) = if node.meets_stranger(name) {
        (503, format!("application {name} is preparing, please wait patiently"), "APP_PREPARING")
    } else {
        (404, format!("application {name} not found"), "APP_NOT_FOUND")
    };
    Reply::gate(status, words::application_error(status, &message, code))
}

/// What is answered without asking the application.
fn gate(state: &State, head: &Head, rest: &str) -> Option<Reply> {
    let health = rest == "__health_check" && head.query().is_none();
    let ok = || health.then(|| Reply::bare("ok"));
    let failing = |status, message: &str| Reply::api(status, JSON, words::errors(message, None));
    match state {
        State::Running | State::Frozen | State::PortClosed | State::RefusingFront(_) => ok(),
        State::Starting { message } => {
            Some(Reply::gate(503, words::commanding_error("start", message)))
        }
        State::Commanding { name, message } => {
            Some(Reply::gate(503, words::commanding_error(name, message)))
        }
        State::DatabaseDown => {
            ok().or_else(|| Some(failing(500, "connect ECONNREFUSED 127.0.0.1:5432")))
        }
        State::ApiBroken(status) => ok().or_else(|| Some(failing(*status, "not now"))),
        State::Stopping => Some(stopping()),
    }
}

/// What in-flight and new requests get once the database connection is closed.
pub(super) fn stopping() -> Reply {
    let message =
        "ConnectionManager.getConnection was called after the connection manager was closed!";
    Reply::api(500, JSON, words::errors(message, None))
}

fn api(node: &Arc<Node>, request: &Request<'_>, rest: &str) -> Reply {
    let head = request.head;
    let preflight = head.header("access-control-request-method").is_some();
    if head.method() == "OPTIONS" && preflight {
        let headers = vec![
            ("Vary", "Origin".into()),
            ("Access-Control-Allow-Methods", "GET,HEAD,PUT,POST,DELETE,PATCH".into()),
        ];
        return Reply { status: 204, headers, body: Bytes::new(), length: Length::Given };
    }
    let is_json =
        head.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if is_json && (JSON_BYTES_MAX as u64) < request.body_bytes {
        return Reply::api(413, JSON, words::errors("request entity too large", None));
    }
    let Some((resource, action)) = rest.split_once(':') else { return not_found() };
    match (resource, action) {
        ("app", "getInfo") => Reply::api(200, JSON, app_info(node)),
        ("app", "getLang") => Reply::api(200, JSON, lang()),
        ("pm", "listEnabled") => Reply::api(200, JSON, list_enabled(node)),
        ("auth", "signIn") => sign_in(request),
        ("pm", "add" | "update" | "enable" | "disable" | "remove")
        | ("app", "restart" | "refresh") => match node.options.login {
            Login::Asked if !is_signed_in(head) => unauthenticated(),
            Login::Asked | Login::NotAsked => command(node, head, resource, action),
        },
        ("auth", "check") if is_signed_in(head) => {
            Reply::json(200, &json!({ "data": { "id": 1, "email": ACCOUNT } }))
        }
        ("auth", "check") | ("users" | "pm", "list") | ("app", "clearCache")
            if !is_signed_in(head) =>
        {
            unauthenticated()
        }
        ("users" | "pm", "list") | ("app", "clearCache") => empty_list(),
        (plugin, "list" | "get") if node.serves(plugin) => empty_list(),
        _ => not_found(),
    }
}

/// NocoBase's commands run with any method: the action stands in the path.
fn command(node: &Arc<Node>, head: &Head, resource: &str, action: &str) -> Reply {
    let options = &node.options;
    let command = if resource == "app" {
        let (time, refresh) = (options.restart_time, Refresh::NotAsked);
        Command { name: action.to_owned(), time, refresh }
    } else {
        let plugins = head.parameter("filterByTk").unwrap_or_default().split(',');
        for plugin in plugins.filter(|plugin| !plugin.is_empty()) {
            match action {
                "enable" => options.database.enable(plugin),
                "disable" | "remove" => options.database.disable(plugin),
                _ => {}
            }
        }
        let (time, refresh) = (options.enable_time, Refresh::Asked);
        Command { name: format!("pm.{action}"), time, refresh }
    };
    node.run(command);
    Reply::api(200, JSON, "{}")
}

fn app_info(node: &Node) -> String {
    let version = Value::from(node.options.database.version());
    format!(
        r#"{{"data":{{"database":{{"dialect":"postgres"}},"version":{version},"lang":"en-US","name":"main","theme":"default"}}}}"#
    )
}

fn lang() -> Bytes {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = String::from(r#"{"data":{"lang":"en-US","resources":{"client":{"#);
        let mut number = 0;
        while text.len() < LANG_BYTES - 40 {
            let _ = write!(text, r#""Text {number}":"Text {number}","#);
            number += 1;
        }
        let _ = write!(text, r#""x":""}}}}}}}}"#);
        text.into()
    })
    .clone()
}

fn list_enabled(node: &Node) -> String {
    let build = &node.options.build;
    let item = |name: String| {
        let package = format!("@nocobase/plugin-{name}");
        let url = format!("/static/plugins/{package}/dist/client/index.js?hash={build}");
        json!({ "name": name, "packageName": package, "options": null, "url": url })
    };
    let items: Vec<_> = node.options.database.enabled().into_iter().map(item).collect();
    json!({ "data": items }).to_string()
}

fn empty_list() -> Reply {
    let meta = json!({ "count": 0, "page": 1, "pageSize": 20, "totalPage": 0 });
    Reply::json(200, &json!({ "data": [], "meta": meta }))
}

fn sign_in(request: &Request<'_>) -> Reply {
    let body: Value = if request.body.is_empty() {
        Value::Null
    } else {
        match serde_json::from_slice(request.body) {
            Ok(body) => body,
            Err(error) => {
                return Reply::api(400, JSON, words::errors(&format!("{error} in JSON"), None));
            }
        }
    };
    let account = body["account"].as_str().or_else(|| body["email"].as_str());
    match account {
        None => Reply::api(400, JSON, words::errors("Please enter your username or email", None)),
        Some(ACCOUNT | USER_NAME) if body["password"] == PASSWORD => {
            let secure = request.head.header("x-forwarded-proto") == Some("https");
            signed_in(if secure { "; secure" } else { "" })
        }
        Some(_) => {
            let message = "The username/email or password is incorrect, please re-enter";
            Reply::api(401, JSON, words::errors(message, None))
        }
    }
}

fn signed_in(secure: &str) -> Reply {
    let token = format!("{TOKEN_PREFIX}{:032x}", fastrand::u128(..));
    let user =
        json!({ "id": 1, "nickname": "Super Admin", "username": USER_NAME, "email": ACCOUNT });
    let mut reply = Reply::json(200, &json!({ "data": { "user": user, "token": token } }));
    let expires = reply::in_a_week();
    for (name, value, only) in [
        ("nb_auth_token_main", token.as_str(), "; httponly"),
        ("nb_authenticator_main", "basic", "; httponly"),
        ("nb_csrf_token_main", "stand-in", ""),
        ("nb_role_main", "root", ""),
    ] {
        let rest = format!("path=/; expires={expires}; samesite=lax{secure}{only}");
        reply.headers.push(("Set-Cookie", format!("{name}={value}; {rest}").into()));
    }
    reply
}

fn is_signed_in(head: &Head) -> bool {
    let authorization =
        head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    authorization.is_some_and(is_token)
}

pub(super) fn is_token(token: &str) -> bool {
    token.starts_with(TOKEN_PREFIX)
}

fn unauthenticated() -> Reply {
    let message = "Unauthenticated. Please sign in to continue.";
    Reply::api(401, JSON, words::errors(message, Some("EMPTY_TOKEN")))
}

fn not_found() -> Reply {
    Reply::api(404, "text/plain; charset=utf-8", "Not Found")
}

/// The static files: there from the moment that the port opens, whatever the application does.
fn shell(node: &Node, head: &Head) -> Reply {
    let build = &node.options.build;
    let script = format!("index-{build}.js");
    if head.path().strip_prefix("/assets/") == Some(&script) {
        let body = format!("console.log(\"stand-in build {build}\");\n").repeat(1_000);
        return Reply::file(&script, SCRIPT, body.into());
    }
    let body = format!(
        "<!DOCTYPE html>\n<html>\n\n<head>\n  <meta charset=\"UTF-8\" />\n  \
         <title>Loading...</title>\n<link rel=\"stylesheet\" href=\"/global.css\">\
         <script type=\"module\" src=\"/assets/{script}\"></script></head>\n\n<body>\n  \
         <div id=\"root\"></div>\n</body>\n\n</html>\n"
    );
    Reply::file("index.html", HTML, body.into())
}
