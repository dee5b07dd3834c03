//! The disk is full. A limit on the size of files stands for it: like a full disk it refuses to
//! let a file grow, and unlike one it needs no privileges to set up.

use std::io;
use std::path::Path;
use std::process::Command;

use drawspan::journal::record::{Origin, Raised, Record};
use drawspan::journal::{JournalError, Log, Start};
use drawspan::model::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::child;
use crate::scene::{Scene, at, by, single, start_in, switch};

/// Sets the longest that a file may become, or takes the limit away.
fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).expect("it is set");
}

/// Appends until the disk refuses.
fn fill(log: &mut impl Log) -> JournalError {
    loop {
        let mut record = switch(&Mode::Cluster, &single("n1"), None);
        if let Record::Switch(switch) = &mut record {
            switch.forced_over = vec!["x".repeat(100_000)];
        }
        if let Err(error) = log.append(at(2_000), record) {
            return error;
        }
    }
}

/// The journal is lost, too: there is no room for a new one, and still it comes up raised.
fn lose_the_journal(state: &Path) {
    std::fs::write(state.join("journal.redb"), "lost").expect("small enough");
    for now in [10_000, 11_000] {
        let mut run = start_in(state, now).expect("it starts");
        assert!(matches!(run.opened.start, Start::Degraded { .. }), "{:?}", run.opened.start);
        assert_eq!(run.state().mode, Mode::Maintenance);
        let doubt = run.state().doubt.clone().expect("it is in doubt");
        assert!(doubt.contains("journal.redb: it was cut"), "{doubt}");
        run.opened.journal.reopen(at(now + 1)).expect_err("there is no room");
    }
}

/// In a child, because the limit holds for a whole process.
pub fn child(top: &Path) {
    let state = top.join("state");
    let mut run = start_in(&state, 1_000).expect("it starts");
    let present = state.join("journal.redb").metadata().expect("it is there").len();
    limit_files(Some(present));

    let refused = fill(&mut run.opened.journal);
    let JournalError::Io { source, .. } = &refused else { panic!("{refused}") };
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge, "{refused}");
    assert!(refused.remedy().contains("free space"), "{refused}");
    assert!(run.opened.journal.degraded().is_some());
    let last = run.opened.journal.last();
    let again = run.opened.journal.append(at(3_000), Record::Initial { mode: Mode::Cluster });
    assert!(matches!(again, Err(JournalError::Degraded { .. })));

    let why = Some("the disk is full".to_owned());
    let raised = Raised { at: at(4_000), origin: Origin::Command { by: by("ada"), why } };
    run.opened.marker.raise(raised).expect("raising needs no space");
    drop(run);

    // A restart on the full disk is raised, too, whether or not there is room for a record of it.
    let mut run = start_in(&state, 5_000).expect("it starts");
    assert_eq!((run.state().mode.clone(), run.state().by.as_str()), (Mode::Maintenance, "ada"));
    match run.opened.start {
        Start::RaisedByMarker => {}
        Start::Degraded { .. } => {
            run.opened.journal.reopen(at(6_000)).expect_err("the disk is still full");
        }
        ref other => panic!("{other:?}"),
    }

    limit_files(None);
    run.opened.journal.reopen(at(7_000)).expect("there is space again");
    assert_eq!((run.state().mode.clone(), run.state().by.as_str()), (Mode::Maintenance, "ada"));
    assert!(last < run.opened.journal.last());
    let next = run.opened.journal.last().next();
    assert_eq!(run.append(8_000, switch(&Mode::Maintenance, &Mode::Cluster, None)), next);
    let last = run.opened.journal.last();
    drop(run);

    limit_files(Some(100_000));
    lose_the_journal(&state);
    let mut run = start_in(&state, 12_000).expect("it starts");
    limit_files(None);
    run.opened.journal.reopen(at(13_000)).expect("there is space again");
    assert_eq!((&run.state().mode, run.opened.journal.last()), (&Mode::Maintenance, last.next()));
    assert!(run.state().doubt.is_some());
    assert_eq!(run.opened.marker.raised(), None);
    std::fs::write(top.join("went_well"), "").expect("written");
}

#[test]
fn a_full_disk_refuses_records_but_never_raising_and_goes_on_with_space() {
    let scene = Scene::new();
    let direct = child::command(&scene, "full_disk");
    // The shell makes the child ignore the signal that comes with the limit; std cannot.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(direct.get_program());
    shell.args(direct.get_args());
    shell.envs(direct.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("it ran");
    let went_well = scene.beside("went_well").exists();
    assert!(went_well, "{}", String::from_utf8_lossy(&output.stderr));
}
