//! What goes wrong on the control socket, as problem details (RFC 9457) with a stable code.

use std::str::FromStr;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::wire::{ModeDoc, ObjectionDoc};
use crate::engine::SwitchError;
use crate::model::Revision;

/// Stable names of what can go wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    NotAllowed,
    ReadTimeout,
    BodyTooLarge,
    Busy,
    CanNeverBeMet,
    TimedOut,
    Refused,
    UnknownNode,
    LostRace,
    SwitchInProgress,
    ProcedureRuns,
    NoProcedure,
    AnotherProcedure,
    AnswersNothing,
    WhyMissing,
    Superseded,
    FenceIncomplete,
    JournalDegraded,
    IdempotencyKeyReused,
    Stopping,
    Internal,
}

impl Code {
    pub const ALL: [Self; 24] = [
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAllowed,
        Self::ReadTimeout,
        Self::BodyTooLarge,
        Self::Busy,
        Self::CanNeverBeMet,
        Self::TimedOut,
        Self::Refused,
        Self::UnknownNode,
        Self::LostRace,
        Self::SwitchInProgress,
        Self::ProcedureRuns,
        Self::NoProcedure,
        Self::AnotherProcedure,
        Self::AnswersNothing,
        Self::WhyMissing,
        Self::Superseded,
        Self::FenceIncomplete,
        Self::JournalDegraded,
        Self::IdempotencyKeyReused,
        Self::Stopping,
        Self::Internal,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAllowed => "not_allowed",
            Self::ReadTimeout => "read_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::CanNeverBeMet => "can_never_be_met",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::UnknownNode => "unknown_node",
            Self::LostRace => "lost_race",
            Self::SwitchInProgress => "switch_in_progress",
            Self::ProcedureRuns => "procedure_runs",
            Self::NoProcedure => "no_procedure",
            Self::AnotherProcedure => "another_procedure",
            Self::AnswersNothing => "answers_nothing",
            Self::WhyMissing => "why_missing",
            Self::Superseded => "superseded",
            Self::FenceIncomplete => "fence_incomplete",
            Self::JournalDegraded => "journal_degraded",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Stopping => "stopping",
            Self::Internal => "internal",
        }
    }

    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::WhyMissing => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::UnknownNode => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::ReadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CanNeverBeMet
            | Self::Refused
            | Self::SwitchInProgress
            | Self::ProcedureRuns
            | Self::NoProcedure
            | Self::AnotherProcedure
            | Self::Superseded => StatusCode::CONFLICT,
            // Not 408: that says that the *request* came too slowly, and invites a silent retry.
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::LostRace => StatusCode::PRECONDITION_FAILED,
            Self::AnswersNothing => StatusCode::PRECONDITION_REQUIRED,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy | Self::JournalDegraded | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::FenceIncomplete | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not understood",
            Self::NotFound => "There is no such resource",
            Self::MethodNotAllowed => "The resource does not take this method",
            Self::NotAllowed => "The caller may not do this",
            Self::ReadTimeout => "The request came too slowly",
            Self::BodyTooLarge => "The body is too large",
            Self::Busy => "Too many connections are open",
            Self::CanNeverBeMet => "The condition can never be met",
            Self::TimedOut => "The condition was not met in time",
            Self::Refused => "The step is refused",
            Self::UnknownNode => "There is no such node",
            Self::LostRace => "Somebody was faster",
            Self::SwitchInProgress => "Another switch is still running",
            Self::ProcedureRuns => "A procedure runs",
            Self::NoProcedure => "No procedure runs",
            Self::AnotherProcedure => "Another procedure runs",
            Self::AnswersNothing => "A choice must say what it answers",
            Self::WhyMissing => "A reason is missing",
            Self::Superseded => "Another switch took over",
            Self::FenceIncomplete => "Not every worker confirmed the new routes",
            Self::JournalDegraded => "The journal cannot be written",
            Self::IdempotencyKeyReused => "The idempotency key stands for another command",
            Self::Stopping => "The gateway is stopping",
            Self::Internal => "The gateway failed",
        }
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(())
    }
}

/// Both words, since which of them may be said changes from phase to phase.
pub(super) const LEAVE_OR_GO_ON: &str = "go on with it, or leave it by `drawspan abort` or \
     `drawspan rollback`, whichever `drawspan status` offers now; `mode maintenance` pauses it";

impl From<&SwitchError> for Code {
    fn from(error: &SwitchError) -> Self {
        match error {
            SwitchError::Refused(_) => Self::Refused,
            SwitchError::UnknownNode { .. } => Self::UnknownNode,
            SwitchError::LostRace { .. } => Self::LostRace,
            SwitchError::InProgress { .. } => Self::SwitchInProgress,
            SwitchError::Superseded { .. } => Self::Superseded,
            SwitchError::FenceIncomplete { .. } => Self::FenceIncomplete,
            SwitchError::JournalDegraded { .. } => Self::JournalDegraded,
            SwitchError::ProcedureRuns { .. } => Self::ProcedureRuns,
            SwitchError::KeyReused => Self::IdempotencyKeyReused,
            SwitchError::Stopping => Self::Stopping,
        }
    }
}

