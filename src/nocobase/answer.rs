//! How a node is doing, read from what it answered to a probe.
//!
//! A 200 of the health call alone means little: with the database gone it stays 200 while
//! `app:getInfo` fails. So a node is ready only where both calls answer 200.

use serde_json::Value;

use crate::model::NodeState;

/// An HTTP answer, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// The beginning of the body; whoever read it bounded it.
    pub body: Vec<u8>,
}

/// What came of one call to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    Answered(Answer),
    /// Every address refused the connection.
    Refused,
    /// No way to it: no route to its host or network.
    Unreachable(String),
    /// No connection, for a reason that may be ours (out of descriptors, a rule that forbids it).
    NotTried(String),
    TimedOut,
    /// The node's name does not resolve, for this reason.
    Unresolved(String),
    /// A connection, but no HTTP on it.
    Broken(String),
}

/// What one round of probes says about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub kind: ReadingKind,
    /// Short words for the operator.
    pub reason: String,
    pub source: Source,
    /// Is this an application in its first start? Then it was not running a moment ago.
    pub starts: bool,
}

/// A [`NodeState`] as a single reading can tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadingKind {
    Starting,
    Ready,
    Busy,
    Failing,
    Down,
}

impl ReadingKind {
    pub const ALL: [Self; 5] = [Self::Starting, Self::Ready, Self::Busy, Self::Failing, Self::Down];

    pub const fn state(self) -> NodeState {
        match self {
            Self::Starting => NodeState::Starting,
            Self::Ready => NodeState::Ready,
            Self::Busy => NodeState::Busy,
            Self::Failing => NodeState::Failing,
            Self::Down => NodeState::Down,
        }
    }
}

/// Who says so?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The application itself, in its maintenance JSON: it is believed at once.
    Node,
    /// The prober concludes it: a second look may differ.
    Probe,
}

/// Longest text of a node that goes into a reason.
const QUOTE_CHARS_MAX: usize = 160;
/// Longest asset name that counts as a build.
const BUILD_BYTES_MAX: usize = 64;

/// Judges one round: the health call and, where that answered 200, `app:getInfo`.
pub fn judge(health: &ProbeAnswer, info: Option<&ProbeAnswer>) -> Reading {
    match read(HEALTH, health) {
        Err(reading) => reading,
        Ok(()) => match info.map(|info| (read("app:getInfo", info), info)) {
            None => failing("app:getInfo was not asked".to_owned()),
            Some((Ok(()), _)) => Reading {
                kind: ReadingKind::Ready,
                reason: "health and app:getInfo answer 200".to_owned(),
                source: Source::Probe,
                starts: false,
            },
            Some((Err(reading), info)) => after_health(reading, info),
        },
    }
}

/// The health call answered 200 and `app:getInfo` did not: is it the database?
fn after_health(reading: Reading, info: &ProbeAnswer) -> Reading {
    match info {
        ProbeAnswer::Answered(Answer { status: 500.., .. })
            if reading.kind == ReadingKind::Failing =>
        {
            failing(format!("database_unreachable: {}", reading.reason))
        }
        // It answered a moment ago, so it is not down: getInfo waits for something.
        ProbeAnswer::TimedOut => failing(format!("database_unreachable: {}", reading.reason)),
        ProbeAnswer::Answered(_)
        | ProbeAnswer::Refused
        | ProbeAnswer::Unreachable(_)
        | ProbeAnswer::NotTried(_)
        | ProbeAnswer::Unresolved(_)
        | ProbeAnswer::Broken(_) => reading,
    }
}

/// `Ok` is a 200 that NocoBase may have given.
fn read(call: &str, answer: &ProbeAnswer) -> Result<(), Reading> {
    let down = |reason: String| Err(probed(ReadingKind::Down, reason));
    match answer {
        ProbeAnswer::Answered(answer) => read_answer(call, answer),
        ProbeAnswer::Refused => down("connection refused".to_owned()),
        ProbeAnswer::Unreachable(why) => down(format!("unreachable: {}", quote(why))),
        ProbeAnswer::NotTried(why) => down(format!("no connection: {}", quote(why))),
        ProbeAnswer::TimedOut => down(format!("{call} timed out")),
        ProbeAnswer::Unresolved(why) => down(format!("name does not resolve: {}", quote(why))),
        ProbeAnswer::Broken(why) => Err(failing(format!("{call}: {}", quote(why)))),
    }
}

fn read_answer(call: &str, answer: &Answer) -> Result<(), Reading> {
    let status = answer.status;
    Err(match status {
        // The static shell answers 200 to everything that is not the API.
        200 if is_page(&answer.body) => {
            failing(format!("{call} answers 200 with a page: is [app] api_path right?"))
        }
        200 => return Ok(()),
        300..=399 => {
            let to = answer.location.as_deref().unwrap_or("nowhere");
            failing(format!("{call} redirect {status} to {}", quote(to)))
        }
        502 | 504 => probed(ReadingKind::Starting, format!("{call} {status} of its front server")),
        503 => maintaining(&answer.body).unwrap_or_else(|| failing(format!("{call} 503"))),
        404 if call == HEALTH => {
            failing(format!("{call} 404: no NocoBase there, or api_path is another one"))
        }
        _ => failing(format!("{call} {status}")),
    })
}

