//! Why nothing was begun or said, as a problem document.

use super::problem::{Code, LEAVE_OR_GO_ON, Problem, StandDoc};
use super::wire::ObjectionDoc;
use crate::engine::ProcedureError;
use crate::model::Revision;
use crate::procedure::Phase;

impl From<&ProcedureError> for Code {
    fn from(error: &ProcedureError) -> Self {
        match error {
            ProcedureError::Refused(_) | ProcedureError::Choice(_) => Self::Refused,
            ProcedureError::UnknownNode { .. } => Self::UnknownNode,
            ProcedureError::Running { .. } => Self::ProcedureRuns,
            ProcedureError::NoneRuns => Self::NoProcedure,
            ProcedureError::Another { .. } => Self::AnotherProcedure,
            ProcedureError::Stale { .. } | ProcedureError::LostRace { .. } => Self::LostRace,
            ProcedureError::SwitchRuns => Self::SwitchInProgress,
            ProcedureError::WhyMissing => Self::WhyMissing,
            ProcedureError::AnswersNothing => Self::AnswersNothing,
            ProcedureError::JournalDegraded { .. } => Self::JournalDegraded,
            ProcedureError::KeyReused => Self::IdempotencyKeyReused,
            ProcedureError::Stopping => Self::Stopping,
        }
    }
}

impl Problem {
    /// `seen` is the revision that was in force when the command came.
    pub fn from_procedure(error: &ProcedureError, seen: Revision) -> Self {
        let objections: Vec<_> = error.objections().iter().map(ObjectionDoc::from).collect();
        let revision = Some(seen.0);
        let plain = Self::new(error.into(), error.to_string()).with_remedy(remedy(error));
        let plain = Self { objections, revision, ..plain };
        match error {
            ProcedureError::Stale { phase, revision, now_phase, now } => Self {
                given: Some(stand(*phase, *revision)),
                now: Some(stand(*now_phase, *now)),
                ..plain
            },
            ProcedureError::LostRace { expected: _, current } => {
                Self { revision: Some(current.0), ..plain }
            }
            ProcedureError::Running { id, kind: _, phase: _ } => {
                Self { procedure: Some(*id), ..plain }
            }
            ProcedureError::Another { asked: _, running } => {
                Self { procedure: Some(*running), ..plain }
            }
            ProcedureError::Refused(_)
            | ProcedureError::Choice(_)
            | ProcedureError::UnknownNode { .. }
            | ProcedureError::NoneRuns
            | ProcedureError::SwitchRuns
            | ProcedureError::WhyMissing
            | ProcedureError::AnswersNothing
            | ProcedureError::JournalDegraded { .. }
            | ProcedureError::KeyReused
            | ProcedureError::Stopping => plain,
        }
    }
}

fn stand(phase: Phase, revision: Revision) -> StandDoc {
    StandDoc { phase: phase.to_string(), revision: revision.0 }
}

fn remedy(error: &ProcedureError) -> &'static str {
    match error {
        ProcedureError::Refused(_) | ProcedureError::Choice(_) => "do what each objection says",
        ProcedureError::UnknownNode { .. } => "name one of these nodes",
        ProcedureError::Running { .. } => LEAVE_OR_GO_ON,
        ProcedureError::NoneRuns => "look at the status; `drawspan begin` begins one",
        ProcedureError::Another { .. } | ProcedureError::Stale { .. } => {
            "look at the status: it may be done already, or it may mean something else now"
        }
        ProcedureError::LostRace { .. } => {
            "look at the status, and ask again from the revision it shows"
        }
        ProcedureError::SwitchRuns => "wait until the status shows no switch, and ask again",
        ProcedureError::WhyMissing => "say why: the reason is kept in the history",
        ProcedureError::AnswersNothing => {
            "send the phase in the body, and the procedure's revision as If-Match; the status has both"
        }
        ProcedureError::JournalDegraded { .. } => {
            "free space or repair the state directory; raising works meanwhile"
        }
        ProcedureError::KeyReused => "use a fresh key for a new command",
        ProcedureError::Stopping => "ask again once the gateway runs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;
    use crate::procedure::{Kind, Refused};

    fn node() -> NodeId {
        "n9".parse().expect("a legal id")
    }

    fn every_error() -> Vec<ProcedureError> {
        let (phase, now_phase) = (Phase::Stop, Phase::BackUp);
        vec![
            ProcedureError::Refused(Vec::new()),
            Refused { choice: "abort".into(), phase, objections: Vec::new() }.into(),
            ProcedureError::UnknownNode { node: node(), known: "n1".into() },
            ProcedureError::Running { id: 3, kind: Kind::Upgrade, phase },
            ProcedureError::NoneRuns,
            ProcedureError::Another { asked: 3, running: 4 },
            ProcedureError::Stale { phase, revision: Revision(5), now_phase, now: Revision(6) },
            ProcedureError::LostRace { expected: Revision(5), current: Revision(6) },
            ProcedureError::SwitchRuns,
            ProcedureError::WhyMissing,
            ProcedureError::AnswersNothing,
            ProcedureError::JournalDegraded { cause: "full".into() },
            ProcedureError::KeyReused,
            ProcedureError::Stopping,
        ]
    }

    #[test]
    fn every_refusal_keeps_the_engine_s_code_and_tells_a_remedy() {
        for error in every_error() {
            let problem = Problem::from_procedure(&error, Revision(1));
            assert_eq!(problem.code, error.code());
            assert!(problem.remedy.is_some_and(|remedy| !remedy.is_empty()), "{error}");
            assert!(problem.revision.is_some() && 400 <= problem.status, "{error}");
        }
    }

    #[test]
    fn what_has_passed_is_told_beside_what_is_now() {
        let stale = &every_error()[6];
        let problem = Problem::from_procedure(stale, Revision(9));
        assert_eq!(problem.status, 412);
        assert_eq!(problem.given, Some(StandDoc { phase: "stop".into(), revision: 5 }));
        assert_eq!(problem.now, Some(StandDoc { phase: "back-up".into(), revision: 6 }));
    }
}
