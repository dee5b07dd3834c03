//! `PUT /v1/mode` as it arrives: every fault of it at once, or a command.

use std::fmt;
use std::time::Duration;

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::Outcome;
use super::duration::{parse_duration, show_duration};
use super::problem::{Fault, Problem};
use crate::engine::{Caller, Idempotency, SwitchCommand, WaitFor, Why};
use crate::model::limits::{DRAIN_TIMEOUT_MAX, IDEMPOTENCY_KEY_BYTES_MAX, WHY_BYTES_MAX};
use crate::model::{Mode, ModeKind, NodeId, Revision};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
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
    let fields = match serde_json::from_slice::<Fields>(body) {
        Ok(fields) => fields,
        Err(error) => {
            faults.push(Fault::new("", format!("the body is no JSON object: {error}")));
            return Err(Box::new(Problem::bad_request(faults)));
        }
    };
    fields.only_known_and_single(&mut faults);
    let target = target(&fields, &mut faults);
    let timeout = fields.drain_timeout().unwrap_or_else(|fault| none(fault, &mut faults));
    let wait = fields.wait().unwrap_or_else(|fault| none(fault, &mut faults));
    let why = fields.why().unwrap_or_else(|fault| none(fault, &mut faults));
    let force = fields.force().unwrap_or_else(|fault| none(fault, &mut faults));
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
            idempotency: key.map(|key| Idempotency { key, digest: fields.digest() }),
            by,
            procedure: None,
        }),
        _ => Err(Box::new(Problem::bad_request(faults))),
    }
}

fn none<T>(fault: Fault, faults: &mut Vec<Fault>) -> Option<T> {
    faults.push(fault);
    None
}

type Checked<T> = Result<Option<T>, Fault>;

fn target(fields: &Fields, faults: &mut Vec<Fault>) -> Option<Mode> {
    let kind = fields.kind().unwrap_or_else(|fault| none(fault, faults));
    let node = fields.node().unwrap_or_else(|fault| none(fault, faults));
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

/// The revision that the caller saw: a strong tag as `status` gives it, quoted or not. `*` asks
/// for nothing.
fn if_match(headers: &HeaderMap) -> Checked<Revision> {
    let Some(text) = single_header(headers, &IF_MATCH)? else { return Ok(None) };
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let digits = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
    let revision = if digits { bare.parse().ok() } else { None };
    match revision {
        Some(revision) => Ok(Some(Revision(revision))),
        None => Err(Fault::new("If-Match", "must be one revision, as the ETag of the status")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Checked<String> {
    let Some(key) = single_header(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    if key.is_empty() || IDEMPOTENCY_KEY_BYTES_MAX < key.len() {
        let detail = format!("must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
        return Err(Fault::new("Idempotency-Key", detail));
    }
    Ok(Some(key.to_owned()))
}

fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::new(name.as_str(), "given more than once"));
    }
    let text = value.to_str().map_err(|_| Fault::new(name.as_str(), "must be plain ASCII"))?;
    Ok(Some(text))
}

/// The members of a JSON object as they came, doubled ones included: the last of two `kind`s
/// must not win silently.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn value(&self, name: &str) -> Option<&Value> {
        // `null` is how some clients write "not given".
        let found = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        found.filter(|value| !value.is_null())
    }

    fn only_known_and_single(&self, faults: &mut Vec<Fault>) {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !FIELDS.contains(&name.as_str()) {
                let short: String = name.chars().take(64).collect();
                let detail = format!("unknown field; known are {}", FIELDS.join(", "));
                faults.push(Fault::new(&short, detail));
            } else if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                faults.push(Fault::new(name, "given more than once"));
            }
        }
    }

    fn text(&self, name: &str) -> Checked<&str> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::new(name, "must be a text")),
        }
    }

    fn kind(&self) -> Checked<ModeKind> {
        let expected = "must be cluster, single or maintenance";
        let Some(text) = self.text("kind")? else {
            return Err(Fault::new("kind", format!("missing: {expected}")));
        };
        let kind = ModeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Some).ok_or_else(|| Fault::new("kind", expected))
    }

    fn node(&self) -> Checked<NodeId> {
        let node = self.text("node")?.map(str::parse).transpose();
        node.map_err(|error: <NodeId as std::str::FromStr>::Err| {
            Fault::new("node", error.to_string())
        })
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

    fn force(&self) -> Checked<bool> {
        match self.value("force") {
            None => Ok(None),
            Some(Value::Bool(force)) => Ok(Some(*force)),
            Some(_) => Err(Fault::new("force", "must be true or false")),
        }
    }

    fn why(&self) -> Checked<Why> {
        let Some(text) = self.text("why")? else { return Ok(None) };
        Why::new(text).map(Some).ok_or_else(|| {
            let detail = format!("must be 1 to {WHY_BYTES_MAX} bytes without control characters");
            Fault::new("why", detail)
        })
    }

    /// The same command written another way (order, white space) has the same digest.
    fn digest(&self) -> String {
        let mut members: Vec<&(String, Value)> = self.0.iter().collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let mut hash = Sha256::new();
        hash.update(b"PUT /v1/mode");
        for (name, value) in members {
            hash.update(format!("\n{name}={value}"));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"kind\":\"maintenance\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
