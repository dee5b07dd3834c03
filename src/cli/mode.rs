//! `drawspan mode`: change where traffic goes, and return when the change is true.

use std::io::{self, Write};
use std::time::Duration;

use super::client::{ControlArgs, Failure, Form, Terminal, printable, run as run_verb};
use super::exit::Exit;
use super::flags::{number, written_duration};
use crate::control::client::{Client, Conditions};
use crate::control::show_duration;
use crate::control::wire::{SwitchBody, SwitchDoc};
use crate::model::NodeId;

/// Change the mode; return when nothing is left on the old routes.
#[derive(Clone, Debug, clap::Args)]
pub struct ModeArgs {
    pub kind: Kind,
    /// The node that is kept, in single mode.
    #[arg(required_if_eq("kind", "single"))]
    pub node: Option<NodeId>,
    /// How long old requests may go on before they are cut, as `30s` or `2m`; else as configured.
    #[arg(long, value_parser = written_duration, value_name = "TIME")]
    pub drain_timeout: Option<Duration>,
    /// Return once every worker routes the new way, without waiting for old requests.
    #[arg(long)]
    pub no_wait: bool,
    /// Go over the objections that may be forced.
    #[arg(long, requires = "why")]
    pub force: bool,
    /// The reason, for the history and the audit.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Only if the state is still at this revision.
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    pub if_revision: Option<u64>,
    /// Makes a repetition of this very command harmless.
    #[arg(long, value_name = "KEY", value_parser = header_text)]
    pub idempotency_key: Option<String>,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Every node carries traffic.
    Cluster,
    /// One node carries all of it.
    Single,
    /// No node does; everybody gets the notice.
    Maintenance,
}

pub(super) fn header_text(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be visible ASCII without spaces".to_owned())
    }
}

pub fn run(args: &ModeArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| switch(args, &client, terminal).await)
}

pub async fn switch(
    args: &ModeArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let kind = match args.kind {
        Kind::Cluster => "cluster",
        Kind::Single => "single",
        Kind::Maintenance => "maintenance",
    };
    if let (Kind::Cluster | Kind::Maintenance, Some(node)) = (args.kind, &args.node) {
        writeln!(terminal.err, "error: {kind} takes no node, and {node} was given")?;
        writeln!(terminal.err, "remedy: leave {node} out, or ask for `single {node}`")?;
        return Ok(Exit::Usage);
    }
    let body = SwitchBody {
        kind: kind.to_owned(),
        node: args.node.as_ref().map(ToString::to_string),
        drain_timeout: args.drain_timeout.map(show_duration),
        wait: args.no_wait.then(|| "fenced".to_owned()),
        force: args.force.then_some(true),
        why: args.why.clone(),
    };
    let conditions =
        Conditions { revision: args.if_revision, idempotency_key: args.idempotency_key.clone() };
    let answer = client.switch(&body, &conditions).await?;
    let written = match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end()),
        Form::Human => render(&answer.doc, terminal.out),
    };
    let (mode, revision) = (&answer.doc.mode, answer.doc.revision);
    written.and_then(|()| terminal.out.flush()).map_err(|error| {
        // The mode is what was asked for, whoever reads of it or not.
        let done = printable(&format!("the command was carried out: {mode}, revision {revision}"));
        io::Error::new(error.kind(), format!("{error}; {done}"))
    })?;
    Ok(if answer.doc.effect_is_true() { Exit::True } else { Exit::LostRace })
}

/// The acknowledgement, for a person.
pub(super) fn render(switch: &SwitchDoc, out: &mut dyn Write) -> io::Result<()> {
    let mode = printable(&switch.mode.to_string());
    if let Some(now) = switch.now.as_ref().filter(|_| switch.replayed) {
        let done = format!("this command was already carried out at revision {}", switch.revision);
        return writeln!(
            out,
            "{mode}: {done}; the mode is now {}",
            printable(&now.mode.to_string())
        );
    }
    if switch.changed {
        carried_out(switch, &mode, out)?;
    } else {
        writeln!(out, "{mode}: nothing to change (revision {})", switch.revision)?;
    }
    for warning in &switch.warnings {
        writeln!(out, "  warning: {}", printable(warning))?;
    }
    for objection in &switch.forced_over {
        writeln!(out, "  forced over: {}", printable(&objection.detail))?;
    }
    if switch.journal != "ok" {
        writeln!(out, "  journal: {}; the mode is held by the marker", printable(&switch.journal))?;
    }
    Ok(())
}

fn carried_out(switch: &SwitchDoc, mode: &str, out: &mut dyn Write) -> io::Result<()> {
    // Where nothing was closed, nothing had to drain.
    let opened = switch.removed.is_empty() && switch.acknowledged == "drained";
    let acknowledged = if opened { "done".into() } else { printable(&switch.acknowledged) };
    let revision = switch.revision;
    writeln!(out, "{mode}: {acknowledged} after {} ms (revision {revision})", switch.took_ms)?;
    for left in &switch.removed {
        let (in_flight, cut, tunnels) = (left.in_flight, left.cut, left.tunnels_closed);
        write!(out, "  {}: {in_flight} requests left, {cut} cut", printable(&left.node))?;
        writeln!(out, ", {tunnels} tunnels closed, {} abandoned so far", left.abandoned)?;
    }
    Ok(())
}
