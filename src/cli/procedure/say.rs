//! What can be said to a running procedure, one verb each.

use super::begin::told;
use super::follow::{self, Followed};
use super::header_text;
use crate::cli::client::{ControlArgs, Failure, Form, Terminal, run as run_verb};
use crate::cli::exit::Exit;
use crate::cli::flags::number;
use crate::cli::text::beside;
use crate::control::client::{Answer, Client, ClientError, Conditions};
use crate::control::problem::{Code, Problem};
use crate::control::wire::{ChoiceBody, ProcedureDoc, SaidDoc};
use crate::model::NodeId;
use crate::procedure::Phase;

/// What every choice takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SayArgs {
    /// The reason, for the history and the audit.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Answer this phase, as an earlier screen showed it; else the present one, which is printed.
    #[arg(long, value_name = "PHASE", requires = "revision")]
    pub phase: Option<Phase>,
    /// Answer this revision, as an earlier screen showed it.
    #[arg(long, value_name = "N", requires = "phase", value_parser = number::<u64>)]
    pub revision: Option<u64>,
    /// Makes a repetition of this very command harmless.
    #[arg(long, value_name = "KEY", value_parser = header_text)]
    pub idempotency_key: Option<String>,
    /// Stay and follow the procedure to its end; on a terminal, ask where it waits for a word.
    #[arg(long)]
    pub follow: bool,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RollbackArgs {
    /// Do not ask whether it is meant.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub say: SayArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct WaiveArgs {
    /// The objection's id as the status shows it, as `not_down:n2` or `no_backup`.
    pub objection: String,
    #[command(flatten)]
    pub say: SayArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs {
    pub node: NodeId,
    #[command(flatten)]
    pub say: SayArgs,
}

/// A word to a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// As [`crate::procedure::Choice::verb`].
    pub verb: String,
    /// The node or the objection that it is about.
    pub target: Option<String>,
    pub why: Option<String>,
}

impl Spoken {
    pub fn new(verb: &str, target: Option<&str>) -> Self {
        Self { verb: verb.to_owned(), target: target.map(str::to_owned), why: None }
    }

    fn needs_why(&self) -> bool {
        matches!(self.verb.as_str(), "waive" | "exclude")
    }

    fn words(&self) -> String {
        let target = self.target.as_ref().map_or_else(String::new, |target| format!(" {target}"));
        format!("{}{target}", self.verb)
    }

    fn body(&self, phase: Option<&str>) -> ChoiceBody {
        let (objection, node) = match self.verb.as_str() {
            "waive" => (self.target.clone(), None),
            _ => (None, self.target.clone()),
        };
        ChoiceBody { phase: phase.map(str::to_owned), node, objection, why: self.why.clone() }
    }

    /// Says it in answer to what was shown.
    pub(super) async fn answering(
        &self,
        id: u64,
        (phase, revision): (&str, u64),
        key: Option<String>,
        client: &Client,
    ) -> Result<Answer<SaidDoc>, ClientError> {
        let conditions = Conditions { revision: Some(revision), idempotency_key: key };
        client.choose((id, &self.verb), &self.body(Some(phase)), &conditions).await
    }
}

/// Is it meant? Only a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    Ask,
    Given,
}

impl RollbackArgs {
    pub const fn confirmation(&self) -> Confirmation {
        if self.yes { Confirmation::Given } else { Confirmation::Ask }
    }
}

pub(super) fn run(
    (spoken, confirmation): (Spoken, Confirmation),
    args: &SayArgs,
    control: &ControlArgs,
) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| {
        say((spoken, confirmation), args, &client, terminal).await
    })
}

pub async fn say(
    (spoken, confirmation): (Spoken, Confirmation),
    args: &SayArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let spoken = Spoken { why: args.why.clone(), ..spoken };
    if spoken.needs_why() && spoken.why.is_none() {
        writeln!(terminal.err, "error: {} needs a reason", spoken.verb)?;
        writeln!(terminal.err, "remedy: add --why TEXT; it is kept in the history")?;
        return Ok(Exit::Usage);
    }
    let shown = client.status().await?.doc.procedure.filter(|shown| !shown.is_over());
    let answer = match &shown {
        Some(shown) => {
            if confirmation == Confirmation::Ask && !meant(&spoken, shown, terminal).await? {
                writeln!(terminal.err, "nothing was said")?;
                return Ok(Exit::Refused);
            }
            answered(&spoken, shown, args, client, terminal).await?
        }
        None if spoken.verb == "include" => {
            let node = spoken.target.clone().unwrap_or_default();
            let key = args.idempotency_key.clone();
            let conditions = Conditions { revision: None, idempotency_key: key };
            let body = ChoiceBody { why: spoken.why.clone(), ..ChoiceBody::default() };
            client.include(&node, &body, &conditions).await?
        }
        None => return Err(none_runs().into()),
    };
    match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
        Form::Human => told(&answer.doc, &format!("{}: taken", spoken.words()), terminal.out)?,
    }
    terminal.out.flush()?;
    let goes_on = answer.doc.procedure.as_ref().filter(|procedure| !procedure.is_over());
    match (args.follow, goes_on) {
        (true, Some(procedure)) => {
            let followed = Followed::new(procedure);
            follow::until_left(followed, Form::json(args.json), client, terminal).await
        }
        (true, None) | (false, _) => Ok(Exit::True),
    }
}

pub(super) fn none_runs() -> ClientError {
    let problem = Problem::new(Code::NoProcedure, "no procedure runs");
    let remedy = "`drawspan status` shows how the last one ended; `drawspan begin` begins one";
    ClientError::Problem(Box::new(problem.with_remedy(remedy)))
}

/// Answers what the arguments name, or else what is true now, and says which.
async fn answered(
    spoken: &Spoken,
    shown: &ProcedureDoc,
    args: &SayArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Answer<SaidDoc>, Failure> {
    let phase = args.phase.map_or_else(|| shown.phase.clone(), |phase| phase.to_string());
    let revision = args.revision.unwrap_or(shown.revision);
    let line = format!("answering phase {phase} at revision {revision}");
    match Form::json(args.json) {
        Form::Json => beside(terminal.err, "", &line)?,
        Form::Human => beside(terminal.out, "", &line)?,
    }
    terminal.out.flush()?;
    let key = args.idempotency_key.clone();
    Ok(spoken.answering(shown.id, (&phase, revision), key, client).await?)
}

/// Asks the person who sits there, if one does.
async fn meant(
    spoken: &Spoken,
    shown: &ProcedureDoc,
    terminal: &mut Terminal<'_>,
) -> Result<bool, Failure> {
    if !terminal.keyboard.is_there() {
        return Ok(true);
    }
    let does = shown.choices.iter().find(|choice| choice.choice == spoken.verb);
    let does = does.map_or("what it does is not known", |choice| choice.does.as_str());
    beside(terminal.out, &format!("{}: ", spoken.verb), does)?;
    write!(terminal.out, "type yes to do it: ")?;
    terminal.out.flush()?;
    let typed = terminal.keyboard.line().await;
    Ok(typed.is_some_and(|typed| typed.trim() == "yes"))
}
