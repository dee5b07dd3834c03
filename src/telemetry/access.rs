//! The access log: one JSON object per request and line.
//!
//! A worker writes lines into a buffer of its own and hands whole buffers to the log's thread, so
//! a line costs no system call and no lock. Who reads too slowly loses lines; the loss is counted.

use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::Log;
use super::json::push_string;
use super::outlet::{Batch, Destination, Dropped, Outlet};
use crate::model::limits::{
    ACCESS_BATCH_BYTES, ACCESS_BATCHES_MAX, ACCESS_METHOD_BYTES_MAX, ACCESS_PATH_BYTES_MAX,
    ACCESS_SPARE_BUFFERS, ACCESS_USER_AGENT_BYTES_MAX, REQUEST_ID_BYTES_MAX,
};
use crate::model::{ModeKind, Timestamp};
use crate::nocobase::RequestClass;

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTarget {
    #[default]
    Off,
    Stdout,
    /// Appended to; see [`AccessLog::reopen`].
    File(PathBuf),
}

/// What becomes of the query in a logged path. It may hold tokens, so the default is to cut it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Query {
    #[default]
    Cut,
    Keep,
}

/// Why the access log could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the access log {target}: {source}; name a file in a folder that exists and may be \
     written to (log.access), or turn the log off"
)]
pub struct AccessError {
    target: Destination,
    #[source]
    source: io::Error,
}

/// A request that is over, as the log tells it. Bytes are as they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When its head was read.
    pub at: Timestamp,
    pub client: IpAddr,
    pub method: &'a str,
    /// The target of the request line, query included.
    pub target: &'a [u8],
    pub status: u16,
    /// From the head of the request to the end of the response.
    pub took: Duration,
    /// From the head of the request to the head of the node's response.
    pub head_after: Option<Duration>,
    /// Bytes of the bodies, as received from and sent to the client.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The node whose answer it was.
    pub node: Option<&'a str>,
    pub mode: ModeKind,
    pub class: RequestClass,
    pub request_id: &'a [u8],
    pub user_agent: Option<&'a [u8]>,
}

/// The log of the process. Clones are the same log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    outlet: Option<Outlet>,
    query: Query,
}

impl AccessLog {
    /// # Errors
    /// Where the target cannot be opened. What fails later is counted, and noted in diagnostics.
    pub fn start(target: &AccessTarget, query: Query) -> Result<Self, AccessError> {
        let destination = match target {
            AccessTarget::Off => return Ok(Self { outlet: None, query }),
            AccessTarget::Stdout => Destination::Stdout,
            AccessTarget::File(path) => Destination::File(path.clone()),
        };
        let outlet = Outlet::start(Log::Access, destination.clone(), ACCESS_BATCHES_MAX)
            .map_err(|source| AccessError { target: destination, source })?;
        Ok(Self { outlet: Some(outlet), query })
    }

    /// One worker's pen.
    pub fn worker(&self) -> AccessWriter {
        let (home, spare) = sync_channel(ACCESS_SPARE_BUFFERS);
        AccessWriter {
            outlet: self.outlet.clone(),
            query: self.query,
            text: Vec::new(),
            second: Second::default(),
            home,
            spare,
        }
    }

    /// Lines lost so far.
    pub fn dropped(&self) -> Dropped {
        self.outlet.as_ref().map(Outlet::dropped).unwrap_or_default()
    }

    /// The file was moved away: from the next lines on, the log goes to a new one by the old name.
    pub fn reopen(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.reopen();
        }
    }

    /// Waits until everything that workers have flushed is written, at most for `bound`. Blocks
    /// its thread.
    pub fn finish(&self, bound: Duration) {
        if let Some(outlet) = &self.outlet {
            outlet.finish(bound);
        }
    }
}

/// Writes one worker's lines. What it still holds is handed over when it is dropped.
#[derive(Debug)]
pub struct AccessWriter {
    outlet: Option<Outlet>,
    query: Query,
    text: Vec<u8>,
    second: Second,
    home: SyncSender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

impl AccessWriter {
    /// Where this is false, callers may save themselves the entry.
    pub fn is_on(&self) -> bool {
        self.outlet.is_some()
    }

    /// Adds a line. Never waits.
    pub fn line(&mut self, entry: &Entry<'_>) {
        if !self.is_on() {
            return;
        }
        if self.text.capacity() == 0 {
            self.text.reserve_exact(2 * ACCESS_BATCH_BYTES);
        }
        let second = self.second.of(entry.at);
        push_line(&mut self.text, second, self.query, entry);
        if ACCESS_BATCH_BYTES <= self.text.len() {
            self.flush();
        }
    }

