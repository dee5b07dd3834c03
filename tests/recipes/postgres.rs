//! PostgreSQL: a throwaway server where its programs are here, and fakes for what only they can show.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::scene::{Done, Scene, eventually, not_real, which};

/// The folder of the server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.flatten().map(|entry| entry.path().join("bin"));
    let on_path = which("postgres").and_then(|path| path.parent().map(Path::to_owned));
    versions.chain(on_path).filter(|folder| folder.join("initdb").is_file()).max()
}

/// A server of its own on a socket in the scene's folder. It dies with the test's thread.
struct Server {
    scene: Scene,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command as a user whom PostgreSQL accepts: it refuses root.
fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = user {
        let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
        command.args([&uid, &gid, "--clear-groups"]);
    }
    command.arg("--").arg(program).stdin(Stdio::null());
    command
}

fn number(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

impl Server {
    fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            not_real("postgres", "PostgreSQL's server");
            return None;
        };
        let mut scene = Scene::new();
        let root = number(&["-u"]) == Some(0);
        let name = if number(&["-u", "postgres"]).is_some() { "postgres" } else { "nobody" };
        let ids = || Some((number(&["-u", name])?, number(&["-g", name])?));
        let user = root.then(|| ids().expect("a user for the server"));
        // Not the system's own password file and services.
        scene.set("PGPASSFILE", "/dev/null");
        scene.set("PGHOST", &scene.text("pg"));
        scene.set("PGUSER", "postgres");
        fs::create_dir(scene.path("pg")).expect("made");
        if let Some((uid, gid)) = user {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(scene.path(""), open).expect("may be passed");
            chown(scene.path("pg"), Some(uid), Some(gid)).expect("given away");
        }
        let data = scene.text("pg/data");
        let made = as_user(user, &bin.join("initdb"))
            .args(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync"])
            .current_dir("/")
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{made:?}");
        let socket = format!("unix_socket_directories={}", scene.text("pg"));
        let process = as_user(user, &bin.join("postgres"))
            .args(["-D", &data, "-c", "listen_addresses=", "-c", &socket, "-c", "fsync=off"])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(fs::File::create(scene.path("server.log")).expect("a log"))
            .spawn()
            .expect("postgres runs");
        let server = Self { scene, process };
        eventually("the server answers", || server.ask("postgres", "SELECT 1").code == Some(0));
        Some(server)
    }

    /// What statements answer.
    fn ask(&self, database: &str, statements: &str) -> Done {
        let words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        let rest = ["-d", database, "-c", statements];
        let argv: Vec<String> = words.iter().chain(&rest).map(ToString::to_string).collect();
        self.scene.exec(&argv, Vec::new())
    }

    fn told(&self, statements: &str) -> String {
        self.ask("nocobase", statements).well().out.trim().to_owned()
    }

    fn run(&self, name: &str) -> Done {
        self.scene.run("postgres", name, &[])
    }

    /// A database as the old version left it, its storage, and a backup of both.
    fn backed_up() -> Option<Self> {
        let server = Self::start()?;
        server
            .ask(
                "postgres",
                "CREATE DATABASE nocobase TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'",
            )
            .well();
        server.told(
            "CREATE TABLE users (id serial PRIMARY KEY, name text);
             INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 5000) n",
        );
        server.scene.write("srv/storage/uploads/a.txt", "old");
        server.run("backup").well();
        let said = server.run("verify_backup").well().out;
        assert!(said.contains("data of 1 tables"), "{said}");
        Some(server)
    }

    /// What a new version does to the database before it turns out to be a bad one.
    fn upgrade(&self) {
        self.told(
            "CREATE TABLE made_by_the_new_version (id int); DROP TABLE IF EXISTS nothing;
             ALTER TABLE users ADD COLUMN age int; DELETE FROM users WHERE id > 10",
        );
        self.scene.write("srv/storage/uploads/a.txt", "new");
    }

    fn tables(&self) -> String {
        self.told("SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_stat_user_tables")
    }
}

