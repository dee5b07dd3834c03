//! A procedure begun, or something said to one, as it arrives: every fault of it at once, or a
//! command.

use http::HeaderMap;

use super::answer::Outcome;
use super::fields::{Checked, Fields, idempotency_key, if_match, none};
use super::problem::{Code, Fault, Problem};
use super::query::Query;
use crate::engine::{BeginCommand, Caller, ChoiceCommand, Idempotency, PlanCommand};
use crate::model::NodeId;
use crate::procedure::{Choice, Kind, Phase};

const BEGIN_FIELDS: [&str; 6] = ["kind", "to", "first", "keep", "auto", "why"];
const OBJECTION_BYTES_MAX: usize = 128;
const VERSION_BYTES_MAX: usize = 64;

/// `POST /v1/procedures`.
pub(super) fn begin(headers: &HeaderMap, body: &[u8], by: Caller) -> Outcome<BeginCommand> {
    let mut faults = Vec::new();
    let expected = if_match(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let key = idempotency_key(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let Some(fields) = Fields::read(body, &BEGIN_FIELDS, &mut faults) else {
        return Err(Box::new(Problem::bad_request(faults)));
    };
    let plan = begun_plan(&fields, &mut faults);
    let auto = fields.flag("auto").unwrap_or_else(|fault| none(fault, &mut faults));
    let why = fields.why().unwrap_or_else(|fault| none(fault, &mut faults));
    match plan {
        Some(plan) if faults.is_empty() => Ok(BeginCommand {
            plan,
            auto: auto.unwrap_or(false),
            why,
            expected,
            idempotency: key
                .map(|key| Idempotency { key, digest: fields.digest("POST /v1/procedures") }),
            by,
        }),
        Some(_) | None => Err(Box::new(Problem::bad_request(faults))),
    }
}

fn begun_plan(fields: &Fields, faults: &mut Vec<Fault>) -> Option<PlanCommand> {
    let kind = fields.text("kind").and_then(|text| kind("kind", text));
    let kind = kind.unwrap_or_else(|fault| none(fault, faults));
    let to = fields.text("to").and_then(|text| version(kind, text));
    let to = to.unwrap_or_else(|fault| none(fault, faults));
    let first = fields.node("first").unwrap_or_else(|fault| none(fault, faults));
    let keep = fields.node("keep").unwrap_or_else(|fault| none(fault, faults));
    let kind = kind?;
    // Each has its own word for its node, so that nobody keeps a node who meant to start it first.
    let (node, other) = match kind {
        Kind::Maintenance => (keep, "first"),
        Kind::FirstStart | Kind::Upgrade => (first, "keep"),
    };
    if fields.value(other).is_some() {
        faults.push(Fault::new(other, format!("{kind} takes no {other}")));
    }
    if kind == Kind::Maintenance && fields.value("keep").is_none() {
        faults.push(Fault::new("keep", "missing: maintenance needs the node that is kept"));
    }
    Some(PlanCommand { kind, node, to })
}

/// `GET /v1/plan`.
pub(super) fn plan(query: &Query) -> Outcome<PlanCommand> {
    let mut faults = Vec::new();
    let kind = kind("procedure", query.text("procedure"));
    let kind = kind.unwrap_or_else(|fault| none(fault, &mut faults));
    let to = version(kind, query.text("to")).unwrap_or_else(|fault| none(fault, &mut faults));
    let node = query.text("node").map(str::parse::<NodeId>).transpose();
    let node =
        node.unwrap_or_else(|error| none(Fault::new("node", error.to_string()), &mut faults));
    if kind == Some(Kind::Maintenance) && query.text("node").is_none() {
        faults.push(Fault::new("node", "missing: maintenance needs the node that is kept"));
    }
    match kind {
        Some(kind) if faults.is_empty() => Ok(PlanCommand { kind, node, to }),
        Some(_) | None => Err(Box::new(Problem::bad_request(faults))),
    }
}

fn kind(at: &str, text: Option<&str>) -> Checked<Kind> {
    let expected = "must be first-start, upgrade or maintenance";
    let Some(text) = text else { return Err(Fault::new(at, format!("missing: {expected}"))) };
    text.parse().map(Some).map_err(|_| Fault::new(at, expected))
}

/// It goes into the operator's commands as an argument: nothing but a version may look like one.
fn version(kind: Option<Kind>, text: Option<&str>) -> Checked<String> {
    let Some(text) = text else { return Ok(None) };
    if let Some(kind @ (Kind::FirstStart | Kind::Maintenance)) = kind {
        return Err(Fault::new("to", format!("{kind} has no version to reach")));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !begins || VERSION_BYTES_MAX < text.len() || !text.bytes().all(legal) {
        let what = "letters, digits, `.`, `_`, `+` and `-`, as 1.9.0-beta.3";
        return Err(Fault::new("to", format!("must be 1 to {VERSION_BYTES_MAX} of {what}")));
    }
    Ok(Some(text.to_owned()))
}

/// `POST /v1/procedures/{id}/{choice}`.
pub(super) fn choice(
    (id, verb): (u64, &'static str),
    headers: &HeaderMap,
    body: &[u8],
    by: Caller,
) -> Outcome<ChoiceCommand> {
    let mut faults = Vec::new();
    let revision = if_match(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let key = idempotency_key(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    let known: &[&str] = match target(verb) {
        Some(target) => &["phase", target, "why"],
        None => &["phase", "why"],
    };
    let Some(fields) = Fields::read(body, known, &mut faults) else {
        return Err(Box::new(Problem::bad_request(faults)));
    };
    let phase = phase(&fields).unwrap_or_else(|fault| none(fault, &mut faults));
    let choice = chosen(verb, &fields).unwrap_or_else(|fault| none(fault, &mut faults));
    let why = fields.why().unwrap_or_else(|fault| none(fault, &mut faults));
    if why.is_none() && choice.as_ref().is_some_and(Choice::needs_why) && missing(&fields, "why") {
        faults.push(Fault::new("why", format!("missing: {verb} needs a reason; it is kept")));
    }
    let (Some(choice), true) = (choice, faults.is_empty()) else {
        return Err(Box::new(Problem::bad_request(faults)));
    };
    let (Some(phase), Some(revision)) = (phase, revision) else {
        let detail = "a choice names the phase (in the body) and the revision (If-Match) that it \
             answers";
        let problem = Problem::new(Code::AnswersNothing, detail);
        return Err(Box::new(problem.with_remedy("the status has both, under `procedure`")));
    };
    let digest = || fields.digest(&format!("POST /v1/procedures/{id}/{verb}"));
    Ok(ChoiceCommand {
        id: Some(id),
        choice,
        answers: Some((phase, revision)),
        why,
        idempotency: key.map(|key| Idempotency { key, digest: digest() }),
        by,
    })
}

/// `POST /v1/nodes/{node}/include`.
pub(super) fn include(
    node: &NodeId,
    headers: &HeaderMap,
    body: &[u8],
    by: Caller,
) -> Outcome<ChoiceCommand> {
    let mut faults = Vec::new();
    let key = idempotency_key(headers).unwrap_or_else(|fault| none(fault, &mut faults));
    // There is nothing that it must say.
    let body = if body.is_empty() { b"{}" } else { body };
    let Some(fields) = Fields::read(body, &["why"], &mut faults) else {
        return Err(Box::new(Problem::bad_request(faults)));
    };
    let why = fields.why().unwrap_or_else(|fault| none(fault, &mut faults));
    if !faults.is_empty() {
        return Err(Box::new(Problem::bad_request(faults)));
    }
    let digest = || fields.digest(&format!("POST /v1/nodes/{node}/include"));
    Ok(ChoiceCommand {
        id: None,
        choice: Choice::Include(node.clone()),
        answers: None,
        why,
        idempotency: key.map(|key| Idempotency { key, digest: digest() }),
        by,
    })
}

/// The field that says what the choice is about, where it needs one.
fn target(verb: &str) -> Option<&'static str> {
    match verb {
        "waive" => Some("objection"),
        "exclude" | "include" | "change-first" | "change-keep" => Some("node"),
        _ => None,
    }
}

fn missing(fields: &Fields, name: &str) -> bool {
    fields.value(name).is_none()
}

fn phase(fields: &Fields) -> Checked<Phase> {
    let phase = fields.text("phase")?.map(str::parse::<Phase>).transpose();
    phase.map_err(|error| Fault::new("phase", error.to_string()))
}

fn chosen(verb: &str, fields: &Fields) -> Checked<Choice> {
    let node = || {
        let detail = format!("missing: {verb} needs the node");
        fields.node("node")?.ok_or_else(|| Fault::new("node", detail))
    };
    Ok(Some(match verb {
        "continue" => Choice::Continue,
        "confirm" => Choice::Confirm,
        "retry" => Choice::Retry,
        "rollback" => Choice::Rollback,
        "abort" => Choice::Abort,
        "stop-again" => Choice::StopAgain,
        "adopt" => Choice::Adopt,
        "waive" => Choice::Waive(objection(fields)?),
        "exclude" => Choice::Exclude(node()?),
        "include" => Choice::Include(node()?),
        "change-first" => Choice::ChangeFirst(node()?),
        "change-keep" => Choice::ChangeKeep(node()?),
        _ => return Err(Fault::new("", format!("there is no choice {verb}"))),
    }))
}

fn objection(fields: &Fields) -> Result<String, Fault> {
    let at = "objection";
    let Some(id) = fields.text(at)? else {
        return Err(Fault::new(at, "missing: the objection's id, as no_backup or not_down:n2"));
    };
    let legal = id.bytes().all(|byte| byte.is_ascii_graphic());
    if id.is_empty() || OBJECTION_BYTES_MAX < id.len() || !legal {
        return Err(Fault::new(at, "must be an objection's id, as no_backup or not_down:n2"));
    }
    Ok(id.to_owned())
}
