//! `drawspan wait`: return when something is true.

use std::time::Duration;

use super::client::{ControlArgs, Failure, Form, Terminal, run as run_verb};
use super::exit::Exit;
use super::flags::written_duration;
use crate::control::Condition;
use crate::control::client::Client;

/// Wait until a condition is met, or until it is plain that it never will be.
#[derive(Clone, Debug, clap::Args)]
pub struct WaitArgs {
    /// `mode=KIND[:NODE]`; `node=NODE:ready`, `:down` or `:drained`; `phase=PHASE`; or `procedure=done`:
    /// the last procedure came to the end that it was begun for.
    pub condition: Condition,
    /// Longest wait, as `60s` or `10m`.
    #[arg(long, default_value = "60s", value_parser = written_duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Print the gateway's own document.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &WaitArgs, control: &ControlArgs) -> Exit {
    let client = control.client();
    run_verb(Form::json(args.json), async |terminal| wait(args, &client, terminal).await)
}

pub async fn wait(
    args: &WaitArgs,
    client: &Client,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let answer = client.wait(&args.condition.to_string(), args.timeout).await?;
    match Form::json(args.json) {
        Form::Json => writeln!(terminal.out, "{}", answer.raw.trim_end())?,
        Form::Human => {
            let met = &answer.doc;
            writeln!(terminal.out, "{}: met at revision {}", args.condition, met.revision)?;
        }
    }
    Ok(Exit::True)
}
