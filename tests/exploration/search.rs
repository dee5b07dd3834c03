//! Breadth first through every state of one setup.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use drawspan::model::Mode;
use drawspan::procedure::{Kind, Outcome, digest, step};

use super::facts::{View, facts};
use super::met::Met;
use super::moves::moves;
use super::world::{NOW, Setup, World};

pub struct Explored {
    setup: &'static str,
    /// Where each state came from first, and by what.
    parents: Vec<(usize, String)>,
    /// From, to; only those where nothing went wrong.
    helpful: Vec<(usize, usize)>,
    serving: Vec<usize>,
    pub met: Met,
}

fn key(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// It is over, and well: the cluster serves; or a first start was given up.
fn is_well(world: &World) -> bool {
    let procedure = &world.procedure;
    match (procedure.kind(), procedure.outcome) {
        (_, None) => false,
        (Kind::FirstStart, Some(Outcome::Aborted)) => true,
        (_, Some(Outcome::Completed | Outcome::RolledBack | Outcome::Aborted)) => {
            world.mode == Mode::Cluster
        }
    }
}

/// # Panics
/// Where a rule is broken, with the way there.
pub fn explore(setup: &Setup, at_most: usize) -> Explored {
    let start = setup.world();
    let mut known = HashMap::from([(key(&start), 0)]);
    let mut queue = VecDeque::from([(0, start)]);
    let mut explored = Explored {
        setup: setup.name,
        parents: vec![(0, "the begin".to_owned())],
        helpful: Vec::new(),
        serving: Vec::new(),
        met: Met::default(),
    };
    while let Some((at, world)) = queue.pop_front() {
        explored.met.state(&world);
        explored.serving.extend(is_well(&world).then_some(at));
        let moved = catch_unwind(AssertUnwindSafe(|| {
            comes_to_an_end(setup, &world);
            moves(setup, &world)
        }));
        let Ok(moved) = moved else {
            panic!("{}: after\n{}{:#?}", setup.name, explored.way(at), world.procedure.jobs);
        };
        explored.met.objections(&moved.met);
        for next in moved.found {
            explored.met.transition(&world, &next.cause);
            let fresh = explored.parents.len();
            let to = *known.entry(key(&next.world)).or_insert(fresh);
            if to == fresh {
                explored.parents.push((at, format!("{:?}", next.cause)));
                queue.push_back((to, next.world));
            }
            explored.helpful.extend(next.helps.then_some((at, to)));
        }
        assert!(explored.parents.len() < at_most, "{}: too many states", setup.name);
    }
    explored
}

/// Asked again and again, the facts have said everything some time.
fn comes_to_an_end(setup: &Setup, world: &World) {
    for view in [View::Truly, View::Late] {
        let facts = facts(setup, world, view);
        let mut procedure = world.procedure.clone();
        let mut count = 0;
        while let Some(event) = digest(&procedure, &facts) {
            procedure = step(&procedure, 8, NOW, &event).expect("what is digested fits");
            count += 1;
            assert!(count < 100, "h: {view:?} never ends");
        }
    }
}

impl Explored {
    fn way(&self, mut at: usize) -> String {
        let mut steps = Vec::new();
        while at != 0 {
            steps.push(format!("  {}\n", self.parents[at].1));
            at = self.parents[at].0;
        }
        steps.reverse();
        steps.concat()
    }

    /// Every state has a way on which nothing goes wrong and that leads back to service.
    pub fn leads_back(&self) {
        let mut back = vec![Vec::new(); self.parents.len()];
        for (from, to) in &self.helpful {
            back[*to].push(*from);
        }
        let mut leads = vec![false; self.parents.len()];
        let mut open = self.serving.clone();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut leads[at], true) {
                open.extend(&back[at]);
            }
        }
        let stuck = leads.iter().filter(|leads| !**leads).count();
        if let Some(at) = leads.iter().position(|leads| !leads) {
            panic!("e: {}: no way out of {stuck} states, as after\n{}", self.setup, self.way(at));
        }
    }
}
