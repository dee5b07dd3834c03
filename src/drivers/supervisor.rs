//! The process beside the gateway that runs one command: `drawspan supervise .`, in the folder of
//! the command.
//!
//! It waits for one byte on stdin. At the end of stdin instead, since the gateway has died or
//! changed its mind, it ends and nothing has run. After that byte nothing but the command's end,
//! its limit or SIGUSR1 ends it. It holds to the folder and not to its path, so one whose folder
//! was replaced can neither begin nor write a result.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, setsid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::folder::{Folder, Orders};
use super::output::Bound;
use super::process::group_lives;
use super::{Ending, Ticket, group};
use crate::failpoint;
use crate::model::limits::COMMAND_LOOK_INTERVAL;

const REASON_BYTES_MAX: usize = 1_000;
/// How often, and how many times, a result is tried to be written.
const RESULT_RETRY: Duration = Duration::from_secs(1);
const RESULT_TRIES: u32 = 600;

/// Runs the command of a folder, and returns when its result is written.
///
/// # Errors
/// The folder is none of a command, or its result could not be written.
pub fn run(folder: &Path) -> io::Result<()> {
    if io::stdin().is_terminal() {
        let hint = "the gateway starts this by itself; there is nothing to do by hand";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, hint));
    }
    // What the terminal or the service manager tells the gateway's session is not for us.
    let _ = setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(&Folder::new(folder.to_owned())))
}

/// The signals that mean something here. Those that are caught and not looked at are thereby
/// ignored, and unlike ignored ones are not so for the command.
struct Signals {
    child: Signal,
    end: Signal,
    _ignored: [Signal; 5],
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let caught = |kind| signal(kind);
        Ok(Self {
            child: caught(SignalKind::child())?,
            end: caught(SignalKind::user_defined1())?,
            _ignored: [
                caught(SignalKind::terminate())?,
                caught(SignalKind::interrupt())?,
                caught(SignalKind::hangup())?,
                caught(SignalKind::quit())?,
                caught(SignalKind::user_defined2())?,
            ],
        })
    }
}

async fn supervise(folder: &Folder) -> io::Result<()> {
    let mut signals = Signals::catch()?;
    // Held for as long as this process: a folder that is in use is not cleared away.
    let lock = File::open(folder.order())?;
    lock.lock()?;
    let orders = folder.orders()?;
    let ending = if told_to_begin(&mut signals).await? {
        failpoint::hit("supervisor.told");
        Some(match folder.begin() {
            Ok(()) => carry_out(folder, &orders, &mut signals).await,
            Err(error) => could_not_start(&format!("cannot note that it begins: {error}")),
        })
    } else {
        None
    };
    failpoint::hit("supervisor.ended");
    for _ in 1..RESULT_TRIES {
        match folder.end(ending.as_ref()) {
            Ok(()) => return Ok(()),
            // The folder is gone, and with it whoever wanted to know.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => sleep(RESULT_RETRY).await,
        }
    }
    folder.end(ending.as_ref())
}

async fn told_to_begin(signals: &mut Signals) -> io::Result<bool> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut stdin = pipe::Receiver::from_owned_fd(stdin)?;
    let mut byte = [0];
    tokio::select! {
        read = stdin.read(&mut byte) => Ok(read? == 1),
        _ = signals.end.recv() => Ok(false),
    }
}

async fn carry_out(folder: &Folder, orders: &Orders, signals: &mut Signals) -> Ending {
    failpoint::hit("supervisor.begun");
    let Some((program, arguments)) = orders.argv.split_first() else {
        return could_not_start("no program is named");
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null()).process_group(0);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return could_not_start(&format!("{program}: {error}")),
    };
    // Only for the case that this process is killed; the command goes on without it.
    let _ = Ticket::of(0, child.id()).and_then(|ticket| folder.note_child(&ticket));
    watch(child, orders, folder, signals).await
}

async fn watch(
    mut child: Child,
    orders: &Orders,
    folder: &Folder,
    signals: &mut Signals,
) -> Ending {
    let Some(leader) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return could_not_start("it has no number");
    };
    let mut bound = Bound::of(&folder.output());
    let end = sleep_until(Instant::now() + orders.limit());
    tokio::pin!(end);
    let mut looks = interval(COMMAND_LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cause = None;
    while cause.is_none() && !is_over(leader, orders) {
        tokio::select! {
            _ = signals.child.recv() => {}
            _ = looks.tick() => bound.keep(),
            () = &mut end => cause = Some(Ending::TimedOut),
            _ = signals.end.recv() => cause = Some(Ending::ByOperator),
        }
    }
    if cause.is_some() || (orders.group && group_lives(leader)) {
        group::end(leader).await;
    }
    bound.close();
    // It has ended, so this does not wait.
    let waited = child.wait();
    cause.unwrap_or_else(|| match waited {
        Ok(status) => ending_of(status),
        Err(error) => could_not_start(&format!("nobody knows how it ended: {error}")),
    })
}

/// Has the command ended; with its group, where it is over only then and did not fail?
fn is_over(leader: Pid, orders: &Orders) -> bool {
    match group::ended_well(leader) {
        None => false,
        Some(true) => !orders.group || !group_lives(leader),
        Some(false) => true,
    }
}

pub(super) fn ending_of(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited { code },
        (None, Some(signal)) => Ending::Signalled { signal },
        (None, None) => Ending::Exited { code: status.into_raw() },
    }
}

fn could_not_start(reason: &str) -> Ending {
    let mut reason: String = reason.escape_debug().collect();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Ending::CouldNotStart { reason }
}
