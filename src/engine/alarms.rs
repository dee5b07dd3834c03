//! What somebody should hear of who does not look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::procedure::{Event, Objection, ObjectionKind, Phase, Procedure, View};

/// What an event of a procedure is told for, if it is.
pub(super) fn alarm(before: &Procedure, now: &Procedure, event: &Event) -> Option<String> {
    let (kind, id, phase) = (now.kind(), now.id, before.phase);
    match event {
        Event::Overdue => Some(format!("{kind} {id}: the phase {phase} is overdue")),
        Event::ClosedTooLong => Some(format!("{kind} {id}: traffic is closed for too long")),
        Event::NodeCameBack { node, what } => {
            Some(format!("{kind} {id}: {node} came back before its turn ({what})"))
        }
        Event::JobEnded { number, ending } if !ending.is_success() => {
            let work = before.work_of(*number).map_or_else(String::new, ToString::to_string);
            Some(format!("{kind} {id}: in phase {phase}, {work} {ending}"))
        }
        Event::Advanced { to: Phase::Verify, .. } if !now.begin.means.verify => {
            Some(format!("{kind} {id}: waits for somebody to verify {}", now.first))
        }
        Event::Restarted { .. } => {
            Some(format!("{kind} {id}: the gateway restarted and waits for `continue`"))
        }
        _ => now.outcome.map(|outcome| format!("{kind} {id}: {}", outcome.as_str())),
    }
}

/// Objections that no event told of, and how long each has stood.
#[derive(Debug, Default)]
pub(super) struct Obstacles(BTreeMap<String, (Instant, bool)>);

impl Obstacles {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// What is told now: each objection that has stood for [`STOOD_FOR`], once. One that comes and
    /// goes while nodes stop and start stops nobody.
    pub(super) fn alarm(&mut self, view: &View, now: Instant) -> Option<String> {
        // A pause or a restart was told; until `continue` what stands may be what is not known yet.
        let telling = view.hold.is_none() && view.outcome.is_none();
        let stand: Vec<&Objection> =
            view.objections.iter().filter(|one| telling && !is_told_at_once(one.kind)).collect();
        self.0.retain(|id, _| stand.iter().any(|objection| objection.id() == *id));
        let mut due = Vec::new();
        for objection in stand {
            let (since, told) = self.0.entry(objection.id()).or_insert((now, false));
            if !*told && STOOD_FOR <= now.duration_since(*since) {
                *told = true;
                due.push(objection.detail.as_str());
            }
        }
        let (kind, id, phase) = (view.kind, view.id, view.phase);
        let what = due.join("; ");
        (!due.is_empty()).then(|| format!("{kind} {id}: phase {phase} does not go on: {what}"))
    }
}

/// How long an objection stands before it is told.
const STOOD_FOR: Duration = Duration::from_secs(10);

/// The event that made it was told.
const fn is_told_at_once(kind: ObjectionKind) -> bool {
    matches!(kind, ObjectionKind::CameBack | ObjectionKind::CommandFailed)
}
