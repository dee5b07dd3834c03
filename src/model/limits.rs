//! Every bound of the product that is not a setting. A setting's default stands in `config`.

use std::time::Duration;

// --- names ---------------------------------------------------------------------------------------

/// A node id is a DNS label's length, so that it can name a host, a pod and a metric label.
pub const NODE_ID_BYTES_MAX: usize = 63;
/// Nodes in one configuration; per-node metrics and the pick scan grow with it.
pub const NODES_MAX: usize = 256;
/// A node's largest weight, as in HAProxy.
pub const NODE_WEIGHT_MAX: u16 = 256;
/// Addresses that public traffic arrives at; each is a listener on every worker.
pub const LISTEN_ADDRESSES_MAX: usize = 16;
/// Networks of trusted proxies; each is compared with the peer of every request.
pub const TRUSTED_PROXIES_MAX: usize = 256;
/// Bytes of a configuration file: far more than [`NODES_MAX`] nodes need.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Problems of one configuration that are listed; the rest are counted.
pub const CONFIG_PROBLEMS_MAX: usize = 100;
/// Worker threads: more than any machine that a sidecar runs on.
pub const WORKERS_MAX: usize = 256;
/// Addresses that one node's name may resolve to and that are tried.
pub const ADDRESSES_PER_NODE_MAX: usize = 16;
/// Text of a reason (`--why`) that is kept in the journal.
pub const WHY_BYTES_MAX: usize = 1_000;

// --- a request -----------------------------------------------------------------------------------

/// Header lines of a request or response.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a request or response head.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Informational (1xx) heads before a response. They cost their node nothing, and each costs a write:
/// without a bound, one node that never answers would have a worker to itself.
pub const HINTS_MAX: usize = 100;
/// Free places for requests that a worker keeps, for the next ones; each is about as large as a head.
pub const PLACES_KEPT: usize = 256;
/// Bytes that are read at once, and of a block of memory that a worker's connections use in turn. What
/// is read of a body and not yet taken by the other side is never longer.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// Free blocks that a worker keeps, for the next bytes.
pub const BLOCKS_KEPT: usize = 8;
/// Free memory for heads that a worker keeps, for the next ones ...
pub const HEADS_KEPT: usize = 256;
/// ... where it is not larger than this.
pub const HEAD_BYTES_KEPT: usize = 8 * 1024;
/// Of a body that came too late to matter (its request was answered without it), this much is read
/// to keep the connection.
pub const DISCARD_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Bytes of chunk extensions, which mean nothing to us, in one body.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Different nodes that one request is tried on before the client is told.
pub const ATTEMPTS_MAX: usize = 4;
/// Replays may be at most this share of the requests of a worker, in per cent ...
pub const RETRY_BUDGET_PERCENT: u64 = 20;
/// ... but this many per second are always allowed.
pub const RETRY_BUDGET_MIN: u64 = 3;
/// `X-Request-Id` of a client longer than this is replaced.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

// --- towards the nodes ---------------------------------------------------------------------------

/// Idle connections that one worker thread keeps to one node.
pub const POOL_IDLE_PER_NODE_MAX: usize = 64;
/// Node.js closes an idle connection at 5 s; ours are gone before it does.
pub const POOL_IDLE_TIME: Duration = Duration::from_secs(3);
/// Passive ejection: failures in a row (connect, reset, time-out before the head) ...
pub const EJECT_AFTER_FAILURES: u32 = 5;
/// ... the first time for this long, then doubling ...
pub const EJECT_BASE: Duration = Duration::from_secs(30);
/// ... up to this.
pub const EJECT_MAX: Duration = Duration::from_secs(300);

// --- probes --------------------------------------------------------------------------------------

/// Between two probes of a node without a first verdict, and never less between any two.
pub const PROBE_GAP: Duration = Duration::from_millis(200);
/// Between two probes of a node while it is watched closely.
pub const PROBE_CLOSELY: Duration = Duration::from_millis(500);
/// Between two refused probes more may have happened than was seen, where they lie further apart.
pub const UNREACHED_GAP_MAX: Duration = Duration::from_secs(10);
/// How often a node's name is resolved again while nothing fails.
pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);
/// Head of an answer to a probe.
pub const PROBE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Body of an answer to a probe that is read; NocoBase's are under 1 KiB.
pub const PROBE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Of a node's page as much is read to find the build that it names.
pub const PROBE_PAGE_BYTES_MAX: usize = 256 * 1024;
/// Of a node's list of plugins as much is read; a longer one counts as unknown (the stock 76
/// plugins need some 20 KiB).
pub const PROBE_PLUGINS_BYTES_MAX: usize = 1024 * 1024;
/// Times that a node is asked for its build and its plugins after it became ready.
pub const LOOKS_MAX: u32 = 3;
/// Changes of nodes' states kept for a reader that is slow.
pub const HEALTH_CHANGES_KEPT: usize = 256;

