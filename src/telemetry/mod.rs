//! What the gateway tells about itself: metrics, the access log, diagnostics, and whether it is
//! alive and ready. Nothing in here ever makes a worker wait.

mod access;
mod collect;
pub mod diagnostics;
mod json;
mod metrics;
mod outlet;
mod process;
mod vitals;
mod worker;

pub use access::{AccessError, AccessLog, AccessTarget, AccessWriter, Entry, Query};
pub use metrics::{Log, Metrics};
pub use outlet::Dropped;
pub use vitals::{Liveness, Readiness};
pub use worker::{RequestRecord, WorkerMetrics};
