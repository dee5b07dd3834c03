//! Planning and beginning a procedure.

use std::path::Path;

use super::super::{BeginCommand, Plan, PlanCommand, ProcedureError, ProcedureReply, Why};
use super::{Engine, journalled_key};
use crate::clock;
use crate::failpoint;
use crate::journal::Answer;
use crate::journal::record::Record;
use crate::model::limits::{DISK_LOOK_MAX, VERSION_BYTES_MAX};
use crate::model::{Mode, NodeId, NodeRole, NodeState, Pace, Revision};
use crate::procedure::{self, Before, Begin, Kind, Objection, ObjectionKind, planned};
use crate::routing::NodeIndex;

impl Engine {
    /// What a procedure would do, and what speaks against it now.
    pub(super) async fn plan(&self, command: &PlanCommand) -> Result<Plan, ProcedureError> {
        let begin = self.would_begin(command, None)?;
        let objections = self.against_beginning(&begin).await;
        let mut warnings = self.forewarn(&begin);
        if let Some(running) = self.running_procedure() {
            let (kind, id, phase) = (running.kind(), running.id, running.phase);
            warnings.push(format!("{kind} {id} runs, in phase {phase}: it must be over first"));
        }
        Ok(Plan {
            kind: begin.kind,
            first: begin.first.clone(),
            phases: planned(&begin, clock::now()),
            before: begin.before.clone(),
            objections,
            warnings,
        })
    }

    /// Begins a procedure. Its first effects follow at once.
    pub(super) async fn begin_procedure(
        &mut self,
        command: BeginCommand,
    ) -> Result<ProcedureReply, ProcedureError> {
        if let Some(reply) = self.replayed(command.idempotency.as_ref())? {
            return Ok(reply);
        }
        let current = self.revision();
        if let Some(expected) = command.expected.filter(|expected| *expected != current) {
            return Err(ProcedureError::LostRace { expected, current });
        }
        if let Some(running) = self.running_procedure() {
            let (id, kind, phase) = (running.id, running.kind(), running.phase);
            return Err(ProcedureError::Running { id, kind, phase });
        }
        if self.running.is_some() {
            return Err(ProcedureError::SwitchRuns);
        }
        self.journal_writes()?;
        let id = self.ledger.next().map(|seq| seq.0);
        let mut begin = self.would_begin(&command.plan, id)?;
        begin.auto = command.auto;
        begin.by.clone_from(&command.by.name);
        begin.why = command.why.as_ref().map(|why| Why::as_str(why).to_owned());
        let objections = self.against_beginning(&begin).await;
        if !objections.is_empty() {
            return Err(ProcedureError::Refused(objections));
        }
        self.evidence.hurry(Pace::Closely);
        self.watch.forget();
        let idempotency = command.idempotency.as_ref().map(journalled_key);
        let record = Record::Begun { begin: Box::new(begin), idempotency };
        failpoint::hit("procedure.before_journal");
        let seq = match self.ledger.append(record).await {
            Ok(seq) => seq,
            Err(error) => {
                self.evidence.hurry(Pace::Usual);
                self.journal_failed(&error);
                return Err(ProcedureError::JournalDegraded { cause: error.to_string() });
            }
        };
        failpoint::hit("procedure.journalled");
        self.begun(Revision(seq.0));
        self.conduct().await;
        Ok(self.procedure_reply(false))
    }

    fn begun(&self, revision: Revision) {
        self.metrics.revision(revision);
        self.stand(|standing| standing.revision = revision);
        let Some(procedure) = self.ledger.procedure() else { return };
        self.metrics.procedure(procedure);
        let (id, kind, phase) = (procedure.id, procedure.kind(), procedure.phase);
        let detail = format!("by {}", procedure.begin.by);
        let event = super::EventKind::Procedure { id, kind, phase, what: "began", detail };
        self.events.tell(revision, event);
    }

    pub(super) fn journal_writes(&self) -> Result<(), ProcedureError> {
        match self.ledger.degraded() {
            None => Ok(()),
            Some(cause) => Err(ProcedureError::JournalDegraded { cause: cause.to_owned() }),
        }
    }

    /// The answer of then, where the key was used for the same command.
    pub(super) fn replayed(
        &self,
        key: Option<&super::super::Idempotency>,
    ) -> Result<Option<ProcedureReply>, ProcedureError> {
        let known =
            key.and_then(|key| Some((key, self.ledger.remembered(&key.key, clock::now())?)));
        let Some((key, known)) = known else { return Ok(None) };
        match &known.answer {
            Answer::Procedure { .. } if known.key.digest == key.digest => {
                Ok(Some(self.procedure_reply(true)))
            }
            Answer::Procedure { .. } | Answer::Same(_) | Answer::Switch { .. } => {
                Err(ProcedureError::KeyReused)
            }
        }
    }

    /// How the procedure stands now.
    pub(super) fn procedure_reply(&self, replayed: bool) -> ProcedureReply {
        let procedure = self.ledger.procedure();
        let view = procedure.map(|procedure| procedure::view(procedure, &self.facts(procedure)));
        let id = procedure.map_or(0, |procedure| procedure.id);
        ProcedureReply { id, revision: self.revision(), view, replayed }
    }

