//! What a command leaves behind: a writer in the background, or a child of one that was killed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::hands::job_is;
use crate::world::{Wish, World};

/// What stands behind the name in `/proc/PID/stat`.
struct Stat {
    pid: i32,
    name: String,
    parent: i32,
    group: i32,
}

/// `None` where it does not run, or has ended and was not waited for.
fn stat(pid: i32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = line.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let field = |k: usize| fields.get(k)?.parse().ok();
    let stat = Stat { pid, name, parent: field(1)?, group: field(2)? };
    (!matches!(*fields.first()?, "Z" | "X")).then_some(stat)
}

/// Those of a group that run.
fn group(leader: i32) -> Vec<Stat> {
    let all = fs::read_dir("/proc").expect("it is there");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).filter(|stat| stat.group == leader).collect()
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it runs");
}

/// The first process of the last command.
fn leader(world: &mut World) -> i32 {
    let commands = world.path("state").join("commands");
    let mut leader = None;
    world.wait_until("the command's process is on record", |_| {
        let all = fs::read_dir(&commands).expect("made by then");
        let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
        let last = numbers.max().map(|last| commands.join(last.to_string()).join("child"));
        let child = last.and_then(|child| fs::read(child).ok()).unwrap_or_default();
        let child: Value = serde_json::from_slice(&child).unwrap_or_default();
        leader = child["pid"].as_i64();
        leader.is_some()
    });
    leader.and_then(|pid| i32::try_from(pid).ok()).expect("a process id")
}

/// The gateway looks at everything twice more.
fn looks_on(world: &mut World) {
    let asked = |world: &World| {
        let all = world.read("commands");
        all.lines().filter(|line| line.starts_with("node status n1")).count()
    };
    let until = asked(world) + 2;
    world.wait_until("it looks on, or is over", |world| {
        until <= asked(world) || !world.procedure()["outcome"].is_null()
    });
}

/// The command's first process has ended well, and a writer of its group has not: it runs until that
/// has, and nothing else does.
fn leaves_a_writer(world: &mut World, work: &str, verb: &str) {
    world.wait_for_job(work, "running");
    let leader = leader(world);
    world.wait_until("its first process has ended", |_| stat(leader).is_none());
    assert!(!group(leader).is_empty(), "{work}: the writer runs");
    let ran = world.commands();
    looks_on(world);
    let procedure = world.procedure();
    assert!(job_is(&procedure, work, "running"), "{work}: {procedure:#}");
    assert_eq!(world.commands(), ran, "{work}: nothing begins before its end");
    world.refused("retry", &json!({}), "command_running");
    world.remove(&format!("late.{verb}"));
}

#[test]
fn a_backup_is_measured_and_an_update_is_over_only_when_their_last_writer_has_ended() {
    let mut world = World::started(&Wish::default());
    world.put("late.backup", "");
    world.put("late.update", "");
    world.upgrade_by_itself();
    leaves_a_writer(&mut world, "backup", "backup");
    leaves_a_writer(&mut world, "update", "update");
    world.ends("completed");
    let measured = world.past().into_iter().find(|past| past.what == "measured");
    let whole = fs::metadata(world.backup()).expect("it is there").len();
    let measured = measured.expect("on record").detail;
    assert!(measured.contains(&format!(": {whole} bytes")), "{measured}");
    assert_eq!((world.ran("data backup"), world.ran("data update")), (1, 1));
}

#[test]
fn nothing_follows_a_restore_or_a_revert_before_their_last_writer_has_ended() {
    let mut world = World::started(&Wish::default());
    world.upgrade_to("verify");
    world.put("late.restore", "");
    world.put("late.update", "");
    world.says("rollback", &json!({}));
    world.go_on_to("restore");
    leaves_a_writer(&mut world, "restore", "restore");
    world.go_on_to("revert");
    leaves_a_writer(&mut world, "revert", "update");
    world.go_on_to("done");
    world.ends("rolled_back");
    assert_eq!(world.ran("data restore"), 1);
}

/// A backup that takes long: its first process, and a child of it.
fn long_backup(world: &mut World) -> (i32, i32) {
    world.put("slow.backup", "120");
    world.upgrade_by_itself();
    world.wait_for_job("backup", "running");
    let leader = leader(world);
    let mut child = None;
    world.wait_until("it has a child", |_| {
        child = group(leader).into_iter().find(|stat| stat.name == "sleep").map(|stat| stat.pid);
        child.is_some()
    });
    (leader, child.expect("found"))
}

#[test]
fn what_a_killed_backup_leaves_of_its_group_is_ended_before_a_second_one_may_begin() {
    let mut world = World::started(&Wish::default());
    let (leader, child) = long_backup(&mut world);
    kill(leader, Signal::KILL);
    world.told("command_failed", "`retry`");
    assert!(stat(child).is_none(), "its child writes on");
    assert!(group(leader).is_empty());
    world.remove("slow.backup");
    world.says("retry", &json!({}));
    world.ends("completed");
    assert_eq!((world.ran("data backup"), world.ran("data update")), (2, 1));
}

#[test]
fn no_second_backup_runs_beside_the_child_of_one_whose_supervisor_was_killed_too() {
    let mut world = World::started(&Wish::default());
    let (leader, child) = long_backup(&mut world);
    kill(stat(leader).expect("it runs").parent, Signal::KILL);
    kill(leader, Signal::KILL);
    world.wait_until("both have ended", |_| stat(leader).is_none());
    looks_on(&mut world);
    let procedure = world.procedure();
    assert!(job_is(&procedure, "backup", "running"), "{procedure:#}");
    world.refused("retry", &json!({}), "command_running");
    // A gateway that comes up in between sees it too.
    world.restart_gateway();
    world.wait_until("it is taken up", |world| world.happened("resumed") == 1);
    world.refused("retry", &json!({}), "command_running");
    assert_eq!(world.ran("data backup"), 1);
    kill(child, Signal::KILL);
    world.told("command_unknown", "`retry`");
    world.remove("slow.backup");
    world.says("retry", &json!({}));
    world.ends("completed");
    assert_eq!((world.ran("data backup"), world.ran("data update")), (2, 1));
}
