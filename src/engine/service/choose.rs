//! What operators say to a procedure.

use super::super::evidence::NodeEvidence;
use super::super::{ChoiceCommand, EventKind, ProcedureError, ProcedureReply};
use super::begin::look;
use super::guarded::Look;
use super::{Engine, journalled_key};
use crate::journal::record::{Commander, Record};
use crate::model::{NodeId, NodeState, Revision};
use crate::procedure::{self, Choice, Excluded, Image, Objection, ObjectionKind, Procedure, Said};
use crate::routing::NodeIndex;

impl Engine {
    /// Takes a choice, or says why not.
    pub(super) async fn choose(
        &mut self,
        command: ChoiceCommand,
    ) -> Result<ProcedureReply, ProcedureError> {
        if let Some(reply) = self.replayed(command.idempotency.as_ref())? {
            return Ok(reply);
        }
        let Some(procedure) = self.running_procedure() else {
            return self.outside(command).await;
        };
        self.answers(&procedure, &command)?;
        if command.choice.needs_why() && command.why.is_none() {
            return Err(ProcedureError::WhyMissing);
        }
        self.journal_writes()?;
        let why = command.why.as_ref().map(|why| why.as_str().to_owned());
        let said = Said { choice: command.choice, by: command.by.name, why };
        // What passed until now is part of what is answered.
        self.look_for_guarded_calls(Look::Settle).await;
        let facts = self.facts(&procedure);
        if said.choice == Choice::Rollback {
            self.backup_is_there(&procedure).await?;
        }
        let event = procedure::choose(&procedure, &facts, said)?;
        let idempotency = command.idempotency.as_ref().map(journalled_key);
        let taken = self.happened(event, idempotency).await;
        taken.map_err(|error| ProcedureError::JournalDegraded { cause: error.to_string() })?;
        self.conduct().await;
        // A word may have ended it: there is nothing more to conduct, and the end to be seen.
        self.show_procedure();
        Ok(self.procedure_reply(false))
    }

    /// Is it this procedure that the choice answers, and as it stands?
    fn answers(
        &self,
        procedure: &Procedure,
        command: &ChoiceCommand,
    ) -> Result<(), ProcedureError> {
        if let Some(asked) = command.id.filter(|id| *id != procedure.id) {
            return Err(ProcedureError::Another { asked, running: procedure.id });
        }
        let Some((phase, revision)) = command.answers else {
            return Err(ProcedureError::AnswersNothing);
        };
        let known = procedure.stamp <= revision.0 && revision <= self.revision();
        if phase == procedure.phase && known {
            return Ok(());
        }
        let (now_phase, now) = (procedure.phase, Revision(procedure.stamp));
        Err(ProcedureError::Stale { phase, revision, now_phase, now })
    }

    /// Before every node is stopped for it. Its digest is looked at again before the restore.
    async fn backup_is_there(&self, procedure: &Procedure) -> Result<(), ProcedureError> {
        let Some(backup) = procedure.backup.clone() else { return Ok(()) };
        let path = backup.artefacts.first().map(|first| first.path.clone()).unwrap_or_default();
        let found = look(move || {
            let gone = |artefact: &procedure::Artefact| {
                let found = std::fs::symlink_metadata(&artefact.path);
                !found.is_ok_and(|found| found.is_dir() || found.len() == artefact.bytes)
            };
            backup.artefacts.iter().find(|artefact| gone(artefact)).map(|gone| gone.path.clone())
        });
        let detail = match found.await {
            Some(None) => return Ok(()),
            Some(Some(path)) => {
                format!("{path} is not there, or not as long as it was: nothing to restore")
            }
            None => format!("the disk of {path} does not answer: nothing to restore"),
        };
        Err(ProcedureError::Refused(vec![Objection {
            kind: ObjectionKind::NoWayBack,
            node: None,
            detail,
            remedy: "put the backup of this procedure back, or repair forward".to_owned(),
            waivable: false,
        }]))
    }

    /// Outside a procedure only a node that was left out can be taken back.
    async fn outside(&mut self, command: ChoiceCommand) -> Result<ProcedureReply, ProcedureError> {
        let Choice::Include(node) = &command.choice else {
            return Err(ProcedureError::NoneRuns);
        };
        if command.id.is_some() {
            return Err(ProcedureError::NoneRuns);
        }
        self.journal_writes()?;
        let objections = self.against_including(node);
        if !objections.is_empty() {
            return Err(ProcedureError::Refused(objections));
        }
        let by = Commander { uid: command.by.uid, name: command.by.name.clone() };
        let idempotency = command.idempotency.as_ref().map(journalled_key);
        let record = Record::Included { node: node.clone(), by, idempotency };
        let seq = self.ledger.append(record).await.map_err(|error| {
            self.journal_failed(&error);
            ProcedureError::JournalDegraded { cause: error.to_string() }
        })?;
        self.included(node, Revision(seq.0), &command.by.name);
        Ok(ProcedureReply { id: 0, revision: Revision(seq.0), view: None, replayed: false })
    }

