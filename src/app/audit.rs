//! The audit: each record of the journal, as a line of the diagnostics once it is on disk.

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::engine;
use crate::journal::record::Entry;

/// Writes lines until the journal is gone.
pub async fn audit(mut records: Receiver<Entry>) {
    loop {
        match records.recv().await {
            Ok(entry) => {
                let (what, detail) = engine::describe(&entry.record);
                tracing::info!(record = %entry.seq, what, %detail, "on record");
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "records are not told here; `drawspan history` has them");
            }
            Err(RecvError::Closed) => return,
        }
    }
}