    fn would_begin(&self, command: &PlanCommand, id: Option<u64>) -> Result<Begin, ProcedureError> {
        let members = self.equipment.members();
        let first = match &command.node {
            Some(node) => node.clone(),
            None => self.default_first().ok_or_else(|| self.unknown_node("(none)"))?,
        };
        if !members.iter().any(|member| member.id == first) {
            return Err(self.unknown_node(first.as_str()));
        }
        let (backup_path, artefacts) = self.equipment.backup_of(id).unwrap_or_default();
        Ok(Begin {
            kind: command.kind,
            before: self.before(&first),
            first,
            members,
            to: command.to.clone(),
            auto: false,
            means: self.equipment.means(),
            bounds: self.equipment.bounds(),
            backup_path,
            artefacts,
            by: String::new(),
            why: None,
        })
    }

    fn default_first(&self) -> Option<NodeId> {
        let left_out = self.left_out();
        let mut serving = self
            .nodes
            .iter()
            .filter(|node| node.role == NodeRole::Request && !left_out.contains(&node.id));
        let first = serving.next().map(|node| node.id.clone());
        first.or_else(|| self.equipment.first_request().cloned())
    }

    fn unknown_node(&self, node: &str) -> ProcedureError {
        let known: Vec<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        let known = known.join(", ");
        match node.parse() {
            Ok(node) => ProcedureError::UnknownNode { node, known },
            Err(_) => {
                let what = "no node of role request is configured";
                let remedy = "write one into the configuration";
                ProcedureError::Refused(vec![objection(ObjectionKind::LastNode, what, remedy)])
            }
        }
    }

    /// What is true before it begins; the first node's word, else any other's.
    fn before(&self, first: &NodeId) -> Before {
        let known = |id: &NodeId| {
            let index = self.nodes.iter().position(|node| node.id == *id)?;
            Some(self.evidence.node(NodeIndex(index)))
        };
        let all = || {
            let others = self.nodes.iter().map(|node| &node.id).filter(|id| *id != first);
            std::iter::once(first).chain(others).filter_map(known)
        };
        Before {
            version: all().find_map(|node| node.version),
            build: all().find_map(|node| node.build),
            image: self.image_of(first).known().cloned(),
            plugins: all().find_map(|node| node.plugins).map(|plugins| plugins.to_vec()),
            backup_bytes: self.ledger.backup_bytes(),
        }
    }

    /// Everything that speaks against beginning now.
    async fn against_beginning(&self, begin: &Begin) -> Vec<Objection> {
        let mut objections = Vec::new();
        let first = begin.member(&begin.first);
        if first.is_some_and(|member| member.role == NodeRole::Worker) {
            let what = format!("{} takes no traffic", begin.first);
            let remedy = "name a node of role request";
            objections.push(objection(ObjectionKind::LastNode, &what, remedy));
        }
        if self.left_out().contains(&begin.first) {
            let what = format!("{} is left out", begin.first);
            let remedy = "name another node, or include it first";
            objections.push(objection(ObjectionKind::LastNode, &what, remedy));
        }
        if begin.kind == Kind::Maintenance {
            let mode = Mode::Single(begin.first.clone());
            if self.mode() == Mode::Maintenance {
                let what =
                    format!("the bridge is raised: beginning would open it to {}", begin.first);
                let remedy = format!("see why it was raised; `mode {mode}` opens it, then begin");
                objections.push(objection(ObjectionKind::NotHere, &what, &remedy));
            }
            for speaks_against in self.against(&mode) {
                let (what, remedy) = (speaks_against.to_string(), speaks_against.remedy());
                objections.push(objection(ObjectionKind::NotReady, &what, &remedy));
            }
        }
        objections.extend(self.against_backup_place(begin).await);
        objections.extend(self.against_versions(begin));
        if let Some(to) = &begin.to {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
            if to.is_empty() || VERSION_BYTES_MAX < to.len() || !to.bytes().all(legal) {
                let what = format!("a version has 1 to {VERSION_BYTES_MAX} of a-z, 0-9 and ._+-");
                let remedy = "name it as the database does, as 2.2.15";
                objections.push(objection(ObjectionKind::WrongVersion, &what, remedy));
            } else if begin.before.version.as_ref() == Some(to) {
                let what = format!("the database names version {to} already");
                let remedy = "name another version, or none";
                objections.push(objection(ObjectionKind::NothingChanged, &what, remedy));
            }
        }
        objections
    }

    /// A file that is there already is another procedure's: a backup over it would lose that one.
    async fn against_backup_place(&self, begin: &Begin) -> Option<Objection> {
        let own = self.equipment.procedures.backup_path.contains("{id}");
        if begin.kind != Kind::Upgrade || !own {
            return None;
        }
        let paths = begin.artefacts.clone();
        let there = move || paths.into_iter().find(|path| Path::new(path).exists());
        let Some(found) = look(there).await else {
            let what = format!("the disk of {} does not answer", begin.backup_path);
            let remedy = "see what is wrong with it; a backup could not be made there";
            return Some(objection(ObjectionKind::BackupFlawed, &what, remedy));
        };
        let what = format!("{} is there already, from another procedure", found?);
        let remedy = "move it away and keep it: it may be the only backup of that time";
        Some(objection(ObjectionKind::BackupFlawed, &what, remedy))
    }

