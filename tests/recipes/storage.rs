//! The storage folder: saved as a whole, and put back so that nothing is lost where that fails.

use std::fs;

use super::scene::{Done, Scene, recipes};

fn storage(scene: &Scene, verb: &str) -> Done {
    let script = recipes().join("storage/storage").display().to_string();
    let argv = [script, verb.into(), scene.text("srv/storage"), scene.text("backups/7")];
    scene.exec(&argv, Vec::new())
}

fn furnished() -> Scene {
    let scene = Scene::new();
    scene.write("srv/storage/uploads/a b 'c'.txt", "first");
    storage(&scene, "backup").well();
    scene
}

/// Folders beside the storage that a restore left.
fn beside(scene: &Scene) -> Vec<String> {
    let entries = fs::read_dir(scene.path("srv")).expect("the folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_restored_folder_is_as_it_was_and_what_it_replaces_is_kept() {
    let scene = furnished();
    scene.write("srv/storage/uploads/a b 'c'.txt", "second");
    scene.write("srv/storage/plugins/new", "made by the new version");
    storage(&scene, "verify").well();
    storage(&scene, "unpack").well();
    assert_eq!(scene.read("srv/storage/uploads/a b 'c'.txt"), "second", "not touched yet");
    storage(&scene, "swap").well();
    assert_eq!(scene.read("srv/storage/uploads/a b 'c'.txt"), "first");
    assert!(!scene.path("srv/storage/plugins").exists());
    let left = beside(&scene);
    assert!(left.len() == 2 && left[1].starts_with("storage.before-"), "{left:?}");
    assert_eq!(scene.read(&format!("srv/{}/plugins/new", left[1])), "made by the new version");
}

#[test]
fn a_folder_whose_archive_is_cut_stays_as_it_was() {
    let scene = furnished();
    let tar = scene.path("backups/7-storage.tar");
    let bytes = fs::read(&tar).expect("the archive");
    // In the middle of a head, before a file's bytes, after the last file, and just before the end.
    for long in [700, 1536, 2048, bytes.len() - 512] {
        fs::write(&tar, &bytes[..long]).expect("cut");
        storage(&scene, "verify").refused(1, "is damaged");
        storage(&scene, "unpack").refused(1, "is damaged");
    }
    storage(&scene, "swap").refused(1, "unpack first");
    assert_eq!(scene.read("srv/storage/uploads/a b 'c'.txt"), "first");
    assert_eq!(beside(&scene), ["storage"]);
}

#[test]
fn an_unpacking_that_fails_half_way_leaves_the_folder_as_it_was() {
    let scene = furnished();
    // As a full disk would have it: the list can be read, the unpacking ends early.
    let real = super::scene::which("tar").expect("tar").display().to_string();
    scene.fake("tar", &format!("case $* in *--extract*) exit 2 ;; esac\nexec {real} \"$@\""));
    storage(&scene, "unpack").refused(1, "is as it was");
    assert_eq!(scene.read("srv/storage/uploads/a b 'c'.txt"), "first");
}

#[test]
fn restores_in_one_second_keep_what_each_of_them_replaced() {
    let scene = furnished();
    for _ in 0..4 {
        storage(&scene, "unpack").well();
        storage(&scene, "swap").well();
    }
    assert_eq!(beside(&scene).len(), 5, "{:?}", beside(&scene));
}

#[test]
fn a_swap_that_a_crash_cut_between_its_two_moves_can_be_repeated() {
    let scene = furnished();
    storage(&scene, "unpack").well();
    fs::rename(scene.path("srv/storage"), scene.path("srv/storage.before-x")).expect("moved");
    storage(&scene, "swap").well();
    assert_eq!(scene.read("srv/storage/uploads/a b 'c'.txt"), "first");
}

#[test]
fn a_backup_that_could_not_be_put_back_is_refused_when_it_is_made() {
    let scene = furnished();
    scene.fake("mountpoint", "exit 0");
    storage(&scene, "check").refused(1, "is a mount point");
    scene.fake("mountpoint", "exit 1");
    scene.fake("id", "echo 4711");
    storage(&scene, "backup").refused(1, "belongs to another user");
}

#[test]
fn an_empty_folder_is_no_backup() {
    let scene = Scene::new();
    fs::create_dir(scene.path("srv/storage")).expect("made");
    storage(&scene, "backup").well();
    storage(&scene, "verify").refused(1, "holds no file");
}
