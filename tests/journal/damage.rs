//! A start finds the files cut, changed, exchanged or gone.

use std::fs::OpenOptions;
use std::path::Path;

use drawspan::journal::record::{Record, Seq};
use drawspan::journal::{Log, Start};
use drawspan::model::{Mode, Revision};
use redb::{Database, TableDefinition};
use sha2::{Digest, Sha256};

use crate::child;
use crate::scene::{Running, Scene, single};

const PAGE: u64 = 4096;
const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");

/// Asserts that it came up raised in doubt, and would again.
fn assert_raised(scene: &Scene, run: Running, what: &str) {
    let Start::Doubt { reason, .. } = &run.opened.start else {
        panic!("{what}: {:?}", run.opened.start);
    };
    assert_eq!(run.state().mode, Mode::Maintenance, "{what}");
    assert_eq!(run.state().doubt.as_ref(), Some(reason), "{what}");
    assert_eq!(run.opened.journal.degraded(), None, "{what}");
    let before = run.state().clone();
    drop(run);
    let again = scene.start(99_000);
    assert_eq!(*again.state(), before, "{what}: the second start");
}

/// A journal of a few switches, in mode single.
fn history(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut run = scene.start(1_000);
    for round in 1..6 {
        run.go(10_000 * round, &Mode::Maintenance);
        run.go(10_000 * round + 1_000, &Mode::Cluster);
    }
    run.go(70_000, &single("n1"));
    drop(run);
    scene.take()
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("it opens");
    file.set_len(bytes).expect("it is cut");
}

fn is_raised_at_every_cut(scene: &Scene, files: &[(String, Vec<u8>)]) {
    let whole = u64::try_from(files[0].1.len()).expect("it fits");
    let pages = (0..whole).step_by(4096);
    let odd = [1, 9, 63, 320, PAGE + 1, 5 * PAGE - 1, whole / 2 + 7, whole - 1];
    for bytes in pages.chain(odd) {
        scene.put(files);
        cut(&scene.file("journal.redb"), bytes);
        assert_raised(scene, scene.start(80_000), &format!("cut to {bytes} of {whole}"));
    }
}

#[test]
fn a_journal_cut_at_any_page_after_a_clean_end_comes_back_raised() {
    let scene = Scene::quick();
    let files = history(&scene);
    is_raised_at_every_cut(&scene, &files);
}

#[test]
fn a_journal_cut_at_any_page_after_a_kill_comes_back_raised() {
    let scene = Scene::quick();
    child::append_until(&scene, 40);
    let files = scene.take();
    is_raised_at_every_cut(&scene, &files);
}

#[test]
fn a_journal_that_grew_and_lost_its_unused_end_comes_back_raised() {
    let scene = Scene::quick();
    let mut run = scene.start(1_000);
    for round in 0..12 {
        let reason = "x".repeat(100_000);
        run.append(2_000 + round, Record::Doubt { mode_before: None, reason, kept_as: None });
    }
    run.go(70_000, &single("n1"));
    drop(run);
    let files = scene.take();
    let whole = u64::try_from(files[0].1.len()).expect("it fits");
    for bytes in (whole / 2..whole).step_by(4096) {
        scene.put(&files);
        cut(&scene.file("journal.redb"), bytes);
        let run = scene.start(80_000);
        assert!(matches!(run.opened.start, Start::Doubt { .. }), "cut to {bytes} of {whole}");
    }
}

#[test]
fn a_changed_byte_anywhere_raises_or_changes_nothing() {
    let scene = Scene::quick();
    let files = history(&scene);
    let whole = scene.start(79_000).state().clone();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let length = files[0].1.len();
    let pages = length / 4096;
    // Every byte of the header, then some of every page.
    let header = 0..320;
    let body = (0..pages).flat_map(|page| {
        let mut places = vec![4096 * page];
        places.extend((0..3).map(|_| 4096 * page + random.usize(0..4096)));
        places
    });
    let bytes = header.chain(body).map(|place| (place, 1, 1 << (place % 8)));
    let whole_pages = (0..pages).map(|page| (4096 * page, 4096, 0xff));
    let mut raised = 0;
    for (place, length, change) in bytes.chain(whole_pages) {
        let mut changed = files.clone();
        for byte in &mut changed[0].1[place..place + length] {
            *byte ^= change;
        }
        scene.put(&changed);
        let mut run = scene.start(80_000);
        if run.opened.start == Start::Continued {
            assert_eq!(*run.state(), whole, "byte {place}");
            // It is not only read: it goes on.
            let next = run.go(81_000, &Mode::Cluster);
            drop(run);
            let again = scene.start(82_000);
            assert_eq!(again.state().revision(), Revision(next.0), "byte {place}");
        } else {
            assert_raised(&scene, run, &format!("byte {place}"));
            raised += 1;
        }
    }
    assert!(0 < raised, "the changes never met a byte that matters");
}

