//! `drawspan history`: what was, as the journal tells it.

use std::io::{self, Write};

use crate::cli::client::{ControlArgs, Failure, Form, Terminal, run as run_verb};
use crate::cli::exit::Exit;
use crate::cli::flags::number;
use crate::cli::text::beside;
use crate::control::client::Client;
use crate::control::wire::{HistoryDoc, PastProcedureDoc, ProcedureHistoryDoc};
use crate::model::limits::HISTORY_SHOWN;

/// The last switches and procedures, or everything that happened to one procedure.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HistoryArgs {
    /// A procedure's id.
    #[arg(value_name = "ID", value_parser = number::<u64>)]
    pub id: Option<u64>,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &HistoryArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| history(args, &client, terminal).await)
}

pub async fn history(
    args: &HistoryArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let form = Form::json(args.json);
    match args.id {
        Some(id) => {
            let answer = client.procedure(id).await?;
            match form {
                Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
                Form::Human => one(&answer.doc, terminal.out)?,
            }
        }
        None => {
            let answer = client.history(HISTORY_SHOWN).await?;
            match form {
                Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
                Form::Human => all(&answer.doc, terminal.out)?,
            }
        }
    }
    terminal.out.flush()?;
    Ok(Exit::True)
}

fn began(past: &PastProcedureDoc) -> String {
    let why = past.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let outcome = past.outcome.as_deref().unwrap_or("it runs");
    format!("{} {} by {}{why}: {outcome}", past.kind, past.id, past.by)
}

fn all(history: &HistoryDoc, out: &mut dyn Write) -> io::Result<()> {
    if history.procedures.is_empty() {
        writeln!(out, "no procedure was begun yet")?;
    } else {
        writeln!(out, "procedures (`drawspan history ID` tells what happened in one)")?;
    }
    for past in &history.procedures {
        beside(out, &format!("  {} ", past.began), &began(past))?;
    }
    writeln!(out, "switches")?;
    for switch in &history.history {
        let why = switch.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let forced = if switch.forced { ", by force" } else { "" };
        let id = switch.procedure.map_or_else(String::new, |id| format!(", procedure {id}"));
        let (from, to, by, ending) = (&switch.from, &switch.to, &switch.by, &switch.ending);
        let text = format!("{from} -> {to} by {by}{id}{forced}{why}: {ending}");
        beside(out, &format!("  {} r{:<5} ", switch.at, switch.revision), &text)?;
    }
    Ok(())
}

fn one(history: &ProcedureHistoryDoc, out: &mut dyn Write) -> io::Result<()> {
    beside(out, &format!("{} ", history.past.began), &began(&history.past))?;
    for event in &history.events {
        let head = format!("  {} r{:<5} {:<12} ", event.at, event.revision, event.phase);
        beside(out, &head, &format!("{}: {}", event.what, event.detail))?;
    }
    Ok(())
}
