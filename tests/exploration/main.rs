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
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drawspan::procedure::Kind;

use met::Met;
use world::{Commands, Setup, Trouble};

/// More than any setup has; a mistake here would eat the machine.
const STATES_MAX: usize = 400_000;

fn setups() -> Vec<Setup> {
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
    vec![
        upgrade("upgrade"),
        Setup { auto: false, ..upgrade("upgrade, asked") },
        Setup { commands: by_hand, auto: false, ..upgrade("upgrade by hand") },
        Setup { commands: groups, status: true, ..upgrade("upgrade by groups") },
        Setup { worker: true, commands: groups, ..upgrade("upgrade with a worker") },
        Setup { changes: true, ..upgrade("upgrade, configuration changes") },
        maintenance("maintenance"),
        Setup { commands: by_hand, auto: false, ..maintenance("maintenance by hand") },
        Setup { commands: groups, status: true, ..maintenance("maintenance by groups") },
        Setup { limits: true, ..first_start("first start") },
        Setup { commands: by_hand, auto: false, ..first_start("first start by hand") },
        Setup { commands: groups, status: true, ..first_start("first start by groups") },
    ]
}

/// Two threads go through the setups whose name contains `only`.
fn explore_all(only: &str) -> Met {
    let each = |setup: Setup| Trouble::ALL.map(|trouble| Setup { trouble, ..setup.clone() });
    let setups = setups().into_iter().filter(|setup| setup.name.contains(only));
    let setups: Vec<Setup> =
        setups.flat_map(each).filter(|s| s.trouble != Trouble::Lies || s.status).collect();
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Met::default()));
    let work = || {
        while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let explored = search::explore(setup, STATES_MAX);
            let met = &explored.met;
            println!(
                "{}, trouble with {:?}: {} states, {} transitions",
                setup.name, setup.trouble, met.states, met.transitions
            );
            explored.leads_back();
            all.lock().expect("no panic while it was held").add(explored.met);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    all.into_inner().expect("no panic while it was held")
}

#[test]
fn every_reachable_state_keeps_every_promise_and_has_a_way_back_to_service() {
    let only = std::env::var("DRAWSPAN_EXPLORE").unwrap_or_default();
    let met = explore_all(&only);
    println!("in all: {} states, {} transitions", met.states, met.transitions);
    if only.is_empty() {
        met.is_everything();
    }
}
