//! What people and machines get to read: the notice and the logs.

use std::path::PathBuf;
use std::time::Duration;

use super::super::document::Section;
use super::super::problems::At;
use super::super::values::not_among;
use super::super::{AccessLog, HumanDuration, Log, LogFormat, LogLevel, Notice, QueryLogging};

pub(super) fn notice(s: &mut Section) -> Notice {
    let default = Notice::default();
    let page = s.path("page", "/etc/drawspan/notice.html").map(|at| at.value);
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    let retry_after = s.duration("retry_after", default.retry_after, &bounds);
    if retry_after.subsec_nanos() != 0 {
        let place = s.place("retry_after");
        let message = format!(
            "is {}, and Retry-After counts seconds; write whole seconds, as 10s",
            HumanDuration(retry_after)
        );
        s.problem(&place, message);
    }
    Notice { page, retry_after }
}

pub(super) fn log(s: &mut Section) -> Log {
    let query = [("omit", QueryLogging::Omit), ("keep", QueryLogging::Keep)];
    let format = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]
        .map(|level| (level.as_str(), level));
    Log {
        access: access(s),
        query: s.choice("query", &query, QueryLogging::default()),
        format: s.choice("format", &format, LogFormat::default()),
        level: s.choice("level", &level, LogLevel::default()),
    }
}

/// `stdout`, `off`, or a path: a word without `/` is a slip, not a file in some folder.
fn access(s: &mut Section) -> AccessLog {
    let Some(At { place, value }) = s.text("access", "stdout") else { return AccessLog::Stdout };
    match value.as_str() {
        "stdout" => AccessLog::Stdout,
        "off" => AccessLog::Off,
        path if path.contains('/') && s.check_path(&place, path) => {
            AccessLog::File(PathBuf::from(path))
        }
        other => {
            if !other.contains('/') {
                s.problem(&place, not_among(other, ["stdout", "off", "/a/path"].into_iter()));
            }
            AccessLog::Stdout
        }
    }
}
