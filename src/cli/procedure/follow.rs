//! Following a procedure to its end, and asking where it waits for a word.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::gate::{self, Expected, Heard};
use super::progress::Progress;
use super::say::{Spoken, none_runs};
use crate::cli::client::{
    ControlArgs, Failure, Form, Screen, Terminal, objections, printable, run as run_verb,
};
use crate::cli::exit::Exit;
use crate::cli::text::beside;
use crate::control::client::{Client, ClientError};
use crate::control::wire::{ProcedureDoc, StatusDoc};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Where nobody sits there to give up, a gateway that is away for this long is given up.
const AWAY_MAX: Duration = Duration::from_secs(300);

/// Follow the procedure that runs, to its end.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FollowArgs {
    /// Print the gateway's own document, one a line, whenever it changes.
    #[arg(long)]
    pub json: bool,
}

/// Which procedure is followed, and to what end.
#[derive(Clone, Debug)]
pub struct Followed {
    id: u64,
    /// The outcome that its road led to when it was begun or answered here.
    wanted: String,
}

impl Followed {
    pub fn new(doc: &ProcedureDoc) -> Self {
        Self { id: doc.id, wanted: doc.heads_for().to_owned() }
    }
}

pub fn run(args: &FollowArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    let form = Form::json(args.json);
    run_verb(form, async |terminal| {
        let shown = client.status().await?.doc.procedure;
        let Some(shown) = shown.filter(|shown| !shown.is_over()) else {
            return Err(none_runs().into());
        };
        until_left(Followed::new(&shown), form, &client, terminal).await
    })
}

/// Follows until it is over, or until the person leaves with ctrl-C: the procedure goes on.
pub async fn until_left(
    followed: Followed,
    form: Form,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let id = followed.id;
    let ended = tokio::select! {
        ended = follow(followed, form, client, terminal) => Some(ended),
        _ = tokio::signal::ctrl_c() => None,
    };
    if let Some(ended) = ended {
        return ended;
    }
    writeln!(terminal.err)?;
    let told = format!("procedure {id} goes on without you; `drawspan follow` comes back to it");
    beside(terminal.err, "", &told)?;
    // What was waited for is not true; a script must not take it for that.
    Ok(Exit::TimedOut)
}

/// Follows until it is over. It ends well where it came to the end that its road led to.
///
/// # Cancel safety
/// Dropping the future cancels nothing of the procedure.
pub async fn follow(
    followed: Followed,
    form: Form,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let progress = Progress::new(terminal.screen);
    let mut follower = Follower {
        followed,
        form,
        progress,
        away: None,
        asked: None,
        expected: Expected::Word,
        written: None,
    };
    loop {
        match client.status().await {
            Ok(answer) => {
                if let Some(exit) = follower.look(&answer.doc, client, terminal).await? {
                    return Ok(exit);
                }
            }
            Err(error @ ClientError::Denied { .. }) => return Err(error.into()),
            Err(error) => follower.is_away(error, terminal)?,
        }
        tokio::select! {
            line = terminal.keyboard.line() => {
                if let Some(line) = line {
                    follower.hear(&line, client, terminal).await?;
                }
            }
            () = sleep(LOOK_INTERVAL) => {}
        }
    }
}

struct Follower {
    followed: Followed,
    form: Form,
    progress: Progress,
    away: Option<Instant>,
    /// As it was when the person was asked: what a word answers.
    asked: Option<ProcedureDoc>,
    expected: Expected,
    /// The document that was written last.
    written: Option<ProcedureDoc>,
}

