//! What the tests share: a state directory, and records to write.

use std::path::{Path, PathBuf};

use drawspan::journal::record::{
    Commander, Ending, Finished, GuardedStep, IdempotencyKey, Record, Seq, State, Switch,
};
use drawspan::journal::{JournalError, Log, Opened, StateDir, open};
use drawspan::model::{Mode, Timestamp};
use tempfile::TempDir;

/// A state directory in a directory of its own.
pub struct Scene {
    top: TempDir,
}

/// A started journal; its directory is held as long as it lives.
pub struct Running {
    pub opened: Opened,
    _dir: StateDir,
}

pub fn single(id: &str) -> Mode {
    Mode::Single(id.parse().expect("a legal id"))
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn by(name: &str) -> Commander {
    Commander { uid: 1000, name: name.to_owned() }
}

pub fn switch(from: &Mode, to: &Mode, key: Option<&str>) -> Record {
    Record::Switch(Switch {
        from: from.clone(),
        to: to.clone(),
        address: to.node().map(|node| format!("{node}:13000")),
        by: by("ada"),
        why: Some("upgrade".to_owned()),
        procedure: None,
        forced: false,
        forced_over: Vec::new(),
        idempotency: key.map(|key| IdempotencyKey { key: key.into(), digest: "d".into() }),
    })
}

pub fn finished(switch: Seq) -> Record {
    let ending = Ending::Drained { generation: 2, removed: Vec::new(), took_ms: 5 };
    Record::Finished(Finished { switch, ending })
}

pub fn guarded(step: GuardedStep) -> Record {
    Record::GuardedCall { node: "n1".parse().expect("legal"), step }
}

pub fn start_in(path: &Path, now: i64) -> Result<Running, JournalError> {
    let dir = StateDir::open(path).expect("the directory is free and writable");
    let opened = open(&dir, &Mode::Cluster, at(now))?;
    Ok(Running { opened, _dir: dir })
}

impl Scene {
    pub fn new() -> Self {
        Self { top: tempfile::tempdir().expect("a directory") }
    }

    /// In memory where the machine has such a file system: for tests that start very often, and
    /// to which it makes no difference.
    pub fn quick() -> Self {
        let shm = Path::new("/dev/shm");
        let top = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Self { top: top.expect("a directory") }
    }

    pub fn path(&self) -> PathBuf {
        self.top.path().join("state")
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn start(&self, now: i64) -> Running {
        start_in(&self.path(), now).expect("it starts")
    }

    /// Names in the state directory, but for the lock.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("it is there");
        let names = entries.map(|entry| entry.expect("it reads").file_name());
        let mut names: Vec<String> =
            names.map(|name| name.into_string().expect("plain")).filter(|n| n != "lock").collect();
        names.sort();
        names
    }

    /// Puts back the files of a state directory as they were.
    pub fn put(&self, files: &[(String, Vec<u8>)]) {
        let _ = std::fs::remove_dir_all(self.path());
        std::fs::create_dir(self.path()).expect("it is made");
        for (name, bytes) in files {
            std::fs::write(self.file(name), bytes).expect("written");
        }
    }

    pub fn take(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| {
            let bytes = std::fs::read(self.file(&name)).expect("it reads");
            (name, bytes)
        };
        self.files().into_iter().map(read).collect()
    }
}

impl Running {
    pub fn state(&self) -> &State {
        self.opened.journal.state()
    }

    pub fn append(&mut self, now: i64, record: Record) -> Seq {
        self.opened.journal.append(at(now), record).expect("it is written")
    }

    /// Switches and records the end.
    pub fn go(&mut self, now: i64, to: &Mode) -> Seq {
        let from = self.state().mode.clone();
        let begun = self.append(now, switch(&from, to, None));
        self.append(now + 1, finished(begun));
        begun
    }
}
