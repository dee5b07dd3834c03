//! Goes through every state that the three procedures can come to, in small worlds where what can go
//! wrong does, and checks in each what must always hold. Letters name the promises:
//!
//! - a: closed stays closed until the lowering;
//! - b: nothing of the new version before a backup, or a recorded reason to do without;
//! - c: no lowering over a node that is not ready, not restarted, or of another build;
//! - d: a restart of the gateway opens nothing and begins nothing;
//! - e: every state has a way back to service;
//! - f: no giving up on a touched version, no way back after the public wrote;
//! - g: no command is begun twice unless an operator says so;
//! - h: nothing panics, nothing goes round for ever;
//! - i: facts that are too old, or of before a stop, prove nothing.

mod facts;
mod met;
mod moves;
mod rules;
mod search;
mod table;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drawspan::procedure::Kind;

use met::Met;
use world::{Commands, Setup, Trouble};

/// More than any setup has; a mistake here would eat the machine.
const STATES_MAX: usize = 400_000;

/// With the troubles that each always meets.
fn setups() -> Vec<(Setup, &'static [Trouble])> {
    use Trouble::{Commands as Failing, Gateway, Lies, Nodes, Operator};

    let of = |kind, name| Setup {
        name,
        kind,
        auto: true,
        commands: Commands::EachNode,
        worker: false,
        status: false,
        limits: false,
        changes: false,
        trouble: Trouble::Nodes,
        troubles: 1,
    };
    let upgrade = |name| of(Kind::Upgrade, name);
    let maintenance = |name| of(Kind::Maintenance, name);
    let first_start = |name| of(Kind::FirstStart, name);
    let (by_hand, groups) = (Commands::ByHand, Commands::Groups);
    let every: &[Trouble] = &Trouble::ALL;
    vec![
        (upgrade("upgrade"), &[Nodes, Failing, Operator]),
        (Setup { auto: false, ..upgrade("upgrade, asked") }, &[]),
        (Setup { commands: by_hand, auto: false, ..upgrade("upgrade by hand") }, &[Gateway]),
        (Setup { commands: groups, status: true, ..upgrade("upgrade by groups") }, &[Lies]),
        (Setup { commands: groups, worker: true, ..upgrade("upgrade with a worker") }, &[]),
        (Setup { changes: true, ..upgrade("upgrade, configuration changes") }, &[]),
        (Setup { changes: true, ..maintenance("maintenance") }, every),
        (Setup { commands: by_hand, auto: false, ..maintenance("maintenance by hand") }, every),
        (Setup { commands: groups, status: true, ..maintenance("maintenance by groups") }, every),
        (Setup { limits: true, ..first_start("first start") }, every),
        (Setup { commands: by_hand, auto: false, ..first_start("first start by hand") }, every),
        (Setup { commands: groups, status: true, ..first_start("first start by groups") }, every),
    ]
}

/// Two threads go through the setups whose name contains `only`, with all troubles; without `only`,
/// through those that a minute allows.
fn explore_all(only: Option<&str>) -> Met {
    let mut all = Vec::new();
    for (setup, always) in setups() {
        let named = only.is_none_or(|only| setup.name.contains(only));
        let troubles = if only.is_some() { &Trouble::ALL } else { always };
        let told = |trouble: &&Trouble| **trouble != Trouble::Lies || setup.status;
        for trouble in troubles.iter().filter(told).filter(|_| named) {
            all.push(Setup { trouble: *trouble, ..setup.clone() });
        }
        if only.is_none() && always.is_empty() {
            all.push(Setup { troubles: 0, ..setup });
        }
    }
    let (next, met) = (AtomicUsize::new(0), Mutex::new(Met::default()));
    let work = || {
        while let Some(setup) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let explored = search::explore(setup, STATES_MAX);
            let (name, count, trouble) = (setup.name, setup.troubles, setup.trouble);
            let (states, moves) = (explored.met.states, explored.met.transitions);
            println!("{name}, {count} x {trouble:?}: {states} states, {moves} transitions");
            explored.leads_back();
            met.lock().expect("no panic while it was held").add(explored.met);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    met.into_inner().expect("no panic while it was held")
}

#[test]
fn every_reachable_state_keeps_every_promise_and_has_a_way_back_to_service() {
    let only = std::env::var("DRAWSPAN_EXPLORE").ok();
    let met = explore_all(only.as_deref());
    println!("in all: {} states, {} transitions", met.states, met.transitions);
    if only.is_none() {
        met.is_everything();
        table::is_written(&met);
    }
}
