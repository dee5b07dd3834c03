//! Durations and sizes as people write them: `30s`, `1500ms`, `1m30s`; `20MiB`, `512KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::problems::shown;

/// A duration in whole milliseconds, written with its unit. Several parts go from the largest
/// unit to the smallest, each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// The text is no [`HumanDuration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    #[error("{0} is no duration; write a number and its unit (ms, s, m, h), as 30s or 1m30s")]
    Malformed(String),
    #[error("`{0}` has no unit; write {0}s for seconds or {0}ms for milliseconds")]
    NoUnit(String),
    #[error("{0} has a fraction; write it in a smaller unit, as 1500ms for 1.5s")]
    Fraction(String),
    #[error("{0} has no unit that is known here; the units are ms, s, m and h")]
    UnknownUnit(String),
    #[error("{0} is longer than can be counted; write less")]
    TooLong(String),
}

/// From the largest to the smallest, in milliseconds.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let digits = text.chars().take(20).collect();
            return Err(InvalidDuration::NoUnit(digits));
        }
        let mut millis: u64 = 0;
        let mut units = DURATION_UNITS.iter();
        let mut rest = text;
        loop {
            let (number, unit, after) = next_part(rest).map_err(|wrong| wrong.duration(text))?;
            let known = DURATION_UNITS.iter().any(|(name, _)| *name == unit);
            let Some((_, factor)) = units.find(|(name, _)| *name == unit) else {
                return Err(match known {
                    true => InvalidDuration::Malformed(shown(text)),
                    false => InvalidDuration::UnknownUnit(shown(text)),
                });
            };
            let part = number.checked_mul(*factor);
            millis = part
                .and_then(|part| millis.checked_add(part))
                .ok_or_else(|| InvalidDuration::TooLong(shown(text)))?;
            if after.is_empty() {
                return Ok(Self(Duration::from_millis(millis)));
            }
            rest = after;
        }
    }
}

