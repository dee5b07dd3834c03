//! Quick commands: asked between times, with the answer at once. They end with whoever asked.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{DriverError, Ending, Order, Runner, group, output, supervisor};
use crate::model::limits::QUICK_OUTPUT_BYTES_MAX;

/// What stands in the pipes when a command has ended is read for this long: a process that it left
/// behind may hold them open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a quick command went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quick {
    pub ending: Ending,
    /// Its stdout; the end of it, where it is long.
    pub output: String,
    /// Its stderr, likewise.
    pub errors: String,
}

impl Quick {
    /// The last lines that it wrote, stderr behind stdout; control characters are escaped.
    pub fn last_lines(&self, lines: usize) -> Vec<String> {
        let mut all = output::last_lines(self.output.as_bytes(), lines);
        all.extend(output::last_lines(self.errors.as_bytes(), lines));
        all.split_off(all.len().saturating_sub(lines))
    }
}

impl Runner {
    /// Runs a command and returns what it wrote. Nothing of it is kept on disk. Past its limit it is
    /// killed with its group.
    ///
    /// # Errors
    /// It could not be started.
    ///
    /// # Cancel safety
    /// Dropping the future kills the command with its group.
    pub async fn quick(&self, order: &Order) -> Result<Quick, DriverError> {
        let failed = |source| DriverError::Start { program: order.program().to_owned(), source };
        let mut command = Command::new(order.program());
        command.args(order.argv.iter().skip(1)).current_dir("/").process_group(0);
        command.env_clear().envs(order.environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().map_err(failed)?);
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let reading = async {
            tokio::join!(keep_end(stdout, &mut output), keep_end(stderr, &mut errors));
        };
        let waiting = async {
            let ended = timeout(order.limit, running.0.wait()).await;
            if ended.is_err() {
                running.kill();
            }
            ended
        };
        let ending = match both(waiting, reading).await {
            Ok(waited) => supervisor::ending_of(waited.map_err(failed)?),
            Err(_) => Ending::TimedOut,
        };
        let text = |bytes: Vec<u8>| {
            let start = bytes.len().saturating_sub(QUICK_OUTPUT_BYTES_MAX);
            String::from_utf8_lossy(&bytes[start..]).into_owned()
        };
        Ok(Quick { ending, output: text(output), errors: text(errors) })
    }
}

/// Reads while the command runs, and a moment longer.
async fn both<T>(waiting: impl Future<Output = T>, reading: impl Future<Output = ()>) -> T {
    tokio::pin!(waiting, reading);
    tokio::select! {
        ended = &mut waiting => {
            // What is not read by then belongs to a process that was left behind.
            let _ = timeout(LAST_WORDS, reading).await;
            ended
        }
        () = &mut reading => waiting.await,
    }
}

/// Reads to the end, and keeps the end.
async fn keep_end(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    // A pipe that fails has ended.
    while let Ok(1..) = pipe.read_buf(kept).await {
        // Not with each read: what is in front is moved away in large pieces.
        if 2 * QUICK_OUTPUT_BYTES_MAX < kept.len() {
            kept.drain(..kept.len() - QUICK_OUTPUT_BYTES_MAX);
        }
    }
}

/// Killed with its group when it is dropped before its end.
struct Running(Child);

impl Running {
    fn kill(&self) {
        // It has its number for as long as it was not waited for.
        let leader = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(leader) = leader {
            group::kill(leader);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
