//! The body and the headers of a change as they arrive: what is known, given once and of its kind.

use std::fmt;

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::problem::Fault;
use crate::engine::Why;
use crate::model::limits::{IDEMPOTENCY_KEY_BYTES_MAX, WHY_BYTES_MAX};
use crate::model::{NodeId, Revision};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `None` where it was not given.
pub(super) type Checked<T> = Result<Option<T>, Fault>;

/// Keeps a fault beside the others, so that every fault is told at once.
pub(super) fn none<T>(fault: Fault, faults: &mut Vec<Fault>) -> Option<T> {
    faults.push(fault);
    None
}

/// The revision that the caller saw: a strong tag as `status` gives it, quoted or not. `*` asks
/// for nothing.
pub(super) fn if_match(headers: &HeaderMap) -> Checked<Revision> {
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

pub(super) fn idempotency_key(headers: &HeaderMap) -> Checked<String> {
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
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Faults of the fields' names are kept; `None` where it is no JSON object at all.
    pub(super) fn read(body: &[u8], known: &[&str], faults: &mut Vec<Fault>) -> Option<Self> {
        match serde_json::from_slice::<Self>(body) {
            Ok(fields) => {
                fields.only_known_and_single(known, faults);
                Some(fields)
            }
            Err(error) => {
                none(Fault::new("", format!("the body is no JSON object: {error}")), faults)
            }
        }
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        // `null` is how some clients write "not given".
        let found = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        found.filter(|value| !value.is_null())
    }

    fn only_known_and_single(&self, known: &[&str], faults: &mut Vec<Fault>) {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let short: String = name.chars().take(64).collect();
                let detail = match known {
                    [] => "unknown field; this resource takes none".to_owned(),
                    _ => format!("unknown field; known are {}", known.join(", ")),
                };
                faults.push(Fault::new(&short, detail));
            } else if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                faults.push(Fault::new(name, "given more than once"));
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> Checked<&str> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::new(name, "must be a text")),
        }
    }

    pub(super) fn node(&self, name: &str) -> Checked<NodeId> {
        let node = self.text(name)?.map(str::parse).transpose();
        node.map_err(|error: <NodeId as std::str::FromStr>::Err| {
            Fault::new(name, error.to_string())
        })
    }

    pub(super) fn flag(&self, name: &str) -> Checked<bool> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Fault::new(name, "must be true or false")),
        }
    }

    pub(super) fn why(&self) -> Checked<Why> {
        let Some(text) = self.text("why")? else { return Ok(None) };
        Why::new(text).map(Some).ok_or_else(|| {
            let detail = format!("must be 1 to {WHY_BYTES_MAX} bytes without control characters");
            Fault::new("why", detail)
        })
    }

    /// The same command written another way (order, white space) has the same digest. `to` is the
    /// method and the path that it was sent to.
    pub(super) fn digest(&self, to: &str) -> String {
        let mut members: Vec<&(String, Value)> = self.0.iter().collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let mut hash = Sha256::new();
        hash.update(to);
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
