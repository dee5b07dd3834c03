//! A thread that writes, so that nobody else has to.
//!
//! Whoever has lines offers them in whole buffers over a bounded queue and never waits: what does
//! not fit is dropped and counted. The thread may hang for ever on a pipe that nobody reads; that
//! stops neither a worker nor the end of the process.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Log;
use crate::model::limits::{LOG_NOTE_INTERVAL, LOG_RETRY_DELAY};

/// Where an outlet writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    Stderr,
    /// Appended to; made where there is none.
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How many lines were thrown away. Clones are the same counter.
#[derive(Clone, Debug, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    pub fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Whole lines, and the way back for their buffer.
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) home: Option<SyncSender<Vec<u8>>>,
}

enum Message {
    Batch(Batch),
    /// Answered when everything offered before it was written or dropped.
    Finish(SyncSender<()>),
}

/// The near end of the queue. Clones lead to the same thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    queue: SyncSender<Message>,
    dropped: Dropped,
    reopen: Arc<AtomicBool>,
}

impl Outlet {
    /// Opens `destination` and starts the thread. `batches_max` buffers may wait in the queue.
    pub(super) fn start(
        log: Log,
        destination: Destination,
        batches_max: usize,
    ) -> io::Result<Self> {
        let file = open(&destination)?;
        let (queue, batches) = sync_channel(batches_max);
        let (dropped, reopen) = (Dropped::default(), Arc::new(AtomicBool::new(false)));
        let outlet = Self { queue, dropped: dropped.clone(), reopen: reopen.clone() };
        let far = Far { log, destination, file, dropped, reopen, line_is_torn: false, noted: None };
        // Nobody joins it: it may hang in a write, and the process must be able to end.
        thread::Builder::new().name(format!("{}-log", log.as_str())).spawn(|| far.run(batches))?;
        Ok(outlet)
    }

    /// Hands a batch over, or drops it and gives its emptied buffer back.
    pub(super) fn offer(&self, batch: Batch) -> Option<Vec<u8>> {
        let refused = match self.queue.try_send(Message::Batch(batch)) {
            Ok(()) => return None,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
        };
        let Message::Batch(Batch { mut text, .. }) = refused else { return None };
        self.dropped.add(lines(&text));
        text.clear();
        Some(text)
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Before the next batch, a file is opened anew by its name: somebody moved it away.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until what was offered is written, but no longer than `bound`. Blocks: for the end of
    /// the process, when no worker is left.
    pub(super) fn finish(&self, bound: Duration) {
        let end = Instant::now() + bound;
        let (done, wait) = sync_channel(1);
        let mut message = Message::Finish(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if end <= Instant::now() {
                return;
            }
            message = back;
            thread::sleep(LOG_RETRY_DELAY);
        }
        // Too late or gone: either way there is nothing more to wait for.
        let _ = wait.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|b| **b == b'\n').count() as u64
}

fn open(destination: &Destination) -> io::Result<File> {
    // The descriptors are written to by themselves: the locks of `io::stdout` could be held by a
    // hanging write when the process ends.
    match destination {
        Destination::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        Destination::Stderr => Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
        // Without O_NONBLOCK a named pipe that nobody reads would hang us right here.
        Destination::File(path) => OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path),
    }
}

/// The thread's side.
struct Far {
    log: Log,
    destination: Destination,
    file: File,
    dropped: Dropped,
    reopen: Arc<AtomicBool>,
    /// The last write stopped in the middle of a line.
    line_is_torn: bool,
    noted: Option<Instant>,
}

impl Far {
    fn run(mut self, batches: Receiver<Message>) {
        for message in batches {
            match message {
                Message::Batch(batch) => self.take(batch),
                Message::Finish(done) => {
                    let _ = done.try_send(()); // whoever asked may have stopped waiting
                }
            }
        }
    }

