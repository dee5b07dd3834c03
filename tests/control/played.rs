//! Procedures as the stand-in for the engine plays them: it believes every word that is said.

use std::sync::Arc;

use drawspan::engine::{
    BeginCommand, ChoiceCommand, Idempotency, PastEvent, PastProcedure, Plan, PlanCommand,
    ProcedureError, ProcedureReply, Shown, Status,
};
use drawspan::model::{Revision, Timestamp};
use drawspan::procedure::{
    Before, Choice, Kind, Objection, ObjectionKind, Offer, Outcome, Phase, PlannedPhase, Proof,
    Refused, Road, View,
};

const BEGAN: Timestamp = Timestamp::from_millis(1_763_800_000_000);

/// What it was asked, and what it answers.
#[derive(Default)]
pub struct Played {
    pub begun: Vec<BeginCommand>,
    pub said: Vec<ChoiceCommand>,
    pub planned: Vec<PlanCommand>,
    /// The answer to the next command, instead of doing it.
    pub fails: Option<ProcedureError>,
    past: Vec<PastProcedure>,
    keys: Vec<(Idempotency, ProcedureReply)>,
}

type Answered = Result<ProcedureReply, ProcedureError>;

impl Played {
    pub fn plan(&mut self, command: &PlanCommand) -> Result<Plan, ProcedureError> {
        self.planned.push(command.clone());
        if let Some(error) = self.fails.take() {
            return Err(error);
        }
        let needs = "each of them down: the status command says stopped, or refused without a break \
             for 30 s";
        let phase = |phase, limit| PlannedPhase {
            phase,
            does: "stop every node, workers included".into(),
            needs: needs.into(),
            limit,
        };
        let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
        Ok(Plan {
            kind: command.kind,
            first: "n1".parse().expect("a legal id"),
            phases: vec![phase(Phase::Raise, None), phase(Phase::Stop, Some(minutes(10)))],
            before: Before {
                version: Some("1.8.0".into()),
                plugins: Some(vec!["a".into(), "b".into()]),
                ..Before::default()
            },
            objections: vec![objection(ObjectionKind::NotReady, Some("n2"))],
            warnings: vec!["no backup command: you back up by hand".into()],
        })
    }

    pub fn begin(&mut self, command: BeginCommand, status: &mut Status) -> Answered {
        if let Some(known) = self.remembered(command.idempotency.as_ref()) {
            return known;
        }
        self.begun.push(command.clone());
        if let Some(error) = self.fails.take() {
            return Err(error);
        }
        status.revision.0 += 1;
        let id = status.revision.0;
        let shown = View { id, stamp: id, auto: command.auto, ..view(command.plan.kind) };
        self.past.insert(0, past(id, &command));
        let reply = shows(status, shown);
        self.keep(command.idempotency, &reply);
        Ok(reply)
    }

    pub fn choose(&mut self, command: ChoiceCommand, status: &mut Status) -> Answered {
        if let Some(known) = self.remembered(command.idempotency.as_ref()) {
            return known;
        }
        self.said.push(command.clone());
        if let Some(error) = self.fails.take() {
            return Err(error);
        }
        let running = status.procedure.as_ref().filter(|shown| shown.view.outcome.is_none());
        let Some(now) = running.map(|shown| shown.view.clone()) else {
            let outside = matches!(command.choice, Choice::Include(_));
            status.revision.0 += 1;
            let (id, revision, view, replayed) = (0, status.revision, None, false);
            let reply = ProcedureReply { id, revision, view, replayed };
            return if outside { Ok(reply) } else { Err(ProcedureError::NoneRuns) };
        };
        let (phase, revision) = command.answers.expect("the socket asks for it");
        if (phase, revision.0) != (now.phase, now.stamp) {
            let (now_phase, now) = (now.phase, Revision(now.stamp));
            return Err(ProcedureError::Stale { phase, revision, now_phase, now });
        }
        let reply = after(now, &command.choice, status)?;
        self.keep(command.idempotency, &reply);
        Ok(reply)
    }

    pub fn past(&self, id: Option<u64>) -> Vec<PastProcedure> {
        let wanted = |past: &&PastProcedure| id.is_none_or(|id| id == past.id);
        self.past.iter().filter(wanted).cloned().collect()
    }

    fn remembered(&self, idempotency: Option<&Idempotency>) -> Option<Answered> {
        let asked = idempotency?;
        let (known, reply) = self.keys.iter().find(|(known, _)| known.key == asked.key)?;
        let again = ProcedureReply { replayed: true, ..reply.clone() };
        Some(if known == asked { Ok(again) } else { Err(ProcedureError::KeyReused) })
    }