#[test]
fn a_journal_that_is_empty_or_another_file_comes_back_raised_and_is_kept() {
    let text = b"not a journal at all".repeat(100_000);
    for content in [Vec::new(), vec![0; 2_000_000], text] {
        let scene = Scene::quick();
        history(&scene);
        std::fs::write(scene.file("journal.redb"), &content).expect("written");
        let run = scene.start(80_000);
        let Start::Doubt { kept_as: Some(kept), .. } = run.opened.start.clone() else {
            panic!("{:?}", run.opened.start);
        };
        assert!(std::fs::read(&kept).expect("it is kept") == content);
        assert!(kept.to_string_lossy().contains("journal.redb.damaged-"));
        assert_raised(&scene, run, "another file");
    }
}

#[test]
fn a_journal_that_was_removed_comes_back_raised_and_its_revisions_go_on() {
    let scene = Scene::quick();
    history(&scene);
    let before = scene.start(79_000).opened.journal.last();
    std::fs::remove_file(scene.file("journal.redb")).expect("removed");
    let run = scene.start(80_000);
    assert_eq!(run.state().revision(), Revision(before.0 + 1));
    assert_raised(&scene, run, "removed");
}

#[test]
fn an_older_copy_of_the_journal_comes_back_raised() {
    let scene = Scene::quick();
    let old = history(&scene);
    scene.start(79_000).go(79_500, &Mode::Maintenance);
    std::fs::write(scene.file("journal.redb"), &old[0].1).expect("written");
    assert_raised(&scene, scene.start(80_000), "an older copy");
}

#[test]
fn the_journal_of_another_gateway_comes_back_raised() {
    let (scene, other) = (Scene::quick(), Scene::quick());
    scene.start(1_000);
    let files = history(&other);
    std::fs::write(scene.file("journal.redb"), &files[0].1).expect("written");
    assert_raised(&scene, scene.start(80_000), "another gateway's");
}

#[test]
fn a_record_of_a_newer_program_comes_back_raised_and_names_its_format() {
    let scene = Scene::quick();
    history(&scene);
    let last = scene.start(79_000).opened.journal.last().0;
    let json = br#"{"v":2,"kind":"something_new"}"#;
    let mut stored =
        Sha256::new().chain_update((last + 1).to_le_bytes()).chain_update(json).finalize().to_vec();
    stored.extend_from_slice(json);
    let database = Database::open(scene.file("journal.redb")).expect("it opens");
    let transaction = database.begin_write().expect("it begins");
    let mut records = transaction.open_table(RECORDS).expect("it is there");
    records.insert(last + 1, stored.as_slice()).expect("written");
    drop(records);
    transaction.commit().expect("written");
    // Not dropped: closing would make the file shorter.
    std::mem::forget(database);

    let run = scene.start(80_000);
    let doubt = run.state().doubt.clone().expect("it is in doubt");
    assert!(doubt.contains("format 2"), "{doubt}");
    assert_raised(&scene, run, "newer");
}

#[test]
fn a_lost_or_spoilt_marker_comes_back_raised_with_the_history_kept() {
    for spoil in [
        |path: &Path| std::fs::remove_file(path),
        |path: &Path| std::fs::write(path, vec![0; 8192]),
    ] {
        let scene = Scene::quick();
        history(&scene);
        let before = scene.start(79_000).opened.journal.last();
        spoil(&scene.file("marker")).expect("it is spoilt");
        let run = scene.start(80_000);
        assert_eq!(run.opened.journal.last(), before.next());
        let entries = run.opened.journal.read_after(before, 1).expect("it reads");
        assert!(matches!(&entries[0].record,
            Record::Doubt { mode_before: Some(mode), .. } if *mode == single("n1")));
        assert_eq!(run.opened.journal.read_after(Seq(0), 1).expect("it reads")[0].seq, Seq(1));
        assert_raised(&scene, run, "the marker");
    }
}

#[test]
fn one_spoilt_slot_of_the_marker_changes_nothing() {
    for slot in [0, 1] {
        let scene = Scene::quick();
        let files = history(&scene);
        let mut marker = files[1].1.clone();
        marker[slot * 4096 + 60] ^= 1;
        std::fs::write(scene.file("marker"), marker).expect("written");
        let run = scene.start(80_000);
        assert_eq!((&run.opened.start, &run.state().mode), (&Start::Continued, &single("n1")));
    }
}

#[test]
fn a_marker_cut_at_any_length_raises_or_changes_nothing() {
    let scene = Scene::quick();
    let files = history(&scene);
    for bytes in (0..8192).step_by(512) {
        scene.put(&files);
        cut(&scene.file("marker"), bytes);
        let run = scene.start(80_000);
        if bytes < 4096 {
            assert_raised(&scene, run, &format!("marker cut to {bytes}"));
        } else {
            assert_eq!(run.opened.start, Start::Continued, "marker cut to {bytes}");
        }
    }
}

#[test]
fn only_the_last_few_damaged_journals_are_kept() {
    let scene = Scene::quick();
    history(&scene);
    for round in 0..8 {
        std::fs::write(scene.file("journal.redb"), format!("damage {round}")).expect("written");
        drop(scene.start(80_000 + round));
    }
    let kept = scene.files();
    let kept: Vec<&String> = kept.iter().filter(|name| name.contains("damaged")).collect();
    assert_eq!(kept.len(), 5, "{kept:?}");
    let last = std::fs::read_to_string(scene.file(kept[4])).expect("it reads");
    assert_eq!(last, "damage 7");
}
