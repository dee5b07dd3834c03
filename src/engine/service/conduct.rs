//! Conducting the running procedure: gather facts, write down what they say happened, do what is
//! wanted next. Always in this order: journal synced, then the effect.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::super::alarms::alarm;
use super::super::equipment::{ASK_BUILD_EVERY, ASK_BUILD_IDLE};
use super::super::evidence::{self, GuardedCalls};
use super::super::past::words;
use super::super::reply::Waiter;
use super::super::watch::Finding;
use super::super::{Caller, EventKind, Shown, SwitchCommand, WaitFor, Why};
use super::Engine;
use super::begin::look;
use crate::clock;
use crate::drivers;
use crate::failpoint;
use crate::journal::JournalError;
use crate::journal::record::{GuardedCall, IdempotencyKey, Record};
use crate::model::limits::PROBE_CLOSELY;
use crate::model::{Mode, NodeId, NodeState, Pace, Revision, Timestamp};
use crate::procedure::{
    self, Artefact, Course, Effect, Ending, Event, Facts, Flaw, NodeFacts, Phase, Procedure,
    Ticket, Work,
};
use crate::routing::{Node, NodeIndex};

/// Events that one look at the facts may make: more would be a loop.
const EVENTS_PER_LOOK: usize = 64;

impl Engine {
    /// The procedure that is not over.
    pub(super) fn running_procedure(&self) -> Option<Procedure> {
        self.ledger.procedure().filter(|procedure| !procedure.is_over()).cloned()
    }

    /// Looks at the facts and does what follows. Called at intervals, and whenever something
    /// happened that may matter.
    pub(super) async fn conduct(&mut self) {
        if self.ledger.degraded().is_some() || !self.resumed {
            return;
        }
        if self.running_procedure().is_none() {
            return self.ask_images(ASK_BUILD_IDLE);
        }
        self.ask_images(ASK_BUILD_EVERY);
        for _ in 0..EVENTS_PER_LOOK {
            let Some(procedure) = self.running_procedure() else { break };
            self.watch.ask(&self.equipment, &procedure);
            let facts = self.facts(&procedure);
            let progress = match procedure::digest(&procedure, &facts) {
                Some(event) => self.happened(event, None).await.is_ok(),
                None => match procedure::wanted(&procedure, &facts) {
                    Some(effect) => self.carry_on(&procedure, effect).await,
                    None => false,
                },
            };
            if !progress {
                break;
            }
        }
        self.see_to_obstacles();
        self.show_procedure();
    }

    /// What is known now.
    pub(super) fn facts(&self, procedure: &Procedure) -> Facts {
        let guarded = self.guarded.calls(&self.nodes);
        let old = evidence::must_restart(&self.nodes, &*self.evidence, &guarded);
        let (began, times) = (clock::now(), procedure.begin.bounds.ready_in_a_row);
        let facts = |(index, node): (usize, &Arc<Node>)| {
            let known = self.evidence.node(NodeIndex(index));
            // What it said before it was stopped says nothing of what runs now; it is asked again
            // before it counts as ready.
            let tells = known.state == NodeState::Ready;
            NodeFacts {
                id: node.id.clone(),
                taken: known.taken,
                state: known.state,
                reason: known.reason,
                ready_in_a_row: match is_settling(&guarded, &node.id, (began, times)) {
                    true => 0,
                    false => known.ready_in_a_row,
                },
                unreached_since: known.unreached_since,
                answered: known.answered,
                build: known.build.filter(|_| tells),
                image: self.image_of(&node.id),
                version: known.version.filter(|_| tells),
                plugins: known.plugins.filter(|_| tells).map(|plugins| plugins.to_vec()),
                status: self.watch.statuses.get(&node.id).cloned(),
                must_restart: old.iter().any(|old| old.node == node.id),
                in_flight: node.requests(),
                abandoned: node.abandoned(),
            }
        };
        let unfenced = !self.standing.load().unfenced_workers.is_empty();
        let nodes = self.nodes.iter().enumerate().map(facts).collect();
        Facts {
            // After all that it is compared with.
            now: clock::now(),
            mode: self.mode(),
            switching: self.running.is_some() || unfenced,
            switch_refused: self.watch.switch_refused.clone(),
            nodes,
            free_bytes: self.watch.free_bytes.filter(|_| procedure.phase == Phase::BackUp),
        }
    }

