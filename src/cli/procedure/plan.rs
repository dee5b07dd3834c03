//! `drawspan plan`: what a procedure would do. Changes nothing.

use std::io::{self, Write};

use super::begin::{Procedure, misfit};
use super::show;
use crate::cli::client::{ControlArgs, Failure, Form, Terminal, run as run_verb};
use crate::cli::exit::Exit;
use crate::cli::text::beside;
use crate::control::client::Client;
use crate::control::wire::PlanDoc;
use crate::model::NodeId;

/// What a procedure would do, what each phase would need, and what speaks against it today.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    pub procedure: Procedure,
    /// The version to reach (upgrade).
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// The node to start first (upgrade, first-start); else the first configured one.
    #[arg(long, value_name = "NODE")]
    pub first: Option<NodeId>,
    /// The node that goes on carrying everything (maintenance).
    #[arg(long, value_name = "NODE", required_if_eq("procedure", "maintenance"))]
    pub keep: Option<NodeId>,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &PlanArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| plan(args, &client, terminal).await)
}

/// That something speaks against it is told by the exit code too.
pub async fn plan(
    args: &PlanArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let given = (args.to.is_some(), args.first.is_some(), args.keep.is_some());
    if let Some(misfit) = misfit(args.procedure, given) {
        writeln!(terminal.err, "error: {misfit}")?;
        return Ok(Exit::Usage);
    }
    let node = args.first.as_ref().or(args.keep.as_ref()).map(NodeId::as_str);
    let answer = client.plan(args.procedure.as_str(), args.to.as_deref(), node).await?;
    match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
        Form::Human => render(&answer.doc, terminal.out)?,
    }
    terminal.out.flush()?;
    Ok(if answer.doc.objections.is_empty() { Exit::True } else { Exit::Refused })
}

fn render(plan: &PlanDoc, out: &mut dyn Write) -> io::Result<()> {
    let word = if plan.kind == "maintenance" { "kept" } else { "first" };
    beside(out, "plan       ", &format!("{}, {word} node {}", plan.kind, plan.first))?;
    let before = &plan.before;
    let plugins = before.plugins.map(|plugins| format!("{plugins} plugins enabled"));
    let known = [
        before.version.as_ref().map(|version| format!("version {version}")),
        before.build.as_ref().map(|build| format!("build {build}")),
        before.image.as_ref().map(|image| format!("image {image}")),
        plugins,
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    let known = if known.is_empty() { "nothing is known".to_owned() } else { known.join(", ") };
    beside(out, "before     ", &known)?;
    for (number, phase) in (1..).zip(&plan.phases) {
        beside(out, &format!("{number:>9}. {:<13} ", phase.phase), &phase.does)?;
        if !phase.needs.is_empty() {
            beside(out, &format!("{:25}until: ", ""), &phase.needs)?;
        }
        if let Some(limit) = &phase.limit {
            beside(out, &format!("{:25}limit: ", ""), limit)?;
        }
    }
    for warning in &plan.warnings {
        beside(out, "warning    ", warning)?;
    }
    for objection in &plan.objections {
        show::objection(objection, out)?;
    }
    let verdict = match plan.objections.len() {
        0 => "nothing speaks against beginning it now",
        _ => "as things are, it would not begin",
    };
    beside(out, "verdict    ", verdict)
}
