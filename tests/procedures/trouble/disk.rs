//! Full disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::world::{Wish, World};

/// A small file system of its own, for as long as this lives.
struct Small(PathBuf);

impl Small {
    /// `None`, and it is said, where nobody may mount one here.
    fn over(folder: &Path, bytes: u32) -> Option<Self> {
        fs::create_dir_all(folder).expect("made");
        let size = format!("size={bytes},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("SKIPPED: nobody may mount a small file system here");
        None
    }

    fn fill(&self) {
        let all = vec![0; 64 << 20];
        // Written as far as there is room.
        let _ = fs::write(self.0.join("ballast"), all);
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).expect("it was filled");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_fails_the_backup_and_space_and_retry_help() {
    let mut world = World::started(&Wish::default());
    let Some(disk) = Small::over(&world.path("backups"), 1 << 20) else { return };
    disk.fill();
    world.upgrade_by_itself();
    world.told("command_failed", "`retry`");
    let procedure = world.procedure();
    assert_eq!(procedure["phase"], "back-up");
    assert!(procedure["output"]["lines"].to_string().contains("No space left"), "{procedure:#}");
    assert_eq!(world.ran("data update"), 0);
    disk.empty();
    world.says("retry", &json!({}));
    world.ends("completed");
    // The next one knows how much is needed, and asks before it begins.
    disk.fill();
    world.begun(&json!({"kind": "upgrade", "to": "2.4.0", "auto": true}));
    world.told("little_space", "free space");
    assert_eq!(world.ran("data backup"), 2);
    disk.empty();
    world.ends("completed");
}

#[test]
fn a_command_that_there_is_no_room_for_is_said_and_not_lost() {
    let wish = Wish::default();
    let mut world = World::new(&wish);
    let Some(disk) = Small::over(&world.path("state"), 16 << 20) else { return };
    world.start_gateway(&[]);
    world.node_is("n2", "ready");
    world.upgrade_to("back-up");
    world.until_offered("back-up", "continue");
    disk.fill();
    world.says("continue", &json!({}));
    world.told("command_failed", "`retry`");
    let procedure = world.procedure();
    assert!(procedure["jobs"].to_string().contains("No space left"), "{procedure:#}");
    assert_eq!(world.ran("data update"), 0);
    disk.empty();
    world.says("retry", &json!({}));
    world.go_on_to("done");
    world.ends("completed");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_journal_that_cannot_be_written_begins_nothing_and_goes_on_with_space() {
    let mut world = World::new(&Wish::default());
    // From some record in the middle on; the number is one of the journal's syncs.
    world.start_gateway(&[("DRAWSPAN_FAILPOINTS", "journal.sync=error@30+")]);
    world.node_is("n2", "ready");
    world.upgrade_by_itself();
    world.wait_until("the journal fails", |world| {
        world.try_status().is_some_and(|status| status["journal"] == "degraded")
    });
    assert_ne!(world.mode(), "cluster");
    let ran = world.commands();
    let raised = world.put_mode(&json!({"kind": "maintenance"}));
    assert!([200, 202].contains(&raised.status), "{} {:#}", raised.status, raised.body);
    let answer = world.say("retry", &json!({}));
    assert!(400 <= answer.status, "{:#}", answer.body);
    // What runs may end; nothing else begins.
    let phase = world.procedure()["phase"].clone();
    world.restart_gateway();
    world.wait_until("it is taken up", |world| world.procedure()["hold"] == "restarted");
    assert!(world.commands().len() <= ran.len() + 1, "{ran:#?} {:#?}", world.commands());
    assert_eq!(world.procedure()["phase"], phase);
    assert_eq!(world.mode(), "maintenance");
    world.says("continue", &json!({}));
    world.ends("completed");
    assert_eq!((world.ran("data backup"), world.ran("data update")), (1, 1));
}
