//! The configuration of a world: where everything lies, and the operator's commands as scripts.

use std::fs;

use crate::world::{SCRIPTS, Wish, World};

/// A command of the operator: its name in the configuration, and its words.
type Named = (&'static str, Vec<String>);

/// Commands that are asked again and again: never more than a moment.
const QUICK: [&str; 4] = ["status", "build", "logs", "notify"];

fn script(name: &str, words: &[&str]) -> Vec<String> {
    let mut argv = vec![format!("{SCRIPTS}/{name}")];
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    argv
}

impl World {
    /// Writes the configuration anew; a gateway reads it when it starts.
    pub fn configure(&self, wish: &Wish) {
        let mut text = self.settings(wish);
        for (name, argv) in self.commands_of(wish) {
            if !wish.without.contains(&name) {
                text.push_str(&self.command(wish, &format!("drivers.{name}"), &argv));
            }
        }
        for (port, k) in self.ports.iter().zip(1..) {
            let id = self.id(k);
            if id == "w1" {
                text.push_str("[[nodes]]\nid = \"w1\"\nrole = \"worker\"\n");
                let start = script("node", &["start", "w1", &port.to_string()]);
                text.push_str(&self.command(wish, "nodes.drivers.start", &start));
            } else {
                text.push_str(&format!(
                    "[[nodes]]\nid = \"{id}\"\naddress = \"127.0.0.1:{port}\"\n"
                ));
            }
        }
        fs::write(self.path("drawspan.toml"), text).expect("written");
    }

    /// Changes the text of the configuration.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let path = self.path("drawspan.toml");
        let text = change(fs::read_to_string(&path).expect("it was written"));
        fs::write(path, text).expect("written");
    }

    fn settings(&self, wish: &Wish) -> String {
        format!(
            "listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 2\n\
             initial_mode = {:?}\nstate_dir = {:?}\n\
             [control]\npath = {:?}\n\
             [log]\naccess = \"off\"\n\
             [health]\ninterval = \"300ms\"\ntimeout = \"250ms\"\nrise = 1\n\
             [procedures]\nbackup_path = {:?}\ndown_after = \"1s\"\nready_in_a_row = 2\n{}\n",
            wish.initial_mode,
            self.path("state"),
            self.path("control.sock"),
            self.path("backups").join("{id}"),
            wish.procedures,
        )
    }

    fn command(&self, wish: &Wish, section: &str, argv: &[String]) -> String {
        let name = section.rsplit('.').next().unwrap_or_default();
        let limit = if QUICK.contains(&name) { "10s" } else { wish.limit };
        let (nodes, program) = (self.nodes(), env!("CARGO_BIN_EXE_drawspan"));
        let (failing, points) = wish.supervisor;
        let points = if name == failing { points } else { "" };
        format!(
            "[{section}]\nrun = {argv:?}\nlimit = {limit:?}\n\
             env = {{ NODES = {nodes:?}, DRAWSPAN = {program:?}, \
             DRAWSPAN_FAILPOINTS = {points:?} }}\n"
        )
    }

    fn commands_of(&self, wish: &Wish) -> Vec<Named> {
        let database = self.nodes().join("database");
        let mut commands = vec![
            ("status", script("node", &["status", "{node}"])),
            ("build", script("node", &["build", "{node}"])),
            ("logs", script("node", &["logs", "{node}"])),
            ("backup", script("data", &["backup", "{backup}"])),
            ("verify_backup", script("data", &["verify", "{backup}"])),
            ("update", script("data", &["update", "{version}"])),
            ("restore", script("data", &["restore", "{backup}"])),
            ("revert", script("data", &["update", "{version}"])),
            ("verify", script("data", &["verify", database.to_str().expect("UTF-8")])),
            ("notify", script("data", &["notify", "{message}"])),
        ];
        if wish.groups {
            commands.extend(self.of_groups());
        } else {
            commands.push(("start", script("node", &["start", "{node}", "{address}"])));
            commands.push(("stop", script("node", &["stop", "{node}"])));
        }
        commands
    }

    /// n1 is the first, and the kept one.
    fn of_groups(&self) -> [Named; 4] {
        let at = |k: usize| format!("{}:{}", self.id(k), self.ports[k - 1]);
        let all: Vec<String> = (1..=self.ports.len()).map(at).collect();
        let group = |verb: &str, nodes: &[String]| {
            let mut argv = script("group", &[verb]);
            argv.extend(nodes.iter().cloned());
            argv
        };
        [
            ("stop_all", group("stop", &all)),
            ("stop_others", group("stop", &all[1..])),
            ("start_first", group("start", &all[..1])),
            ("start_others", group("start", &all[1..])),
        ]
    }
}
