//! Who a process is, so that another one with its number is not taken for it.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::procedure::Ticket;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Ticket {
    /// Of a process that is there, even if it has ended and was not waited for.
    pub(super) fn of(number: u64, pid: u32) -> io::Result<Self> {
        let stat = stat(pid)?;
        Ok(Self { number, pid, started: stat.started, boot: boot()? })
    }

    /// Does this very process run? One that has ended and was not waited for does not.
    pub(super) fn is_alive(&self) -> bool {
        let this = |stat: Stat| stat.started == self.started && stat.runs;
        stat(self.pid).is_ok_and(this) && boot().is_ok_and(|boot| boot == self.boot)
    }

    /// Sends a signal to this very process, and to no later one of its number.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        // Held open from before the look at its start, so that the two are the same process.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            other => other?,
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&process, signal) {
            Err(Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Sends a signal to the group that this process leads.
    pub(super) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = self.pid().filter(|_| self.is_alive()) else { return Ok(()) };
        match kill_process_group(pid, signal) {
            Err(Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

/// Has the group a process that runs?
pub(super) fn group_lives(group: Pid) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let of_group = |stat: Stat| stat.runs && stat.group == group.as_raw_nonzero().get();
    pids.into_iter().any(|pid| stat(pid).is_ok_and(of_group))
}

/// Has the group a process that runs in this session? A later group of the same number is another
/// session's.
pub(super) fn group_lives_in(session: &Ticket, group: &Ticket) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let same_boot = boot().is_ok_and(|boot| boot == session.boot);
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let (session, group) = (i32::try_from(session.pid), i32::try_from(group.pid));
    let of_both = |stat: Stat| stat.runs && Ok(stat.session) == session && Ok(stat.group) == group;
    same_boot && pids.into_iter().any(|pid| stat(pid).is_ok_and(of_both))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    runs: bool,
    group: i32,
    session: i32,
    started: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&line).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Takes a line apart as proc_pid_stat(5) has it. The name may hold anything, so fields count from
/// the last closing parenthesis: the next is field 3.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    Some(Stat {
        runs: !matches!(*field(3)?, "Z" | "X" | "x"),
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) Z 9 (b) S 1 42 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 9876 4096 3 0";
        assert_eq!(parse(line), Some(Stat { runs: true, group: 42, session: 1, started: 9876 }));
        assert_eq!(parse("7 (a) Z 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn only_this_very_process_counts_as_alive() {
        let own = Ticket::of(1, std::process::id()).expect("we are here");
        assert!(own.is_alive());
        assert!(!Ticket { started: own.started + 1, ..own.clone() }.is_alive());
        assert!(!Ticket { boot: "another".into(), ..own.clone() }.is_alive());
        assert!(!Ticket { pid: u32::MAX, ..own }.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_waited_for_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        let ticket = Ticket::of(1, child.id()).expect("it is there");
        while ticket.is_alive() {
            std::thread::yield_now();
        }
        assert!(Ticket::of(1, child.id()).is_ok(), "it still has its number");
        child.wait().expect("our child");
    }
}
