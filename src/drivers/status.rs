//! What the answer of a `status` command means. Pure.

use crate::model::Timestamp;

use super::{Ending, Quick};
use crate::procedure::NodeStatus;

/// Exit code of a service that is not running, of `systemctl is-active` and LSB init scripts.
const CODE_STOPPED: i32 = 3;
/// Seconds, up to here, are no milliseconds by mistake: the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

/// Reads the answer of a `status` command.
///
/// Exit code 0 is running, 3 is stopped, any other is unknown. A first line `running` or `stopped`
/// on stdout counts for more than the code. A second line `started=` and RFC 3339, or seconds since
/// 1970, says since when it runs; one that cannot be read is as none.
///
/// A command that did not end by itself says nothing, whatever it wrote before.
pub fn parse_status(quick: &Quick) -> NodeStatus {
    let code = match &quick.ending {
        Ending::Exited { code } => *code,
        Ending::Signalled { .. }
        | Ending::TimedOut
        | Ending::ByOperator
        | Ending::CouldNotStart { .. } => {
            return NodeStatus::Unknown(format!("the status command {}", quick.ending));
        }
    };
    let mut lines = quick.output.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let started = lines.next().and_then(started);
    match (first, code) {
        ("running", _) => NodeStatus::Running { started },
        ("stopped", _) => NodeStatus::Stopped,
        (_, 0) => NodeStatus::Running { started },
        (_, CODE_STOPPED) => NodeStatus::Stopped,
        (_, code) => {
            let said = quick.last_lines(1).pop().unwrap_or_default();
            let said: String = said.chars().take(200).collect();
            NodeStatus::Unknown(format!("the status command ended with {code}: {said}"))
        }
    }
}

fn started(line: &str) -> Option<Timestamp> {
    let text = line.strip_prefix("started=")?.trim();
    match text.parse::<i64>() {
        Ok(seconds) if (1..SECONDS_MAX).contains(&seconds) => {
            Some(Timestamp::from_millis(seconds * 1_000))
        }
        Ok(_) => None,
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: i32, output: &str) -> NodeStatus {
        let (output, errors) = (output.to_owned(), String::new());
        parse_status(&Quick { ending: Ending::Exited { code }, output, errors })
    }

    fn running(seconds: Option<i64>) -> NodeStatus {
        let started = seconds.map(|seconds| Timestamp::from_millis(seconds * 1_000));
        NodeStatus::Running { started }
    }

    #[test]
    fn the_code_says_it_and_a_first_line_says_it_better() {
        for (code, output, expected) in [
            (0, "", running(None)),
            (0, "active\n", running(None)),
            (3, "inactive\n", NodeStatus::Stopped),
            (0, "stopped\n", NodeStatus::Stopped),
            (3, "running\n", running(None)),
            (1, "running\n", running(None)),
            (255, " stopped \n", NodeStatus::Stopped),
            (0, "running\nstarted=2025-11-22T08:26:40Z\n", running(Some(1_763_800_000))),
            (0, "active\nstarted=1763800000\nmore", running(Some(1_763_800_000))),
            (0, "running\nstarted=yesterday", running(None)),
            (0, "running\nstarted=-5", running(None)),
            (0, "running\nstarted=1763800000000", running(None)),
            (0, "running\n\nstarted=1763800000", running(None)),
        ] {
            assert_eq!(status(code, output), expected, "{code} {output:?}");
        }
    }

    #[test]
    fn everything_else_is_unknown_and_says_why() {
        let NodeStatus::Unknown(why) = status(255, "ssh: no route\x1b[2J\n") else { panic!() };
        assert_eq!(why, "the status command ended with 255: ssh: no route\\u{1b}[2J");
        assert!(matches!(status(4, ""), NodeStatus::Unknown(_)));
        assert!(matches!(status(1, "Running"), NodeStatus::Unknown(_)));
        for ending in [Ending::TimedOut, Ending::Signalled { signal: 9 }] {
            let (output, errors) = ("stopped\n".to_owned(), String::new());
            let status = parse_status(&Quick { ending, output, errors });
            assert!(matches!(status, NodeStatus::Unknown(_)), "{status:?}");
        }
    }
}
