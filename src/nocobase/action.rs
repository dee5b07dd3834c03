//! Which call of NocoBase a path names, and what follows from it: may it be sent twice, does it
//! change what runs?
//!
//! NocoBase's router (`@nocobase/resourcer`) reads `/api/<resource>:<action>`, with an index or an
//! association around it, whatever the method; without an action the method chooses one. Sub-
//! applications put `__app/<name>` before the resource. Before it reads, it decodes percent
//! signs, and the server's front turns back slashes into slashes where a sub-application is named.
//! A front server before the node (nginx, in the official image) may merge slashes and resolve dot
//! segments as well. The two questions here err to opposite sides: *replayable* needs the one
//! plain spelling, *guarded* takes every spelling that some reader on the way could take.

use std::borrow::Cow;

use super::Paths;

/// A method, as far as decisions differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Options,
    /// Any other: writes, for all we know.
    Other,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    pub fn named(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// When an attempt that failed may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Always: the request only reads.
    Always,
    /// Only while no byte of it was written to a connection.
    OnlyUnwritten,
}

/// Does the call change what a node runs, so that the other nodes must be restarted after it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    Free,
    Guarded,
}

/// Actions that only read, on every resource that has them.
const REPLAYABLE: [&str; 14] = [
    "get",
    "list",
    "getInfo",
    "getLang",
    "check",
    "listEnabled",
    "listEnabledV2",
    "listAccessible",
    "getAccessible",
    "listMeta",
    "listMine",
    "publicList",
    "getJsonSchema",
    "getProperties",
];

/// Which actions of a resource are guarded.
enum Rule {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const GUARDED: [(&str, Rule); 8] = [
    ("pm", Rule::Only(&["add", "update", "enable", "disable", "remove"])),
    ("app", Rule::Only(&["restart", "refresh"])),
    ("backups", Rule::AllBut(READS_BACKUPS)),
    ("backup", Rule::AllBut(READS_BACKUPS)),
    ("backupFiles", Rule::AllBut(READS_BACKUPS)),
    ("migrationFiles", Rule::AllBut(&["get", "list"])),
    ("migrationRules", Rule::AllBut(&["get", "list"])),
    // `listPinned` comes with every page where the multi-app plugin is on.
    ("applications", Rule::AllBut(&["get", "list", "listPinned", "memoryUsage"])),
];
const READS_BACKUPS: &[&str] = &[
    "get",
    "list",
    "status",
    "taskStatus",
    "restoreStatus",
    "appInfo",
    "download",
    "dumpableCollections",
];

/// A decoded path may hold encoded characters again (`%2570m`); readers on the way may decode once
/// each.
const DECODE_ROUNDS: usize = 3;

/// May this request be sent again after it was written? `path` is without its query.
pub fn replay(method: Method, path: &str, paths: &Paths) -> Replay {
    match method {
        Method::Get | Method::Head => {}
        Method::Options | Method::Other => return Replay::OnlyUnwritten,
    }
    if let Some(call) = under_api(path, paths) {
        return replay_of_call(call);
    }
    // Outside the API a GET fetches a page or a file; unless it is the API in another spelling.
    if is_plainly_elsewhere(path, paths) {
        return Replay::Always;
    }
    let decoded = decode(path);
    let climbs = segments(&decoded).any(|segment| segment == "..");
    if climbs || call(&decoded, paths).is_some() { Replay::OnlyUnwritten } else { Replay::Always }
}

/// `under_api`, for paths that are written exactly as the node itself expects them.
fn under_api<'a>(path: &'a str, paths: &Paths) -> Option<&'a str> {
    paths.under_api(path).map(|rest| rest.strip_prefix('/').unwrap_or(rest))
}