    /// A node more to route to closes nothing: no fence is needed.
    fn included(&mut self, node: &NodeId, revision: Revision, by: &str) {
        let mode = self.mode();
        let generation = self.publisher.publish(mode.clone(), &self.left_out());
        self.metrics.revision(revision);
        self.metrics.published(mode.kind(), generation);
        let excluded = self.ledger.excluded();
        self.stand(|standing| {
            standing.revision = revision;
            standing.generation = generation;
            standing.excluded = excluded;
        });
        let kind = EventKind::Included { node: node.clone(), by: by.to_owned() };
        self.events.tell(revision, kind);
    }

    /// It must be ready, restarted since it was left out, and run what the others run.
    fn against_including(&self, node: &NodeId) -> Vec<Objection> {
        let excluded = self.ledger.excluded();
        let Some(known) = self.known(node) else {
            let what = format!("{node} is not in the configuration");
            let remedy = "see its name in `status`; or write it there, and restart the gateway";
            return vec![objection(ObjectionKind::NotHere, node, what, remedy)];
        };
        let Some(left_out) = excluded.iter().find(|excluded| excluded.node == *node) else {
            let what = format!("{node} is not left out");
            return vec![objection(ObjectionKind::NotHere, node, what, "nothing is to be done")];
        };
        if known.state != NodeState::Ready {
            let what = format!("{node} is {}: {}", known.state, known.reason);
            let remedy = "start it and wait until it is ready";
            // What is known of it else is of before.
            return vec![objection(ObjectionKind::NotReady, node, what, remedy)];
        }
        let mut objections = Vec::new();
        if known.restarted.is_none_or(|restarted| restarted <= left_out.at) {
            let what = format!("{node} was not seen to restart since it was left out");
            let remedy = "stop it, wait until it is down, and start it";
            objections.push(objection(ObjectionKind::NotRestarted, node, what, remedy));
        }
        match self.images().get(node) {
            Some(Image::Untold) => {
                let what = format!("what {node} runs is not known yet");
                let remedy = "wait a moment: its build command is asked";
                objections.push(objection(ObjectionKind::NotYet, node, what, remedy));
            }
            Some(Image::Unknown(why)) => {
                let what = format!("what {node} runs is not known: its build command: {why}");
                let remedy = "mend the command; it is asked again every minute";
                objections.push(objection(ObjectionKind::BuildUnknown, node, what, remedy));
            }
            Some(Image::Known(_)) | None => {}
        }
        objections.extend(self.other_build(node, &known, &excluded));
        objections
    }

    pub(super) fn known(&self, node: &NodeId) -> Option<NodeEvidence> {
        let index = self.nodes.iter().position(|other| other.id == *node)?;
        Some(self.evidence.node(NodeIndex(index)))
    }

    fn other_build(
        &self,
        node: &NodeId,
        known: &NodeEvidence,
        excluded: &[Excluded],
    ) -> Option<Objection> {
        let serving = self
            .nodes
            .iter()
            .filter(|other| !excluded.iter().any(|excluded| excluded.node == other.id));
        let ready =
            serving.filter_map(|other| self.known(&other.id).map(|known| (&other.id, known)));
        let mut ready = ready.filter(|(_, known)| known.state == NodeState::Ready);
        let its = self.image_of(node);
        let differs = |(other, theirs): &(&NodeId, NodeEvidence)| match (
            self.image_of(other).known(),
            its.known(),
        ) {
            (Some(theirs), Some(its)) => theirs != its,
            (Some(_) | None, None) | (None, Some(_)) => {
                theirs.build.is_some() && theirs.build != known.build
            }
        };
        let (other, theirs) = ready.find(differs)?;
        if let (Some(theirs), Some(its)) = (self.image_of(other).known(), its.known()) {
            let what = format!("{node} runs image {its}, {other} runs {theirs}");
            let remedy = "bring it to the same image and restart it";
            return Some(objection(ObjectionKind::MixedBuilds, node, what, remedy));
        }
        let unknown = || "unknown".to_owned();
        let what = format!(
            "{node} runs build {}, {other} runs {}",
            known.build.clone().unwrap_or_else(unknown),
            theirs.build.clone().unwrap_or_else(unknown)
        );
        let remedy = "bring it to the same version and restart it";
        Some(objection(ObjectionKind::MixedBuilds, node, what, remedy))
    }
}

fn objection(kind: ObjectionKind, node: &NodeId, what: String, remedy: &str) -> Objection {
    let node = Some(node.clone());
    Objection { kind, node, detail: what, remedy: remedy.to_owned(), waivable: false }
}