// --- sockets -------------------------------------------------------------------------------------

pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Data sent and not acknowledged for this long ends a connection.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
pub const LISTEN_BACKLOG: i32 = 4096;
/// After an accept failed (usually: out of descriptors), so that the loop does not spin.
pub const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Descriptors kept for the control socket, the admin address, the journal and the probes.
pub const RESERVED_DESCRIPTORS: u64 = 256;

// --- a switch ------------------------------------------------------------------------------------

/// Every worker routes by a new table within this, or the switch says `fence_incomplete`.
pub const FENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// Tunnels on removed nodes that are closed per second, over all workers ...
pub const TUNNEL_CLOSES_PER_SECOND: u32 = 200;
/// ... or faster, so that the last is closed within this.
pub const TUNNEL_CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// A node stalled in mid-frame, or a client that does not answer a Close, for this long loses its
/// TCP connection.
pub const TUNNEL_CLOSE_ANSWER: Duration = Duration::from_secs(2);
/// Longest drain that a command may ask for.
pub const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

// --- the control plane ---------------------------------------------------------------------------

/// Commands that wait for the engine.
pub const ENGINE_INBOX: usize = 64;
/// Events kept for callers that come late or read slowly.
pub const EVENTS_KEPT: usize = 1_000;
/// Idempotency keys kept ...
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_000;
/// ... for at most this long.
pub const IDEMPOTENCY_KEY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How often a journal that failed is tried again.
pub const JOURNAL_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Open connections on the control socket ...
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// ... of which this many are kept for operators ...
pub const CONTROL_CONNECTIONS_RESERVED: usize = 16;
/// Of the open connections, this many may wait or listen to events at a time ...
pub const CONTROL_LISTENERS_MAX: usize = 32;
/// ... of which this many are kept for operators.
pub const CONTROL_LISTENERS_RESERVED: usize = 8;
/// How often a caller that waits for its answer is looked at: it may have left.
pub const CONTROL_HANG_UP_LOOK: Duration = Duration::from_millis(250);
/// Beside those connections, this many more are answered "busy" or "not allowed" at a time; others are
/// closed unanswered.
pub const CONTROL_TURNED_AWAY_MAX: usize = 32;
/// A connection that is turned away is over within this.
pub const CONTROL_TURNED_AWAY_TIME: Duration = Duration::from_secs(2);
/// Body of a request on the control socket.
pub const CONTROL_BODY_BYTES_MAX: usize = 64 * 1024;
/// A request on the control socket is read within this.
pub const CONTROL_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A client on the control socket that takes no byte for this long loses its connection.
pub const CONTROL_WRITE_STALL: Duration = Duration::from_secs(30);
/// Calls on the control socket that still run when the gateway stops get this long to end.
pub const CONTROL_STOP_GRACE: Duration = Duration::from_secs(5);
/// Lines of an event stream that wait for a slow reader, beside what the engine keeps.
pub const CONTROL_EVENT_LINES: usize = 16;
/// An answer on the control socket, or one line of its event stream, that a client accepts.
pub const CONTROL_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A gateway that takes longer for a short answer on the control socket counts as hanging.
pub const CONTROL_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Switches that one look at the history shows, unless it asks for another number.
pub const HISTORY_SHOWN: usize = 50;
/// Switches that one look at the history may ask for.
pub const HISTORY_MAX: usize = 1_000;
/// How often a `wait` looks again where no event tells it to: counts move without events.
pub const WAIT_POLL: Duration = Duration::from_millis(100);
/// Longest `wait` of a call that names no time.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of `/etc/passwd` or `/etc/group` that are searched for a name.
pub const NAMES_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest `wait` that one call may ask for.
pub const WAIT_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// A Unix socket's path, without its closing NUL (`sun_path` in unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

// --- telemetry -----------------------------------------------------------------------------------

/// A worker hands its lines of the access log over when it has this many bytes of them.
pub const ACCESS_BATCH_BYTES: usize = 16 * 1024;
/// Batches that wait for the log's thread; what comes on top is dropped and counted.
pub const ACCESS_BATCHES_MAX: usize = 64;
/// Emptied buffers that come back to a worker.
pub const ACCESS_SPARE_BUFFERS: usize = 4;
/// What is logged of a method ...
pub const ACCESS_METHOD_BYTES_MAX: usize = 32;
/// ... of a path ...
pub const ACCESS_PATH_BYTES_MAX: usize = 1_024;
/// ... and of a user agent. Escaped, a byte may become six, and a line still fits into a batch.
pub const ACCESS_USER_AGENT_BYTES_MAX: usize = 256;
/// Events that wait for the thread that writes diagnostics.
pub const DIAGNOSTICS_QUEUE: usize = 1_024;
/// One event; the rest is cut.
pub const DIAGNOSTICS_BYTES_MAX: usize = 8 * 1024;
/// How long the end of the process waits for its last diagnostics.
pub const DIAGNOSTICS_FINISH_TIMEOUT: Duration = Duration::from_millis(500);
/// A log's pipe that is full is tried again after this.
pub const LOG_RETRY_DELAY: Duration = Duration::from_millis(10);
/// A log that cannot be written is mentioned at most this often.
pub const LOG_NOTE_INTERVAL: Duration = Duration::from_secs(60);

