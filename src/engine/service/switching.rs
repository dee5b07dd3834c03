//! A switch of the mode, from its command to its end: journal, publish, fence, drain, answer.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::carry_out::{Progress, Step, carry_out};
use super::super::reply::{self, Waiter};
use super::super::status::UNKNOWN_CALLS;
use super::super::{
    Acknowledged, BeforeDoubt, EventKind, Objection, RunningSwitch, SwitchCommand, SwitchError,
    SwitchReply,
};
use super::admit::{Admitted, Whose};
use super::guarded::Look;
use super::{Engine, FENCE_CAUSE, Running, commander, journalled_key};
use crate::clock;
use crate::failpoint;
use crate::fence::Left;
use crate::journal::record::{self, Finished, Record, Same, Seq};
use crate::model::{Mode, NodeId, Revision};
use crate::procedure::Event;
use crate::routing::NodeIndex;

impl Engine {
    pub(super) async fn switch(
        &mut self,
        command: SwitchCommand,
        reply: oneshot::Sender<Result<SwitchReply, SwitchError>>,
    ) {
        let waiter = Waiter::new(&command, reply, self.metrics.clone());
        self.look_for_guarded_calls(Look::Settle).await;
        match self.admit(&command) {
            Ok(Admitted::Begin { forced_over }) => self.begin(command, waiter, forced_over).await,
            Ok(Admitted::Same) => {
                let reply = self.same(&command).await;
                waiter.answer(reply);
            }
            Ok(Admitted::Join(whose)) => {
                if let Some(running) = &mut self.running {
                    running.waiters.push(match whose {
                        Whose::Anothers => waiter.unchanged(),
                        Whose::ItsOwn => waiter.forced_over(running.forced_over.clone()),
                    });
                }
                self.answer_fenced();
            }
            Ok(Admitted::Replay(reply)) => waiter.answer(Ok(*reply)),
            Err(error) => waiter.answer(Err(error)),
        }
    }

    /// The mode is already what was asked for. Raising a raised bridge pauses a procedure.
    async fn same(&mut self, command: &SwitchCommand) -> Result<SwitchReply, SwitchError> {
        let running = self.running_procedure().filter(|procedure| procedure.hold.is_none());
        if running.is_some() && command.procedure.is_none() {
            let paused = Event::Paused { by: command.by.name.clone() };
            if self.happened(paused.clone(), None).await.is_err() {
                // A journal that does not write is told by the reply, and takes it when it can.
                self.unsettled.push((None, paused));
            }
            self.show_procedure();
        }
        let (mode, revision) = (self.mode(), self.revision());
        if command.idempotency.is_some() {
            let record = Record::Same(Same {
                mode: mode.clone(),
                revision: revision.0,
                by: commander(command),
                idempotency: command.idempotency.as_ref().map(journalled_key),
            });
            // A key that is not kept only means that a repetition is judged anew.
            if let Err(error) = self.ledger.append(record).await {
                self.journal_failed(&error);
            }
        }
        let mut reply = self.reply(mode, revision, reply::Changed::No);
        reply.warnings.extend(self.pauses(command));
        Ok(reply)
    }

