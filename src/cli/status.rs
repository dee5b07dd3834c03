//! `drawspan status`: what is true now.

use std::io::{self, Write};
use std::time::Duration;

use super::client::{ControlArgs, Failure, Form, Screen, Terminal, printable, run as run_verb};
use super::exit::Exit;
use super::procedure::show;
use crate::clock;
use crate::control::client::{Client, ClientError};
use crate::control::wire::{NodeDoc, StatusDoc};

const REDRAW_INTERVAL: Duration = Duration::from_secs(1);
/// Cursor home, then clear to the end: no flicker of an empty screen.
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

/// Show the mode, the nodes and what is wrong, if anything is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StatusArgs {
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
    /// Show it again every second, until interrupted.
    #[arg(long)]
    pub watch: bool,
}

pub fn run(args: &StatusArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| {
        if args.watch {
            tokio::select! {
                ended = watch(args, &client, terminal) => ended,
                _ = tokio::signal::ctrl_c() => Ok(Exit::True),
            }
        } else {
            show(args, &client, terminal).await
        }
    })
}

pub async fn show(
    args: &StatusArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let answer = client.status().await?;
    match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
        Form::Human => render(&answer.doc, terminal.out)?,
    }
    terminal.out.flush()?;
    Ok(Exit::True)
}

/// A gateway that is away for a moment is shown as away, and asked again.
async fn watch(
    args: &StatusArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut silent_since = None;
    loop {
        if terminal.screen == Screen::Redrawn && !args.json {
            write!(terminal.out, "{REDRAW}")?;
        }
        match show(args, client, terminal).await {
            Ok(_) => silent_since = None,
            Err(Failure::Control(error @ ClientError::Denied { .. })) => return Err(error.into()),
            Err(Failure::Control(error)) => {
                let since = *silent_since.get_or_insert_with(clock::now);
                let error = printable(&error.to_string());
                writeln!(terminal.err, "no status since {since}: {error}")?;
            }
            Err(error @ Failure::Output(_)) => return Err(error),
        }
        tokio::time::sleep(REDRAW_INTERVAL).await;
    }
}

fn render(status: &StatusDoc, out: &mut dyn Write) -> io::Result<()> {
    if let Some(procedure) = &status.procedure {
        show::procedure(procedure, &status.taken, out)?;
    }
    show::excluded(&status.excluded, out)?;
    if status.procedure.is_some() || !status.excluded.is_empty() {
        writeln!(out)?;
    }
    let field = |out: &mut dyn Write, name: &str, value: &str| {
        writeln!(out, "{name:<10} {}", printable(value))
    };
    let since = format!("since {} by {}", status.since, status.by);
    field(out, "mode", &format!("{} ({since})", status.mode))?;
    field(out, "revision", &format!("{} (table {})", status.revision, status.generation))?;
    if let Some(why) = &status.why {
        field(out, "why", why)?;
    }
    if let Some(doubt) = &status.doubt {
        field(out, "doubt", doubt)?;
        if let Some(before) = &status.mode_before {
            field(out, "before", &before.to_string())?;
        }
        if let Some(damaged) = &status.damaged_journal {
            field(out, "kept", damaged)?;
        }
        if let Some(remedy) = &status.doubt_remedy {
            field(out, "remedy", remedy)?;
        }
    }
    if let Some(switch) = &status.switch {
        let step = if switch.fenced { "fenced, draining" } else { "not yet fenced" };
        let text = format!("{} -> {} since {}: {step}", switch.from, switch.to, switch.began);
        field(out, "switch", &text)?;
    }
    if status.journal != "ok" {
        let detail = status.journal_detail.as_deref().unwrap_or("no detail");
        field(out, "journal", &format!("{}: {detail}", status.journal))?;
    }
    if !status.sick_workers.is_empty() {
        let text = format!("workers {:?} do not confirm the routes", status.sick_workers);
        field(out, "sick", &text)?;
    }
    for must in &status.must_restart {
        let (node, kept) = (&must.node, &must.kept);
        let text = format!("{node}: a call that changes what runs passed to {kept}");
        field(out, "restart", &format!("{text} at {}", must.since))?;
    }
    for warning in &status.warnings {
        field(out, "warning", warning)?;
    }
    field(out, "listens", &status.listen.join(", "))?;
    let gateway = format!("{} (pid {}, since {})", status.version, status.pid, status.started);
    field(out, "gateway", &gateway)?;
    writeln!(out)?;
    table(&status.nodes, out)
}

const COLUMNS: [&str; 9] =
    ["NODE", "STATE", "ROUTED", "ADDRESS", "REQUESTS", "TUNNELS", "ABANDONED", "WEIGHT", "REASON"];

fn row(node: &NodeDoc) -> [String; COLUMNS.len()] {
    let routed = match (node.role.as_str(), node.routed, node.ejected) {
        ("worker", _, _) => "worker",
        (_, true, true) => "ejected",
        (_, true, false) if node.takes_requests => "yes",
        // The mode routes to it, and it gets nothing: `yes` would look like traffic.
        (_, true, false) => "when ready",
        (_, false, _) => "no",
    };
    [
        printable(&node.id),
        printable(&node.state),
        routed.to_owned(),
        printable(&node.address),
        node.in_flight.to_string(),
        node.tunnels.to_string(),
        node.abandoned.to_string(),
        node.weight.to_string(),
        printable(&node.reason),
    ]
}

fn table(nodes: &[NodeDoc], out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(nodes.iter().map(row));
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