/// The document (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: String,
    /// What the caller can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Every reason of a refusal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objections: Vec<ObjectionDoc>,
    /// Every fault of a request that is not understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The revision that is in force, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The mode that won, is being switched to, or is in force, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeDoc>,
    /// The phase and revision that a choice answered, where they have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<StandDoc>,
    /// Where the procedure stands instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<StandDoc>,
    /// Id of the procedure that runs, where it is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure: Option<u64>,
}

/// How far a procedure is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandDoc {
    pub phase: String,
    pub revision: u64,
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field, parameter or header; empty for the whole.
    pub at: String,
    pub detail: String,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:drawspan:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            remedy: None,
            objections: Vec::new(),
            faults: Vec::new(),
            revision: None,
            mode: None,
            given: None,
            now: None,
            procedure: None,
        }
    }

    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub fn bad_request(faults: Vec<Fault>) -> Self {
        let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
        Self { faults, ..Self::new(Code::BadRequest, texts.join("; ")) }
    }

    /// `seen` is the revision that was in force when the command came.
    pub fn from_switch(error: &SwitchError, seen: Revision) -> Self {
        let plain = Self::new(error.into(), error.to_string());
        let plain = Self { revision: Some(seen.0), ..plain };
        match error {
            SwitchError::Refused(objections) => {
                let objections: Vec<_> = objections.iter().map(ObjectionDoc::from).collect();
                let remedy = if objections.iter().all(|objection| objection.may_be_forced) {
                    "do what each objection says, or go over them with force and a reason (why)"
                } else {
                    "do what each objection says; not all of them may be forced"
                };
                Self { objections, ..plain.with_remedy(remedy) }
            }
            SwitchError::UnknownNode { .. } => plain.with_remedy("name one of these nodes"),
            SwitchError::LostRace { current, mode, .. } => {
                Self { revision: Some(current.0), mode: Some(mode.into()), ..plain }
                    .with_remedy("look at the status, and ask again from the revision it shows")
            }
            SwitchError::InProgress { target, revision } => {
                Self { revision: Some(revision.0), mode: Some(target.into()), ..plain }
                    .with_remedy(format!("wait for it (`drawspan wait {}`)", condition(target)))
            }
            SwitchError::Superseded { target, revision } => {
                Self { revision: Some(revision.0), mode: Some(target.into()), ..plain }
                    .with_remedy("look at the status and the history before asking again")
            }
            SwitchError::FenceIncomplete { revision, .. } => {
                Self { revision: Some(revision.0), ..plain }.with_remedy(
                    "the mode stands, but requests may still go the old way: look at the log, and \
                     restart the gateway if the worker stays stuck",
                )
            }
            SwitchError::JournalDegraded { .. } => plain
                .with_remedy("free space or repair the state directory; raising works meanwhile"),
            SwitchError::ProcedureRuns { .. } => plain.with_remedy(LEAVE_OR_GO_ON),
            SwitchError::KeyReused => plain.with_remedy("use a fresh key for a new command"),
            SwitchError::Stopping => plain.with_remedy("ask again once the gateway runs"),
        }
    }
}

fn condition(mode: &crate::model::Mode) -> String {
    match mode.node() {
        Some(node) => format!("mode={}:{node}", mode.kind()),
        None => format!("mode={}", mode.kind()),
    }
}

impl Fault {
    pub fn new(at: &str, detail: impl Into<String>) -> Self {
        Self { at: at.to_owned(), detail: detail.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.at, self.detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Objection;
    use crate::model::{Generation, Mode};
    use crate::procedure::{Kind, Phase};

    fn every_switch_error() -> Vec<SwitchError> {
        let node = || "n1".parse().expect("a legal id");
        let target = Mode::Single(node());
        vec![
            SwitchError::Refused(vec![Objection::TakesNoTraffic { node: node() }]),
            SwitchError::UnknownNode { node: node(), known: "n2".into() },
            SwitchError::LostRace {
                expected: Revision(1),
                current: Revision(2),
                mode: target.clone(),
            },
            SwitchError::InProgress { target: target.clone(), revision: Revision(2) },
            SwitchError::Superseded { target, revision: Revision(2) },
            SwitchError::FenceIncomplete {
                workers: vec![1],
                generation: Generation(2),
                revision: Revision(2),
            },
            SwitchError::JournalDegraded { cause: "full".into() },
            SwitchError::ProcedureRuns { id: 3, kind: Kind::Upgrade, phase: Phase::Stop },
            SwitchError::KeyReused,
            SwitchError::Stopping,
        ]
    }

    #[test]
    fn every_failure_of_a_switch_keeps_the_engine_s_code_and_tells_a_remedy() {
        for error in every_switch_error() {
            let problem = Problem::from_switch(&error, Revision(1));
            assert_eq!(problem.code, error.code());
            assert!(problem.remedy.is_some(), "{error}");
            assert!(!problem.detail.is_empty());
            assert!(problem.revision.is_some());
        }
    }

    #[test]
    fn a_code_reads_back_from_its_name() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
    }

    #[test]
    fn a_refusal_says_whether_it_may_be_forced() {
        let problem = Problem::from_switch(&every_switch_error()[0], Revision(1));
        assert!(!problem.objections[0].may_be_forced);
        assert!(problem.remedy.is_some_and(|remedy| remedy.contains("not all")));
        let soft = SwitchError::Refused(vec![Objection::NoNodeReady]);
        let problem = Problem::from_switch(&soft, Revision(1));
        assert!(problem.remedy.is_some_and(|remedy| remedy.contains("force")));
    }
}
