//! Which resource a path names, and what may be done to it.

use super::answer::Outcome;
use super::problem::{Code, Problem};
use crate::model::NodeId;

/// A resource of the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Status,
    Nodes,
    /// The last switches and procedures.
    History,
    Mode,
    Wait,
    Events,
    Plan,
    Procedures,
    /// One of them with its events.
    Procedure(u64),
    /// Something to say to it, by its verb.
    Choice(u64, &'static str),
    /// Takes a node back outside a procedure.
    Include(NodeId),
}

/// What can be said to a procedure, as [`crate::procedure::Choice::verb`] names it.
pub(super) const VERBS: [&str; 12] = [
    "continue",
    "confirm",
    "retry",
    "rollback",
    "abort",
    "waive",
    "exclude",
    "include",
    "change-first",
    "change-keep",
    "stop-again",
    "adopt",
];

const KNOWN: &str = "/v1/status, /v1/mode, /v1/nodes, /v1/wait, /v1/events, /v1/history, \
     /v1/history/ID, /v1/plan, /v1/procedures, /v1/procedures/ID, /v1/procedures/ID/CHOICE, \
     /v1/nodes/NODE/include";

impl Route {
    /// # Errors
    /// There is no such resource; the problem says which there are.
    pub(super) fn of(path: &str) -> Outcome<Self> {
        let parts: Vec<&str> = path.strip_prefix("/v1/").unwrap_or("").split('/').collect();
        let nowhere = |remedy: String| {
            let detail = format!("there is no {path}");
            Box::new(Problem::new(Code::NotFound, detail).with_remedy(remedy))
        };
        let unknown = || nowhere(format!("the resources are {KNOWN}"));
        let number = |id: &str| {
            let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
            let id = if digits { id.parse().ok() } else { None };
            id.ok_or_else(|| nowhere("a procedure's id is a number, as the status shows it".into()))
        };
        Ok(match parts[..] {
            ["status"] => Self::Status,
            ["nodes"] => Self::Nodes,
            ["history"] => Self::History,
            ["mode"] => Self::Mode,
            ["wait"] => Self::Wait,
            ["events"] => Self::Events,
            ["plan"] => Self::Plan,
            ["procedures"] => Self::Procedures,
            ["procedures" | "history", id] => Self::Procedure(number(id)?),
            ["procedures", id, verb] => {
                let known = VERBS.into_iter().find(|known| *known == verb);
                let known = known
                    .ok_or_else(|| nowhere(format!("the choices are {}", VERBS.join(", "))))?;
                Self::Choice(number(id)?, known)
            }
            ["nodes", node, "include"] => Self::Include(node.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        })
    }

    pub(super) const fn allows(&self) -> &'static str {
        match self {
            Self::Status | Self::Nodes | Self::History | Self::Plan | Self::Procedure(_) => {
                "GET, HEAD"
            }
            Self::Wait | Self::Events => "GET",
            Self::Mode => "PUT",
            Self::Procedures => "GET, HEAD, POST",
            Self::Choice(..) | Self::Include(_) => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procedure::Choice;

    #[test]
    fn every_choice_has_its_resource() {
        let node: NodeId = "n1".parse().expect("a legal id");
        // No `_`: a new choice must be named here.
        let at = |choice: &Choice| match choice {
            Choice::Continue => 0,
            Choice::Confirm => 1,
            Choice::Retry => 2,
            Choice::Rollback => 3,
            Choice::Abort => 4,
            Choice::Waive(_) => 5,
            Choice::Exclude(_) => 6,
            Choice::Include(_) => 7,
            Choice::ChangeFirst(_) => 8,
            Choice::ChangeKeep(_) => 9,
            Choice::StopAgain => 10,
            Choice::Adopt => 11,
        };
        let all = [
            Choice::Continue,
            Choice::Confirm,
            Choice::Retry,
            Choice::Rollback,
            Choice::Abort,
            Choice::Waive("no_backup".into()),
            Choice::Exclude(node.clone()),
            Choice::Include(node.clone()),
            Choice::ChangeFirst(node.clone()),
            Choice::ChangeKeep(node),
            Choice::StopAgain,
            Choice::Adopt,
        ];
        for (position, choice) in all.iter().enumerate() {
            assert_eq!((at(choice), VERBS[position]), (position, choice.verb()));
            let path = format!("/v1/procedures/7/{}", choice.verb());
            assert_eq!(Route::of(&path).ok(), Some(Route::Choice(7, VERBS[position])));
        }
    }

    #[test]
    fn a_path_that_names_nothing_is_told_what_there_is() {
        for (path, helps) in [
            ("/v1/", "/v1/status"),
            ("/v2/status", "/v1/status"),
            ("/v1/status/", "/v1/status"),
            ("/v1/procedures/x", "number"),
            ("/v1/procedures/+7", "number"),
            ("/v1/procedures/7/explode", "change-first"),
            ("/v1/procedures/7/continue/x", "/v1/status"),
            ("/v1/nodes/N1/include", "/v1/status"),
        ] {
            let problem = Route::of(path).expect_err(path);
            let remedy = problem.remedy.unwrap_or_default();
            assert!(remedy.contains(helps), "{path}: {remedy}");
        }
    }
}
