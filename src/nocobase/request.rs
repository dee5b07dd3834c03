//! What kind of request this is, in NocoBase's terms.

use super::Paths;
use super::action::{self, Guard, Method, Replay};

/// The classes that notices, metrics and limits differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestClass {
    /// A navigation of a browser: HTML is wanted.
    Page,
    /// Under the API path.
    Api,
    /// A WebSocket handshake.
    WebSocket,
    /// A long-lived stream of events (`text/event-stream`, `/api/mcp`).
    EventStream,
    /// Anything else: scripts, styles, files.
    Asset,
}

impl RequestClass {
    pub const ALL: [Self; 5] =
        [Self::Page, Self::Api, Self::WebSocket, Self::EventStream, Self::Asset];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Asset => "asset",
        }
    }
}

/// The parts of a request's head that decisions are taken from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub method: Method,
    /// The request target as it came: path and query, or an absolute URI.
    pub target: &'a str,
    /// Values of the headers of these names, where they are text.
    pub accept: Option<&'a str>,
    pub upgrade: Option<&'a str>,
    pub sec_fetch_mode: Option<&'a str>,
}

/// What follows from a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    pub class: RequestClass,
    pub guard: Guard,
    /// May it be sent again after it was written? Says nothing of a body.
    pub replay: Replay,
}

impl RequestFacts {
    /// Allocates only where the path holds a percent sign.
    pub fn new(head: &RequestHead<'_>, paths: &Paths) -> Self {
        let path = path_of(head.target);
        let guard = action::guard(head.method, path, paths);
        let replay = match guard {
            Guard::Free => action::replay(head.method, path, paths),
            Guard::Guarded => Replay::OnlyUnwritten,
        };
        Self { class: class_of(head, path, paths), guard, replay }
    }
}

/// The path of a request target: without scheme and authority, query and fragment. A node cuts at
/// `#` as well, though no honest client sends one.
pub fn path_of(target: &str) -> &str {
    let target = if target.starts_with('/') { target } else { without_authority(target) };
    let end = memchr::memchr2(b'?', b'#', target.as_bytes()).unwrap_or(target.len());
    &target[..end]
}

fn without_authority(target: &str) -> &str {
    match target.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?', '#']).map_or("/", |at| &rest[at..]),
        None => target,
    }
}

fn class_of(head: &RequestHead<'_>, path: &str, paths: &Paths) -> RequestClass {
    let reads = matches!(head.method, Method::Get | Method::Head);
    let under_api = paths.under_api(path);
    if head.upgrade.is_some_and(|value| lists(value, "websocket")) {
        RequestClass::WebSocket
    } else if accepts_events(head.accept) || under_api.is_some_and(is_mcp) {
        RequestClass::EventStream
    } else if under_api.is_some() {
        RequestClass::Api
    } else if reads && is_navigation(head) {
        RequestClass::Page
    } else {
        RequestClass::Asset
    }
}

/// `rest` follows the API prefix.
fn is_mcp(rest: &str) -> bool {
    rest.strip_prefix("/mcp").is_some_and(|after| after.is_empty() || after.starts_with('/'))
}

/// Browsers that send `Sec-Fetch-Mode` say it themselves; of the others, only navigations ask for
/// HTML by name.
fn is_navigation(head: &RequestHead<'_>) -> bool {
    match head.sec_fetch_mode {
        Some(mode) => mode.trim().eq_ignore_ascii_case("navigate"),
        None => accepts(head.accept, "text/html"),
    }
}

/// Asked of every request, and true of few: a list without a hyphen is not taken apart.
fn accepts_events(accept: Option<&str>) -> bool {
    let possible = accept.is_some_and(|value| value.as_bytes().contains(&b'-'));
    possible && accepts(accept, "text/event-stream")
}

fn accepts(accept: Option<&str>, media_type: &str) -> bool {
    accept.is_some_and(|value| lists(value, media_type))
}

/// Is `item` in a comma-separated list, its parameters aside?
fn lists(value: &str, item: &str) -> bool {
    let name = |element: &str| {
        element.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(item))
    };
    value.split(',').any(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn head(target: &str) -> RequestHead<'_> {
        RequestHead {
            method: Method::Get,
            target,
            accept: Some("*/*"),
            upgrade: None,
            sec_fetch_mode: None,
        }
    }

    fn facts(head: &RequestHead<'_>) -> RequestFacts {
        RequestFacts::new(head, &Paths::default())
    }

    #[test]
    fn a_navigation_is_a_page_wherever_it_leads_but_under_the_api() {
        let browser = RequestHead { sec_fetch_mode: Some("navigate"), ..head("/admin/x?y") };
        assert_eq!(facts(&browser).class, RequestClass::Page);
        let old_browser = RequestHead { accept: Some(CHROME), ..head("/") };
        assert_eq!(facts(&old_browser).class, RequestClass::Page);
        let posted = RequestHead { method: Method::Other, ..browser };
        assert_eq!(facts(&posted).class, RequestClass::Asset);
        let fetched = RequestHead { sec_fetch_mode: Some("cors"), ..old_browser };
        assert_eq!(facts(&fetched).class, RequestClass::Asset);
        let callback = RequestHead { target: "/api/oidc:redirect?code=1", ..browser };
        assert_eq!(facts(&callback).class, RequestClass::Api);
    }

    #[test]
    fn streams_and_handshakes_are_known_by_their_headers() {
        let stream =
            RequestHead { accept: Some("application/json, text/event-stream"), ..head("/") };
        assert_eq!(facts(&stream).class, RequestClass::EventStream);
        assert_eq!(facts(&head("/api/mcp?x=1")).class, RequestClass::EventStream);
        assert_eq!(facts(&head("/api/mcpServers:list")).class, RequestClass::Api);
        let handshake = RequestHead { upgrade: Some("WebSocket"), ..head("/ws") };
        assert_eq!(facts(&handshake).class, RequestClass::WebSocket);
        let h2c = RequestHead { upgrade: Some("h2c"), ..head("/") };
        assert_eq!(facts(&h2c).class, RequestClass::Asset);
    }

    #[test]
    fn the_query_decides_nothing() {
        let facts = facts(&head("/admin?next=/api/app:restart"));
        assert_eq!((facts.guard, facts.replay), (Guard::Free, Replay::Always));
    }

    #[test]
    fn a_fragment_and_an_authority_hide_no_guarded_call() {
        for target in [
            "/api/app:restart#x",
            "/api/app:restart?#",
            "http://h/api/app:restart",
            "x://h:1/api/app:restart?y",
        ] {
            let facts = facts(&head(target));
            assert_eq!(
                (facts.guard, facts.replay),
                (Guard::Guarded, Replay::OnlyUnwritten),
                "{target}"
            );
        }
        assert_eq!(path_of("http://h?x"), "");
        assert_eq!(path_of("http://h"), "/");
        assert_eq!(path_of("*"), "*");
    }

    proptest! {
        #[test]
        fn no_head_makes_the_facts_panic(
            target in "\\PC{0,60}",
            accept in proptest::option::of("\\PC{0,30}"),
            upgrade in proptest::option::of("\\PC{0,10}"),
        ) {
            let head = RequestHead {
                method: Method::Other,
                target: &target,
                accept: accept.as_deref(),
                upgrade: upgrade.as_deref(),
                sec_fetch_mode: None,
            };
            facts(&head);
        }
    }
}