/// How the call to `__health_check` is named in reasons.
const HEALTH: &str = "health";

/// Reads NocoBase's maintenance JSON: `{"error":{"maintaining":true,"message":...,"command":
/// {"name":...},"code":...}}`. `None` where it is something else. Whatever the command, `start` and
/// `restart` included, this is the application speaking for itself: it is *busy*.
fn maintaining(body: &[u8]) -> Option<Reading> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    if error.get("maintaining")?.as_bool() != Some(true) {
        return None;
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
    let command = text(error.get("command").and_then(|command| command.get("name")));
    let code = text(error.get("code"));
    let message = text(error.get("message"));
    let said = if message.is_empty() { &code } else { &message };
    let mut reason = "maintaining".to_owned();
    if !said.is_empty() {
        reason = format!("{reason}: {}", quote(said));
    }
    if !command.is_empty() {
        reason = format!("{reason} ({})", quote(&command));
    }
    let starts = is_starting(&command, &code);
    Some(Reading { kind: ReadingKind::Busy, reason, source: Source::Node, starts })
}

/// Without a command, the code alone tells an application that is not up yet from one that was.
fn is_starting(command: &str, code: &str) -> bool {
    match command {
        "start" => true,
        "" => matches!(
            code,
            "APP_PREPARING" | "APP_STARTING" | "APP_INITIALIZING" | "APP_INITIALIZED"
        ),
        _ => false,
    }
}

fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

fn failing(reason: String) -> Reading {
    probed(ReadingKind::Failing, reason)
}

fn probed(kind: ReadingKind, reason: String) -> Reading {
    Reading { kind, reason, source: Source::Probe, starts: false }
}