#[test]
fn a_restore_brings_back_what_was_and_nothing_that_came_after() {
    let Some(server) = Server::backed_up() else { return };
    server.upgrade();
    // A node that was not stopped, or somebody's open psql, holds the database.
    let mut held = Command::new("psql")
        .args(["-X", "-q", "-h", &server.scene.text("pg"), "-U", "postgres", "-d", "nocobase"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql runs");
    let mut input = held.stdin.take().expect("piped");
    writeln!(input, "BEGIN; SELECT count(*) FROM users;").expect("sent");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    eventually("it holds a transaction", || server.told(open) == "1");

    server.run("restore").well();

    assert_eq!(server.tables(), "users", "the new version's table is gone");
    assert_eq!(server.told("SELECT count(*), max(name) FROM users"), "5000|user 999");
    assert_eq!(server.told("SHOW server_encoding"), "SQL_ASCII", "made as it was");
    assert_eq!(server.scene.read("srv/storage/uploads/a.txt"), "old");
    drop(input);
    held.wait().expect("reaped");
    // Once more: a retry of what ended well is no harm.
    server.run("restore").well();
    assert_eq!(server.tables(), "users");
}

#[test]
fn a_broken_dump_is_refused_and_nothing_is_dropped_for_it() {
    let Some(server) = Server::backed_up() else { return };
    server.upgrade();
    let dump = server.scene.path("backups/7.dump");
    let whole = fs::read(&dump).expect("the dump");
    let mut flipped = whole.clone();
    let middle = whole.len() - 3000;
    flipped[middle..middle + 64].fill(0xff);
    // Cut in the data, cut in the list, changed within, and no dump at all.
    let long = whole[..whole.len() - 400].to_vec();
    for bytes in [long, whole[..200].to_vec(), flipped, b"not a dump".to_vec()] {
        fs::write(&dump, bytes).expect("written");
        server.run("verify_backup").refused(1, "is damaged");
        server.run("restore").refused(1, "is damaged");
        assert_eq!(server.tables(), "made_by_the_new_version users");
    }
    fs::write(&dump, whole).expect("written");
    fs::write(server.scene.path("backups/7-storage.tar"), "not an archive").expect("written");
    server.run("restore").refused(1, "7-storage.tar is damaged");
    assert_eq!(server.tables(), "made_by_the_new_version users");
    assert_eq!(server.scene.read("srv/storage/uploads/a.txt"), "new");
}

#[test]
fn a_restore_that_fails_half_way_says_so_and_can_be_repeated() {
    let Some(server) = Server::start() else { return };
    server.ask("postgres", "CREATE DATABASE nocobase").well();
    server.told("CREATE ROLE app; CREATE TABLE users (id int); ALTER TABLE users OWNER TO app");
    server.told("INSERT INTO users VALUES (1)");
    server.scene.write("srv/storage/a", "old");
    server.run("backup").well();
    server.told("ALTER TABLE users OWNER TO postgres; DROP ROLE app");
    server.scene.write("srv/storage/a", "new");
    server.run("restore").refused(1, "FAILED HALF-WAY");
    assert_eq!(server.scene.read("srv/storage/a"), "new", "swapped only after the database");
    server.ask("postgres", "CREATE ROLE app").well();
    server.run("restore").well();
    assert_eq!(server.told("SELECT count(*) FROM users"), "1");
    assert_eq!(server.scene.read("srv/storage/a"), "old");
}

#[test]
fn a_dump_without_data_or_of_another_database_is_no_backup() {
    let Some(mut server) = Server::start() else { return };
    server.ask("postgres", "CREATE DATABASE nocobase").well();
    server.scene.write("srv/storage/a", "old");
    server.run("backup").well();
    server.run("verify_backup").refused(1, "holds no data of tables");
    server.told("CREATE TABLE users (id int)");
    server.run("backup").well();
    server.run("verify_backup").well();
    server.scene.set("PGDATABASE", "other");
    server.run("verify_backup").refused(1, "is of the database 'nocobase', not of 'other'");
    server.run("restore").refused(1, "is of the database 'nocobase'");
}

/// Fakes of PostgreSQL's programs: a database of 1 MiB, a dump that lists one table.
fn faked() -> Scene {
    let mut scene = Scene::new();
    scene.set("PGHOST", "/nonexistent");
    scene.write("srv/storage/a", "old");
    let answer = "read -r asked\ncase $asked in *size*) echo 1048576 ;; SHOW*) echo 120000 ;; esac";
    scene.fake("psql", &format!("{answer}\nprintf 'asked %s\\n' \"$asked\" >>\"$scene/calls\""));
    scene.fake(
        "pg_dump",
        "for word; do case $word in --file=*) echo half >\"${word#--file=}\" ;; esac; done",
    );
    let list = ";     dbname: nocobase\n215; 0 16386 TABLE DATA public users postgres";
    scene.fake("pg_restore", &format!("case $1 in --list) echo '{list}' ;; esac"));
    scene
}

#[test]
fn a_dump_gets_its_name_when_it_is_whole_and_on_the_disk() {
    let scene = faked();
    // What lies there when the data is made durable.
    scene.fake("sync", "ls \"$scene/backups\" >>\"$scene/seen\"");
    scene.run("postgres", "backup", &[]).well();
    assert!(scene.read("seen").starts_with("7.dump.part\n7.dump\n"), "{}", scene.read("seen"));
    let part = scene.text("backups/7.dump.part");
    let synced = format!("sync [{part}]");
    assert!(scene.calls().contains(&synced));
    fs::remove_file(scene.path("backups/7.dump")).expect("removed");
    scene.fake(
        "pg_dump",
        "for word; do case $word in --file=*) echo >\"${word#--file=}\" ;; esac; done\nexit 1",
    );
    scene.run("postgres", "backup", &[]).refused(1, "pg_dump of nocobase failed");
    assert!(!scene.path("backups/7.dump").exists());
}

#[test]
fn a_backup_that_would_not_fit_is_not_begun() {
    let mut scene = faked();
    scene.set("FREE_PERCENT", "1000000000000");
    scene.run("postgres", "backup", &[]).refused(1, "not enough space for a backup");
    assert!(!scene.calls().iter().any(|call| call.starts_with("pg_dump")));
}

#[test]
fn a_restore_reads_everything_before_it_drops_anything() {
    let scene = faked();
    scene.run("postgres", "backup", &[]).well();
    scene.calls();
    scene.run("postgres", "restore", &[]).well();
    let calls = scene.calls();
    let steps =
        ["pg_restore [--list]", "pg_restore [--file=/dev/null]", "asked DROP", "[--create]"];
    let at = steps.map(|step| calls.iter().position(|call| call.contains(step)));
    assert!(at.is_sorted() && at[0].is_some(), "{at:?} in {calls:#?}");
    // PostgreSQL 12 does not know the word.
    assert!(!calls.iter().any(|call| call.contains("FORCE")), "{calls:#?}");
}