    /// Writes an event into the journal, and tells it. It is in force when this returns.
    ///
    /// # Errors
    /// The journal does not take it; nothing happened.
    pub(super) async fn happened(
        &mut self,
        event: Event,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Revision, JournalError> {
        let Some(before) = self.running_procedure() else {
            return Ok(self.revision());
        };
        // The journal takes nothing that a replay would not.
        if let Err(error) = procedure::step(&before, 0, clock::now(), &event) {
            tracing::error!(%error, ?event, "an event has no place in the procedure");
            let (what, reason) = ("a procedure", error.to_string());
            return Err(JournalError::Unstorable { what, reason });
        }
        let record =
            Record::Procedure { id: before.id, event: Box::new(event.clone()), idempotency };
        failpoint::hit("procedure.before_journal");
        let seq = match self.ledger.append_if(self.revision(), record).await {
            Ok(seq) => seq,
            Err(error @ JournalError::Moved { .. }) => {
                // Nobody else writes to it yet; a fleet will.
                tracing::error!(%error, ?event, "an event came too late");
                return Err(error);
            }
            Err(error) => {
                self.journal_failed(&error);
                return Err(error);
            }
        };
        failpoint::hit("procedure.journalled");
        let revision = Revision(seq.0);
        self.metrics.revision(revision);
        let excluded = self.ledger.excluded();
        self.stand(|standing| {
            standing.revision = revision;
            standing.excluded = excluded;
        });
        self.tell(&before, &event, revision);
        self.follow_up(&before, &event);
        Ok(revision)
    }

    fn tell(&self, before: &Procedure, event: &Event, revision: Revision) {
        let (what, detail) = words(event);
        let (id, kind, phase) = (before.id, before.kind(), before.phase);
        self.events.tell(revision, EventKind::Procedure { id, kind, phase, what, detail });
        let over = self.ledger.procedure().and_then(|procedure| procedure.outcome);
        if let Some(outcome) = over {
            let (what, detail) = ("done", outcome.as_str().to_owned());
            let phase = Phase::Done;
            self.events.tell(revision, EventKind::Procedure { id, kind, phase, what, detail });
        }
    }

    /// What an event asks for besides its effect: alarms, logs, another pace of the probes.
    fn follow_up(&mut self, before: &Procedure, event: &Event) {
        let Some(now) = self.ledger.procedure().cloned() else { return };
        self.metrics.procedure(&now);
        if now.is_over() {
            self.evidence.hurry(Pace::Usual);
        }
        if before.phase != now.phase {
            self.watch.switch_refused = None;
            self.watch.logs.clear();
            self.watch.outputs.keep_last();
            self.look_again(&now);
        }
        if let Some(message) = alarm(before, &now, event) {
            let order = self.equipment.notification(&now, &message);
            self.watch.notify(order, &self.equipment.runner);
        }
        if let Event::Overdue | Event::NodeCameBack { .. } = event {
            self.ask_logs(&now);
        }
        if let Event::JobEnded { ending, .. } = event
            && !ending.is_success()
        {
            self.ask_logs(&now);
        }
    }

    /// Builds and plugins are looked up anew where a phase rests on them.
    fn look_again(&self, procedure: &Procedure) {
        for (index, node) in self.nodes.iter().enumerate() {
            let first = node.id == procedure.first;
            let wanted = match procedure.phase {
                Phase::Verify => first,
                Phase::StartOthers | Phase::Lower => true,
                Phase::Raise
                | Phase::Narrow
                | Phase::Stop
                | Phase::BackUp
                | Phase::Update
                | Phase::Restore
                | Phase::Revert
                | Phase::StartFirst
                | Phase::Work
                | Phase::Done => false,
            };
            if wanted {
                self.evidence.look_again(NodeIndex(index));
            }
        }
    }

    /// The last lines of those nodes that something is wrong with.
    fn ask_logs(&mut self, procedure: &Procedure) {
        let facts = self.facts(procedure);
        let standing = procedure::standing(procedure, &facts);
        let concerned: Vec<_> = procedure
            .members()
            .filter(|(_, node)| {
                let objected =
                    standing.objections.iter().any(|o| o.node.as_ref() == Some(&node.id));
                let starting = procedure.phase == Phase::StartFirst && node.id == procedure.first;
                objected || starting || node.course == Course::CameBack
            })
            .map(|(_, node)| node.id.clone())
            .collect();
        for node in concerned {
            self.watch.ask_logs(&self.equipment, &node, procedure);
        }
    }

    /// Begins an effect. `true` where something has moved, so that it is worth looking again.
    async fn carry_on(&mut self, procedure: &Procedure, effect: Effect) -> bool {
        match effect {
            Effect::Switch(mode) => {
                self.switch_mode(procedure, mode).await;
                false
            }
            Effect::Run(work @ (Work::Measure | Work::Rehash)) => {
                self.measure(procedure, work).await
            }
            Effect::Run(work) => self.run_command(procedure, work).await,
        }
    }

    /// The procedure's own switch: admitted like any other, but for a procedure being in its way.
    async fn switch_mode(&mut self, procedure: &Procedure, target: Mode) {
        let refused = self.against(&target);
        if !refused.is_empty() {
            let why: Vec<String> = refused.iter().map(ToString::to_string).collect();
            self.watch.switch_refused = Some(why.join("; "));
            return;
        }
        self.watch.switch_refused = None;
        let (reply, _nobody) = oneshot::channel();
        let why = Why::new(&format!("{} {}", procedure.kind(), procedure.id));
        let by = Caller { uid: 0, name: procedure.begin.by.clone(), pid: None };
        let command = SwitchCommand {
            target,
            drain_timeout: self.equipment.drain,
            wait: WaitFor::Drained,
            force: None,
            why,
            expected: None,
            idempotency: None,
            by,
            procedure: Some(procedure.id),
        };
        let waiter = Waiter::new(&command, reply, self.metrics.clone());
        self.begin(command, waiter, Vec::new()).await;
        failpoint::hit("procedure.switched");
    }

    /// What the gateway measures itself: begun anew after a crash, since looking harms nothing.
    async fn measure(&mut self, procedure: &Procedure, work: Work) -> bool {
        let number = procedure.next_number();
        let ticket = Ticket::of_ours(number);
        if self.happened(Event::JobBegins { work, ticket }, None).await.is_err() {
            return false;
        }
        self.watch.measure(number, procedure.begin.artefacts.clone());
        true
    }

    /// The command's process is there and waits; its ticket goes into the journal; then it may go.
    async fn run_command(&mut self, procedure: &Procedure, work: Work) -> bool {
        let number = procedure.next_number();
        let place = (work == Work::Backup).then(|| self.equipment.backup_place(procedure));
        let prepared = match self.equipment.order(&work, procedure) {
            Ok(order) => self.prepare(number, order, place).await,
            Err(why) => Err(why),
        };
        failpoint::hit("procedure.prepared");
        let (ticket, prepared) = match prepared {
            Ok(prepared) => (prepared.ticket.clone(), Ok(prepared)),
            // It is on record as one that could not be started: said once, and not tried on and on.
            Err(why) => (Ticket::of_ours(number), Err(why)),
        };
        let begins = Event::JobBegins { work: work.clone(), ticket: ticket.clone() };
        if self.happened(begins, None).await.is_err() {
            return false;
        }
        self.watch.outputs.begins(number, work);
        let gone = prepared.and_then(|prepared| prepared.go().map_err(|error| error.to_string()));
        failpoint::hit("procedure.begun");
        match gone {
            Ok(()) => self.watch.follow(&self.equipment.runner, ticket),
            Err(why) => {
                let ending = Ending::CouldNotStart(why);
                return self.happened(Event::JobEnded { number, ending }, None).await.is_ok();
            }
        }
        true
    }

    async fn prepare(
        &self,
        number: u64,
        order: drivers::Order,
        place: Option<PathBuf>,
    ) -> Result<drivers::Prepared, String> {
        // The folder of backups need not be there before the first one.
        if let Some(folder) = place.as_deref().and_then(Path::parent).map(Path::to_owned) {
            let of = folder.display().to_string();
            let make = move || DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            match look(make).await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    return Err(format!("the folder {of} cannot be made: {error}"));
                }
                None => return Err(format!("the disk of {of} does not answer")),
            }
        }
        let runner = self.equipment.runner.clone();
        let prepare = move || runner.prepare(number, &order).map_err(|error| error.to_string());
        let prepared = tokio::task::spawn_blocking(prepare).await;
        prepared.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Takes in what a task found out.
    pub(super) async fn found(&mut self, finding: Finding) {
        match finding {
            Finding::Ended { number, outcome } => {
                failpoint::hit("procedure.ended");
                let ending = match outcome {
                    drivers::Outcome::Ended(ending) => ending_of(ending),
                    drivers::Outcome::NeverRan => Ending::NotRun,
                    drivers::Outcome::Gone => return self.lost(number).await,
                };
                self.settle(Some(number), Event::JobEnded { number, ending }).await;
            }
            Finding::Measured { number, artefacts, flaws } => {
                self.measured(number, artefacts, flaws).await;
            }
            other => {
                for line in self.watch.take(other) {
                    self.tell_output(line);
                }
            }
        }
        self.conduct().await;
    }