// --- the notice and the admin address --------------------------------------------------------------

/// The operator's own notice page.
pub const NOTICE_PAGE_BYTES_MAX: usize = 512 * 1024;
/// When clients should come again where no node is ready: that often passes quickly.
pub const NO_NODE_RETRY_AFTER: Duration = Duration::from_secs(5);
/// When clients should come again where the gateway has too much to do.
pub const OWN_503_RETRY_AFTER: Duration = Duration::from_secs(2);
/// Open connections on the admin address; for more, the oldest give way.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// A connection on the admin address, from its start to its end: one request.
pub const ADMIN_CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// The head of a request on the admin address is read within this.
pub const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's head on the admin address.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 * 1024;

// --- tunnels -------------------------------------------------------------------------------------

// --- the edge ------------------------------------------------------------------------------------

/// When the grace time of a stop is over, clients are told that they are not served; this long.
pub const LAST_WORDS_TIME: Duration = Duration::from_millis(500);
/// A client that has finished sending may have left: its answer is waited for this long.
pub const HALF_CLOSE_TIME: Duration = Duration::from_millis(500);
/// A closing connection that still sends is read, so that our last answer is not lost to a reset,
/// for this long ...
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// ... and up to this many bytes.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// When the gateway stops, a client's connection between two requests stays open this long: its
/// next request may be on the way, and is answered with `Connection: close`.
pub const STOP_IDLE_TIME: Duration = Duration::from_millis(500);
/// How often a worker looks at its clock, its time-outs and its buffers.
pub const TICK: Duration = Duration::from_millis(250);

// --- the journal ---------------------------------------------------------------------------------

/// Records kept in the journal; with the next one, the oldest [`JOURNAL_RECORDS_PRUNED`] go into
/// its base, which keeps what they amounted to.
pub const JOURNAL_RECORDS_MAX: usize = 10_000;
pub const JOURNAL_RECORDS_PRUNED: usize = 1_000;
/// Bytes of one record as stored: far more than the largest real one.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 256 * 1024;
/// Records that a slow listener to the journal may be behind.
pub const JOURNAL_TOLD_KEPT: usize = 256;
/// Records that one read of the journal returns.
pub const JOURNAL_READ_MAX: usize = 1_000;
/// Pages of the journal that are kept in memory.
pub const JOURNAL_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Damaged journals that are kept beside the new one for the operator.
pub const DAMAGED_JOURNALS_KEPT: usize = 5;
/// Characters of the text that says why a start is in doubt.
pub const DOUBT_CHARS_MAX: usize = 500;

// --- the operator's commands ---------------------------------------------------------------------

/// Program and arguments of one command.
pub const COMMAND_ARGUMENTS_MAX: usize = 64;
/// Bytes of one of them.
pub const COMMAND_ARGUMENT_BYTES_MAX: usize = 4096;
/// Files and folders that one backup must leave.
pub const ARTEFACTS_MAX: usize = 16;
/// Output of one command that is kept in its file; beyond it the middle is cut out.
pub const COMMAND_OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Output of a quick command that is kept: its end.
pub const QUICK_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// From the polite signal to the one that cannot be ignored, when a command takes too long.
pub const COMMAND_KILL_GRACE: Duration = Duration::from_secs(5);
/// How often a running command is looked at.
pub const COMMAND_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Folders of ended commands that are kept, with their output.
pub const COMMANDS_KEPT: usize = 200;
/// Last lines of a running command's output in the status ...
pub const COMMAND_OUTPUT_LINES: usize = 10;
/// ... and at most this much of it at a time, there and in the events.
pub const COMMAND_OUTPUT_BYTES_SHOWN: usize = 4 * 1024;
/// Longest wait for a look at the disk that backups go to: no mode is changed meanwhile.
pub const DISK_LOOK_MAX: Duration = Duration::from_secs(1);
/// One line of output, in the status.
pub const OUTPUT_LINE_CHARS_MAX: usize = 400;
/// Last lines of a node's log in the status, where something is wrong with it.
pub const LOG_LINES: usize = 50;
/// Facts older than this prove nothing in a procedure.
pub const FACTS_AGE_MAX: Duration = Duration::from_secs(10);
/// How often a running procedure looks at its facts.
pub const PROCEDURE_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Text of a version that an operator names.
pub const VERSION_BYTES_MAX: usize = 64;
/// Folders below one another in an artefact.
pub const ARTEFACT_DEPTH_MAX: usize = 64;
/// Files and folders in one artefact.
pub const ARTEFACT_ENTRIES_MAX: usize = 1_000_000;