/// Text of others, fit for one line of a terminal.
fn quote(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(QUOTE_CHARS_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The build that a node runs, as its page shows it: the name of its entry script
/// (`index-<hash>.js`), which changes with the code and not with the database.
pub fn build_of(page: &[u8]) -> Option<String> {
    let marker = b"/assets/index-";
    let mut rest = page;
    while let Some(at) = rest.windows(marker.len()).position(|window| window == marker) {
        rest = &rest[at + b"/assets/".len()..];
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let name = rest.iter().take(BUILD_BYTES_MAX + 1).take_while(|byte| legal(byte)).count();
        if name <= BUILD_BYTES_MAX && rest[..name].ends_with(b".js") {
            return Some(String::from_utf8_lossy(&rest[..name]).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, body: &str) -> ProbeAnswer {
        ProbeAnswer::Answered(Answer { status, location: None, body: body.into() })
    }

    fn ok() -> ProbeAnswer {
        answered(200, "ok")
    }

    fn read_both(health: &ProbeAnswer, info: &ProbeAnswer) -> (ReadingKind, Source, String) {
        let reading = judge(health, Some(info));
        (reading.kind, reading.source, reading.reason)
    }

    const LOADING: &str = r#"{"error":{"status":503,"maintaining":true,"message":"load plugin [ai], 49/77","command":{"name":"start"},"code":"APP_COMMANDING"}}"#;
    const ENABLING: &str = r#"{"error":{"status":503,"maintaining":true,"message":"","command":{"name":"pm.enable"},"code":"APP_COMMANDING"}}"#;
    const PREPARING: &str = r#"{"error":{"status":503,"message":"application main is preparing, please wait patiently","maintaining":true,"code":"APP_PREPARING"}}"#;
    const STOPPED: &str = r#"{"error":{"status":503,"message":"application main is stopped","maintaining":true,"code":"APP_STOPPED"}}"#;

    #[test]
    fn a_node_is_ready_only_where_both_calls_answer_200() {
        let info = answered(200, r#"{"data":{"version":"2.2.15"}}"#);
        assert_eq!(judge(&ok(), Some(&info)).kind, ReadingKind::Ready);
        assert_eq!(judge(&ok(), None).kind, ReadingKind::Failing);
        assert!(
            judge(&answered(404, ""), Some(&info)).reason.starts_with("health 404: no NocoBase")
        );
        assert_eq!(judge(&ok(), Some(&answered(404, "Not Found"))).reason, "app:getInfo 404");
    }

    #[test]
    fn a_dead_database_is_named_though_health_stays_200() {
        for info in [answered(500, "{}"), answered(503, "overloaded"), ProbeAnswer::TimedOut] {
            let (kind, _, reason) = read_both(&ok(), &info);
            assert_eq!(kind, ReadingKind::Failing);
            assert!(reason.starts_with("database_unreachable: app:getInfo "), "{reason}");
        }
    }

    #[test]
    fn a_node_that_says_maintaining_is_busy_whatever_its_command() {
        for (body, reason, starts) in [
            (LOADING, "maintaining: load plugin [ai], 49/77 (start)", true),
            (ENABLING, "maintaining: APP_COMMANDING (pm.enable)", false),
            (PREPARING, "maintaining: application main is preparing, please wait patiently", true),
            (STOPPED, "maintaining: application main is stopped", false),
        ] {
            let expected = (ReadingKind::Busy, Source::Node, reason.to_owned());
            assert_eq!(read_both(&answered(503, body), &ok()), expected);
            assert_eq!(read_both(&ok(), &answered(503, body)), expected);
            assert_eq!(judge(&answered(503, body), None).starts, starts, "{body}");
        }
    }

    #[test]
    fn a_503_that_does_not_say_maintaining_is_a_failure() {
        for body in ["", "busy", "{}", r#"{"error":{"maintaining":false}}"#, r#"{"error":[1]}"#] {
            let reading = judge(&answered(503, body), None);
            assert_eq!(
                (reading.kind, reading.reason.as_str()),
                (ReadingKind::Failing, "health 503")
            );
        }
    }

    #[test]
    fn a_front_server_without_its_application_is_starting() {
        for status in [502, 504] {
            assert_eq!(judge(&answered(status, "<html>"), None).kind, ReadingKind::Starting);
            assert_eq!(
                judge(&ok(), Some(&answered(status, ""))).kind,
                ReadingKind::Starting,
                "{status}"
            );
        }
    }

    #[test]
    fn a_redirect_and_a_page_are_failures_that_say_where_they_lead() {
        let location = Some("https://login.example/".to_owned());
        let redirect = ProbeAnswer::Answered(Answer { status: 302, location, body: vec![] });
        let reading = judge(&redirect, None);
        assert_eq!(reading.kind, ReadingKind::Failing);
        assert_eq!(reading.reason, "health redirect 302 to https://login.example/");
        let page = answered(200, "\n<!DOCTYPE html>");
        assert_eq!(judge(&page, Some(&page)).kind, ReadingKind::Failing);
        assert_eq!(judge(&ok(), Some(&page)).kind, ReadingKind::Failing);
    }

    #[test]
    fn a_node_that_cannot_be_reached_is_down_and_the_reason_says_how() {
        for (answer, reason) in [
            (ProbeAnswer::Refused, "connection refused"),
            (ProbeAnswer::TimedOut, "health timed out"),
            (ProbeAnswer::Unreachable("no route to host".into()), "unreachable: no route to host"),
            (ProbeAnswer::NotTried("too many files".into()), "no connection: too many files"),
            (ProbeAnswer::Unresolved("no such name".into()), "name does not resolve: no such name"),
        ] {
            let reading = judge(&answer, None);
            assert_eq!((reading.kind, reading.reason.as_str()), (ReadingKind::Down, reason));
        }
        let broken = judge(&ProbeAnswer::Broken("invalid HTTP version".into()), None);
        assert_eq!(broken.kind, ReadingKind::Failing);
        assert_eq!(judge(&ok(), Some(&ProbeAnswer::Refused)).kind, ReadingKind::Down);
    }

    #[test]
    fn words_of_a_node_fit_on_one_line() {
        let message = format!("a\\u001b[2J\\n{}", "x".repeat(10_000));
        let body = format!(r#"{{"error":{{"maintaining":true,"message":"{message}"}}}}"#);
        let reading = judge(&answered(503, &body), None);
        assert!(reading.reason.len() < 200 && !reading.reason.contains(char::is_control));
    }

    #[test]
    fn the_build_is_the_name_of_the_entry_script_not_of_a_style_sheet() {
        let page = br#"<link href="/assets/index-560f1b6d.css"><script src="/assets/vendor-1.js">
            </script><script type="module" src="/nb/assets/index-93181bbb.js"></script>"#;
        assert_eq!(build_of(page).as_deref(), Some("index-93181bbb.js"));
        assert_eq!(build_of(b"<html></html>"), None);
        assert_eq!(build_of(b"/assets/index-"), None);
        assert_eq!(build_of(format!("/assets/index-{}.js", "a".repeat(99)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(
            status in 0u16..1000,
            body in proptest::collection::vec(any::<u8>(), 0..200),
            message in "\\PC{0,400}",
        ) {
            let raw = ProbeAnswer::Answered(Answer { status, location: Some(message.clone()), body: body.clone() });
            judge(&raw, Some(&raw));
            judge(&ok(), Some(&raw));
            let json = serde_json::json!({"error": {"maintaining": true, "message": message}});
            let reading = judge(&answered(503, &json.to_string()), None);
            prop_assert_eq!(reading.source, Source::Node);
            build_of(&body);
        }

        #[test]
        fn a_build_is_found_or_not_but_never_with_a_panic(page in "(/assets/index-[a-z.<]{0,3}){0,5}") {
            build_of(page.as_bytes());
        }
    }
}
