//! The process dies, or the disk fails, at any moment.

use drawspan::journal::{Log, Start};

use crate::child;
use crate::scene::Scene;

#[test]
fn a_journal_killed_at_any_moment_has_every_record_that_was_answered_for_and_no_doubt() {
    let scene = Scene::quick();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut last = 0;
    for round in 0..30 {
        child::append_until(&scene, last + random.u64(1..60));
        let acknowledged = child::acknowledged(&scene);
        let run = scene.start(90_000);
        match &run.opened.start {
            Start::Continued | Start::Recovered { .. } => {}
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(run.state().doubt, None, "round {round}");
        last = run.opened.journal.last().0;
        // One record may be written and not answered for, one more is the start's own.
        assert!((acknowledged..=acknowledged + 2).contains(&last), "{acknowledged}, {last}");
    }
}

#[cfg(feature = "failpoints")]
pub mod at_fail_points {
    use std::os::unix::process::ExitStatusExt;

    use drawspan::failpoint;
    use drawspan::model::Mode;

    use super::*;
    use crate::scene::{finished, single, switch};

    /// Runs a child with fail points; true where it was killed.
    fn is_killed(scene: &Scene, role: &str, points: &str) -> bool {
        let mut command = child::command(scene, role);
        command.env("DRAWSPAN_FAILPOINTS", points);
        command.status().expect("it ran").signal() == Some(9)
    }

    #[test]
    fn a_first_start_killed_at_any_point_is_taken_up_again_without_doubt() {
        let points = [
            "marker.slot_written=kill@1",
            "marker.slot_written=kill@2",
            "marker.made=kill",
            "start.marker_written=kill",
            "start.journal_made=kill",
            "start.journal_placed=kill",
            "marker.slot_written=kill@3",
            "marker.slot_written=kill@4",
        ];
        for point in points {
            let scene = Scene::quick();
            assert!(is_killed(&scene, "start", point), "{point} was not met");
            let run = scene.start(90_000);
            assert_eq!(run.state().mode, Mode::Cluster, "{point}");
            assert_eq!((run.state().revision().0, &run.state().doubt), (1, &None), "{point}");
        }
    }

    #[test]
    fn a_start_in_doubt_killed_at_any_point_is_still_in_doubt() {
        let points = [
            "start.marker_written=kill",
            "marker.slot_written=kill@3",
            "start.raised=kill",
            "start.moved_aside=kill",
            "start.journal_made=kill",
            "start.journal_placed=kill",
            "start.raise_recorded=kill",
        ];
        for point in points {
            for (what, length) in [("empty", 0), ("half", 600_000)] {
                let scene = Scene::quick();
                let mut run = scene.start(1_000);
                run.go(2_000, &single("n1"));
                drop(run);
                let file = std::fs::File::options()
                    .write(true)
                    .open(scene.file("journal.redb"))
                    .expect("it opens");
                file.set_len(length).expect("it is cut");
                assert!(is_killed(&scene, "start", point), "{point} was not met");
                for now in [90_000, 91_000] {
                    let run = scene.start(now);
                    assert_eq!(run.state().mode, Mode::Maintenance, "{what}, {point}");
                    assert!(run.state().doubt.is_some(), "{what}, {point}");
                }
            }
        }
    }

    #[test]
    fn an_append_killed_at_any_point_leaves_the_record_or_not_but_never_doubt() {
        let points = [
            "journal.before_commit=kill@3",
            "journal.committed=kill@3",
            "journal.witnessed=kill@3",
            "marker.slot_written=kill@9",
            "marker.slot_written=kill@10",
        ];
        for point in points {
            let scene = Scene::quick();
            assert!(is_killed(&scene, "append", point), "{point} was not met");
            let acknowledged = child::acknowledged(&scene);
            let run = scene.start(90_000);
            assert_eq!(run.state().doubt, None, "{point}");
            assert!(acknowledged <= run.opened.journal.last().0, "{point}");
        }
    }

    #[test]
    fn the_disk_failing_at_every_single_write_never_shows_what_was_not_answered_for() {
        let scene = Scene::quick();
        let output = child::command(&scene, "failing_disk").output().expect("it ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(scene.beside("went_well").exists());
    }

    /// In a child, because what is set at a point holds for the whole process.
    pub fn failing_disk(top: &std::path::Path) {
        for point in ["journal.write", "journal.sync", "marker.write", "journal.resize"] {
            for hit in 1.. {
                let scene = Scene::quick();
                let mut run = scene.start(1_000);
                run.go(2_000, &single("n1"));
                let before = run.state().clone();
                failpoint::set(point, failpoint::Action::Error, failpoint::When::From(hit));
                let record = switch(&single("n1"), &Mode::Maintenance, None);
                let begun = run.opened.journal.append(crate::scene::at(3_000), record);
                let reopened = run.opened.journal.reopen(crate::scene::at(4_000));
                failpoint::unset(point);
                if begun.is_ok() {
                    break;
                }
                assert_eq!(*run.state(), before, "{point} {hit}");
                assert!(reopened.is_err() || run.opened.journal.degraded().is_none());
                run.opened.journal.reopen(crate::scene::at(5_000)).expect("the disk is back");
                assert_eq!(*run.state(), before, "{point} {hit}");
                drop(run);
                // What was refused is not there later, either.
                let mut run = scene.start(5_500);
                assert_eq!((run.state(), &run.opened.start), (&before, &Start::Continued));
                let begun = run.append(6_000, switch(&single("n1"), &Mode::Cluster, None));
                run.append(7_000, finished(begun));
                let after = run.state().clone();
                drop(run);
                let run = scene.start(8_000);
                assert_eq!((run.state(), &run.opened.start), (&after, &Start::Continued));
                assert!(hit < 100, "{point} never runs out");
            }
        }
        std::fs::write(top.join("went_well"), "").expect("written");
    }
}
