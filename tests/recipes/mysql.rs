//! MySQL: fakes that keep a database as text, and a throwaway MariaDB where there is one.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::scene::{Done, Scene, eventually, not_real, which};

/// A server that is the file `database`: dumped as it is, dropped by `DROP`, filled by a dump.
fn faked() -> Scene {
    let scene = Scene::new();
    scene.write("srv/storage/a", "old");
    scene.write(
        "database",
        "USE `nocobase`;\nCREATE TABLE `users` (\nINSERT INTO `users` VALUES (1);\n",
    );
    scene.fake("mysqldump", "cat \"$scene/database\"; echo '-- Dump completed on 2026-11-22'");
    scene.fake(
        "mysql",
        "case \"$*\" in
            *data_length*) echo 1048576 ;;
            *DROP*) rm -f \"$scene/database\" ;;
            *) grep -v '^-- Dump' >\"$scene/database\" ;;
        esac",
    );
    scene
}

fn run(scene: &Scene, name: &str) -> Done {
    scene.run("mysql", name, &[])
}

#[test]
fn a_restore_makes_the_database_again() {
    let scene = faked();
    let before = scene.read("database");
    run(&scene, "backup").well();
    let defaults = format!("[--defaults-extra-file={}]", scene.text("etc/mysql.cnf"));
    let calls = scene.calls();
    let dumped = calls.iter().find(|call| call.starts_with("mysqldump")).expect("dumped");
    for word in ["[--single-transaction]", "[--routines]", "[--triggers]", "[nocobase]", &defaults]
    {
        assert!(dumped.contains(word), "{word}: {dumped}");
    }
    run(&scene, "verify_backup").well();
    scene.write("database", "made by the new version");
    scene.write("srv/storage/a", "new");
    scene.calls();
    run(&scene, "restore").well();
    assert_eq!(scene.read("database"), before);
    assert_eq!(scene.read("srv/storage/a"), "old");
    assert!(scene.calls()[0].contains("DROP DATABASE IF EXISTS `nocobase`"));
}

#[test]
fn a_dump_that_failed_gets_no_name() {
    let scene = faked();
    scene.fake("mysqldump", "echo 'CREATE TABLE `users` ('; exit 2");
    run(&scene, "backup").refused(1, "mysqldump of nocobase failed with 2");
    assert!(!scene.path("backups/7.sql.gz").exists());
}

/// Puts a dump of this text where the backup is.
fn dump(scene: &Scene, text: &str) {
    let file = fs::File::create(scene.path("backups/7.sql.gz")).expect("made");
    let gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(file).spawn();
    let mut gzip = gzip.expect("gzip runs");
    gzip.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    assert!(gzip.wait().expect("it ends").success());
}

#[test]
fn a_dump_that_is_not_whole_is_refused_and_nothing_is_dropped_for_it() {
    let scene = faked();
    run(&scene, "backup").well();
    let (used, table, rows, end) = (
        "USE `nocobase`;\n",
        "CREATE TABLE `users` (\n",
        "INSERT INTO `users` VALUES (1);\n",
        "-- Dump completed on x\n",
    );
    for (text, why) in [
        (format!("{used}{table}{rows}"), "is not complete"),
        (format!("{used}{end}"), "holds no tables"),
        (format!("{used}{table}{end}"), "holds no rows"),
        (format!("{table}{rows}{end}"), "is not of the database 'nocobase'"),
    ] {
        dump(&scene, &text);
        run(&scene, "verify_backup").refused(1, why);
        run(&scene, "restore").refused(1, why);
    }
    run(&scene, "backup").well();
    let path = scene.path("backups/7.sql.gz");
    let bytes = fs::read(&path).expect("the dump");
    fs::write(&path, &bytes[..bytes.len() - 12]).expect("cut");
    scene.calls();
    run(&scene, "restore").refused(1, "cannot be unpacked to its end");
    assert_eq!(scene.calls(), [""; 0]);
}

