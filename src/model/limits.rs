//! Every bound of the product that is not a setting. A setting's default stands in `config`.

use std::time::Duration;

// --- names ---------------------------------------------------------------------------------------

/// A node id is a DNS label's length, so that it can name a host, a pod and a metric label.
pub const NODE_ID_BYTES_MAX: usize = 63;
/// Nodes in one configuration; per-node metrics and the pick scan grow with it.
pub const NODES_MAX: usize = 256;
/// A node's largest weight, as in HAProxy.
pub const NODE_WEIGHT_MAX: u16 = 256;
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
/// Open connections on the control socket.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// Body of a request on the control socket.
pub const CONTROL_BODY_BYTES_MAX: usize = 64 * 1024;
/// A request on the control socket is read within this.
pub const CONTROL_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest `wait` that one call may ask for.
pub const WAIT_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// A Unix socket's path, without its closing NUL (`sun_path` in unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

// --- the journal ---------------------------------------------------------------------------------

/// Records kept in the journal; with the next one, the oldest [`JOURNAL_RECORDS_PRUNED`] go into
/// its base, which keeps what they amounted to.
pub const JOURNAL_RECORDS_MAX: usize = 10_000;
pub const JOURNAL_RECORDS_PRUNED: usize = 1_000;
/// Bytes of one record as stored: far more than the largest real one.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 256 * 1024;
/// Records that one read of the journal returns.
pub const JOURNAL_READ_MAX: usize = 1_000;
/// Pages of the journal that are kept in memory.
pub const JOURNAL_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Damaged journals that are kept beside the new one for the operator.
pub const DAMAGED_JOURNALS_KEPT: usize = 5;
/// Characters of the text that says why a start is in doubt.
pub const DOUBT_CHARS_MAX: usize = 500;
