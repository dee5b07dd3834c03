//! The procedures of the crash sweep: how each is begun, what an operator says in it, and what must
//! be true on the way and at its end.

use serde_json::{Value, json};

use crate::world::{Wish, World, offers};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plot {
    Upgrade,
    /// The way back, from the moment of its word on.
    Rollback,
    Maintenance,
    FirstStart,
}

impl Plot {
    pub const ALL: [Self; 4] = [Self::Upgrade, Self::Rollback, Self::Maintenance, Self::FirstStart];

    pub fn wish(self, supervisor: Option<(&'static str, &'static str)>) -> Wish {
        let supervisor = supervisor.unwrap_or_default();
        match self {
            Self::Upgrade | Self::Maintenance => Wish { supervisor, ..Wish::default() },
            // An operator looks, and does not like it.
            Self::Rollback => Wish { supervisor, without: &["verify"], ..Wish::default() },
            Self::FirstStart => {
                Wish { supervisor, running: false, initial_mode: "maintenance", ..Wish::default() }
            }
        }
    }

    /// The commands that it runs, each with its place among them where it is the first of its name.
    pub fn commands(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Upgrade => &[
                ("stop", 1),
                ("backup", 3),
                ("verify_backup", 4),
                ("update", 5),
                ("start", 6),
                ("verify", 7),
            ],
            Self::Rollback => &[("stop", 1), ("restore", 2), ("revert", 3), ("start", 4)],
            Self::Maintenance => &[("stop", 1), ("verify", 2), ("start", 3)],
            Self::FirstStart => &[("start", 1), ("verify", 2)],
        }
    }

    /// How many commands and how many switches there are in it.
    pub fn effects(self) -> (usize, usize) {
        match self {
            Self::Upgrade => (8, 2),
            Self::Rollback => (5, 1),
            Self::Maintenance => (3, 2),
            Self::FirstStart => (3, 1),
        }
    }

    /// Starts the gateway with fail points, where the procedure (or its way back) can begin.
    pub fn prepare(self, world: &mut World, environment: &[(&str, &str)]) {
        if self == Self::Rollback {
            // Nobody dies on the way out.
            let clean = self.wish(None);
            let points = std::fs::read_to_string(world.path("drawspan.toml")).expect("written");
            world.configure(&clean);
            world.start_gateway(&[]);
            world.node_is("n1", "ready");
            world.node_is("n2", "ready");
            world.upgrade_by_itself();
            world.until_offered("verify", "confirm");
            drop(world.gateway.take());
            world.reconfigure(|_| points);
        }
        world.spawn_gateway(environment);
    }

    pub fn mode_before(self) -> &'static str {
        match self {
            Self::Upgrade | Self::Maintenance => "cluster",
            Self::Rollback | Self::FirstStart => "maintenance",
        }
    }

    /// The modes that are right in a phase.
    pub fn modes(self, phase: &str) -> &'static [&'static str] {
        match (self, phase) {
            (_, "done") => &["cluster"],
            (Self::Upgrade, "raise") => &["cluster", "maintenance"],
            (Self::Maintenance, "narrow") => &["cluster", "single n1"],
            (Self::Maintenance, "lower") => &["single n1", "cluster"],
            (Self::Maintenance, _) => &["single n1"],
            (_, "lower") => &["maintenance", "cluster"],
            (_, _) => &["maintenance"],
        }
    }

    pub fn outcome(self) -> &'static str {
        if self == Self::Rollback { "rolled_back" } else { "completed" }
    }

    pub fn version(self) -> &'static str {
        if self == Self::Upgrade { "2.3.0" } else { "2.2.15" }
    }

    pub fn must_run(self) -> &'static [&'static str] {
        match self {
            Self::Upgrade => &[
                "node stop n1",
                "node stop n2",
                "data backup",
                "data update 2.3.0",
                "node start n1",
                "node start n2",
            ],
            Self::Rollback => &[
                "node stop n1",
                "data restore",
                "data update 2.2.15",
                "node start n1",
                "node start n2",
            ],
            Self::Maintenance => &["node stop n2", "node start n2"],
            Self::FirstStart => &["node start n1", "node start n2"],
        }
    }

    pub fn is_over(self, procedure: &Value) -> bool {
        procedure["outcome"] == self.outcome()
    }

    /// Says what is to be said now, if anything. What does not arrive is said again.
    pub fn say(self, world: &World, status: &Value, _before: usize) {
        let procedure = &status["procedure"];
        if procedure.is_null() {
            return self.begin(world, status);
        }
        let word = if self == Self::Rollback && procedure["road"] == "forward" {
            "rollback"
        } else if !procedure["hold"].is_null() || procedure["phase"] == "work" {
            "continue"
        } else {
            "confirm"
        };
        if offers(procedure, word) {
            // Refused where the facts moved in between.
            let _ = world.try_answer(procedure, word, &json!({}));
        }
    }

    fn begin(self, world: &World, status: &Value) {
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let all_ready = nodes.iter().all(|node| node["state"] == "ready");
        let body = match self {
            Self::Upgrade => json!({"kind": "upgrade", "to": "2.3.0", "auto": true}),
            Self::Maintenance => json!({"kind": "maintenance", "keep": "n1", "auto": true}),
            Self::FirstStart => json!({"kind": "first-start", "auto": true}),
            // It was begun before; its gateway just came up.
            Self::Rollback => return,
        };
        if all_ready || self == Self::FirstStart {
            let _ = world.call("POST", "/v1/procedures", "", Some(&body));
        }
    }

    /// A command of unknown outcome: the operator looks whether it did its work. What is run again
    /// is named.
    pub fn decide(self, world: &World, procedure: &Value, before: usize) -> Vec<String> {
        let jobs = procedure["jobs"].as_array().cloned().unwrap_or_default();
        let lost = jobs.iter().find(|job| job["state"] == "unknown");
        let Some(work) = lost.and_then(|lost| lost["work"].as_str()) else { return Vec::new() };
        let line = self.line_of(work);
        let ran = world.commands().split_off(before);
        let did = ran.iter().any(|ran| ran.starts_with(&line));
        let word = if did && work != "restore" { "adopt" } else { "retry" };
        // What it would run again is told where it is offered only.
        if !offers(procedure, word) {
            return Vec::new();
        }
        let taken = world.try_answer(procedure, word, &json!({}));
        if word == "adopt" || taken.is_none_or(|taken| taken.status != 200) {
            return Vec::new();
        }
        let offered = procedure["choices"].as_array().cloned().unwrap_or_default();
        let offer = offered.iter().find(|offer| offer["choice"] == word);
        let does = offer.and_then(|offer| offer["does"].as_str()).unwrap_or_default();
        if let Some(named) = does.strip_prefix("stops and starts again: ") {
            return named
                .split(", ")
                .flat_map(|node| [format!("node stop {node}"), format!("node start {node}")])
                .collect();
        }
        let works = does.trim_start_matches("runs again: ").split(", ");
        works.map(|work| self.line_of(work)).collect()
    }

    /// What the script of a command notes.
    fn line_of(self, work: &str) -> String {
        match work {
            "verify_backup" | "verify" => "data verify".to_owned(),
            "update" | "revert" => format!("data update {}", self.version()),
            "backup" | "restore" => format!("data {work}"),
            _ => format!("node {work}"),
        }
    }
}
