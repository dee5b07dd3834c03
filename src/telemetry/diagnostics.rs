//! What the gateway has to say to operators: text or JSON on stderr.
//!
//! Events go through the same kind of outlet as the access log, so that a terminal or a pipe that
//! hangs cannot hold a worker up.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Log;
use super::outlet::{Batch, Destination, Dropped, Outlet};
use crate::model::limits::{DIAGNOSTICS_BYTES_MAX, DIAGNOSTICS_FINISH_TIMEOUT, DIAGNOSTICS_QUEUE};

/// Overrides the configured level, with the same words.
pub const LEVEL_VARIABLE: &str = "DRAWSPAN_LOG";

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line for a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What to write and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    /// `info`, or directives like `info,drawspan::health=debug`.
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned() }
    }
}

/// Why diagnostics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DiagnosticsError {
    #[error("`{level}` from {origin} is no level; write error, warn, info, debug or trace")]
    Level { level: String, origin: &'static str, source: tracing_subscriber::filter::ParseError },
    #[error("cannot start the thread that writes diagnostics to stderr")]
    Thread(#[source] io::Error),
    #[error("diagnostics were set up before")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Writes what is left when it goes, at most for
/// [`DIAGNOSTICS_FINISH_TIMEOUT`](crate::model::limits::DIAGNOSTICS_FINISH_TIMEOUT).
#[derive(Debug)]
#[must_use = "diagnostics of the last moments are lost without it"]
pub struct Guard(Outlet);

impl Guard {
    /// Events lost so far.
    pub fn dropped(&self) -> Dropped {
        self.0.dropped()
    }

    /// Waits until every event so far is written, at most for `bound`. Blocks its thread.
    pub fn finish(&self, bound: Duration) {
        self.0.finish(bound);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish(DIAGNOSTICS_FINISH_TIMEOUT);
    }
}

/// Sets diagnostics up for the whole process, once. [`LEVEL_VARIABLE`] beats the settings.
///
/// # Errors
/// Where the level cannot be read, or where this was done before.
pub fn init(settings: &Settings) -> Result<Guard, DiagnosticsError> {
    let from_environment = std::env::var(LEVEL_VARIABLE).ok().filter(|level| !level.is_empty());
    let filter = match &from_environment {
        Some(level) => filter(level, LEVEL_VARIABLE)?,
        None => filter(&settings.level, "the configuration")?,
    };
    let outlet = Outlet::start(Log::Diagnostics, Destination::Stderr, DIAGNOSTICS_QUEUE)
        .map_err(DiagnosticsError::Thread)?;
    let subscriber = subscriber(settings.format, filter, outlet.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(DiagnosticsError::Twice)?;
    Ok(Guard(outlet))
}

fn filter(level: &str, origin: &'static str) -> Result<EnvFilter, DiagnosticsError> {
    EnvFilter::builder().parse(level).map_err(|source| DiagnosticsError::Level {
        level: level.to_owned(),
        origin,
        source,
    })
}

fn subscriber(
    format: Format,
    filter: EnvFilter,
    outlet: Outlet,
) -> Box<dyn Subscriber + Send + Sync> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Events(outlet))
        .with_ansi(io::stderr().is_terminal());
    match format {
        Format::Text => Box::new(builder.with_target(false).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// Makes the writer of each event.
struct Events(Outlet);

impl<'a> MakeWriter<'a> for Events {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> EventWriter<'a> {
        EventWriter(&self.0)
    }
}

/// Takes one event, which the subscriber writes in one piece.
struct EventWriter<'a>(&'a Outlet);

impl Write for EventWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut text = event.get(..DIAGNOSTICS_BYTES_MAX).unwrap_or(event).to_vec();
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        self.0.offer(Batch { text, home: None });
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, level: &str, say: impl FnOnce()) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let to = Destination::File(path.clone());
        let outlet = Outlet::start(Log::Diagnostics, to, 8).expect("it opens");
        let filter = filter(level, "the test").expect("a level");
        let subscriber = subscriber(format, filter, outlet.clone());
        tracing::subscriber::with_default(subscriber, say);
        outlet.finish(Duration::from_secs(20));
        std::fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn an_event_is_one_line_of_text_and_the_level_cuts() {
        let text = written(Format::Text, "info", || {
            tracing::info!(node = "n1", "ready");
            tracing::debug!("not this");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("ready") && text.contains("n1"), "{text}");
    }

    #[test]
    fn as_json_every_event_is_an_object_with_its_fields() {
        let text = written(Format::Json, "debug", || tracing::debug!(node = "n1", "ready"));
        let event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&event["message"], &event["node"]), (&"ready".into(), &"n1".into()));
        assert_eq!(event["level"], "DEBUG");
    }

    #[test]
    fn an_event_that_is_too_long_is_cut_and_still_ends_its_line() {
        let text = written(Format::Text, "info", || {
            tracing::info!("{}", "x".repeat(10 * DIAGNOSTICS_BYTES_MAX));
            tracing::info!("next");
        });
        assert_eq!(text.lines().count(), 2);
        assert!(text.len() < 2 * DIAGNOSTICS_BYTES_MAX);
    }

    #[test]
    fn a_level_that_is_none_says_where_it_came_from() {
        let error = filter("info,=,=bogus=", LEVEL_VARIABLE).expect_err("no level");
        assert!(error.to_string().contains(LEVEL_VARIABLE), "{error}");
    }
}
