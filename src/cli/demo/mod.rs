//! `drawspan demo`: a cluster of stand-in nodes, a gateway before it, and a tour of what it does.

mod folder;
mod load;
mod nodes;
mod tour;

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::client::{Failure, printable};
use super::{Exit, config_file};
use crate::app::{self, Gateway, StartError};
use crate::config::{self, AccessLog, Config, Flags};
use folder::Folder;
use nodes::NodeProcess;
use tour::{Scene, Verdict};

/// Taken where nobody else has it and nothing else is asked for.
const USUAL_ADDRESS: &str = "127.0.0.1:8080";
const ANY_ADDRESS: &str = "127.0.0.1:0";
/// What the end of the demonstration leaves to requests that are under way.
const GRACE: Duration = Duration::from_secs(2);

/// Show the bridge at work: stand-in nodes, a gateway, load, and a switch through every mode.
///
/// Everything runs on this machine and without root, in a folder of its own that vanishes at the
/// end. After the tour, which takes about ten seconds, the gateway stays for you to try it.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the tour; exit code 0 only if no request failed.
    #[arg(long)]
    once: bool,
    /// Take traffic at this address [default: 127.0.0.1:8080, or a free port where that is taken].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    UntilTold,
    OnlyForTheTour,
}

pub fn run(args: &DemoArgs) -> Exit {
    match demonstrate(args) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: the demonstration did not start: {error:#}");
            if error.is::<WrongFlag>() { Exit::Usage } else { Exit::Internal }
        }
    }
}

/// What nobody could do, on whatever machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongFlag(String);

/// The main thread starts the nodes, because they end with the thread that started them, and then
/// serves; the tour has a thread of its own.
fn demonstrate(args: &DemoArgs) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // From here on a signal ends the tour, which ends the rest in order.
    let signals = {
        let _entered = runtime.enter();
        Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        }
    };
    let folder = Folder::make().context("cannot make a folder for the demonstration")?;
    let nodes = nodes::start_all(&folder)?;
    let gateway = start_gateway(args, &folder, &nodes)?;
    let scene = Scene::of(&gateway, &nodes, folder.path())?;
    let stay = if args.once { Stay::OnlyForTheTour } else { Stay::UntilTold };
    let end = CancellationToken::new();
    let (over, is_over) = oneshot::channel();
    let mut is_over = Some(is_over);
    let tour = std::thread::Builder::new().name("tour".to_owned()).spawn({
        let end = end.clone();
        move || {
            let exit = guide(&runtime, signals, &scene, (stay, end));
            // A gateway that ended by itself waits for nobody.
            let _ = over.send(());
            exit
        }
    })?;
    gateway.serve_until(async || match is_over.take() {
        Some(is_over) => {
            // However the tour ended, the demonstration is over.
            let _ = is_over.await;
        }
        // One end is enough: the grace time is not cut short.
        None => std::future::pending().await,
    });
    end.cancel();
    let exit = tour.join().map_err(|_| anyhow::anyhow!("the tour broke off"))?;
    drop(nodes);
    Ok(exit)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Leads through the tour, and stays if that is wanted.
fn guide(
    runtime: &Runtime,
    mut signals: Signals,
    scene: &Scene,
    (stay, end): (Stay, CancellationToken),
) -> Exit {
    let mut out = io::stdout();
    runtime.block_on(async {
        let verdict = tokio::select! {
            verdict = tour::lead(scene, &mut out) => verdict,
            () = signals.any() => return Exit::True,
            () = end.cancelled() => return Exit::Internal,
        };
        match (conclude(verdict), stay) {
            (exit @ Exit::True, Stay::UntilTold) => {
                if tour::invite(scene, &mut out).is_ok() {
                    tokio::select! {
                        () = signals.any() => {}
                        () = end.cancelled() => return Exit::Internal,
                    }
                }
                exit
            }
            (exit, Stay::UntilTold | Stay::OnlyForTheTour) => exit,
        }
    })
}

fn conclude(verdict: Result<Verdict, Failure>) -> Exit {
    match verdict {
        Ok(Verdict::Kept) => Exit::True,
        Ok(Verdict::Broken) => Exit::Internal,
        // Whoever stopped reading has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::True,
        Err(failure) => {
            eprintln!("the tour broke off: {}", printable(&failure.to_string()));
            Exit::Internal
        }
    }
}

fn start_gateway(
    args: &DemoArgs,
    folder: &Folder,
    nodes: &[NodeProcess],
) -> anyhow::Result<Gateway> {
    let start = |address: &str| -> anyhow::Result<Result<Gateway, StartError>> {
        Ok(app::start(configuration(address, folder, nodes)?, Vec::new()))
    };
    if let Some(address) = &args.listen {
        return Ok(start(address)??);
    }
    match start(USUAL_ADDRESS)? {
        Err(StartError::Listen(_)) => Ok(start(ANY_ADDRESS)??),
        started => Ok(started?),
    }
}

fn configuration(address: &str, folder: &Folder, nodes: &[NodeProcess]) -> anyhow::Result<Config> {
    let flags = Flags {
        listen: vec![address.to_owned()],
        nodes: nodes.iter().map(|node| format!("{}=http://{}", node.id, node.address)).collect(),
        state_dir: Some(folder.path().join("state")),
        control: Some(folder.path().join("control.sock")),
        admin: Some(ANY_ADDRESS.to_owned()),
        workers: None,
    };
    let loaded = config::from_flags(&flags, &config_file::environment())
        .map_err(|problems| WrongFlag(problems.within("drawspan demo").join("\n")))?;
    let mut config = loaded.config;
    config.log.access = AccessLog::Off;
    config.timeouts.grace = GRACE;
    Ok(config)
}
