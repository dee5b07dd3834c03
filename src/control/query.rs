//! The parameters of a GET: each known, each given once.

use std::str::FromStr;

use super::answer::Outcome;
use super::problem::{Fault, Problem};

/// Decoded `name=value` pairs, checked against the names that a resource knows.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Collects every unknown, doubled or badly encoded parameter into one problem.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Outcome<Self> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut faults = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                faults.push(Fault::new("", format!("`{pair}` is not percent-encoded UTF-8")));
                continue;
            };
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => "unknown parameter; this resource takes none".to_owned(),
                    _ => format!("unknown parameter; known are {}", known.join(", ")),
                };
                faults.push(Fault::new(&name, detail));
            } else if pairs.iter().any(|(other, _)| *other == name) {
                faults.push(Fault::new(&name, "given more than once"));
            } else {
                pairs.push((name, value));
            }
        }
        if faults.is_empty() {
            Ok(Self(pairs))
        } else {
            Err(Box::new(Problem::bad_request(faults)))
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of type `T`; `what` says what it should have been.
    pub fn value<T: FromStr>(&self, name: &str, what: &str) -> Outcome<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let fault = |_| Box::new(Problem::bad_request(vec![Fault::new(name, what)]));
        text.parse().map(Some).map_err(fault)
    }
}

/// Percent-decoding with `+` for a space, as forms have it.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => 16 * hex(bytes.next()?)? + hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_comes_through_encoded_or_not() {
        for raw in ["for=mode=single:n1&timeout=3s", "for=mode%3Dsingle%3an1&timeout=3s"] {
            let query = Query::parse(Some(raw), &["for", "timeout"]).expect("parses");
            assert_eq!(query.text("for"), Some("mode=single:n1"));
            assert_eq!(query.text("timeout"), Some("3s"));
        }
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let raw = "for=a&for=b&foo=1&x=%zz&y=%ff&z=%4";
        let Err(problem) = Query::parse(Some(raw), &["for"]) else { panic!("accepted") };
        assert_eq!(problem.faults.len(), 5, "{problem:?}");
    }
}
