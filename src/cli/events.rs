//! `drawspan events`: what happens, as it happens.

use super::client::{ControlArgs, Failure, Form, Terminal, printable, run as run_verb};
use super::exit::Exit;
use super::flags::number;
use crate::control::client::Client;
use crate::control::wire::{EventDoc, What};

/// Follow what happens, until interrupted or until the gateway stops.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EventsArgs {
    /// Begin with what happened after this revision, as far as the gateway still has it.
    #[arg(long, value_name = "REV", value_parser = number::<u64>)]
    pub after: Option<u64>,
    /// Print one JSON document a line.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &EventsArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| {
        tokio::select! {
            ended = follow(args, &client, terminal) => ended,
            _ = tokio::signal::ctrl_c() => Ok(Exit::True),
        }
    })
}

/// Follows until the stream ends. That the gateway went away is told by the exit code: nothing
/// that happens later is seen.
pub async fn follow(
    args: &EventsArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut events = client.events(args.after).await?;
    while let Some(line) = events.next().await? {
        match Form::json(args.json) {
            Form::Json => writeln!(terminal.out, "{line}")?,
            Form::Human => writeln!(terminal.out, "{}", human(&line))?,
        }
        terminal.out.flush()?;
    }
    writeln!(terminal.err, "the gateway ended the stream")?;
    writeln!(terminal.err, "remedy: once it runs again, follow on with --after REV")?;
    Ok(Exit::Unreachable)
}

/// One line for a person. What this version does not know is shown as it came.
fn human(line: &str) -> String {
    let Ok(event) = serde_json::from_str::<EventDoc>(line) else { return printable(line) };
    let at = event.at.as_deref().unwrap_or("-");
    let revision = event.revision.map_or_else(String::new, |revision| format!(" r{revision}"));
    printable(&format!("{at}{revision} {}", words(&event.what)))
}

fn words(what: &What) -> String {
    let because = |why: &Option<String>| match why {
        Some(why) => format!(" ({why})"),
        None => String::new(),
    };
    match what {
        What::Started { mode, doubt, earlier_events: _ } => {
            format!("started in {mode}{}; what happened before is not told here", because(doubt))
        }
        What::SwitchBegan { from, to, by, why, forced } => {
            let forced = if *forced { ", by force" } else { "" };
            format!("switch {from} -> {to} begun by {by}{forced}{}", because(why))
        }
        What::SwitchFenced { to, generation } => {
            format!("switch to {to} fenced: every worker routes by table {generation}")
        }
        What::SwitchFinished { to, cut, tunnels_closed } => {
            format!("switch to {to} finished: {cut} requests cut, {tunnels_closed} tunnels closed")
        }
        What::FenceIncomplete { to, workers } => {
            format!("switch to {to} NOT confirmed by workers {workers:?}")
        }
        What::NodeChanged { node, from, to, reason } => {
            format!("node {node}: {from} -> {to}: {reason}")
        }
        What::JournalChanged { journal, detail } => format!("journal {journal}{}", because(detail)),
        What::GuardedCall { node } => format!("a call that changes what runs passed to {node}"),
        What::Procedure { id, procedure, phase, what, detail } => {
            format!("{procedure} {id}, {phase}: {what}: {detail}")
        }
        What::Included { node, by } => format!("node {node} taken back by {by}"),
        What::Stopping => "stopping".to_owned(),
        What::Lagged { missed } => format!("{missed} events were missed: this reader is too slow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_words_for_a_person_and_an_unknown_one_is_shown_as_it_came() {
        let line = r#"{"at":"T","revision":3,"kind":"node_changed","node":"n1","from":"ready","to":"down","reason":"refused\u001b[2J"}"#;
        assert_eq!(human(line), "T r3 node n1: ready -> down: refused\u{fffd}[2J");
        let newer = r#"{"kind":"something_new"}"#;
        assert_eq!(human(newer), newer);
    }
}
