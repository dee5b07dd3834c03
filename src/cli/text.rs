//! Text for a person's terminal: wrapped, aligned, and without anything that could command it.

use std::io::{self, Write};
use std::time::Duration;

use super::client::printable;
use crate::model::Timestamp;

/// Everything fits on the narrowest terminal that is still met.
const WIDTH: usize = 80;

/// Writes `head`, and `text` beside it, wrapped; what follows stands under the text's begin. A word
/// that is too long for a line is not broken: it may be a path or a digest to copy.
pub(super) fn beside(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    let head = printable(head);
    let indent = head.chars().count();
    let mut line = head;
    let mut empty = true;
    for word in printable(text).split_whitespace() {
        let length = word.chars().count() + usize::from(!empty);
        if !empty && WIDTH < line.chars().count() + length {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}

/// What fits on one line, so that it can be drawn anew in place.
pub(super) fn one_line(text: &str) -> String {
    let text = printable(text);
    if text.chars().count() < WIDTH {
        return text;
    }
    let cut: String = text.chars().take(WIDTH - 4).collect();
    format!("{cut}...")
}

/// As `42s`, `2m05s` or `1h02m`.
pub(super) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// Time between two moments as the gateway wrote them; `None` where one cannot be read.
pub(super) fn between(earlier: &str, later: &str) -> Option<Duration> {
    let (earlier, later) = (earlier.parse::<Timestamp>().ok()?, later.parse::<Timestamp>().ok()?);
    Some(later.since(earlier))
}

/// The time of day of a moment as the gateway wrote it.
pub(super) fn clock(moment: &str) -> &str {
    moment.get(11..19).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &str, text: &str) -> String {
        let mut out = Vec::new();
        beside(&mut out, head, text).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_long_text_is_wrapped_under_its_begin_and_a_long_word_stays_whole() {
        let text = written("does       ", &"word ".repeat(30));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("           word")), "{text}");
        let digest = "a".repeat(100);
        assert_eq!(written("- ", &format!("x {digest}")), format!("- x\n  {digest}\n"));
        assert_eq!(written("does", ""), "does\n");
    }

    #[test]
    fn what_is_shown_cannot_command_the_terminal() {
        assert!(!written("a\u{1b}", "b\u{1b}[2J \u{7}").contains(['\u{1b}', '\u{7}']));
        assert!(!one_line("\u{1b}[2J\r").contains(['\u{1b}', '\r']));
        assert!(one_line(&"x".repeat(200)).len() < 80);
    }

    #[test]
    fn a_time_is_short_and_readable() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (125, "2m05s"), (3_725, "1h02m")] {
            assert_eq!(elapsed(Duration::from_secs(seconds)), shown);
        }
        let (early, late) = ("2025-11-22T08:26:40.042Z", "2025-11-22T08:27:40.042Z");
        assert_eq!(between(early, late), Some(Duration::from_secs(60)));
        assert_eq!(between("soon", late), None);
        assert_eq!((clock(early), clock("soon")), ("08:26:40", "soon"));
    }
}