    /// Journal, publish, fence: from here on the new table is in force.
    pub(super) async fn begin(
        &mut self,
        command: SwitchCommand,
        waiter: Waiter,
        forced_over: Vec<Objection>,
    ) {
        let (from, to) = (self.mode(), command.target.clone());
        let known = self.guarded.calls(&self.nodes);
        failpoint::pause("engine.decided").await;
        let switch = self.record_of(&command, &from, &forced_over);
        failpoint::hit("engine.before_journal");
        let appended = self.ledger.append(Record::Switch(switch.clone())).await;
        let (revision, unwritten) = match appended {
            Ok(seq) => (Revision(seq.0), None),
            Err(error) => {
                self.journal_failed(&error);
                match self.raise_unjournalled(&command).await {
                    Ok(revision) => (revision, Some(switch)),
                    Err(error) => return waiter.answer(Err(error)),
                }
            }
        };
        failpoint::hit("engine.journalled");
        self.supersede(&to, revision);
        // An end that was not written is told by the beginning of the next.
        self.unended = None;
        self.guarded.keep(&to, &self.nodes);
        let mut warnings = self.doubt_ends(&to);
        warnings.extend(self.pauses(&command));
        let generation = self.publisher.publish(to.clone(), &self.left_out());
        failpoint::hit("engine.published");
        let by = command.by.name.clone();
        let why =
            command.force.as_ref().or(command.why.as_ref()).map(|why| why.as_str().to_owned());
        let forced = !forced_over.is_empty();
        self.stand(|standing| {
            standing.mode = to.clone();
            standing.revision = revision;
            standing.generation = generation;
            standing.since = clock::now();
            standing.by.clone_from(&by);
            standing.why.clone_from(&why);
            standing.doubt = None;
            standing.before_doubt = BeforeDoubt::default();
            standing.unfenced_workers.clear();
            standing.switch = Some(RunningSwitch {
                from: from.clone(),
                to: to.clone(),
                revision,
                began: standing.since,
                fenced: false,
            });
        });
        self.metrics.published(to.kind(), generation);
        self.metrics.revision(revision);
        let (told_from, told_to) = (from.clone(), to.clone());
        let kind = EventKind::SwitchBegan { from: told_from, to: told_to, by, why, forced };
        self.events.tell(revision, kind);
        self.told_pause(&command);
        self.show_procedure();
        let (lines, steps) = (self.lines.clone(), self.steps_in.clone());
        let drain = command.drain_timeout;
        self.tasks.spawn(carry_out(lines, generation, drain, steps));
        self.running = Some(Running {
            to,
            revision,
            generation,
            began: Instant::now(),
            fenced: false,
            waiters: vec![waiter.forced_over(forced_over.clone())],
            forced_over,
            warnings,
            unwritten,
            guarded: known,
        });
    }

    /// Nodes that no table may route to.
    pub(super) fn left_out(&self) -> Vec<NodeId> {
        self.ledger.excluded().into_iter().map(|excluded| excluded.node).collect()
    }

    /// An explicit command ends a doubt; it does not make known what was lost.
    fn doubt_ends(&self, to: &Mode) -> Vec<String> {
        self.metrics.doubt(false);
        let standing = self.standing.load();
        let lost = standing.doubt.is_some() && standing.before_doubt.mode.is_none();
        if lost && *to != Mode::Maintenance {
            return vec![format!("the journal was lost; {UNKNOWN_CALLS}")];
        }
        Vec::new()
    }

    fn record_of(
        &self,
        command: &SwitchCommand,
        from: &Mode,
        forced_over: &[Objection],
    ) -> record::Switch {
        let kept = command.target.node();
        let address = self.nodes.iter().find(|node| Some(&node.id) == kept);
        record::Switch {
            from: from.clone(),
            to: command.target.clone(),
            address: address.map(|node| node.authority.clone()),
            by: commander(command),
            why: command.force.as_ref().or(command.why.as_ref()).map(|why| why.as_str().to_owned()),
            procedure: command.procedure,
            forced: !forced_over.is_empty(),
            forced_over: forced_over.iter().map(ToString::to_string).collect(),
            idempotency: command.idempotency.as_ref().map(journalled_key),
        }
    }

    /// What an operator's raise does to a running procedure.
    fn pauses(&self, command: &SwitchCommand) -> Option<String> {
        let running = self.running_procedure().filter(|_| command.procedure.is_none())?;
        let (kind, id) = (running.kind(), running.id);
        Some(format!("the procedure {kind} {id} is paused; `drawspan continue` goes on"))
    }

    /// Ends a running switch in favour of the one to `target`.
    fn supersede(&mut self, target: &Mode, revision: Revision) {
        if let Some(running) = self.running.take() {
            for waiter in running.waiters {
                waiter.answer(Err(SwitchError::Superseded { target: target.clone(), revision }));
            }
        }
    }

    pub(super) async fn progressed(&mut self, step: Step) {
        let current = self.running.as_ref().is_some_and(|r| r.generation == step.generation);
        if !current {
            return;
        }
        match step.progress {
            Progress::FenceIncomplete(workers) => self.fence_incomplete(workers),
            Progress::Fenced => self.fenced().await,
            Progress::Drained(left) => self.drained(left).await,
        }
    }

    fn fence_incomplete(&mut self, workers: Vec<usize>) {
        let Some(running) = &mut self.running else { return };
        tracing::error!(?workers, "workers do not confirm the published table");
        let (generation, revision) = (running.generation, running.revision);
        for waiter in running.waiters.drain(..) {
            let workers = workers.clone();
            waiter.answer(Err(SwitchError::FenceIncomplete { workers, generation, revision }));
        }
        let to = running.to.clone();
        self.events.tell(revision, EventKind::FenceIncomplete { to, workers: workers.clone() });
        let reason = format!("workers {workers:?} do not route by generation {generation}");
        self.liveness.sick(FENCE_CAUSE, reason);
        self.stand(|standing| standing.unfenced_workers = workers);
    }