    /// Commands on the way that cannot be run without a version, where there is none for them.
    fn against_versions(&self, begin: &Begin) -> Option<Objection> {
        let named = begin.to.is_some();
        let told = begin.before.version.is_some();
        let needing = |commands: &[&str]| self.equipment.needing_version(commands);
        let untold = |command: &str| {
            let what =
                format!("no node tells the version of now, which the command {command} needs");
            let remedy = "bring a node up first, or let the command do without {version}";
            objection(ObjectionKind::WrongVersion, &what, remedy)
        };
        match begin.kind {
            Kind::Upgrade => {
                let forward = needing(&FORWARD).filter(|_| !named).map(|command| {
                    let what =
                        format!("the command {command} needs {{version}}, and none is named");
                    let remedy = "name the version to reach: --to VERSION";
                    objection(ObjectionKind::WrongVersion, &what, remedy)
                });
                forward.or_else(|| needing(&BACK).filter(|_| !told).map(untold))
            }
            Kind::Maintenance => needing(&RESTARTING).filter(|_| !told).map(untold),
            Kind::FirstStart => needing(&RESTARTING).map(|command| {
                let what =
                    format!("the command {command} needs {{version}}, and nothing tells one");
                let remedy = "write the version of the first start into the command";
                objection(ObjectionKind::WrongVersion, &what, remedy)
            }),
        }
    }

    /// Are there commands that stop, and that start, every node?
    fn restarts(&self, begin: &Begin) -> (bool, bool) {
        let (means, all) = (&begin.means, || begin.members.iter().map(|member| &member.means));
        let stops = means.stop_all || all().all(|own| own.stop);
        let starts = (means.start_first && means.start_others) || all().all(|own| own.start);
        (stops, starts)
    }

    /// What an operator should know before it begins.
    fn forewarn(&self, begin: &Begin) -> Vec<String> {
        let mut warnings = vec![
            "exactly one gateway may stand before this cluster, and nothing else may reach the \
             nodes' ports"
                .to_owned(),
        ];
        if begin.kind != Kind::Maintenance || 1 < begin.members.len() {
            warnings.push(
                "nodes must not come back by themselves while they are to be down: see that no \
                 restart policy, and no reboot of a host, starts them"
                    .to_owned(),
            );
        }
        for member in &begin.members {
            if !member.means.status && member.address.is_none() {
                let id = &member.id;
                warnings.push(format!(
                    "{id} has neither an address nor a status command: that it is down, or runs, \
                     can only be waived"
                ));
            }
        }
        if begin.kind == Kind::Upgrade {
            let (stops, starts) = self.restarts(begin);
            let missing: Vec<&str> = [
                (stops, "stop"),
                (starts, "start"),
                (begin.means.backup, "backup"),
                (begin.means.update, "update"),
                (begin.means.restore, "restore"),
                (begin.means.revert, "revert"),
            ]
            .into_iter()
            .filter_map(|(there, name)| (!there).then_some(name))
            .collect();
            if !missing.is_empty() {
                let names = missing.join(", ");
                warnings.push(format!("no command for {names}: done by hand, as it is said then"));
            }
            if begin.before.version.is_none() {
                warnings.push(
                    "no node tells the database's version now: a rollback cannot compare with it"
                        .to_owned(),
                );
            }
        }
        let mode = self.mode();
        if begin.kind == Kind::Upgrade && mode != Mode::Cluster {
            warnings.push(format!(
                "the mode is {mode} now: when it is done, and when it is given up, the procedure \
                 opens the cluster"
            ));
        }
        let ready = (0..self.nodes.len())
            .filter(|index| self.evidence.node(NodeIndex(*index)).state == NodeState::Ready)
            .count();
        if begin.kind == Kind::FirstStart && 0 < ready {
            let what = "nodes are ready already; a first start begins with all of them stopped";
            warnings.push(what.to_owned());
        }
        warnings
    }
}

/// Commands that an upgrade may run on its way, on its way back, and that the others may run.
const FORWARD: [&str; 9] = [
    "stop",
    "stop_all",
    "backup",
    "verify_backup",
    "update",
    "start",
    "start_first",
    "start_others",
    "verify",
];
const BACK: [&str; 8] =
    ["stop", "stop_all", "restore", "revert", "start", "start_first", "start_others", "verify"];
const RESTARTING: [&str; 6] =
    ["stop", "stop_others", "start", "start_first", "start_others", "verify"];

/// A look at a disk that is not the gateway's own, which may hang as a network's does; `None` where
/// it does.
pub(super) async fn look<T: Send + 'static>(
    what: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(DISK_LOOK_MAX, tokio::task::spawn_blocking(what)).await.ok()?.ok()
}

fn objection(kind: ObjectionKind, what: &str, remedy: &str) -> Objection {
    let waivable = false;
    Objection { kind, node: None, detail: what.to_owned(), remedy: remedy.to_owned(), waivable }
}
