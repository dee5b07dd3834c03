//! What an operator does and sees in a world, and what must hold of every procedure.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::world::{Answer, World, lines, objects, offers};

/// What happened in a procedure, as the journal has it.
#[derive(Clone, Debug)]
pub struct Past {
    pub at: i64,
    pub phase: String,
    pub what: String,
    pub detail: String,
}

impl World {
    /// Waits for an objection, and for a remedy that says `helps`; nothing is lowered meanwhile.
    pub fn told(&mut self, id: &str, helps: &str) {
        self.wait_until(&format!("the objection {id}, that says {helps}"), |world| {
            let procedure = world.try_status().map(|status| status["procedure"].clone());
            let found = found(&procedure.unwrap_or_default(), id);
            found["remedy"].as_str().is_some_and(|remedy| remedy.contains(helps))
        });
        let procedure = self.procedure();
        let found = found(&procedure, id);
        assert!(found["meaning"].as_str().is_some_and(|text| !text.is_empty()), "{procedure:#}");
        assert_ne!(self.mode(), "cluster", "{procedure:#}");
    }

    /// Says it as soon as it is offered.
    pub fn says(&mut self, choice: &str, more: &Value) {
        self.wait_until(&format!("{choice} is offered"), |world| {
            world.try_status().is_some_and(|status| offers(&status["procedure"], choice))
        });
        // Refused where the facts moved in between: said again then.
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.say(choice, more);
            if answer.status == 200 {
                return;
            }
            assert!(Instant::now() < end, "{choice}: {:#}\n{:#}", answer.body, self.procedure());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// It is refused for this objection.
    pub fn refused(&self, choice: &str, more: &Value, id: &str) {
        let answer = self.say(choice, more);
        assert_eq!(answer.status, 409, "{choice}: {:#}", answer.body);
        assert!(objects(&answer.body, id), "{choice} {id}: {:#}", answer.body);
    }

    /// It ended so, in order: the public is served, and met no node while none was to be met.
    pub fn ends(&mut self, outcome: &str) {
        assert_eq!(self.outcome(), outcome);
        assert_eq!(self.mode(), "cluster");
        assert!(self.read("database").contains("\"tables\":[\""), "{}", self.read("database"));
        self.wait_until("the public is served", |world| world.get("/api/app:getLang") == Some(200));
        self.met_no_closed_node();
    }

    /// No request was written to a node from the proof that the bridge is raised (or narrowed) to
    /// the decision to lower it.
    pub fn met_no_closed_node(&self) {
        let past = self.past();
        let at = |found: &dyn Fn(&&Past) -> bool| past.iter().find(found).map(|one| one.at);
        let raised =
            |one: &&Past| one.what == "advanced" && (one.phase == "raise" || one.phase == "narrow");
        let Some(from) = at(&raised) else { return };
        let lowering = |one: &&Past| one.what == "advanced" && one.detail.starts_with("to lower");
        let to = at(&lowering).unwrap_or(i64::MAX);
        let opened = |one: &&Past| one.what == "switched" && one.detail == "to cluster";
        let opened = at(&opened).unwrap_or(i64::MAX);
        assert!(to <= opened, "lowered before it was decided: {past:#?}");
        let kept = past.iter().any(|one| one.phase == "narrow").then_some("n1");
        for k in 1..=self.ports.len() {
            let id = self.id(k);
            if kept == Some(id.as_str()) {
                continue;
            }
            for line in self.read(&format!("{id}.requests")).lines() {
                let when: i64 =
                    line.split(' ').next().and_then(|n| n.parse().ok()).expect("a time");
                assert!(when <= from || to <= when, "{id} was met while closed: {line}\n{past:#?}");
            }
        }
    }

    /// Public requests that reached a node until now.
    pub fn requests(&self, id: &str) -> usize {
        lines(&self.nodes().join(format!("{id}.requests")))
    }

    pub fn get(&self, target: &str) -> Option<u16> {
        Some(self.http(self.public(), target)?.0)
    }

    fn http(&self, address: SocketAddr, target: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some((answer.get(9..12)?.parse().ok()?, answer))
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> Option<i64> {
        let admin = self.status()["admin"].as_str()?.parse().ok()?;
        let (_, text) = self.http(admin, "/metrics")?;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?.to_owned();
        line.split(' ').nth(1)?.parse().ok()
    }

    /// What happened in the last procedure.
    pub fn past(&self) -> Vec<Past> {
        let id = self.procedure()["id"].clone();
        let answer = self.call("GET", &format!("/v1/procedures/{id}"), "", None);
        let body = answer.expect("the gateway answers").body;
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let past = |event: &Value| Past {
            at: text(event, "at").parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
            phase: text(event, "phase"),
            what: text(event, "what"),
            detail: text(event, "detail"),
        };
        body["events"].as_array().expect("events").iter().map(past).collect()
    }

    pub fn happened(&self, what: &str) -> usize {
        self.past().iter().filter(|past| past.what == what).count()
    }

    /// Calls of one of the operator's commands until now.
    pub fn ran(&self, command: &str) -> usize {
        self.commands().iter().filter(|line| line.starts_with(command)).count()
    }

    /// `kill -9` of the gateway, and another one.
    pub fn restart_gateway(&mut self) {
        drop(self.gateway.take());
        self.start_gateway(&[]);
    }

    pub fn put_mode(&self, mode: &Value) -> Answer {
        self.call("PUT", "/v1/mode", "", Some(mode)).expect("the gateway answers")
    }

    /// Raised until its update is next, by hand.
    pub fn upgrade_to(&mut self, phase: &str) {
        self.begun(&json!({"kind": "upgrade", "to": "2.3.0"}));
        self.go_on_to(phase);
    }

    /// Until this node, one of the others, does not come up.
    pub fn upgrade_to_the_others_without(&mut self, id: &str) {
        self.upgrade_to("verify");
        self.until_offered("verify", "confirm");
        self.put(&format!("{id}.trouble"), "never-ready");
        self.says("confirm", &json!({}));
        self.told(&format!("not_ready:{id}"), "`exclude`");
    }

    pub fn upgrade_by_itself(&mut self) -> u64 {
        self.begun(&json!({"kind": "upgrade", "to": "2.3.0", "auto": true}))
    }

    /// Where the backup of the last procedure lies.
    pub fn backup(&self) -> std::path::PathBuf {
        self.path("backups").join(self.procedure()["id"].to_string())
    }

    pub fn notices(&self) -> String {
        fs::read_to_string(self.nodes().join("notices")).unwrap_or_default()
    }

    pub fn wait_for_job(&mut self, work: &str, state: &str) {
        self.wait_until(&format!("{work} is {state}"), |world| {
            world.try_status().is_some_and(|status| job_is(&status["procedure"], work, state))
        });
    }
}

pub fn job_is(procedure: &Value, work: &str, state: &str) -> bool {
    let jobs = procedure["jobs"].as_array().cloned().unwrap_or_default();
    jobs.iter().any(|job| job["work"] == work && job["state"] == state)
}

pub fn found(procedure: &Value, id: &str) -> Value {
    let objections = procedure["objections"].as_array().cloned().unwrap_or_default();
    objections.into_iter().find(|objection| objection["id"] == id).unwrap_or_default()
}