impl Follower {
    async fn look(
        &mut self,
        status: &StatusDoc,
        client: &Client,
        terminal: &mut Terminal<'_>,
    ) -> Result<Option<Exit>, Failure> {
        if self.away.take().is_some() {
            writeln!(terminal.err, "the gateway answers again")?;
        }
        let shown = status.procedure.as_ref().filter(|shown| shown.id == self.followed.id);
        let Some(doc) = shown else {
            // Another was begun since: how this one ended, the journal tells.
            let past = client.procedure(self.followed.id).await?.doc.past;
            return self.over(past.outcome.as_deref(), terminal).map(Some);
        };
        let is_new = match self.form {
            Form::Human => self.progress.tell(doc, terminal.out)?,
            Form::Json => self.line(doc, terminal)?,
        };
        if doc.is_over() {
            return self.over(doc.outcome.as_deref(), terminal).map(Some);
        }
        let asking = terminal.keyboard.is_there() && self.form == Form::Human;
        if asking && doc.asks {
            if is_new || self.asked.is_none() {
                self.progress.clear(terminal.out)?;
                gate::ask(doc, terminal.out)?;
                self.progress.prompted();
                self.asked = Some(doc.clone());
                self.expected = Expected::Word;
            }
        } else {
            // What is typed now answers what is shown now.
            self.asked = None;
            if self.form == Form::Human {
                self.progress.tick(&status.taken, terminal.out)?;
            }
        }
        Ok(None)
    }

    /// One document a line, whenever it changes.
    fn line(&mut self, doc: &ProcedureDoc, terminal: &mut Terminal<'_>) -> Result<bool, Failure> {
        let is_new = self.written.as_ref() != Some(doc);
        if is_new {
            self.written = Some(doc.clone());
            let text = serde_json::to_string(doc).map_err(std::io::Error::from)?;
            writeln!(terminal.out, "{text}")?;
            terminal.out.flush()?;
        }
        Ok(is_new)
    }

    fn over(
        &mut self,
        outcome: Option<&str>,
        terminal: &mut Terminal<'_>,
    ) -> Result<Exit, Failure> {
        let outcome = outcome.unwrap_or("its end is not on record");
        if self.form == Form::Human {
            self.progress.clear(terminal.out)?;
            beside(terminal.out, "", &format!("procedure {}: {outcome}", self.followed.id))?;
            terminal.out.flush()?;
        }
        Ok(if outcome == self.followed.wanted { Exit::True } else { Exit::Refused })
    }

    /// A gateway that restarts comes back to the same procedure.
    fn is_away(&mut self, error: ClientError, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.away {
            None => {
                self.away = Some(Instant::now());
                self.progress.clear(terminal.out)?;
                let error = printable(&error.to_string());
                writeln!(terminal.err, "the gateway does not answer: {error}")?;
                writeln!(terminal.err, "asking on; the procedure is kept in its journal")?;
                Ok(())
            }
            Some(since) if terminal.screen == Screen::Appended && AWAY_MAX < since.elapsed() => {
                Err(error.into())
            }
            Some(_) => Ok(()),
        }
    }

    async fn hear(
        &mut self,
        line: &str,
        client: &Client,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        self.progress.entered();
        // Where it waits for nothing, nothing was asked.
        let Some(doc) = self.asked.clone() else { return Ok(()) };
        let expected = std::mem::replace(&mut self.expected, Expected::Word);
        match gate::hear(line, expected, &doc) {
            Heard::Say(spoken) => self.say(&spoken, &doc, client, terminal).await,
            Heard::Nothing => {
                self.asked = None;
                Ok(())
            }
            heard @ Heard::Unclear(_) => {
                self.expected = gate::further(heard, terminal.out)?;
                self.asked = None;
                Ok(())
            }
            heard @ (Heard::Confirm(_) | Heard::AskWhy(_)) => {
                self.expected = gate::further(heard, terminal.out)?;
                self.progress.prompted();
                Ok(())
            }
        }
    }

    /// Says it in answer to what was shown; whatever comes of it, the next look asks again.
    async fn say(
        &mut self,
        spoken: &Spoken,
        doc: &ProcedureDoc,
        client: &Client,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        self.asked = None;
        let shown = (doc.phase.as_str(), doc.revision);
        match spoken.answering(doc.id, shown, None, client).await {
            Ok(answer) => {
                if let Some(procedure) = &answer.doc.procedure {
                    self.followed = Followed::new(procedure);
                }
                beside(terminal.out, "", &format!("taken at revision {}", answer.doc.revision))?;
                terminal.out.flush()?;
                Ok(())
            }
            Err(ClientError::Problem(problem)) => {
                writeln!(terminal.err, "{}", printable(&problem.detail))?;
                objections(&problem, terminal.err)?;
                terminal.err.flush()?;
                Ok(())
            }
            Err(error) => self.is_away(error, terminal),
        }
    }
}
