//! The process as Linux sees it, under the names that every Prometheus dashboard knows.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// One look at `/proc/self`. What cannot be read is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) open_descriptors: Option<f64>,
    pub(super) max_descriptors: Option<f64>,
}

impl Process {
    /// Reads a few files of /proc, which never wait for a disk.
    pub(super) fn look() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        Self {
            open_descriptors: open.map(|count| count as f64),
            max_descriptors: getrlimit(Resource::Nofile).current.map(|limit| limit as f64),
            ..Self::of(&stat)
        }
    }

    /// Takes the line of `/proc/PID/stat` apart (proc_pid_stat(5)). The name in it may hold
    /// anything, so fields count from the last closing parenthesis: the next is field 3.
    fn of(stat: &str) -> Self {
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks),
            threads: field(20),
            resident_bytes: field(24).map(|pages| pages * page_size() as f64),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "1 (a) 9 (b) S 0 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 1 4096 3 0";
        let process = Process::of(line);
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(process.cpu_seconds, Some(200.0 / ticks));
        assert_eq!(process.threads, Some(7.0));
        assert_eq!(process.resident_bytes, Some(3.0 * page_size() as f64));
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let process = Process::look();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 0.0));
        assert!(process.open_descriptors.is_some_and(|open| open >= 3.0));
        assert_eq!(Process::of("nonsense"), Process::default());
    }
}
