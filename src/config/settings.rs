//! The checked configuration: plain data, valid as a whole. Each section's defaults stand with it;
//! the operator's commands have a file of their own, `commands`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::{Drivers, IpNet, NodeAddress, NodeDrivers, Procedures};
use crate::model::{Mode, NodeId, NodeRole, Weight};
use crate::nocobase::Paths;
use crate::routing::Balance;

/// Everything that an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses of public traffic; at least one, no two of them in each other's way.
    pub listen: Vec<SocketAddr>,
    /// Address of metrics, liveness and readiness.
    pub admin: Option<SocketAddr>,
    pub control: Control,
    /// Folder of the journal.
    pub state_dir: PathBuf,
    /// The mode of the very first start, while the state directory holds nothing of ours.
    pub initial_mode: Mode,
    /// Worker threads; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    pub balance: Balance,
    /// At least one of role request; ids and addresses differ.
    pub nodes: Vec<NodeConfig>,
    pub app: Paths,
    pub timeouts: Timeouts,
    pub limits: Limits,
    /// Peers whose X-Forwarded-* headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub health: Health,
    pub notice: Notice,
    pub log: Log,
    pub drivers: Drivers,
    pub procedures: Procedures,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// At most [`crate::model::limits::SOCKET_PATH_BYTES_MAX`] bytes.
    pub path: PathBuf,
    /// Name or number of the group that may open the socket; `None` leaves it the gateway's own.
    pub group: Option<String>,
    pub group_role: GroupRole,
}

/// What members of the socket's group may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupRole {
    /// Read the status.
    #[default]
    Viewer,
    /// Change the mode, too.
    Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub id: NodeId,
    pub role: NodeRole,
    pub weight: Weight,
    /// Every node of role request has one.
    pub address: Option<NodeAddress>,
    /// Its own commands, else the general ones.
    pub drivers: NodeDrivers,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A client sends its whole request head within this.
    pub head: Duration,
    /// A client's connection may be idle between two requests for this long.
    pub keep_alive: Duration,
    /// A body may stand still for this long, in either direction.
    pub body_stall: Duration,
    /// Connecting to a node.
    pub connect: Duration,
    /// From the request to the head of its response.
    pub response_head: Duration,
    /// Requests on removed nodes may go on for this long after a switch.
    pub drain: Duration,
    /// Requests may go on for this long after SIGTERM.
    pub grace: Duration,
    /// After SIGTERM, how long the gateway goes on accepting while `/ready` says no.
    pub withdraw_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_stall: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            // NocoBase's own image allows that: imports and backups answer late.
            response_head: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            withdraw_delay: Duration::ZERO,
        }
    }
}

/// How much there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Client connections; `None` is [`Limits::CONNECTIONS_DEFAULT`], or fewer where the process
    /// may not open as many descriptors.
    pub connections: Option<usize>,
    /// Bytes of a request body; `None` leaves it to the nodes.
    pub request_body: Option<u64>,
}

impl Limits {
    pub const CONNECTIONS_DEFAULT: usize = 10_000;
}

/// How nodes are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    pub interval: Duration,
    /// Both calls of a probe together; shorter than `interval`.
    pub timeout: Duration,
    /// Good probes in a row until a node is ready.
    pub rise: NonZeroU32,
    /// Bad probes in a row until it no longer is.
    pub fall: NonZeroU32,
}

impl Default for Health {
    fn default() -> Self {
        const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(1_500),
            rise: TWO,
            fall: TWO.saturating_add(1),
        }
    }
}

/// What people get while the bridge is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A page of the operator's own instead of the built-in one.
    pub page: Option<PathBuf>,
    /// The value of Retry-After; whole seconds.
    pub retry_after: Duration,
}

impl Default for Notice {
    fn default() -> Self {
        Self { page: None, retry_after: Duration::from_secs(10) }
    }
}

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub access: AccessLog,
    pub query: QueryLogging,
    /// Of the diagnostics on stderr.
    pub format: LogFormat,
    pub level: LogLevel,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    #[default]
    Stdout,
    File(PathBuf),
    Off,
}

/// What the access log keeps of a query string, which may hold tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryLogging {
    #[default]
    Omit,
    Keep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