    async fn fenced(&mut self) {
        failpoint::hit("engine.fenced");
        self.liveness.well(FENCE_CAUSE);
        // Those that passed between the last look and the fence.
        self.look_for_guarded_calls(Look::Settle).await;
        let Some(running) = &mut self.running else { return };
        running.fenced = true;
        self.metrics.switch_fenced(running.began.elapsed());
        let (to, generation) = (running.to.clone(), running.generation);
        self.events.tell(running.revision, EventKind::SwitchFenced { to, generation });
        self.stand(|standing| {
            standing.unfenced_workers.clear();
            if let Some(switch) = &mut standing.switch {
                switch.fenced = true;
            }
        });
        self.answer_fenced();
    }

    /// Answers those who wait for the fence alone, where it is there.
    fn answer_fenced(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        if running.fenced {
            let reply = self.acknowledge(&running, Acknowledged::Fenced, &[]);
            running.waiters = std::mem::take(&mut running.waiters)
                .into_iter()
                .filter_map(|waiter| waiter.answer_if_fenced_suffices(&reply))
                .collect();
        }
        self.running = Some(running);
    }

    async fn drained(&mut self, left: Vec<Left>) {
        failpoint::hit("engine.drained");
        // Those that were under way at the fence.
        self.look_for_guarded_calls(Look::Settle).await;
        let Some(mut running) = self.running.take() else { return };
        let mut reply = self.acknowledge(&running, Acknowledged::Drained, &left);
        match running.unwritten.take() {
            // Kept for the day the journal writes again; until then the marker holds the raise.
            Some(record) => self.unwritten = Some(record),
            None => {
                let ending = reply::ending(&reply);
                let finished = Finished { switch: Seq(running.revision.0), ending };
                let record = Record::Finished(finished.clone());
                if let Err(error) = self.ledger.append(record).await {
                    self.journal_failed(&error);
                    self.unended = Some(finished);
                }
            }
        }
        // The end is true without its record, and whoever waits for it learns that it has none.
        reply.journal_degraded = self.ledger.degraded().is_some();
        failpoint::hit("engine.finished");
        if running.to == Mode::Cluster {
            self.forget_guarded(&running.guarded).await;
            for call in &self.guarded.ran {
                let node = &call.node;
                reply.warnings.push(format!(
                    "a call that changes what runs passed to {node} while the switch went on: \
                     restart the other nodes"
                ));
            }
        }
        self.metrics.switch_drained(running.began.elapsed());
        let cut = reply.removed.iter().map(|left| left.cut).sum();
        let tunnels_closed = reply.removed.iter().map(|left| left.tunnels_closed).sum();
        let kind = EventKind::SwitchFinished { to: running.to, cut, tunnels_closed };
        self.events.tell(running.revision, kind);
        self.stand(|standing| standing.switch = None);
        for waiter in running.waiters {
            waiter.answer_with(&reply);
        }
    }

    fn acknowledge(
        &self,
        running: &Running,
        acknowledged: Acknowledged,
        left: &[Left],
    ) -> SwitchReply {
        let mut reply = self.reply(running.to.clone(), running.revision, reply::Changed::Yes);
        reply.acknowledged = acknowledged;
        reply.took = running.began.elapsed();
        reply.warnings.clone_from(&running.warnings);
        reply.warnings.extend(reply::without_traffic(&running.to, &self.nodes, &*self.evidence));
        let table = self.publisher.tables().load();
        let removed = self.nodes.iter().enumerate().filter(|(i, _)| !table.allows(NodeIndex(*i)));
        reply.removed = removed.map(|(i, node)| reply::left_on(node, NodeIndex(i), left)).collect();
        reply
    }

    pub(super) fn reply(
        &self,
        mode: Mode,
        revision: Revision,
        changed: reply::Changed,
    ) -> SwitchReply {
        SwitchReply {
            changed: changed == reply::Changed::Yes,
            mode,
            revision,
            generation: self.standing.load().generation,
            acknowledged: Acknowledged::Drained,
            removed: Vec::new(),
            forced_over: Vec::new(),
            journal_degraded: self.ledger.degraded().is_some(),
            took: Duration::ZERO,
            warnings: Vec::new(),
            replayed: None,
        }
    }
}