#[test]
fn a_restore_that_fails_half_way_says_so() {
    let scene = faked();
    run(&scene, "backup").well();
    scene.fake("mysql", "case \"$*\" in *DROP*) ;; *) cat >/dev/null; exit 1 ;; esac");
    run(&scene, "restore").refused(1, "FAILED HALF-WAY");
    assert_eq!(scene.read("srv/storage/a"), "old");
}

/// A throwaway MariaDB on a socket in the scene's folder.
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

impl Server {
    fn start() -> Option<Self> {
        let (Some(server), Some(_), Some(_)) =
            (which("mariadbd"), which("mariadb-install-db"), which("mysqldump"))
        else {
            not_real("mysql", "a server of MariaDB");
            return None;
        };
        let scene = Scene::new();
        let (data, socket) = (scene.text("data"), scene.text("my.sock"));
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let usr = server.parent().and_then(Path::parent).expect("its prefix");
        let share = usr.join("share/mysql").display().to_string();
        let same = [format!("--user={user}"), format!("--datadir={data}")];
        fs::create_dir(&data).expect("made");
        let bootstrap = format!(
            "use mysql;\n{}",
            fs::read_to_string(format!("{share}/mariadb_system_tables.sql"),)
                .or_else(|_| fs::read_to_string(format!("{share}/mysql_system_tables.sql")))
                .expect("them")
        );
        fs::create_dir(format!("{data}/mysql")).expect("made");
        let lc = format!("--lc-messages-dir={share}");
        let mut made = Command::new(&server)
            .args(["--no-defaults", "--bootstrap", "--skip-grant-tables", &lc])
            .args(&same)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut input = made.stdin.take().expect("piped");
        input.write_all(bootstrap.as_bytes()).expect("sent");
        drop(input);
        made.wait().expect("it ends");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&server)
            .args(["--no-defaults", "--skip-networking", "--skip-grant-tables", &lc])
            .args(&same)
            .arg(format!("--socket={socket}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(scene.path("server.log")).expect("a log"))
            .spawn()
            .expect("it runs");
        scene.write("etc/mysql.cnf", &format!("[client]\nsocket={socket}\n"));
        let server = Self { scene, process };
        eventually("the server answers", || server.ask("SELECT 1").code == Some(0));
        Some(server)
    }

    fn ask(&self, statements: &str) -> Done {
        let defaults = format!("--defaults-extra-file={}", self.scene.text("etc/mysql.cnf"));
        let argv = ["mysql", &defaults, "-N", "-B", "-e", statements].map(str::to_owned);
        self.scene.exec(&argv, Vec::new())
    }
}

#[test]
fn a_real_server_is_as_it_was_after_a_restore() {
    let Some(server) = Server::start() else { return };
    let scene = &server.scene;
    scene.write("srv/storage/a", "old");
    server
        .ask(
            "CREATE DATABASE nocobase CHARACTER SET latin1; USE nocobase;
             CREATE TABLE users (id int PRIMARY KEY, name varchar(99), raw blob);
             INSERT INTO users VALUES (1, 'a''b\\n-- x', 0x00ff0a), (2, NULL, NULL);
             CREATE DEFINER=root@localhost TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.name = 'x';
             CREATE DEFINER=root@localhost PROCEDURE p() SELECT 1",
        )
        .well();
    let all = "USE nocobase; SHOW TABLES; SELECT id, name, hex(raw) FROM users;
               SELECT action_statement FROM information_schema.triggers;
               SELECT routine_name FROM information_schema.routines WHERE routine_schema='nocobase';
               SELECT default_character_set_name FROM information_schema.schemata
                WHERE schema_name='nocobase'";
    let before = server.ask(all).well().out;
    run(scene, "backup").well();
    run(scene, "verify_backup").well();
    server
        .ask("USE nocobase; CREATE TABLE made_by_the_new_version (id int); DELETE FROM users")
        .well();
    assert_ne!(server.ask(all).well().out, before);
    run(scene, "restore").well();
    assert_eq!(server.ask(all).well().out, before);
}