fn replay_of_call(call: &str) -> Replay {
    let call = match call.strip_prefix("__app/").map(|rest| rest.split_once('/')) {
        None => call,
        Some(Some((_, call))) => call,
        Some(None) => return Replay::OnlyUnwritten,
    };
    let call = call.strip_suffix('/').unwrap_or(call);
    let (name, index) = call.split_once('/').unwrap_or((call, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !index.bytes().all(plain) {
        return Replay::OnlyUnwritten;
    }
    match name.split_once(':') {
        Some((resource, action)) if resource.bytes().all(plain) && REPLAYABLE.contains(&action) => {
            Replay::Always
        }
        Some(_) | None => Replay::OnlyUnwritten,
    }
}

/// Does this call change what runs? `path` is without its query. Allocates only where the path
/// holds a percent sign.
pub fn guard(method: Method, path: &str, paths: &Paths) -> Guard {
    let guarded = match plain_call(path, paths) {
        Some(segment) => is_guarded(method, segment),
        None if is_plainly_elsewhere(path, paths) => false,
        None => is_guarded_somehow(method, path, paths),
    };
    if guarded { Guard::Guarded } else { Guard::Free }
}

/// Does this path lie outside of the API for every reader? True of nearly all pages and files;
/// where it is false, the path must be taken apart.
fn is_plainly_elsewhere(path: &str, paths: &Paths) -> bool {
    let api = paths.api.trim_end_matches('/').as_bytes();
    let path = path.as_bytes();
    let begins_like_api =
        path.get(..api.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(api));
    // Segments as they are written: none is empty, begins with a dot, or hides a letter.
    let mut before = 0;
    let mut plain = |byte: &u8| match std::mem::replace(&mut before, *byte) {
        b'/' => byte.is_ascii_alphanumeric() || b":-_".contains(byte),
        _ => byte.is_ascii_alphanumeric() || b"/:-_.".contains(byte),
    };
    !begins_like_api && path.iter().all(&mut plain)
}

/// As [`call`], of a path that nobody reads in two ways: nearly all that come.
fn plain_call<'a>(path: &'a str, paths: &Paths) -> Option<&'a str> {
    let rest = under_api(path, paths)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:-_".contains(&byte);
    let segment = &rest[..memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len())];
    let named = !segment.is_empty() && !segment.eq_ignore_ascii_case("__app");
    (named && path.bytes().all(plain)).then_some(segment)
}

/// Of a path in any spelling.
fn is_guarded_somehow(method: Method, path: &str, paths: &Paths) -> bool {
    let decoded = decode(path);
    if segments(&decoded).any(|segment| segment == "..") {
        // Whether somebody on the way resolves them is unknown: any segment may be the resource.
        segments(&decoded).any(|segment| is_guarded(method, segment))
    } else {
        call(&decoded, paths).is_some_and(|segment| is_guarded(method, segment))
    }
}

/// The segment that names the resource, where the path lies under the API in any spelling.
fn call<'a>(decoded: &'a str, paths: &Paths) -> Option<&'a str> {
    let mut rest = segments(decoded);
    for prefix in segments(&paths.api) {
        if !rest.next()?.eq_ignore_ascii_case(prefix) {
            return None;
        }
    }
    let mut segment = rest.next().unwrap_or("");
    while segment.eq_ignore_ascii_case("__app") {
        segment = rest.nth(1).unwrap_or("");
    }
    Some(segment)
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr2_iter(b'/', b'\\', path.as_bytes()).chain([path.len()]);
    let mut begin = 0;
    ends.map(move |end| &path[std::mem::replace(&mut begin, end + 1)..end])
        .filter(|segment| !segment.is_empty() && *segment != ".")
}

fn is_guarded(method: Method, segment: &str) -> bool {
    let mut parts = segment.split(':');
    let resource = parts.next().unwrap_or("").trim();
    let Some((_, rule)) = GUARDED.iter().find(|(name, _)| name.eq_ignore_ascii_case(resource))
    else {
        return false;
    };
    let action = parts.next().unwrap_or("");
    if action.is_empty() {
        // In REST style the method chooses: GET lists or gets, the others write.
        return method == Method::Other;
    }
    match rule {
        Rule::AllBut(reads) => !reads.contains(&action),
        Rule::Only(actions) => {
            let end = action.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(action.len());
            actions.iter().any(|name| name.eq_ignore_ascii_case(&action[..end]))
        }
    }
}