    async fn measured(&mut self, number: u64, artefacts: Vec<Artefact>, flaws: Vec<Flaw>) {
        self.settle(Some(number), Event::Measured { number, artefacts, flaws }).await;
    }

    /// Its supervisor died with it: nobody knows how it ended. As after a crash of ours.
    async fn lost(&mut self, number: u64) {
        self.settle(Some(number), Event::JobLost { number }).await;
    }

    /// Writes down the end of a piece of work, or what else is owed; kept until the journal takes
    /// it.
    async fn settle(&mut self, number: Option<u64>, event: Event) {
        let runs =
            |procedure: &Procedure| number.is_none_or(|number| procedure.work_of(number).is_some());
        if !self.running_procedure().as_ref().is_some_and(runs) {
            return;
        }
        if self.happened(event.clone(), None).await.is_err() {
            self.unsettled.push((number, event));
        }
    }

    /// The journal writes again: what ended meanwhile is written down.
    pub(super) async fn settle_again(&mut self) {
        for (number, event) in std::mem::take(&mut self.unsettled) {
            self.settle(number, event).await;
        }
    }

    fn tell_output(&self, line: String) {
        let Some(procedure) = self.ledger.procedure() else { return };
        let (id, kind, phase) = (procedure.id, procedure.kind(), procedure.phase);
        let kind = EventKind::Procedure { id, kind, phase, what: "output", detail: line };
        self.events.tell(self.revision(), kind);
    }

