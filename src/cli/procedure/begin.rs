//! `drawspan begin`: begin a procedure.

use std::io::Write;

use super::follow::{self, Followed};
use super::header_text;
use crate::cli::client::{ControlArgs, Failure, Form, Terminal, run as run_verb};
use crate::cli::exit::Exit;
use crate::cli::text::beside;
use crate::control::client::{Client, Conditions};
use crate::control::wire::{BeginBody, SaidDoc};
use crate::model::NodeId;

/// Begin one of the three procedures.
#[derive(Clone, Debug, clap::Args)]
pub struct BeginArgs {
    pub procedure: Procedure,
    /// The version to reach (upgrade); the database must name it afterwards.
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// The node to start first (upgrade, first-start); else the first configured one.
    #[arg(long, value_name = "NODE")]
    pub first: Option<NodeId>,
    /// The node that goes on carrying everything (maintenance).
    #[arg(long, value_name = "NODE", required_if_eq("procedure", "maintenance"))]
    pub keep: Option<NodeId>,
    /// Go on without asking wherever the proof is complete; it stops at verify unless there is a
    /// verify command.
    #[arg(long)]
    pub auto: bool,
    /// The reason, for the history and the audit.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Makes a repetition of this very command harmless.
    #[arg(long, value_name = "KEY", value_parser = header_text)]
    pub idempotency_key: Option<String>,
    /// Stay and follow it to its end; on a terminal, ask where it waits for a word.
    #[arg(long)]
    pub follow: bool,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Procedure {
    /// Bring a new version in: raise, stop all, back up, update, start, verify, lower.
    Upgrade,
    /// Work inside the application on one kept node, then restart the others.
    Maintenance,
    /// Start a cluster for the first time: one node, then the others.
    FirstStart,
}

impl Procedure {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Maintenance => "maintenance",
            Self::FirstStart => "first-start",
        }
    }
}

/// Complains of what cannot be meant together, before anything is asked.
pub(super) fn misfit(
    procedure: Procedure,
    (to, first, keep): (bool, bool, bool),
) -> Option<&'static str> {
    match procedure {
        Procedure::Maintenance if first => Some("maintenance takes --keep, not --first"),
        Procedure::Upgrade | Procedure::FirstStart if keep => {
            Some("only maintenance keeps a node; name the first one with --first")
        }
        Procedure::Maintenance | Procedure::FirstStart if to => {
            Some("only an upgrade has a version to reach (--to)")
        }
        Procedure::Maintenance | Procedure::Upgrade | Procedure::FirstStart => None,
    }
}

pub fn run(args: &BeginArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| begin(args, &client, terminal).await)
}

pub async fn begin(
    args: &BeginArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let given = (args.to.is_some(), args.first.is_some(), args.keep.is_some());
    if let Some(misfit) = misfit(args.procedure, given) {
        writeln!(terminal.err, "error: {misfit}")?;
        return Ok(Exit::Usage);
    }
    let body = BeginBody {
        kind: args.procedure.as_str().to_owned(),
        to: args.to.clone(),
        first: args.first.as_ref().map(ToString::to_string),
        keep: args.keep.as_ref().map(ToString::to_string),
        auto: args.auto.then_some(true),
        why: args.why.clone(),
    };
    let conditions = Conditions { revision: None, idempotency_key: args.idempotency_key.clone() };
    let answer = client.begin(&body, &conditions).await?;
    match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
        Form::Human => told(&answer.doc, "begun", terminal.out)?,
    }
    terminal.out.flush()?;
    let goes_on = answer.doc.procedure.as_ref().filter(|procedure| !procedure.is_over());
    match (args.follow, goes_on) {
        (true, Some(procedure)) => {
            follow::until_left(Followed::new(procedure), Form::json(args.json), client, terminal)
                .await
        }
        (true, None) | (false, _) => Ok(Exit::True),
    }
}

/// What became of a word: one line, and where the procedure stands.
pub(super) fn told(said: &SaidDoc, what: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let again = if said.replayed { " before, by this very command," } else { "" };
    beside(out, "", &format!("{what}{again} at revision {}", said.revision))?;
    let Some(procedure) = &said.procedure else { return Ok(()) };
    let (kind, id, phase) = (&procedure.kind, procedure.id, &procedure.phase);
    if let Some(outcome) = &procedure.outcome {
        return beside(out, "", &format!("{kind} {id} is over: {outcome}"));
    }
    beside(out, "", &format!("{kind} {id} is in phase {phase}: {}", procedure.does))?;
    for waits in &procedure.waiting_for {
        beside(out, "  waits for ", waits)?;
    }
    for objection in &procedure.objections {
        super::show::objection(objection, out)?;
    }
    Ok(())
}
