//! One line in the audit for every attempt to change something, whatever became of it.

use tokio::time::Instant;

use crate::engine::{Caller, Why};
use crate::model::Revision;

/// An attempt under way. It is written when it ends; one that is dropped before (a panic, or the
/// end of the process's patience) is written as `unknown`.
#[derive(Debug)]
pub struct Attempt {
    by: Caller,
    what: String,
    from: Option<Revision>,
    why: Option<String>,
    began: Instant,
    written: bool,
}

impl Attempt {
    pub fn begin(by: Caller, what: &str) -> Self {
        let began = Instant::now();
        Self { by, what: what.to_owned(), from: None, why: None, began, written: false }
    }

    /// What is asked for is known now, and the revision that it starts from.
    pub fn asks(&mut self, what: String, why: Option<&Why>, from: Revision) {
        self.what = what;
        self.why = why.map(|why| why.as_str().to_owned());
        self.from = Some(from);
    }

    /// `outcome` is `done`, `unchanged`, or the code of the problem.
    pub fn ended(mut self, outcome: &str) {
        self.write(outcome);
    }

    fn write(&mut self, outcome: &str) {
        self.written = true;
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "audit",
            who = %self.by.name,
            uid = self.by.uid,
            pid = self.by.pid,
            what = %self.what,
            from_revision = self.from.map(|revision| revision.0),
            why = self.why.as_deref(),
            outcome,
            took_ms,
            "change attempted"
        );
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.written {
            self.write("unknown");
        }
    }
}