impl fmt::Display for HumanDuration {
    /// The largest unit that needs no fraction: 90 s is `90s`, 120 s is `2m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let fits = |factor: u64| millis.is_multiple_of(u128::from(factor));
        match DURATION_UNITS.iter().find(|(_, factor)| fits(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", millis / u128::from(*factor)),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// A number of bytes, written with its unit: powers of 1024 (`KiB`, `MiB`, `GiB`), powers of
/// 1000 (`kB`, `MB`, `GB`) or `B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanSize(pub u64);

/// The text is no [`HumanSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSize {
    #[error("{0} is no size; write a number and its unit, as 20MiB, 512KiB or 100B")]
    Malformed(String),
    #[error("`{0}` has no unit; write {0}B for bytes or {0}MiB for mebibytes")]
    NoUnit(String),
    #[error("{0} has a fraction; write it in a smaller unit, as 1536KiB for 1.5MiB")]
    Fraction(String),
    #[error("{0} has no unit that is known here; the units are B, KiB, MiB, GiB, kB, MB and GB")]
    UnknownUnit(String),
    #[error("{0} is more than can be counted; write less")]
    TooLarge(String),
}

/// The binary units first and from the largest: they are the ones that sizes are shown in.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl FromStr for HumanSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidSize::NoUnit(text.chars().take(20).collect()));
        }
        let (number, unit, after) = next_part(text).map_err(|wrong| wrong.size(text))?;
        if !after.is_empty() {
            return Err(InvalidSize::Malformed(shown(text)));
        }
        let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(InvalidSize::UnknownUnit(shown(text)));
        };
        number.checked_mul(*factor).map(Self).ok_or_else(|| InvalidSize::TooLarge(shown(text)))
    }
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        match SIZE_UNITS.iter().find(|(_, factor)| fits(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// What is wrong with one part, before it is known what the whole was to be.
enum WrongPart {
    Malformed,
    Fraction,
    TooLarge,
}

impl WrongPart {
    fn duration(self, text: &str) -> InvalidDuration {
        match self {
            Self::Malformed => InvalidDuration::Malformed(shown(text)),
            Self::Fraction => InvalidDuration::Fraction(shown(text)),
            Self::TooLarge => InvalidDuration::TooLong(shown(text)),
        }
    }

    fn size(self, text: &str) -> InvalidSize {
        match self {
            Self::Malformed => InvalidSize::Malformed(shown(text)),
            Self::Fraction => InvalidSize::Fraction(shown(text)),
            Self::TooLarge => InvalidSize::TooLarge(shown(text)),
        }
    }
}

/// Splits digits, letters and the rest: `1m30s` gives 1, `m` and `30s`. A space may stand between
/// the number and its unit.
fn next_part(text: &str) -> Result<(u64, &str, &str), WrongPart> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if !number.is_empty() && rest.starts_with(['.', ',']) {
        return Err(WrongPart::Fraction);
    }
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    if number.is_empty() || unit.is_empty() {
        return Err(WrongPart::Malformed);
    }
    let number = number.parse().map_err(|_| WrongPart::TooLarge)?;
    Ok((number, unit, after.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(text: &str) -> Result<u128, String> {
        text.parse::<HumanDuration>().map(|d| d.0.as_millis()).map_err(|e| e.to_string())
    }

    fn bytes(text: &str) -> Result<u64, String> {
        text.parse::<HumanSize>().map(|s| s.0).map_err(|e| e.to_string())
    }

    #[test]
    fn a_duration_is_numbers_with_units_from_the_largest_down() {
        for (text, expected) in [
            ("30s", 30_000),
            ("1500ms", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1h 30m", 5_400_000),
            (" 10 s ", 10_000),
            ("0s", 0),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_to_write() {
        for (text, says) in [
            ("30", "write 30s for seconds or 30ms"),
            ("", "write a number and its unit"),
            ("s", "write a number and its unit"),
            ("-5s", "write a number and its unit"),
            ("30s1m", "write a number and its unit"),
            ("5s5s", "write a number and its unit"),
            ("30s!", "write a number and its unit"),
            ("1.5s", "1500ms for 1.5s"),
            ("30sec", "the units are ms, s, m and h"),
            ("30S", "the units are ms, s, m and h"),
            ("1d", "the units are ms, s, m and h"),
            ("99999999999999999999s", "write less"),
            ("18446744073709551615h", "write less"),
        ] {
            let error = millis(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_size_is_a_number_with_a_unit() {
        for (text, expected) in [
            ("20MiB", 20 << 20),
            ("512KiB", 512 << 10),
            ("1GiB", 1 << 30),
            ("100B", 100),
            ("20MB", 20_000_000),
            ("5 kB", 5_000),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for (text, says) in [
            ("20", "write 20B for bytes or 20MiB"),
            ("20M", "the units are B, KiB, MiB"),
            ("1.5MiB", "1536KiB for 1.5MiB"),
            ("1MiB1KiB", "write a number and its unit"),
            ("MiB", "write a number and its unit"),
            ("99999999999GiB", "write less"),
        ] {
            let error = bytes(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn both_are_shown_in_the_largest_unit_without_a_fraction() {
        let shown = |millis| HumanDuration(Duration::from_millis(millis)).to_string();
        assert_eq!(shown(1_500), "1500ms");
        assert_eq!(shown(90_000), "90s");
        assert_eq!(shown(600_000), "10m");
        assert_eq!(shown(0), "0s");
        assert_eq!(HumanSize(20 << 20).to_string(), "20MiB");
        assert_eq!(HumanSize(1_000).to_string(), "1000B");
        assert_eq!(HumanSize(0).to_string(), "0B");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis: u64, size: u64) {
            let duration = HumanDuration(Duration::from_millis(millis));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            prop_assert_eq!(HumanSize(size).to_string().parse(), Ok(HumanSize(size)));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = text.parse::<HumanDuration>();
            let _ = text.parse::<HumanSize>();
        }
    }
}