/// Percent-decodes until nothing is left to decode, [`DECODE_ROUNDS`] times at most.
fn decode(path: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(path);
    for _ in 0..DECODE_ROUNDS {
        match decode_once(&text) {
            Some(decoded) => text = Cow::Owned(decoded),
            None => break,
        }
    }
    text
}

/// `None` where there is nothing to decode. A percent sign that begins no octet stands for itself.
fn decode_once(text: &str) -> Option<String> {
    let mut changed = false;
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        decoded.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let octet = rest.get(..2).and_then(|digits| Some(16 * hex(digits[0])? + hex(digits[1])?));
        match octet {
            Some(octet) => {
                decoded.push(octet);
                rest = &rest[2..];
                changed = true;
            }
            None => decoded.push(b'%'),
        }
    }
    if !changed {
        return None;
    }
    decoded.extend_from_slice(rest);
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard_of(method: Method, path: &str) -> Guard {
        guard(method, path, &Paths::default())
    }

    fn replay_of(path: &str) -> Replay {
        replay(Method::Get, path, &Paths::default())
    }

    // Each of these reached `app:getInfo` (with that name in place of `pm:enable`) on a real node
    // of NocoBase 2.2.15.
    const READ_BY_A_NODE: [&str; 11] = [
        "/api/pm:enable",
        "/api/pm:enable/",
        "/api/pm:enable/x",
        "/api/pm:enable:x",
        "/api/%70m:enable",
        "/api/pm:e%6Eable",
        "/api/pm:enable/..",
        "/api/__app/main/pm:enable",
        "/api/__app/main/pm:enable/",
        "/api/__app/main\\pm:enable",
        "/api\\__app\\main\\pm:enable",
    ];

    // A node answers 404 or its shell to these; a front server before it may tidy them up first.
    const READ_BEHIND_A_FRONT_SERVER: [&str; 14] = [
        "//api/pm:enable",
        "/api//pm:enable",
        "/api/./pm:enable",
        "/api/x/../pm:enable",
        "/files/../api/pm:enable",
        "/%61pi/pm:enable",
        "/a%70i/pm:enable",
        "/x%2F..%2Fapi%2Fpm:enable",
        "/api/pm%3Aenable",
        "/api%2Fpm:enable",
        "/api/%2570m:enable",
        "/API/PM:ENABLE",
        "/api/pm:enable%20",
        "/api/__app/main/__app/x/pm:enable",
    ];

    #[test]
    fn a_guarded_call_is_seen_in_every_spelling_and_with_any_method() {
        for method in [Method::Get, Method::Head, Method::Options, Method::Other] {
            for path in READ_BY_A_NODE.iter().chain(&READ_BEHIND_A_FRONT_SERVER) {
                assert_eq!(guard_of(method, path), Guard::Guarded, "{method:?} {path}");
            }
        }
    }

    #[test]
    fn every_call_that_changes_what_runs_is_guarded() {
        for call in [
            "pm:add",
            "pm:update",
            "pm:disable",
            "pm:remove",
            "app:restart",
            "app:refresh",
            "backups:restore",
            "backup:restoreUpload",
            "backupFiles:restore",
            "migrationFiles:up",
            "migrationRules:create",
            "applications:create",
            "applications:start",
        ] {
            assert_eq!(guard_of(Method::Get, &format!("/api/{call}")), Guard::Guarded, "{call}");
        }
    }

    #[test]
    fn calls_that_only_read_and_calls_of_other_resources_are_free() {
        for call in [
            "app:getInfo",
            "app:clearCache",
            "pm:list",
            "pm:listEnabled",
            "pm",
            "applications:listPinned",
            "applications",
            "backups:list",
            "users:update",
            "apps:restart",
            "candidates/1/applications:create",
            "collections/app/fields:create",
            "",
        ] {
            assert_eq!(guard_of(Method::Get, &format!("/api/{call}")), Guard::Free, "{call}");
        }
        assert_eq!(guard_of(Method::Other, "/storage/uploads/pm:enable"), Guard::Free);
        assert_eq!(guard_of(Method::Other, "/api/collections/app/fields:create"), Guard::Free);
    }

    #[test]
    fn without_an_action_the_method_decides() {
        for path in ["/api/applications", "/api/applications/a", "/api/pm/embed", "//api/pm"] {
            assert_eq!(guard_of(Method::Other, path), Guard::Guarded, "{path}");
            assert_eq!(guard_of(Method::Get, path), Guard::Free, "{path}");
        }
    }

    #[test]
    fn guards_and_replays_follow_the_configured_api_path() {
        let paths = Paths { api: "/nb/api/".into(), ..Paths::default() };
        assert_eq!(guard(Method::Get, "/nb/api/pm:enable", &paths), Guard::Guarded);
        assert_eq!(guard(Method::Get, "/api/pm:enable", &paths), Guard::Free);
        assert_eq!(replay(Method::Get, "/nb/api/users:create", &paths), Replay::OnlyUnwritten);
        assert_eq!(replay(Method::Get, "/nb/api/users:list", &paths), Replay::Always);
    }

    #[test]
    fn reading_calls_and_everything_outside_the_api_may_be_replayed() {
        for path in [
            "/",
            "/admin",
            "/assets/index-1.js",
            "/storage/uploads/a%20b.png",
            "/apis",
            "/api/app:getInfo",
            "/api/app:getInfo/",
            "/api/users:get/1",
            "/api/__app/sub/users:list",
            "/api/roles:check",
        ] {
            assert_eq!(replay_of(path), Replay::Always, "{path}");
        }
    }

    #[test]
    fn a_get_that_may_write_is_not_replayed() {
        for path in [
            "/api",
            "/api/users",
            "/api/mcp",
            "/api/users:create",
            "/api/users:list:x",
            "/api/users:create/users:list",
            "/api/users/1/roles:set",
            "/api/users:%6Cist",
            "/api/__app/users:list",
            "/api//users:list",
            "//api/users:create",
            "/API/users:create",
            "/%61pi/users:create",
            "/x/../api/users:create",
            "/api\\users:create",
        ] {
            assert_eq!(replay_of(path), Replay::OnlyUnwritten, "{path}");
        }
        for method in [Method::Options, Method::Other] {
            let replay = replay(method, "/api/users:list", &Paths::default());
            assert_eq!(replay, Replay::OnlyUnwritten);
        }
    }

    #[test]
    fn a_plain_path_is_decoded_without_a_copy() {
        for path in ["/assets/index-1.js", "/api/users:list", "/100%", "/%zz"] {
            assert!(matches!(decode(path), Cow::Borrowed(_)), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_guarded_is_never_replayed(
            path in "(/api|/API|//api|/%61pi|/api/__app/a)(/|\\\\|/\\./|/x/\\.\\./)\
                     (pm|app|backups|%70m|users)(:|%3A)(enable|restart|list|get)[/a-z:%.]{0,4}"
        ) {
            if guard_of(Method::Get, &path) == Guard::Guarded {
                prop_assert_eq!(replay_of(&path), Replay::OnlyUnwritten);
            }
        }

        #[test]
        fn the_quick_look_at_a_path_and_the_whole_one_agree(
            path in "(/|/api|/API|/nb/api|/nb)(/|[a-z:%._\\\\-]|pm:enable|/__app|/pm|/\\.\\.){0,5}",
            api in "/|/api|/nb/api",
        ) {
            let paths = Paths { api, ..Paths::default() };
            if let Some(segment) = plain_call(&path, &paths) {
                let decoded = decode(&path);
                prop_assert_eq!(call(&decoded, &paths), Some(segment));
                let whole = is_guarded_somehow(Method::Get, &path, &paths);
                prop_assert_eq!(is_guarded(Method::Get, segment), whole);
            }
            if is_plainly_elsewhere(&path, &paths) {
                let decoded = decode(&path);
                prop_assert_eq!(call(&decoded, &paths), None);
                prop_assert!(!segments(&decoded).any(|segment| segment == ".."));
            }
        }

        #[test]
        fn no_text_makes_a_decision_panic(path in "\\PC{0,80}") {
            guard_of(Method::Other, &path);
            replay_of(&path);
        }
    }
}
