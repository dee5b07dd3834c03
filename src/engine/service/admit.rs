//! Whether a command may go on: what was done under its key, what runs, and what objects.

use super::super::evidence::{self, Judged};
use super::super::reply;
use super::super::{Objection, Replayed, SwitchCommand, SwitchError, SwitchReply};
use super::{Engine, Running};
use crate::clock;
use crate::journal::record;
use crate::journal::{Answer, Remembered, SwitchEnd};
use crate::model::{Mode, Revision};

/// What becomes of a command that is not refused.
pub(super) enum Admitted {
    Begin {
        forced_over: Vec<Objection>,
    },
    /// Nothing to change.
    Same,
    /// The running switch is the one that is asked for.
    Join(Whose),
    /// It was done before, under the same key.
    Replay(Box<SwitchReply>),
}

/// Who began the switch that a command waits for?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Anothers,
    /// The same command, under the same key: its answer is this one's.
    ItsOwn,
}

impl Engine {
    /// May this command go on, and how?
    pub(super) fn admit(&self, command: &SwitchCommand) -> Result<Admitted, SwitchError> {
        if let Some(key) = &command.idempotency
            && let Some(known) = self.ledger.remembered(&key.key, clock::now())
        {
            return self.replay(&known, &key.digest);
        }
        let (mode, revision) = (self.mode(), self.revision());
        if let Some(expected) = command.expected.filter(|expected| *expected != revision) {
            return Err(SwitchError::LostRace { expected, current: revision, mode });
        }
        if let Some(node) = command.target.node()
            && !self.nodes.iter().any(|known| known.id == *node)
        {
            let known: Vec<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
            return Err(SwitchError::UnknownNode { node: node.clone(), known: known.join(", ") });
        }
        if let Some(procedure) = self.running_procedure()
            && command.target != Mode::Maintenance
        {
            let (id, kind, phase) = (procedure.id, procedure.kind(), procedure.phase);
            return Err(SwitchError::ProcedureRuns { id, kind, phase });
        }
        if let Some(running) = &self.running {
            if running.to == command.target {
                return self.join(running, Whose::Anothers);
            }
            if command.target.openness(&running.to) != Some(std::cmp::Ordering::Less) {
                let (target, revision) = (running.to.clone(), running.revision);
                return Err(SwitchError::InProgress { target, revision });
            }
        } else if mode == command.target && self.standing.load().doubt.is_none() {
            return Ok(Admitted::Same);
        }
        if let Some(cause) = self.ledger.degraded()
            && command.target != Mode::Maintenance
        {
            return Err(SwitchError::JournalDegraded { cause: cause.to_owned() });
        }
        self.object(command).map(|forced_over| Admitted::Begin { forced_over })
    }

    /// Waits for the running switch, unless that waits for a worker that may never answer.
    fn join(&self, running: &Running, whose: Whose) -> Result<Admitted, SwitchError> {
        let workers = self.standing.load().unfenced_workers.clone();
        if workers.is_empty() {
            return Ok(Admitted::Join(whose));
        }
        let (generation, revision) = (running.generation, running.revision);
        Err(SwitchError::FenceIncomplete { workers, generation, revision })
    }

    /// The objections that `--force` goes over; those it may not, or does not, refuse.
    fn object(&self, command: &SwitchCommand) -> Result<Vec<Objection>, SwitchError> {
        let all = self.against(&command.target);
        let forced = command.force.is_some() && all.iter().all(Objection::may_be_forced);
        if all.is_empty() || forced { Ok(all) } else { Err(SwitchError::Refused(all)) }
    }

    /// Everything that speaks against a switch to this mode now.
    pub(super) fn against(&self, target: &Mode) -> Vec<Objection> {
        let (guarded, excluded) = (self.guarded.calls(&self.nodes), self.left_out());
        let images = self.images();
        let by = Judged {
            nodes: &self.nodes,
            evidence: &*self.evidence,
            guarded: &guarded,
            excluded: &excluded,
            images: &images,
        };
        evidence::objections(target, by)
    }

    fn replay(&self, known: &Remembered, digest: &str) -> Result<Admitted, SwitchError> {
        if known.key.digest != digest {
            return Err(SwitchError::KeyReused);
        }
        let revision = Revision(known.seq.0);
        match &known.answer {
            // Its digest names another request: it never gets here.
            Answer::Procedure { .. } => Err(SwitchError::KeyReused),
            Answer::Same(same) => {
                let revision = Revision(same.revision);
                let reply = self.reply(same.mode.clone(), revision, reply::Changed::No);
                Ok(self.again(reply))
            }
            Answer::Switch { switch, end } => {
                let running = self.running.as_ref().filter(|running| running.revision == revision);
                let ended_in = match (end, running) {
                    (SwitchEnd::Running, Some(running)) => {
                        return self.join(running, Whose::ItsOwn);
                    }
                    // Another switch took over, a restart raised in doubt, or the journal failed
                    // when the end was to be recorded.
                    (SwitchEnd::Running, None)
                    | (SwitchEnd::Ended(record::Ending::Superseded { .. }), _) => self.mode(),
                    (SwitchEnd::Recovered(mode), _) => mode.clone(),
                    (SwitchEnd::Ended(_), _) => switch.to.clone(),
                };
                if ended_in != switch.to {
                    let (target, revision) = (ended_in, self.revision());
                    return Err(SwitchError::Superseded { target, revision });
                }
                let mut reply = self.reply(switch.to.clone(), revision, reply::Changed::Yes);
                if let SwitchEnd::Ended(ending) = end {
                    reply::as_it_ended(&mut reply, ending);
                }
                Ok(self.again(reply))
            }
        }
    }

    /// A reply of then, and what is true now: the effect need not last.
    fn again(&self, mut reply: SwitchReply) -> Admitted {
        reply.replayed = Some(Replayed { mode: self.mode(), revision: self.revision() });
        Admitted::Replay(Box::new(reply))
    }
}
