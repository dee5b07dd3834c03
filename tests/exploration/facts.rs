//! What the procedure is told of the world: true, late, stale, unclear, or a lie.

use drawspan::model::{NodeState, Timestamp};
use drawspan::procedure::{Facts, NodeFacts, NodeStatus, Reported};

use super::world::{BEFORE_RECENT, NOW, Node, OLD, RECENT, Runs, STALE, Setup, Version, World};

/// How one node is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Truly,
    /// As it was before what happened last.
    Late,
    /// As a ready node, but too long ago.
    Stale,
    TimedOut,
    /// Ready, not often enough in a row.
    Barely,
    BuildUnknown,
    OtherBuild,
    PluginsLost,
    MustRestart,
    /// Its status command lies.
    SaidStopped,
}

/// How the world is seen: every node truly (or all late), but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Truly,
    Late,
    But(usize, Seen),
    SwitchRefused,
    LittleSpace,
}

impl Seen {
    const DEVIATIONS: [Self; 9] = [
        Self::Late,
        Self::Stale,
        Self::TimedOut,
        Self::Barely,
        Self::BuildUnknown,
        Self::OtherBuild,
        Self::PluginsLost,
        Self::MustRestart,
        Self::SaidStopped,
    ];

    /// Would it tell anything else than the truth?
    fn differs(self, node: &Node, has_address: bool, status: bool) -> bool {
        let up = matches!(node.now, Runs::Up(_));
        match self {
            Self::Truly => false,
            Self::Late => node.seen != node.now && (has_address || status),
            Self::SaidStopped => status && node.now != Runs::Stopped,
            Self::TimedOut | Self::Stale => has_address,
            Self::Barely
            | Self::BuildUnknown
            | Self::OtherBuild
            | Self::PluginsLost
            | Self::MustRestart => has_address && up,
        }
    }
}

/// Every way to see this world.
pub fn views(setup: &Setup, world: &World) -> Vec<View> {
    let mut views = vec![View::Truly];
    if world.nodes.iter().any(|node| node.seen != node.now) {
        views.push(View::Late);
    }
    for (at, node) in world.nodes.iter().enumerate() {
        let has_address = world.has_address(&node.id);
        let differ = |seen: &&Seen| seen.differs(node, has_address, setup.status);
        views.extend(Seen::DEVIATIONS.iter().filter(differ).map(|seen| View::But(at, *seen)));
    }
    views.extend([View::SwitchRefused, View::LittleSpace]);
    views
}

pub fn facts(setup: &Setup, world: &World, view: View) -> Facts {
    let seen = |at: usize| match view {
        View::Late => Seen::Late,
        View::But(one, seen) if one == at => seen,
        View::But(..) | View::Truly | View::SwitchRefused | View::LittleSpace => Seen::Truly,
    };
    let nodes = world.nodes.iter().enumerate();
    Facts {
        now: NOW,
        mode: world.mode.clone(),
        switching: world.leaving.is_some(),
        switch_refused: (view == View::SwitchRefused).then(|| "the journal is full".to_owned()),
        nodes: nodes.map(|(at, node)| node_facts(setup, world, node, seen(at))).collect(),
        free_bytes: Some(if view == View::LittleSpace { 10 } else { 10_000 }),
    }
}

fn node_facts(setup: &Setup, world: &World, node: &Node, seen: Seen) -> NodeFacts {
    let mut facts = NodeFacts::unknown(node.id.clone());
    let (runs, taken) = match seen {
        Seen::Late => (node.seen, BEFORE_RECENT),
        Seen::Stale => (Runs::Up(world.disk), STALE),
        Seen::TimedOut => (Runs::Silent, NOW),
        Seen::Truly
        | Seen::Barely
        | Seen::BuildUnknown
        | Seen::OtherBuild
        | Seen::PluginsLost
        | Seen::MustRestart
        | Seen::SaidStopped => (node.now, NOW),
    };
    if setup.status && seen != Seen::TimedOut {
        let status = match runs {
            Runs::Stopped => NodeStatus::Stopped,
            _ if seen == Seen::SaidStopped => NodeStatus::Stopped,
            Runs::Starting(_) | Runs::Up(_) => NodeStatus::Running { started: None },
            Runs::Silent => NodeStatus::Unknown("it hangs".to_owned()),
        };
        facts.status = Some(Reported { at: taken, status });
    }
    facts.must_restart = node.split && matches!(node.now, Runs::Up(_));
    if !world.has_address(&node.id) {
        return facts;
    }
    probed(&mut facts, world, (node, runs), taken);
    match seen {
        Seen::Barely => facts.ready_in_a_row = 1,
        Seen::BuildUnknown => facts.build = None,
        Seen::OtherBuild => facts.build = Some("3".to_owned()),
        Seen::PluginsLost => facts.plugins = Some(Vec::new()),
        Seen::MustRestart => facts.must_restart = true,
        Seen::SaidStopped => {
            // Nothing was probed since; the command alone speaks.
            facts.taken = Some(STALE);
            facts.answered = None;
        }
        Seen::Truly | Seen::Late | Seen::Stale | Seen::TimedOut => {}
    }
    facts
}

fn probed(facts: &mut NodeFacts, world: &World, (node, runs): (&Node, Runs), taken: Timestamp) {
    facts.taken = Some(taken);
    facts.reason = "as probed".to_owned();
    facts.state = NodeState::Down;
    let lasts = node.seen == Runs::Stopped && matches!(runs, Runs::Stopped | Runs::Starting(_));
    match runs {
        Runs::Stopped | Runs::Starting(_) => {
            facts.unreached_since = Some(if lasts { OLD } else { RECENT });
        }
        Runs::Silent => {}
        Runs::Up(version) => up(facts, world, version),
    }
}

fn up(facts: &mut NodeFacts, world: &World, version: Version) {
    facts.answered = facts.taken;
    facts.state = NodeState::Ready;
    facts.ready_in_a_row = 5;
    facts.build = Some(version.as_str().to_owned());
    facts.version = Some(world.database.as_str().to_owned());
    let plugins = if world.worked { vec!["a", "b"] } else { vec!["a"] };
    facts.plugins = Some(plugins.into_iter().map(str::to_owned).collect());
}
