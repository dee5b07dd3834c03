//! What arrived at the node, and how it ended: the evidence of the tests.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::StandInError;
use super::head::Head;
use crate::clock;

/// Requests remembered; of more, the oldest are forgotten and counted.
pub const RECORDS_MAX: usize = 100_000;
/// How the gateway's probes name themselves; they are not public traffic.
const PROBE: &str = "drawspan-probe";

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node still works on it (or its WebSocket is open).
    Open,
    /// The response was written to its end (or the WebSocket closed with a Close frame).
    Answered,
    /// The node broke it off: a fault that was asked for, or its end.
    Cut,
    /// The client left before the response was written.
    Vanished,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Number of the connection it came on: the same for requests that shared one.
    pub connection: u64,
    pub remote: SocketAddr,
    /// When its head had been read.
    pub begun: Instant,
    pub method: String,
    /// As it stood in the request line.
    pub target: String,
    /// All, in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// Of the final response, once the node chose one.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// When the client was seen to have left. The node may go on after that.
    pub vanished: Option<Instant>,
    /// When the node was through with it.
    pub ended: Option<Instant>,
}

impl Record {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the gateway's health asked, not the public.
    pub fn is_probe(&self) -> bool {
        self.header("user-agent").is_some_and(|agent| agent.starts_with(PROBE))
    }
}

/// A record as it is kept: the head is taken apart only for those who ask.
#[derive(Debug)]
struct Entry {
    connection: u64,
    remote: SocketAddr,
    begun: Instant,
    head: Arc<Head>,
    status: Option<u16>,
    outcome: Outcome,
    vanished: Option<Instant>,
    ended: Option<Instant>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    /// Number of the oldest entry.
    first: u64,
    dropped: u64,
}

/// All records of one node.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    kept: Mutex<Kept>,
    hits: AtomicU64,
    probes: AtomicU64,
    /// Gets a line for every public request.
    file: Option<File>,
}

impl Recorder {
    /// # Errors
    /// The file, which is appended to, cannot be opened.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, StandInError> {
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map_err(|source| StandInError::Requests { path: path.to_owned(), source })
        };
        Ok(Self { file: file.map(open).transpose()?, ..Self::default() })
    }

    /// One write for a line: those of two nodes in one file do not mix.
    fn write_down(&self, head: &Head) {
        let Some(mut file) = self.file.as_ref() else { return };
        let now = clock::now().as_millis();
        let line = format!("{now} {} {}\n", head.method(), head.target());
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the stand-in cannot write a request down");
        }
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        connection: u64,
        remote: SocketAddr,
        head: &Arc<Head>,
    ) -> Ticket {
        let probe = head.header("user-agent").is_some_and(|agent| agent.starts_with(PROBE));
        let counter = if probe { &self.probes } else { &self.hits };
        counter.fetch_add(1, Ordering::SeqCst);
        if !probe {
            self.write_down(head);
        }
        let entry = Entry {
            connection,
            remote,
            begun: Instant::now(),
            head: Arc::clone(head),
            status: None,
            outcome: Outcome::Open,
            vanished: None,
            ended: None,
        };
        let mut kept = self.lock();
        if kept.entries.len() == RECORDS_MAX {
            kept.entries.pop_front();
            kept.first += 1;
            kept.dropped += 1;
        }
        let number = kept.first + kept.entries.len() as u64;
        kept.entries.push_back(entry);
        drop(kept);
        Ticket { recorder: Arc::clone(self), number, ended: false }
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let copy = |entry: &Entry| Record {
            connection: entry.connection,
            remote: entry.remote,
            begun: entry.begun,
            method: entry.head.method().to_owned(),
            target: entry.head.target().to_owned(),
            headers: entry.head.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            status: entry.status,
            outcome: entry.outcome,
            vanished: entry.vanished,
            ended: entry.ended,
        };
        self.lock().entries.iter().map(copy).collect()
    }

    /// Forgets all records; the counters begin at 0 again.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.first += kept.entries.len() as u64;
        kept.entries.clear();
        kept.dropped = 0;
        self.hits.store(0, Ordering::SeqCst);
        self.probes.store(0, Ordering::SeqCst);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    pub(super) fn probes(&self) -> u64 {
        self.probes.load(Ordering::SeqCst)
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut kept = self.lock();
        let index = number.checked_sub(kept.first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| kept.entries.get_mut(index)) {
            change(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way. Dropped before it ended, it was cut.
#[derive(Debug)]
pub(super) struct Ticket {
    recorder: Arc<Recorder>,
    number: u64,
    ended: bool,
}

impl Ticket {
    pub(super) fn status(&self, status: u16) {
        self.recorder.change(self.number, |entry| entry.status = Some(status));
    }

    /// The client left; the node may still be at work.
    pub(super) fn vanished(&self) {
        self.recorder.change(self.number, |entry| {
            entry.outcome = Outcome::Vanished;
            entry.vanished.get_or_insert_with(Instant::now);
        });
    }

    /// The node is through with it. A client that had vanished stays so.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.recorder.change(self.number, |entry| {
            entry.ended = Some(Instant::now());
            if entry.vanished.is_none() {
                entry.outcome = outcome;
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::standin::head::Parsed;

    #[test]
    fn the_oldest_records_are_forgotten_and_counted_and_the_newest_still_end() {
        let Parsed::Head(head, _) = Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") else {
            panic!("a head");
        };
        let (head, recorder) = (Arc::new(*head), Arc::new(Recorder::default()));
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut tickets: VecDeque<_> = (0..RECORDS_MAX as u64 + 2)
            .map(|connection| recorder.begin(connection, remote, &head))
            .collect();
        assert_eq!(recorder.dropped(), 2);
        assert_eq!(recorder.hits(), RECORDS_MAX as u64 + 2);

        // A forgotten request ends without touching another's record.
        tickets.pop_front().expect("the oldest").end(Outcome::Answered);
        tickets.pop_back().expect("the newest").end(Outcome::Answered);

        let records = recorder.records();
        assert_eq!((records.len(), records[0].connection), (RECORDS_MAX, 2));
        let ended: Vec<_> = records.iter().filter(|record| record.ended.is_some()).collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].connection, RECORDS_MAX as u64 + 1);
    }
}
