//! What the tests of the recipes share: a folder that stands for the machine's own ones, fakes of
//! programs that record how they were called, and commands run as the gateway runs them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for a condition; a bound against hanging, never a measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the fragments say that the recipes are installed.
pub const INSTALLED: &str = "/usr/local/lib/drawspan/";

/// The folder of all recipes.
pub fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/recipes")
}

/// The fragment of configuration of one recipe.
pub fn fragment(recipe: &str) -> toml::Table {
    let path = recipes().join(recipe).join("drawspan.toml");
    let text = fs::read_to_string(&path).expect("the recipe's fragment");
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One command of a fragment, in either of its two forms.
pub struct Driver {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
}

/// The command that the fragment gives under `name`.
pub fn driver(fragment: &toml::Table, name: &str) -> Driver {
    let found = fragment["drivers"].get(name).unwrap_or_else(|| panic!("no driver {name}"));
    let words = |value: &toml::Value| {
        let list = value.as_array().expect("a list of words");
        list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let Some(long) = found.as_table() else {
        return Driver { argv: words(found), env: BTreeMap::new() };
    };
    let pairs = long.get("env").and_then(toml::Value::as_table).into_iter().flatten();
    let pair = |(name, value): (&String, &toml::Value)| {
        (name.clone(), value.as_str().expect("a value").to_owned())
    };
    Driver { argv: words(&long["run"]), env: pairs.map(pair).collect() }
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Fails the test unless the command ended with 0.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Fails the test unless the command ended with `code` and said `words` on stderr.
    #[track_caller]
    pub fn refused(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(words), "{self:?}");
        self
    }
}

/// A folder in place of `/srv/nocobase`, `/etc/drawspan` and `/var/lib/drawspan`.
pub struct Scene {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Scene {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        for inside in ["bin", "srv", "etc", "backups"] {
            fs::create_dir(folder.path().join(inside)).expect("a folder in it");
        }
        Self { folder, env: Vec::new() }
    }

    /// Sets a variable for all commands that follow; it outranks the fragment's.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// The same as text.
    pub fn text(&self, inside: &str) -> String {
        self.path(inside).to_str().expect("plain letters").to_owned()
    }

    pub fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
    }

    pub fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Puts a program first on PATH that does `body`, without a word about it.
    pub fn program(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// Puts a fake first on PATH that records each call as a line `name [argument]...` and does `body`.
    pub fn fake(&self, name: &str, body: &str) {
        let calls = self.text("calls");
        self.program(
            name,
            &format!(
                "{{ printf '%s' {name}; printf ' [%s]' \"$@\"; echo; }} >>'{calls}'\n\
                 scene='{}'\n{body}",
                self.folder.path().display()
            ),
        );
    }

    /// What the fakes recorded since the last time.
    pub fn calls(&self) -> Vec<String> {
        let path = self.path("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, "").expect("emptied");
        text.lines().map(str::to_owned).collect()
    }

    /// The fragment's paths as they are here.
    fn here(&self, word: &str) -> String {
        word.replace(INSTALLED, &format!("{}/", recipes().display()))
            .replace("/srv/nocobase", &self.text("srv"))
            .replace("/etc/drawspan", &self.text("etc"))
            .replace("/var/lib/drawspan", &self.text("state"))
    }

    /// Runs the command that a recipe's fragment gives under `name`, as the gateway does: no shell, an
    /// environment of its own, its output kept. It returns when nobody holds the output any more.
    pub fn run(&self, recipe: &str, name: &str, values: &[(&str, &str)]) -> Done {
        let driver = driver(&fragment(recipe), name);
        let backup = self.text("backups/7");
        let filled = |word: &String| {
            let mut word = self.here(word).replace("{backup}", &backup);
            for (placeholder, value) in values {
                word = word.replace(placeholder, value);
            }
            word
        };
        let argv: Vec<String> = driver.argv.iter().map(filled).collect();
        let env = driver.env.iter().map(|(name, value)| (name.clone(), self.here(value)));
        self.exec(&argv, env.collect())
    }

    /// Runs any command with the scene's environment.
    pub fn exec(&self, argv: &[String], env: Vec<(String, String)>) -> Done {
        let path = std::env::var("PATH").expect("a PATH");
        let output = Command::new(self.found(&argv[0], &path))
            .args(&argv[1..])
            .env_clear()
            .env("PATH", format!("{}:{path}", self.text("bin")))
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .envs(env)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The program that a bare name stands for, fakes first.
    fn found(&self, program: &str, path: &str) -> PathBuf {
        let folders = format!("{}:{path}", self.text("bin"));
        which_in(program, &folders).unwrap_or_else(|| program.into())
    }
}

fn which_in(program: &str, path: &str) -> Option<PathBuf> {
    let mut paths = path.split(':').map(|folder| Path::new(folder).join(program));
    paths.find(|path| path.is_file())
}

/// Where PATH has a program.
pub fn which(program: &str) -> Option<PathBuf> {
    which_in(program, &std::env::var("PATH").unwrap_or_default())
}

/// Waits until `holds`; fails the test, saying what was waited for, when patience ends.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says on the terminal that a part was not run on the real program.
pub fn not_real(recipe: &str, missing: &str) {
    eprintln!("{recipe}: NOT run on the real program, {missing} is missing; its fake was played");
}
