//! Durations on the control socket: as in the configuration, or a bare number of seconds, as
//! scripts send it.

use std::time::Duration;

use crate::config::{HumanDuration, InvalidDuration};

/// Reads `30s`, `1500ms`, `1m30s`; without a unit it counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if seconds { format!("{text}s").parse() } else { text.parse() };
    parsed.map(|HumanDuration(duration)| duration)
}

/// The inverse of [`parse_duration`].
pub fn show_duration(duration: Duration) -> String {
    HumanDuration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_back_what_it_shows_and_a_bare_number_counts_seconds() {
        for text in ["0s", "30s", "1500ms", "2m", "1h"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Ok(text));
        }
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999999999999", "99999999999999999999s"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