    /// What stands in the way is told, and the logs of the nodes that it is about are fetched.
    fn see_to_obstacles(&mut self) {
        let Some(procedure) = self.ledger.procedure() else { return };
        let view = procedure::view(procedure, &self.facts(procedure));
        if let Some(message) = self.watch.obstacles.alarm(&view, Instant::now()) {
            let order = self.equipment.notification(procedure, &message);
            self.watch.notify(order, &self.equipment.runner);
        }
        let wrong = view.objections.iter().filter_map(|objection| objection.node.as_ref());
        for node in wrong {
            if !self.watch.logs.contains_key(node) {
                self.watch.ask_logs(&self.equipment, node, procedure);
            }
        }
    }

    /// Whoever asks for the status sees it.
    pub(in crate::engine) fn show_procedure(&self) {
        let Some(procedure) = self.ledger.procedure() else { return };
        let facts = self.facts(procedure);
        let view = procedure::view(procedure, &facts);
        let shown = Shown {
            taken: facts.now,
            view,
            output: self.watch.outputs.shown(&procedure.jobs),
            logs: self.watch.logs.iter().map(|(id, lines)| (id.clone(), lines.clone())).collect(),
        };
        self.stand(|standing| standing.procedure = Some(Arc::new(shown)));
    }
}

pub(super) fn ending_of(ending: drivers::Ending) -> Ending {
    match ending {
        drivers::Ending::Exited { code } => Ending::Exited(code),
        drivers::Ending::Signalled { signal } => Ending::Signalled(signal),
        drivers::Ending::TimedOut => Ending::TimedOut,
        drivers::Ending::ByOperator => Ending::Signalled(15),
        drivers::Ending::CouldNotStart { reason } => Ending::CouldNotStart(reason),
    }
}

/// A call that changes what runs is answered before its work begins. Until the node had time for so
/// many probes since, that it was ready before proves nothing.
fn is_settling(calls: &GuardedCalls, node: &NodeId, (now, times): (Timestamp, u32)) -> bool {
    let recent = |call: &GuardedCall| {
        call.node == *node && now.since(call.at) < PROBE_CLOSELY.saturating_mul(times)
    };
    calls.under_way.contains(node) || calls.ran.iter().any(recent)
}
