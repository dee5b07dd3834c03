//! `PUT /v1/mode` as it arrives: every fault of it at once, or a command.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::answer::Outcome;
use super::duration::{parse_duration, show_duration};
use super::fields::{Checked, Fields, idempotency_key, if_match, none};
use super::problem::{Fault, Problem};
use crate::engine::{Caller, Idempotency, SwitchCommand, WaitFor};
use crate::model::limits::DRAIN_TIMEOUT_MAX;
use crate::model::{Mode, ModeKind};

const FIELDS: [&str; 6] = ["kind", "node", "drain_timeout", "wait", "force", "why"];

/// Reads a command. The content type is not looked at: `curl -d` calls everything a form.
pub fn parse(
    headers: &HeaderMap,
    body: &[u8],
    drain_timeout: Duration,
    by: Caller,
) -> Outcome<SwitchCommand> {
    let mut faults = Vec::new();
    let expected = if_match(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let key = idempotency_key(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let Some(fields) = Fields::read(body, &FIELDS, &mut faults) else {
        return Err(Box::new(Problem::bad_request(faults)));
    };
    let target = target(&fields, &mut faults);
    let timeout = fields.drain_timeout().unwrap_or_else(|fault| none(fault, &mut faults));
    let wait = fields.wait().unwrap_or_else(|fault| none(fault, &mut faults));
    let why = fields.why().unwrap_or_else(|fault| none(fault, &mut faults));
    let force = fields.flag("force").unwrap_or_else(|fault| none(fault, &mut faults));
    if force == Some(true) && why.is_none() && fields.value("why").is_none() {
        faults.push(Fault::new("why", "force needs a reason: it goes into the audit"));
    }
    match target {
        Some(target) if faults.is_empty() => Ok(SwitchCommand {
            target,
            drain_timeout: timeout.unwrap_or(drain_timeout),
            wait: wait.unwrap_or(WaitFor::Drained),
            force: if force == Some(true) { why.clone() } else { None },
            why,
            expected,
            idempotency: key.map(|key| Idempotency { key, digest: fields.digest("PUT /v1/mode") }),
            by,
            procedure: None,
        }),
        _ => Err(Box::new(Problem::bad_request(faults))),
    }
}

fn target(fields: &Fields, faults: &mut Vec<Fault>) -> Option<Mode> {
    let kind = fields.kind().unwrap_or_else(|fault| none(fault, faults));
    let node = fields.node("node").unwrap_or_else(|fault| none(fault, faults));
    let named = fields.value("node").is_some();
    match (kind?, node) {
        (ModeKind::Single, Some(node)) => Some(Mode::Single(node)),
        (ModeKind::Single, None) if named => None, // Its fault is told already.
        (ModeKind::Single, None) => {
            none(Fault::new("node", "missing: single needs the node that is kept"), faults)
        }
        (kind, _) if named => none(Fault::new("node", format!("{kind} takes no node")), faults),
        (ModeKind::Cluster, _) => Some(Mode::Cluster),
        (ModeKind::Maintenance, _) => Some(Mode::Maintenance),
    }
}

// What only `PUT /v1/mode` has.
impl Fields {
    fn kind(&self) -> Checked<ModeKind> {
        let expected = "must be cluster, single or maintenance";
        let Some(text) = self.text("kind")? else {
            return Err(Fault::new("kind", format!("missing: {expected}")));
        };
        let kind = ModeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Some).ok_or_else(|| Fault::new("kind", expected))
    }

    /// A text with a unit, or a number of seconds.
    fn drain_timeout(&self) -> Checked<Duration> {
        let at = "drain_timeout";
        let timeout = match self.value(at) {
            None => return Ok(None),
            Some(Value::String(text)) => {
                parse_duration(text).map_err(|error| Fault::new(at, error.to_string()))?
            }
            Some(Value::Number(number)) => number
                .as_f64()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or_else(|| Fault::new(at, "must be a number of seconds, 0 or more"))?,
            Some(_) => return Err(Fault::new(at, "must be a text as 30s, or a number of seconds")),
        };
        if DRAIN_TIMEOUT_MAX < timeout {
            let most = show_duration(DRAIN_TIMEOUT_MAX);
            return Err(Fault::new(at, format!("must be at most {most}")));
        }
        Ok(Some(timeout))
    }

    fn wait(&self) -> Checked<WaitFor> {
        match self.text("wait")? {
            None => Ok(None),
            Some("drained") => Ok(Some(WaitFor::Drained)),
            Some("fenced") => Ok(Some(WaitFor::Fenced)),
            Some(_) => Err(Fault::new("wait", "must be drained or fenced")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Why;
    use crate::model::Revision;
    use crate::model::limits::IDEMPOTENCY_KEY_BYTES_MAX;

    fn by() -> Caller {
        Caller { uid: 0, name: "root".into(), pid: None }
    }

    fn command(body: &str) -> Outcome<SwitchCommand> {
        parse(&HeaderMap::new(), body.as_bytes(), Duration::from_secs(30), by())
    }

    fn with(name: &'static str, value: &str) -> Outcome<SwitchCommand> {
        let mut headers = HeaderMap::new();
        headers.append(name, value.parse().expect("a header"));
        parse(&headers, br#"{"kind":"cluster"}"#, Duration::ZERO, by())
    }

    fn faults(body: &str) -> Vec<String> {
        let Err(problem) = command(body) else { panic!("accepted: {body}") };
        problem.faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_short_command_gets_the_defaults() {
        let command = command(r#"{"kind":"maintenance"}"#).expect("a command");
        assert_eq!(command.target, Mode::Maintenance);
        assert_eq!(command.drain_timeout, Duration::from_secs(30));
        assert_eq!(command.wait, WaitFor::Drained);
        assert!(command.force.is_none() && command.why.is_none() && command.expected.is_none());
    }

    #[test]
    fn a_drain_timeout_is_a_text_with_a_unit_or_a_number_of_seconds() {
        for (written, read) in [("\"2m\"", 120_000), ("1.5", 1_500), ("0", 0), ("\"7\"", 7_000)] {
            let body = format!(r#"{{"kind":"cluster","drain_timeout":{written}}}"#);
            let command = command(&body).expect("a command");
            assert_eq!(command.drain_timeout, Duration::from_millis(read), "{written}");
        }
        for wrong in ["-1", "1e300", "\"soon\"", "\"2h\"", "true", "[]"] {
            let body = format!(r#"{{"kind":"cluster","drain_timeout":{wrong}}}"#);
            assert_eq!(faults(&body).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let body = r#"{"kind":"singel","node":"N1","wait":1,"force":"yes","why":"","speed":3}"#;
        let faults = faults(body);
        for at in ["kind", "node", "wait", "force", "why", "speed"] {
            assert!(faults.iter().any(|fault| fault.starts_with(at)), "{at} in {faults:?}");
        }
    }

    #[test]
    fn single_needs_a_node_and_the_others_take_none() {
        assert!(faults(r#"{"kind":"single"}"#)[0].starts_with("node: missing"));
        assert!(faults(r#"{"kind":"cluster","node":"n1"}"#)[0].contains("takes no node"));
        let command = command(r#"{"kind":"single","node":"n1"}"#).expect("a command");
        assert_eq!(command.target.to_string(), "single n1");
    }

    #[test]
    fn force_needs_a_reason() {
        assert!(faults(r#"{"kind":"cluster","force":true}"#)[0].starts_with("why"));
        let forced = r#"{"kind":"cluster","force":true,"why":"I saw it"}"#;
        let command = command(forced).expect("a command");
        assert_eq!(command.force.as_ref().map(Why::as_str), Some("I saw it"));
    }

    #[test]
    fn a_doubled_field_is_not_decided_by_its_order() {
        let faults = faults(r#"{"kind":"maintenance","kind":"cluster"}"#);
        assert!(faults[0].contains("more than once"), "{faults:?}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "null", "[]", "\"x\"", "{", "{\"kind\":\"cluster\"} x", "\u{0}"] {
            assert_eq!(faults(body).len(), 1, "{body}");
        }
    }

    #[test]
    fn if_match_is_one_strong_revision() {
        assert_eq!(with("if-match", "\"12\"").expect("ok").expected, Some(Revision(12)));
        assert_eq!(with("if-match", "12").expect("ok").expected, Some(Revision(12)));
        assert_eq!(with("if-match", "*").expect("ok").expected, None);
        for wrong in ["W/\"12\"", "\"1\", \"2\"", "\"\"", "x", "+1", "99999999999999999999"] {
            assert!(with("if-match", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_digest_knows_the_command_and_not_its_spelling() {
        let digest = |body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", "k".parse().expect("a header"));
            let command = parse(&headers, body.as_bytes(), Duration::ZERO, by());
            command.expect("a command").idempotency.expect("a key").digest
        };
        let one = digest(r#"{"kind":"single","node":"n1"}"#);
        assert_eq!(one, digest(r#"{ "node": "n1", "kind": "single" }"#));
        assert_ne!(one, digest(r#"{"kind":"single","node":"n2"}"#));
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn a_key_is_bounded() {
        assert!(with("idempotency-key", &"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX)).is_ok());
        assert!(with("idempotency-key", &"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)).is_err());
    }
}
