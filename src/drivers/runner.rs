//! The gateway's side of commands: made ready, let go, found again, watched, ended.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::folder::Folder;
use super::process::group_lives_in;
use super::{DriverError, Ending, Order, Ticket, output};
use crate::failpoint;
use crate::model::limits::{COMMAND_KILL_GRACE, COMMAND_LOOK_INTERVAL, COMMANDS_KEPT};

/// Itself, even where the file was replaced by a newer one meanwhile.
const OURSELVES: &str = "/proc/self/exe";

/// Runs commands, each in a folder of its own below one folder. Clones are the same.
///
/// Its functions wait for the disk and block; only [`Runner::watch`] and [`Runner::quick`] do not.
#[derive(Clone, Debug)]
pub struct Runner {
    folder: PathBuf,
    program: PathBuf,
    /// Supervisors that this process started, until they were waited for.
    children: Arc<Mutex<Vec<Child>>>,
}

/// A command that is ready and waits. Dropped, also by the gateway's death, it never runs.
#[derive(Debug)]
pub struct Prepared {
    /// To be on disk before [`Prepared::go`].
    pub ticket: Ticket,
    stdin: ChildStdin,
}

/// What is known of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Running,
    Ended(Ending),
    /// It surely has not run, and never will.
    NeverRan,
    /// It ran and does not any more; how it ended is unknown.
    Gone,
}

/// What became of a command that was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ended(Ending),
    NeverRan,
    Gone,
}

impl Prepared {
    /// Lets the command begin. To be called when the ticket is on disk.
    ///
    /// # Errors
    /// The supervisor is gone, and the command has not run.
    pub fn go(mut self) -> Result<(), DriverError> {
        let number = self.ticket.number;
        failpoint::hit("drivers.go");
        self.stdin.write_all(b"!").map_err(|source| DriverError::Go { number, source })?;
        failpoint::hit("drivers.gone");
        Ok(())
    }
}

