//! The stand-in as a process of its own: `drawspan stand-in`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::trouble::TroubleFile;
use super::{Database, Login, Options, StandIn, build_of};

/// How often a process that is stopping looks whether everybody has left.
const LEFT_POLL: Duration = Duration::from_millis(20);

/// Run a stand-in for a NocoBase node, for demonstrations and tests.
#[derive(Clone, Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:13000")]
    pub listen: SocketAddr,
    /// Name of the node.
    #[arg(long, default_value = "node")]
    pub id: String,
    /// Length of a start; the port is refused in its first half, the API is 503 in the second.
    #[arg(long, default_value_t = 0)]
    pub start_ms: u64,
    /// Version of the code.
    #[arg(long, default_value = "2.2.15")]
    pub version: String,
    /// Hash of the build, as the shell names it. Without it, one that goes with the version.
    #[arg(long)]
    pub build: Option<String>,
    /// Length of `app:restart`.
    #[arg(long, default_value_t = 3_600)]
    pub restart_ms: u64,
    /// Length of `pm:enable`.
    #[arg(long, default_value_t = 10_000)]
    pub enable_ms: u64,
    /// From SIGTERM until the port is closed.
    #[arg(long, default_value_t = 750)]
    pub stop_ms: u64,
    /// Ask for a login before a command, as a real node does.
    #[arg(long)]
    pub login: bool,
    /// File that the nodes of one cluster share.
    #[arg(long)]
    pub database: Option<PathBuf>,
    /// File that gets a line for every public request: `MILLISECONDS METHOD TARGET`.
    #[arg(long)]
    pub requests: Option<PathBuf>,
    /// File that may ask for trouble at any time: `never-ready`, `crash`, `crash-loop`,
    /// `database-down`, `hang`, `port-closed` or `stubborn`.
    #[arg(long)]
    pub trouble: Option<PathBuf>,
    /// End by itself after this time, as if killed: a forgotten node does not stay for ever.
    #[arg(long)]
    pub life_ms: Option<u64>,
    /// End at once when the process of this id, which started this one, ends.
    #[arg(long, value_name = "PID")]
    pub end_with: Option<i32>,
}

impl Args {
    fn options(&self) -> anyhow::Result<Options> {
        let database = match &self.database {
            None => Database::default(),
            Some(path) => Database::file(path)
                .with_context(|| format!("cannot open the database file {}", path.display()))?,
        };
        let start = Duration::from_millis(self.start_ms);
        Ok(Options {
            id: self.id.clone(),
            listen: self.listen,
            version: self.version.clone(),
            build: self.build.clone().unwrap_or_else(|| build_of(&self.version)),
            refused_time: start / 2,
            starting_time: start / 2,
            restart_time: Duration::from_millis(self.restart_ms),
            enable_time: Duration::from_millis(self.enable_ms),
            stop_delay: Duration::from_millis(self.stop_ms),
            requests: self.requests.clone(),
            login: if self.login { Login::Asked } else { Login::NotAsked },
            database: Arc::new(database),
            ..Options::default()
        })
    }
}

/// Runs until SIGTERM or SIGINT, and then until every connection has left, as NocoBase does.
///
/// The first line on stdout is `listening on ADDR`; with start-up times the port opens later.
///
/// # Errors
/// The address or the database file cannot be had, the database is of a newer version, or the node
/// was asked to crash.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(parent) = args.end_with {
        end_with(parent)?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the first line is out, so that whoever reads it may signal us at once.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let node = StandIn::start(args.options()?)?;
        // Nobody may be reading, which is no reason to end.
        let _ = writeln!(std::io::stdout(), "listening on {}", node.addr());
        let trouble = TroubleFile(args.trouble.clone());
        let stopped = async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if !trouble.ignores_sigterm() {
                    return;
                }
            }
        };
        tokio::select! {
            () = stopped => {}
            () = trouble.follow(&node) => bail!("it crashes, as it was asked to"),
            () = life_is_over(args.life_ms) => return Ok(()),
        }
        node.stop_like_nocobase();
        while !node.has_left() {
            tokio::time::sleep(LEFT_POLL).await;
        }
        node.stop();
        Ok(())
    })
}

async fn life_is_over(life_ms: Option<u64>) {
    match life_ms {
        Some(life) => tokio::time::sleep(Duration::from_millis(life)).await,
        None => std::future::pending().await,
    }
}

/// Asks the kernel for SIGKILL when the thread that started this process ends.
fn end_with(parent: i32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")?;
    // It may have ended before the kernel was asked.
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        bail!("process {parent}, with which this one ends, is not its parent, or has ended");
    }
    Ok(())
}