    fn take(&mut self, Batch { mut text, home }: Batch) {
        if let Err(error) = self.reopen_if_asked().and_then(|()| self.write(&text)) {
            self.note(&error);
        }
        text.clear();
        if let Some(home) = home {
            let _ = home.try_send(text); // a full or closed home needs no more buffers
        }
    }

    fn reopen_if_asked(&mut self) -> io::Result<()> {
        if self.reopen.swap(false, Ordering::Relaxed) {
            // Where that fails, the old file goes on: better there than nowhere.
            match open(&self.destination) {
                Ok(file) => (self.file, self.line_is_torn) = (file, false),
                Err(error) => self.note(&error),
            }
        }
        Ok(())
    }

    /// Writes all of it or counts the lines that did not make it.
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.line_is_torn && self.write_from(b"\n").1.is_none() {
            self.line_is_torn = false;
        }
        let (written, error) = self.write_from(text);
        let rest = text.get(written..).unwrap_or_default();
        self.dropped.add(lines(rest));
        let Some(error) = error else { return Ok(()) };
        self.line_is_torn |= written != 0 && text.get(written - 1) != Some(&b'\n');
        Err(error)
    }

    fn write_from(&mut self, text: &[u8]) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe that is full; meanwhile the queue fills, and then lines are dropped.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(LOG_RETRY_DELAY);
                }
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    fn note(&mut self, error: &io::Error) {
        if self.noted.is_some_and(|at| at.elapsed() < LOG_NOTE_INTERVAL) {
            return;
        }
        self.noted = Some(Instant::now());
        match self.log {
            Log::Access => {
                tracing::warn!(%error, to = %self.destination, "cannot write the access log; lines are dropped");
            }
            // To say so would take the very way that is broken; the counter tells.
            Log::Diagnostics => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn batch(text: &str) -> Batch {
        Batch { text: text.as_bytes().to_vec(), home: None }
    }

    #[test]
    fn what_was_offered_is_in_the_file_once_finish_returns() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let to = Destination::File(path.clone());
        let outlet = Outlet::start(Log::Access, to, 4).expect("it opens");
        assert!(outlet.offer(batch("a\nb\n")).is_none());
        outlet.finish(PATIENCE);
        assert_eq!(std::fs::read_to_string(path).expect("a file"), "a\nb\n");
    }

    #[test]
    fn a_reopened_log_leaves_the_moved_file_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let to = Destination::File(path.clone());
        let outlet = Outlet::start(Log::Access, to, 4).expect("it opens");
        outlet.offer(batch("before\n"));
        outlet.finish(PATIENCE);
        std::fs::rename(&path, &moved).expect("it moves");
        outlet.reopen();
        outlet.offer(batch("after\n"));
        outlet.finish(PATIENCE);
        assert_eq!(std::fs::read_to_string(moved).expect("a file"), "before\n");
        assert_eq!(std::fs::read_to_string(path).expect("a file"), "after\n");
    }

    #[test]
    fn a_full_disk_drops_and_counts_lines_and_nothing_else() {
        let to = Destination::File("/dev/full".into());
        let outlet = Outlet::start(Log::Access, to, 4).expect("it opens");
        outlet.offer(batch("a\nb\nc\n"));
        outlet.finish(PATIENCE);
        assert_eq!(outlet.dropped().lines(), 3);
    }

    #[test]
    fn a_buffer_that_is_not_taken_comes_back_empty_and_its_lines_are_counted() {
        let (queue, _never_read) = sync_channel(1);
        let outlet = Outlet { queue, dropped: Dropped::default(), reopen: Arc::default() };
        assert!(outlet.offer(batch("a\n")).is_none());
        let back = outlet.offer(batch("b\nc\n")).expect("the queue is full");
        assert!(back.is_empty() && back.capacity() != 0);
        assert_eq!(outlet.dropped().lines(), 2);
    }

    #[test]
    fn a_named_pipe_without_a_reader_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
        assert!(Outlet::start(Log::Access, Destination::File(path), 4).is_err());
    }
}