impl Runner {
    /// Commands lie below `folder`, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::with_supervisor(folder, OURSELVES)
    }

    /// As [`Runner::new`], with the program that has the verb `supervise`, where that is another
    /// one than this process runs.
    pub fn with_supervisor(folder: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        // The supervisor is started in another folder, where a relative path would mean nothing.
        let folder = folder.into();
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, program: program.into(), children: Arc::default() }
    }

    /// Makes a command ready under a number of its own: its folder, and a supervisor that waits.
    ///
    /// # Errors
    /// No folder (a full disk), no process, or the number's command was begun before. Nothing runs.
    pub fn prepare(&self, number: u64, order: &Order) -> Result<Prepared, DriverError> {
        self.wait_for_ended();
        let folder = self.folder_of(number);
        let failed = DriverError::folder("make", &self.folder);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        let failed = DriverError::folder("look into", folder.path());
        if folder.is_begun().map_err(failed)? {
            return Err(DriverError::Begun { number, path: folder.path().to_owned() });
        }
        folder.make(order)?;
        failpoint::hit("drivers.folder_filled");
        self.start_supervisor(number, order, &folder)
    }

    fn start_supervisor(
        &self,
        number: u64,
        order: &Order,
        folder: &Folder,
    ) -> Result<Prepared, DriverError> {
        let failed = |source| DriverError::Supervisor { program: self.program.clone(), source };
        let output = folder.open_output().map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args(["supervise", "."]).current_dir(folder.path());
        command.env_clear().envs(order.environment());
        command.stdin(Stdio::piped());
        command.stdout(output.try_clone().map_err(failed)?).stderr(output);
        let mut child = command.spawn().map_err(failed)?;
        failpoint::hit("drivers.supervisor_started");
        let ticket = Ticket::of(number, child.id());
        let stdin = child.stdin.take();
        self.children().push(child);
        // Without the two, the end of stdin ends it again.
        match (ticket, stdin) {
            (Ok(ticket), Some(stdin)) => Ok(Prepared { ticket, stdin }),
            (Err(source), _) => Err(failed(source)),
            (Ok(_), None) => Err(failed(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// What became of a command, of an earlier gateway process too. `ticket` as it was journalled;
    /// `None`, where it was not, means that the command was never let go.
    pub fn find(&self, number: u64, ticket: Option<&Ticket>) -> Found {
        self.wait_for_ended();
        let folder = self.folder_of(number);
        if let Some(ending) = folder.ending() {
            return found(ending);
        }
        let child = || folder.child().is_some_and(|child| child.is_alive());
        let group = |ticket: &Ticket| {
            let whole = folder.orders().is_ok_and(|orders| orders.group);
            whole && folder.child().is_some_and(|child| group_lives_in(ticket, &child))
        };
        if ticket.is_some_and(|ticket| ticket.is_alive() || group(ticket)) || child() {
            return Found::Running;
        }
        // It may have ended between the two looks.
        if let Some(ending) = folder.ending() {
            return found(ending);
        }
        match folder.is_begun() {
            Ok(false) if ticket.is_none() || folder.is_waiting() => Found::NeverRan,
            Ok(_) | Err(_) => Found::Gone,
        }
    }

    /// Waits until a command has ended, one of an earlier gateway process too.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; calling again goes on waiting.
    pub async fn watch(&self, number: u64, ticket: &Ticket) -> Outcome {
        let mut looks = interval(COMMAND_LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        loop {
            looks.tick().await;
            let (runner, ticket) = (self.clone(), ticket.clone());
            let look = move || {
                let found = runner.find(number, Some(&ticket));
                if matches!(found, Found::Running) && !ticket.is_alive() {
                    runner.end_orphan(number, began.elapsed());
                }
                found
            };
            match spawn_blocking(look).await {
                Ok(Found::Ended(ending)) => return Outcome::Ended(ending),
                Ok(Found::NeverRan) => return Outcome::NeverRan,
                Ok(Found::Gone) => return Outcome::Gone,
                // A look that was given up, as while the runtime stops, says nothing.
                Ok(Found::Running) | Err(_) => {}
            }
        }
    }

    /// Its supervisor was killed, and nobody else ends it at its limit, which counts from when it was
    /// watched. What it comes to is not known then.
    fn end_orphan(&self, number: u64, watched: Duration) {
        let folder = self.folder_of(number);
        let (Ok(orders), Some(child)) = (folder.orders(), folder.child()) else { return };
        let over = watched.saturating_sub(orders.limit());
        let signal = if over < COMMAND_KILL_GRACE { Signal::TERM } else { Signal::KILL };
        if !over.is_zero()
            && let Err(error) = child.signal_group(signal)
        {
            tracing::warn!(number, %error, "a command is past its limit and cannot be ended");
        }
    }

    /// Has a running command ended with its group; [`Runner::watch`] tells when it has. One that
    /// does not run any more is left alone. One whose supervisor was killed is asked politely and
    /// not made to.
    ///
    /// # Errors
    /// It runs and may not be signalled.
    pub fn kill(&self, number: u64, ticket: &Ticket) -> Result<(), DriverError> {
        let failed = |pid| move |source| DriverError::Signal { number, pid, source };
        if ticket.is_alive() {
            return ticket.signal(Signal::USR1).map_err(failed(ticket.pid));
        }
        // Its supervisor was killed.
        match self.folder_of(number).child() {
            Some(child) => child.signal_group(Signal::TERM).map_err(failed(child.pid)),
            None => Ok(()),
        }
    }

    /// The last lines of a command's output, of its last `bytes_max` bytes; control characters are
    /// escaped. Empty where there is none.
    pub fn tail(&self, number: u64, lines: usize, bytes_max: usize) -> Vec<String> {
        output::tail(&self.folder_of(number).output(), lines, bytes_max).unwrap_or_default()
    }

    /// A command's output from an offset on, at most `bytes_max` bytes, and where to go on. The
    /// middle of a very long output is missing, and a line in it says so.
    pub fn output_after(&self, number: u64, offset: u64, bytes_max: usize) -> (Vec<u8>, u64) {
        let after = output::after(&self.folder_of(number).output(), offset, bytes_max);
        after.unwrap_or((Vec::new(), offset))
    }

    /// Removes the folders of old commands: all but the last [`COMMANDS_KEPT`], those in `keep`,
    /// and those that still run.
    ///
    /// # Errors
    /// The first folder that could not be removed; the rest was gone over.
    pub fn prune(&self, keep: &[u64]) -> Result<(), DriverError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(DriverError::folder("read", &self.folder))?,
        };
        let number = |name: &str| name.parse::<u64>().ok().filter(|n| n.to_string() == name);
        let numbers = entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?));
        let numbers: BTreeSet<u64> = numbers.collect();
        let mut outcome = Ok(());
        for old in numbers.into_iter().rev().skip(COMMANDS_KEPT).filter(|n| !keep.contains(n)) {
            let folder = self.folder_of(old);
            if is_held(&folder.order()) {
                continue;
            }
            let removed = fs::remove_dir_all(folder.path());
            outcome = outcome.and(removed.map_err(DriverError::folder("remove", folder.path())));
        }
        outcome
    }

    /// The folder of a command, for people.
    pub fn path_of(&self, number: u64) -> PathBuf {
        self.folder_of(number).path().to_owned()
    }

    fn folder_of(&self, number: u64) -> Folder {
        Folder::new(self.folder.join(number.to_string()))
    }

    /// Takes notice of our supervisors that have ended, so that the system forgets them.
    fn wait_for_ended(&self) {
        self.children().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        // Nothing panics while it is held.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found(ending: Option<Ending>) -> Found {
    ending.map_or(Found::NeverRan, Found::Ended)
}

/// Does a supervisor still work here?
fn is_held(order: &Path) -> bool {
    let locked = File::open(order).map(|file| file.try_lock());
    matches!(locked, Ok(Err(TryLockError::WouldBlock)))
}
