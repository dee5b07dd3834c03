//! Ending a process group: politely, then for good.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::time::{Instant, sleep, timeout_at};

use super::process::group_lives;
use crate::model::limits::COMMAND_KILL_GRACE;

const LOOK: Duration = Duration::from_millis(20);

/// Has our child ended? It is not waited for, so that its number, and its group's, stay taken.
pub(super) fn has_ended(child: Pid) -> bool {
    ended_well(child).is_some()
}

/// As [`has_ended`]: how, where it has.
pub(super) fn ended_well(child: Pid) -> Option<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(child), options) {
        Ok(ended) => ended.map(|ended| ended.exit_status() == Some(0)),
        // It was waited for, which only happens after its end.
        Err(error) => (error == Errno::CHILD).then_some(false),
    }
}

/// Ends the group that `leader` leads, and returns when the leader has ended. The leader must be a
/// child that nobody waits for meanwhile. A process that left the group is not touched.
pub(super) async fn end(leader: Pid) {
    // It may have ended by itself; a group of others' processes is noticed below.
    let _ = kill_process_group(leader, Signal::TERM);
    let end = Instant::now() + COMMAND_KILL_GRACE;
    let gone = async {
        while group_lives(leader) {
            sleep(LOOK).await;
        }
    };
    if timeout_at(end, gone).await.is_err() {
        kill(leader);
    }
    // A process that may not be killed, as one of another user, is waited for: it runs.
    while !has_ended(leader) {
        sleep(LOOK).await;
    }
}

/// Ends the group at once. The leader must not have been waited for.
pub(super) fn kill(leader: Pid) {
    // Nothing is left to do where nothing is left.
    let _ = kill_process_group(leader, Signal::KILL);
}
