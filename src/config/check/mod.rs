//! From a document and flags to a [`Config`], one function for each section. A wrong value is noted
//! and replaced by its default, so that the rest is checked too; with any problem the whole is
//! refused, and no replacement is ever used.

mod control;
mod drivers;
mod listen;
mod nodes;
mod output;
mod procedures;
mod traffic;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::document::Section;
use super::problems::{At, Place, shown};
use super::values::not_among;
use super::{Config, Environment, Flags, IpNet};
use crate::model::limits::{TRUSTED_PROXIES_MAX, WORKERS_MAX};
use crate::model::{Mode, NodeRole};
use crate::routing::Balance;
use nodes::Declared;

pub(super) fn config(top: &mut Section, flags: &Flags, environment: &Environment) -> Config {
    let sockets = listen::sockets(top, flags);
    let (general, drivers) = top.section("drivers", drivers::drivers);
    let declared = nodes::declared(top, flags, &general);
    drivers::check_general(top, &general, &declared);
    let state_dir = state_dir(top, flags, environment);
    nodes::check_loops(top, &declared, &sockets);
    let balance =
        [("round_robin", Balance::RoundRobin), ("least_requests", Balance::LeastRequests)];
    Config {
        listen: sockets.listen.into_iter().map(|at| at.value).collect(),
        admin: sockets.admin.map(|at| at.value),
        procedures: top.section("procedures", |s| procedures::procedures(s, &state_dir)),
        state_dir,
        initial_mode: initial_mode(top, &declared),
        workers: workers(top, flags),
        balance: top.choice("balance", &balance, Balance::default()),
        nodes: declared.into_iter().filter_map(|node| node.config).collect(),
        trusted_proxies: trusted_proxies(top),
        control: top.section("control", |s| control::control(s, flags, environment)),
        app: top.section("app", traffic::app),
        timeouts: top.section("timeouts", traffic::timeouts),
        limits: top.section("limits", traffic::limits),
        health: top.section("health", traffic::health),
        notice: top.section("notice", output::notice),
        log: top.section("log", output::log),
        drivers,
    }
}

/// A path by flag, else by key, else by default; with its place.
fn path_setting(
    s: &mut Section,
    key: &'static str,
    flag: (&str, Option<&PathBuf>),
    default: PathBuf,
) -> At<PathBuf> {
    // Read even where a flag replaces it: a file is right or wrong by itself.
    let example = default.to_string_lossy();
    let written = s.path(key, &example);
    if let (name, Some(path)) = flag {
        let place = Place::Flag(name.to_owned());
        s.replaced(key, &place);
        if path.as_os_str().is_empty() {
            s.problem(&place, format!("is empty; write a path, as {example}"));
        }
        return At { place, value: path.clone() };
    }
    written.unwrap_or_else(|| At { place: s.place(key), value: default })
}

fn state_dir(top: &mut Section, flags: &Flags, environment: &Environment) -> PathBuf {
    let flag = ("--state-dir", flags.state_dir.as_ref());
    let At { place, value } = path_setting(top, "state_dir", flag, environment.state_dir());
    let vanishing = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
    if let Some(folder) = vanishing.iter().find(|folder| value.starts_with(Path::new(folder))) {
        top.warn(
            &place,
            format!(
                "{} lies in {folder}, which may be emptied: the gateway would forget its mode and \
                 start with initial_mode; choose a folder that lasts, as /var/lib/drawspan",
                value.display()
            ),
        );
    }
    value
}

fn workers(top: &mut Section, flags: &Flags) -> Option<NonZeroUsize> {
    let bounds = 1..=WORKERS_MAX;
    let written = top.count("workers", &bounds);
    let workers = match flags.workers {
        Some(value) => {
            top.bounded(&At { place: Place::Flag("--workers".to_owned()), value }, &bounds)
        }
        None => written,
    };
    workers.and_then(NonZeroUsize::new)
}

/// `cluster`, `maintenance`, or `single NODE` with a node that takes requests.
fn initial_mode(top: &mut Section, declared: &[Declared]) -> Mode {
    let Some(At { place, value }) = top.text("initial_mode", "cluster") else {
        return Mode::Cluster;
    };
    let mut words = value.split_whitespace();
    let known = ["cluster", "maintenance", "single NODE"];
    match (words.next(), words.next(), words.next()) {
        (Some("cluster"), None, None) => Mode::Cluster,
        (Some("maintenance"), None, None) => Mode::Maintenance,
        (Some("single"), Some(kept), None) => single(top, &place, kept, declared),
        (Some("single"), None, None) => {
            top.problem(&place, "names no node; write which one is kept, as \"single n1\"");
            Mode::Cluster
        }
        _ => {
            top.problem(&place, not_among(&value, known.into_iter()));
            Mode::Cluster
        }
    }
}

fn single(top: &mut Section, place: &Place, kept: &str, declared: &[Declared]) -> Mode {
    let node = declared.iter().find(|node| node.id.as_ref().is_some_and(|id| id.as_str() == kept));
    match node.map(|node| (node.role, &node.id)) {
        Some((NodeRole::Request, Some(id))) => {
            top.warn(
                place,
                format!(
                    "at the first start nobody is served unless node {id} is ready; that is \
                         right while work goes on, else write \"cluster\""
                ),
            );
            return Mode::Single(id.clone());
        }
        Some(_) => {
            let message = format!(
                "keeps {kept}, which has role worker and takes no traffic; \
                                   name a node of role request"
            );
            top.problem(place, message);
        }
        None => {
            let ids = declared.iter().filter_map(|node| node.id.as_ref());
            let ids: Vec<&str> = ids.map(crate::model::NodeId::as_str).collect();
            let message =
                format!("there is no node {}; the nodes are {}", shown(kept), ids.join(", "));
            top.problem(place, message);
        }
    }
    Mode::Cluster
}

fn trusted_proxies(top: &mut Section) -> Vec<IpNet> {
    let Some(written) = top.texts("trusted_proxies", "10.0.0.0/8") else { return Vec::new() };
    if TRUSTED_PROXIES_MAX < written.value.len() {
        let message = format!(
            "has {} networks; write at most {TRUSTED_PROXIES_MAX}, wider ones",
            written.value.len()
        );
        top.problem(&written.place, message);
    }
    let mut networks = Vec::with_capacity(written.value.len());
    for At { place, value } in written.value {
        match value.parse::<IpNet>() {
            Ok(network) => {
                if network.is_everything() {
                    let message = format!(
                        "{network} believes whatever address a client claims to \
                                           have; name the proxies in front of the gateway alone"
                    );
                    top.warn(&place, message);
                }
                networks.push(network);
            }
            Err(wrong) => top.problem(&place, wrong.to_string()),
        }
    }
    networks
}