    fn keep(&mut self, idempotency: Option<Idempotency>, reply: &ProcedureReply) {
        self.keys.extend(idempotency.map(|key| (key, reply.clone())));
    }
}

fn past(id: u64, command: &BeginCommand) -> PastProcedure {
    let event = |revision, phase, what, detail: &str| PastEvent {
        revision: Revision(revision),
        at: BEGAN,
        phase,
        what,
        detail: detail.into(),
    };
    PastProcedure {
        id,
        kind: command.plan.kind,
        by: command.by.name.clone(),
        why: command.why.as_ref().map(|why| why.as_str().to_owned()),
        began: BEGAN,
        outcome: None,
        events: vec![event(id + 1, Phase::Raise, "advanced", "to stop: fenced \u{1b}[2J")],
    }
}

fn after(now: View, choice: &Choice, status: &mut Status) -> Answered {
    if !now.choices.iter().any(|offer| offer.choice == *choice && offer.objections.is_empty()) {
        let objections = vec![objection(ObjectionKind::NotHere, None)];
        let (choice, phase) = (choice.to_string(), now.phase);
        return Err(Refused { choice, phase, objections }.into());
    }
    status.revision.0 += 1;
    let road = match choice {
        Choice::Rollback => Road::Back,
        Choice::Abort => Road::Abort,
        Choice::Continue
        | Choice::Confirm
        | Choice::Retry
        | Choice::Waive(_)
        | Choice::Exclude(_)
        | Choice::Include(_)
        | Choice::ChangeFirst(_)
        | Choice::ChangeKeep(_)
        | Choice::StopAgain
        | Choice::Adopt => now.road,
    };
    let phase = if road == now.road { now.next } else { now.kind.phases(road)[0] };
    let (kind, stamp) = (now.kind, status.revision.0);
    let outcome = (phase == Phase::Done).then_some(match road {
        Road::Forward => Outcome::Completed,
        Road::Back => Outcome::RolledBack,
        Road::Abort => Outcome::Aborted,
    });
    let (next, road_ahead) = (kind.next(road, phase), kind.phases(road).to_vec());
    Ok(shows(status, View { road, phase, stamp, outcome, next, road_ahead, ..now }))
}

fn shows(status: &mut Status, view: View) -> ProcedureReply {
    let (id, revision) = (view.id, status.revision);
    let shown = Shown { taken: BEGAN, view: view.clone(), output: None, logs: vec![] };
    status.procedure = Some(Arc::new(shown));
    ProcedureReply { id, revision, view: Some(view), replayed: false }
}

pub fn objection(kind: ObjectionKind, node: Option<&str>) -> Objection {
    Objection {
        kind,
        node: node.map(|node| node.parse().expect("a legal id")),
        detail: format!("{} answers 200", node.unwrap_or("it")),
        remedy: "stop it".into(),
        waivable: kind.may_be_waived(),
    }
}

/// A procedure in its first phase that waits for a word.
pub fn view(kind: Kind) -> View {
    let (road, phase) = (Road::Forward, kind.first_phase());
    let offer = |choice, does: &str| Offer { choice, does: does.into(), objections: vec![] };
    let next = kind.next(road, phase);
    View {
        id: 5,
        kind,
        road,
        phase,
        since: Timestamp::from_millis(1_763_799_875_000),
        limit: None,
        overdue: false,
        closed_too_long: false,
        stamp: 7,
        first: "n1".parse().expect("a legal id"),
        auto: false,
        hold: None,
        does: "raises the bridge: nobody crosses, everybody is told why".into(),
        needs: String::new(),
        road_ahead: kind.phases(road).to_vec(),
        next,
        waiting_for: vec!["`continue`: the proof is complete".into()],
        evidence: vec![Proof {
            what: "every worker fenced and drained".into(),
            source: "workers",
            at: Some(Timestamp::from_millis(1_763_799_880_000)),
        }],
        objections: vec![],
        choices: vec![
            offer(Choice::Continue, &format!("goes on to {next}")),
            offer(Choice::Abort, "starts the nodes on the old version and lowers"),
            offer(
                Choice::Rollback,
                "stops every node, restores the backup, puts the old version back, starts the \
                 nodes and lowers",
            ),
        ],
        jobs: vec![],
        outcome: None,
    }
}