    /// Hands over what there is; to be called now and then, or lines of a quiet worker come late.
    pub fn flush(&mut self) {
        let Some(outlet) = self.outlet.as_ref().filter(|_| !self.text.is_empty()) else { return };
        let text = std::mem::replace(&mut self.text, self.spare.try_recv().unwrap_or_default());
        if let Some(emptied) = outlet.offer(Batch { text, home: Some(self.home.clone()) }) {
            self.text = emptied;
        }
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The date and time of one second as text, since many lines fall into the same second.
#[derive(Debug, Default)]
struct Second {
    number: Option<i64>,
    /// `2026-11-22T10:50:55`
    text: String,
}

impl Second {
    fn of(&mut self, at: Timestamp) -> &str {
        let number = at.as_millis().div_euclid(1_000);
        if self.number != Some(number) {
            self.number = Some(number);
            let whole = Timestamp::from_millis(number.saturating_mul(1_000)).to_string();
            self.text.clear();
            self.text.push_str(whole.split('.').next().unwrap_or_default());
        }
        &self.text
    }
}

fn push_line(out: &mut Vec<u8>, second: &str, query: Query, entry: &Entry<'_>) {
    let path = match query {
        Query::Keep => entry.target,
        Query::Cut => entry.target.split(|b| *b == b'?').next().unwrap_or_default(),
    };
    push(out, r#"{"time":""#);
    push(out, second);
    push_thousandths(out, entry.at.as_millis().rem_euclid(1_000).unsigned_abs());
    push(out, r#"Z","client":""#);
    push_address(out, entry.client);
    push(out, r#"","method":"#);
    push_string(out, entry.method.as_bytes(), ACCESS_METHOD_BYTES_MAX);
    push(out, r#","path":"#);
    push_string(out, path, ACCESS_PATH_BYTES_MAX);
    push(out, r#","status":"#);
    push_number(out, u64::from(entry.status));
    push(out, r#","ms":"#);
    push_millis(out, entry.took);
    if let Some(after) = entry.head_after {
        push(out, r#","head_ms":"#);
        push_millis(out, after);
    }
    push(out, r#","bytes_in":"#);
    push_number(out, entry.bytes_in);
    push(out, r#","bytes_out":"#);
    push_number(out, entry.bytes_out);
    if let Some(node) = entry.node {
        push(out, r#","node":"#);
        push_string(out, node.as_bytes(), crate::model::limits::NODE_ID_BYTES_MAX);
    }
    push(out, r#","mode":""#);
    push(out, entry.mode.as_str());
    push(out, r#"","class":""#);
    push(out, entry.class.as_str());
    push(out, r#"","id":"#);
    push_string(out, entry.request_id, REQUEST_ID_BYTES_MAX);
    if let Some(agent) = entry.user_agent {
        push(out, r#","agent":"#);
        push_string(out, agent, ACCESS_USER_AGENT_BYTES_MAX);
    }
    push(out, "}\n");
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    push(out, itoa::Buffer::new().format(number));
}

/// Milliseconds with three decimals.
fn push_millis(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    push_number(out, micros / 1_000);
    push_thousandths(out, micros % 1_000);
}

/// `.007` for 7.
fn push_thousandths(out: &mut Vec<u8>, number: u64) {
    let digit = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(number / 100), digit(number / 10), digit(number)]);
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, part) in address.octets().into_iter().enumerate() {
                if place != 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(part));
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => write!(out, "{address}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>() -> Entry<'a> {
        Entry {
            at: Timestamp::from_millis(1_763_800_000_042),
            client: IpAddr::from([192, 0, 2, 7]),
            method: "GET",
            target: b"/api/users:list?token=secret",
            status: 200,
            took: Duration::from_micros(12_034),
            head_after: Some(Duration::from_micros(9_900)),
            bytes_in: 0,
            bytes_out: 4_096,
            node: Some("n1"),
            mode: ModeKind::Cluster,
            class: RequestClass::Api,
            request_id: b"abc-1",
            user_agent: Some(b"curl/8"),
        }
    }

    fn line(query: Query, entry: &Entry<'_>) -> String {
        let mut out = vec![];
        push_line(&mut out, Second::default().of(entry.at), query, entry);
        String::from_utf8(out).expect("a line is UTF-8")
    }

    #[test]
    fn a_line_tells_the_request_and_not_its_query() {
        assert_eq!(
            line(Query::Cut, &entry()),
            concat!(
                r#"{"time":"2025-11-22T08:26:40.042Z","client":"192.0.2.7","method":"GET","#,
                r#""path":"/api/users:list","status":200,"ms":12.034,"head_ms":9.900,"#,
                r#""bytes_in":0,"bytes_out":4096,"node":"n1","mode":"cluster","class":"api","#,
                r#""id":"abc-1","agent":"curl/8"}"#,
                "\n"
            )
        );
        assert!(line(Query::Keep, &entry()).contains("?token=secret"));
    }

    #[test]
    fn a_hostile_line_is_still_one_line_of_valid_json_and_bounded() {
        let long = vec![b'\n'; 100_000];
        let hostile = Entry {
            method: "\"}\n",
            target: &long,
            client: "2001:db8::1".parse().expect("an address"),
            request_id: b"\xff\"\\",
            user_agent: Some(&long),
            head_after: None,
            node: None,
            took: Duration::MAX,
            ..entry()
        };
        let line = line(Query::Keep, &hostile);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < ACCESS_BATCH_BYTES, "{}", line.len());
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["client"], "2001:db8::1");
        assert_eq!(read["id"], "ÿ\"\\");
        assert!(read.get("node").is_none());
    }

    #[test]
    fn the_time_of_day_moves_with_the_second_and_goes_back_too() {
        let mut second = Second::default();
        let mut of = |millis| second.of(Timestamp::from_millis(millis)).to_owned();
        assert_eq!(of(999), "1970-01-01T00:00:00");
        assert_eq!(of(1_000), "1970-01-01T00:00:01");
        assert_eq!(of(-1), "1969-12-31T23:59:59");
    }

    #[test]
    fn a_log_that_is_off_takes_lines_and_does_nothing() {
        let log = AccessLog::start(&AccessTarget::Off, Query::Cut).expect("nothing to open");
        let mut writer = log.worker();
        assert!(!writer.is_on());
        writer.line(&entry());
        assert!(writer.text.is_empty());
    }
}
