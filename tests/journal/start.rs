//! A start finds the files whole.

use drawspan::journal::record::{GuardedStep, Origin, Raised, Record, Seq};
use drawspan::journal::{Answer, JournalError, Log, Start, SwitchEnd};
use drawspan::model::{Mode, Revision};

use crate::scene::{Scene, at, by, finished, guarded, single, start_in, switch};

#[test]
fn a_first_start_takes_the_configured_mode_as_revision_1() {
    let scene = Scene::new();
    let first = scene.start(1_000);
    assert_eq!(first.opened.start, Start::First);
    assert_eq!((&first.state().mode, first.state().revision()), (&Mode::Cluster, Revision(1)));
    assert_eq!(first.state().by, "initial_mode");
    assert_eq!(scene.files(), ["journal.redb", "marker"]);
}

#[test]
fn a_later_start_has_the_state_and_the_revision_of_the_last_run() {
    let scene = Scene::new();
    let mut run = scene.start(1_000);
    run.go(2_000, &single("n1"));
    run.append(3_000, guarded(GuardedStep::Ran));
    let before = run.state().clone();
    drop(run);

    let run = scene.start(9_000);
    assert_eq!(run.opened.start, Start::Continued);
    assert_eq!(*run.state(), before);
    assert_eq!(run.opened.recovered, before);
    assert_eq!((run.state().revision(), run.opened.journal.last()), (Revision(2), Seq(4)));
    assert_eq!(run.state().since, at(2_000));
    assert_eq!(run.state().address.as_deref(), Some("n1:13000"));
    assert_eq!(run.state().guarded[0].at, at(3_000));
}

#[test]
fn a_guarded_call_that_was_under_way_counts_as_run_at_the_start() {
    let scene = Scene::quick();
    let mut run = scene.start(1_000);
    run.go(2_000, &single("n1"));
    run.append(3_000, guarded(GuardedStep::Began));
    drop(run);
    let run = scene.start(9_000);
    assert_eq!((run.state().guarded[0].at, run.state().guarded_open.len()), (at(9_000), 0));
    assert_eq!(run.state().revision(), Revision(2));
}

#[test]
fn a_switch_without_a_recorded_end_comes_back_as_the_less_open_mode() {
    let modes = [Mode::Cluster, single("n1"), single("n2"), Mode::Maintenance];
    for from in &modes {
        for to in &modes {
            let scene = Scene::quick();
            let mut run = scene.start(1_000);
            run.go(2_000, from);
            run.append(3_000, switch(from, to, Some("key")));
            drop(run);

            let run = scene.start(9_000);
            let expected = from.less_open(to);
            assert_eq!(run.state().mode, expected, "{from} to {to}");
            assert_eq!(run.state().doubt, None);
            let address = expected.node().map(|node| format!("{node}:13000"));
            assert_eq!(run.state().address, address, "{from} to {to}");
            let start = Start::Recovered { from: from.clone(), to: to.clone() };
            assert_eq!(run.opened.start, start);
            let remembered = run.opened.journal.remembered("key", at(9_000)).expect("it was given");
            assert!(matches!(&remembered.answer,
                Answer::Switch { end: SwitchEnd::Recovered(mode), .. } if *mode == expected));
            let before = run.state().clone();
            drop(run);

            let again = scene.start(10_000);
            assert_eq!((&again.opened.start, again.state()), (&Start::Continued, &before));
        }
    }
}

#[test]
fn a_command_under_a_key_is_remembered_over_a_restart() {
    let scene = Scene::new();
    let mut run = scene.start(1_000);
    let begun = run.append(2_000, switch(&Mode::Cluster, &Mode::Maintenance, Some("k1")));
    run.append(3_000, finished(begun));
    drop(run);

    let run = scene.start(9_000);
    let remembered = run.opened.journal.remembered("k1", at(9_000)).expect("it was given");
    assert_eq!((remembered.seq, remembered.key.digest.as_str()), (begun, "d"));
    assert!(matches!(&remembered.answer, Answer::Switch { end: SwitchEnd::Ended(_), .. }));
    assert_eq!(run.opened.journal.remembered("k2", at(9_000)), None);
}

#[test]
fn an_append_from_another_revision_is_refused() {
    let scene = Scene::new();
    let mut run = scene.start(1_000);
    let record = switch(&Mode::Cluster, &Mode::Maintenance, None);
    let moved = run.opened.journal.append_if(Revision(7), at(2_000), record.clone());
    assert!(matches!(moved, Err(JournalError::Moved { current: Revision(1), .. })));
    assert_eq!(run.opened.journal.last(), Seq(1));
    assert_eq!(run.opened.journal.append_if(Revision(1), at(2_000), record).ok(), Some(Seq(2)));
}

#[test]
fn records_are_read_in_order_after_a_number() {
    let scene = Scene::new();
    let mut run = scene.start(1_000);
    run.go(2_000, &single("n1"));
    run.go(4_000, &Mode::Cluster);
    let entries = run.opened.journal.read_after(Seq(2), 2).expect("it reads");
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq.0).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(entries[1].at, at(4_000));
    assert!(matches!(&entries[1].record, Record::Switch(switch) if switch.to == Mode::Cluster));
}

#[test]
fn a_raise_by_the_marker_overrides_the_journal_and_is_recorded_with_who_and_why() {
    let scene = Scene::new();
    let run = scene.start(1_000);
    let why = Some("the disk is full".to_owned());
    let raised = Raised { at: at(5_000), origin: Origin::Command { by: by("ada"), why } };
    run.opened.marker.raise(raised).expect("it is written");
    drop(run);

    let run = scene.start(9_000);
    assert_eq!(run.opened.start, Start::RaisedByMarker);
    let state = run.state().clone();
    assert_eq!((&state.mode, state.since), (&Mode::Maintenance, at(5_000)));
    assert_eq!((state.by.as_str(), state.why.as_deref()), ("ada", Some("the disk is full")));
    assert_eq!((&state.doubt, &state.unfinished), (&None, &None));
    assert_eq!(run.opened.marker.raised(), None);
    drop(run);
    assert_eq!(*scene.start(10_000).state(), state);
}

#[test]
fn a_raise_in_doubt_by_the_engine_stays_until_a_command() {
    let scene = Scene::new();
    let mut run = scene.start(1_000);
    run.go(2_000, &single("n1"));
    let reason = "n1 is gone from the configuration".to_owned();
    run.append(
        5_000,
        Record::Doubt { mode_before: Some(single("n1")), reason: reason.clone(), kept_as: None },
    );
    drop(run);

    let mut run = scene.start(9_000);
    assert_eq!(run.opened.start, Start::Doubt { reason: reason.clone(), kept_as: None });
    assert_eq!((&run.state().mode, &run.state().doubt), (&Mode::Maintenance, &Some(reason)));
    run.go(10_000, &Mode::Maintenance);
    drop(run);
    let run = scene.start(11_000);
    assert_eq!((&run.opened.start, &run.state().doubt), (&Start::Continued, &None));
}

#[test]
fn a_first_start_that_was_cut_off_is_still_the_first() {
    let scene = Scene::new();
    drop(scene.start(1_000));
    let files = scene.take();
    // What is made under another name is not in place yet.
    for left in [vec![], vec![("journal.redb.new".to_owned(), files[0].1[..5000].to_vec())]] {
        scene.put(&left);
        let run = start_in(&scene.path(), 2_000).expect("it starts");
        assert_eq!(run.opened.start, Start::First);
    }
}
