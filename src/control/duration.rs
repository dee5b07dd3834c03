//! Durations as people write them: `30s`, `1500ms`, `2m`, `1h`, or a bare number of seconds.

use std::time::Duration;

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration: write it as 30s, 1500ms, 2m or 1h")]
pub struct InvalidDuration(String);

/// Reads a whole number with a unit (`ms`, `s`, `m`, `h`); without one it counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(64).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| invalid())?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(invalid()),
    };
    number.checked_mul(millis_per_unit).map(Duration::from_millis).ok_or_else(invalid)
}

/// The inverse of [`parse_duration`], in the largest unit that loses nothing.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, per_unit) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis != 0 && millis.is_multiple_of(per_unit) {
            return format!("{}{unit}", millis / per_unit);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_back_what_it_shows() {
        for text in ["0s", "30s", "1500ms", "2m", "90s", "1h", "61m"] {
            let duration = parse_duration(text).expect("a duration");
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "s", "-1s", "1.5s", "1d", "1 s", "99999999999999999999s", "9999999999999999h"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
