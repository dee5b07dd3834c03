//! The watch over one node: resolve, probe, judge, report, wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::probe::{Probe, Round, Target};
use super::resolve::{Resolve, in_order};
use super::unreached::Unreached;
use super::verdict::Verdict;
use super::{Change, Shared};
use crate::clock;
use crate::model::limits::{LOOKS_MAX, PROBE_CLOSELY, PROBE_GAP, RESOLVE_INTERVAL};
use crate::model::{NodeState, Pace};
use crate::nocobase::{Answer, ProbeAnswer, Reading, ReadingKind, judge, version_of};
use crate::routing::{Node, NodeIndex};

/// Owns one node's state: nobody else sets it, nor its addresses.
pub(super) struct Watch<P, R> {
    index: NodeIndex,
    node: Arc<Node>,
    shared: Arc<Shared<P, R>>,
    verdict: Verdict,
    unreached: Unreached,
    name: Name,
    look: Look,
}

/// The search for what a ready node runs.
#[derive(Clone, Default)]
struct Look {
    /// Times that the node may still be asked.
    tries: u32,
    /// Uptime clock: when this search began to ask.
    began: Option<u64>,
    build: Option<String>,
    plugins: Option<Arc<[String]>>,
}

impl Look {
    fn due() -> Self {
        Self { tries: LOOKS_MAX, ..Self::default() }
    }
}

/// What one round amounted to.
struct Digest<'a> {
    round: &'a Round,
    reading: &'a Reading,
    /// Uptime clock: when the round ended.
    taken: u64,
    unreached_since: Option<u64>,
    changed: Option<NodeState>,
    /// What a search for build and plugins found so far, where one was made.
    look: Option<Look>,
}

/// What is known about the node's name.
enum Name {
    /// It is an address, and never looked up.
    Literal,
    /// To be looked up again at `due`; `failure` is why the last time gave nothing.
    Known { due: Instant, failure: Option<String> },
}

/// What a look-up changed.
#[derive(PartialEq, Eq)]
enum Lookup {
    Same,
    Moved,
}

impl<P: Probe, R: Resolve> Watch<P, R> {
    pub fn new(index: NodeIndex, node: Arc<Node>, shared: Arc<Shared<P, R>>) -> Self {
        let verdict = Verdict::new(shared.settings.rise, shared.settings.fall);
        let name = match node.authority.parse::<SocketAddr>() {
            Ok(address) => {
                node.set_addresses(vec![address]);
                Name::Literal
            }
            Err(_) => Name::Known { due: Instant::now(), failure: None },
        };
        let unreached = Unreached::default();
        Self { index, node, shared, verdict, unreached, name, look: Look::default() }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&mut self) {
        loop {
            let began = Instant::now();
            if self.wants_lookup() {
                self.look_up().await;
            }
            let round = self.probe().await;
            self.digest(&round).await;
            self.wait(began).await;
        }
    }

    /// A name that did not resolve is looked up for every reading, so that a verdict of *down*
    /// rests on as many look-ups as any other rests on probes.
    fn wants_lookup(&self) -> bool {
        match &self.name {
            Name::Literal => false,
            Name::Known { due, failure } => failure.is_some() || *due <= Instant::now(),
        }
    }

    async fn look_up(&mut self) -> Lookup {
        let found = self.shared.resolver.resolve(&self.node.authority).await;
        let due = Instant::now() + RESOLVE_INTERVAL;
        match found {
            Ok(addresses) => {
                self.name = Name::Known { due, failure: None };
                let epoch = self.node.address_epoch();
                self.node.set_addresses(in_order(addresses));
                if epoch == self.node.address_epoch() { Lookup::Same } else { Lookup::Moved }
            }
            // The addresses stay until the verdict is down: a name server that fails once must
            // not take a node away that answers.
            Err(error) => {
                self.name = Name::Known { due, failure: Some(error.to_string()) };
                Lookup::Same
            }
        }
    }

    async fn probe(&self) -> Round {
        match &self.name {
            Name::Known { failure: Some(why), .. } => {
                Round { health: ProbeAnswer::Unresolved(why.clone()), info: None }
            }
            Name::Known { failure: None, .. } | Name::Literal => {
                let addresses = self.node.addresses();
                let authority = &self.node.authority;
                self.shared.probe.round(Target { authority, addresses: &addresses }).await
            }
        }
    }

    async fn digest(&mut self, round: &Round) {
        let taken = clock::uptime_ms();
        let reading = judge(&round.health, round.info.as_ref());
        if is_connect_failure(&round.health) {
            self.lookup_is_due();
        }
        let epoch = self.node.address_epoch();
        let unreached_since = self.unreached.take(&round.health, taken, epoch);
        let from = self.verdict.state();
        let changed = self.verdict.take(&reading);
        let look = self.look_closer(&reading, changed).await;
        let digest = Digest { round, reading: &reading, taken, unreached_since, changed, look };
        self.report(&digest);
        if let Some(to) = changed {
            self.announce(from, to, reading.reason);
        }
    }

    /// Asks what the node runs, where that is to be found out. Done before the node is shown as
    /// ready: whoever sees it ready sees its build as well, so that no switch slips in between.
    async fn look_closer(&mut self, reading: &Reading, changed: Option<NodeState>) -> Option<Look> {
        if changed.is_some() {
            self.look = Look::default();
        }
        if self.verdict.state() != NodeState::Ready || reading.kind != ReadingKind::Ready {
            return None;
        }
        let asked_for = self.shared.attention.wants_look(self.index);
        if asked_for || changed == Some(NodeState::Ready) {
            self.look = Look::due();
        }
        self.look.tries = self.look.tries.checked_sub(1)?;
        self.look.began.get_or_insert_with(clock::uptime_ms);
        let addresses = self.node.addresses();
        let target = Target { authority: &self.node.authority, addresses: &addresses };
        let build = async {
            match self.look.build.take() {
                None => self.shared.probe.build(target).await,
                known => known,
            }
        };
        let plugins = async {
            match self.look.plugins.take() {
                None => self.shared.probe.plugins(target).await,
                known => known,
            }
        };
        (self.look.build, self.look.plugins) = tokio::join!(build, plugins);
        if self.look.build.is_some() && self.look.plugins.is_some() {
            self.look.tries = 0;
        }
        Some(self.look.clone())
    }

    fn report(&self, digest: &Digest<'_>) {
        let Digest { round, reading, taken, changed, .. } = *digest;
        let now = clock::now();
        let state = self.verdict.state();
        let explains =
            changed.is_some() || state == NodeState::Unknown || reading.kind.state() == state;
        self.shared.board.write(self.index, |report| {
            report.last_answer = Some((now, reading.reason.clone()));
            report.taken = Some(taken);
            report.ready_in_a_row = self.verdict.ready_in_a_row();
            report.unreached_since = digest.unreached_since;
            if matches!(round.health, ProbeAnswer::Answered(_)) {
                report.answered = Some(taken);
            }
            if let Some(ProbeAnswer::Answered(Answer { status: 200, body, .. })) = &round.info {
                report.version = version_of(body);
            }
            if explains {
                report.reason.clone_from(&reading.reason);
            }
            if changed.is_some() {
                report.state = state;
                report.since = now;
            }
            if let Some(look) = &digest.look {
                report.build.clone_from(&look.build);
                report.plugins.clone_from(&look.plugins);
                report.looked_up = look.began;
            }
            if proves_down(&round.health, reading) {
                report.down_seen = Some(taken);
                report.ready_since = None;
            }
            if state != NodeState::Ready {
                report.ready_since = None;
            } else if reading.kind == ReadingKind::Ready && report.ready_since.is_none() {
                report.ready_since = Some(taken);
            }
        });
    }

    fn announce(&self, from: NodeState, to: NodeState, reason: String) {
        self.node.set_state(to);
        let unresolved = matches!(&self.name, Name::Known { failure: Some(_), .. });
        if to == NodeState::Down && unresolved {
            self.node.set_addresses(Vec::new());
        }
        // No reader is no error: the engine may not listen yet.
        let _ = self.shared.changes.send(Change { index: self.index, from, to, reason });
        if from == NodeState::Unknown {
            self.shared.first_round.one_less();
        }
    }

    fn lookup_is_due(&mut self) {
        if let Name::Known { due, .. } = &mut self.name {
            *due = Instant::now();
        }
    }

    /// Waits for the next round; or for a kick or another address, which bring it forward.
    async fn wait(&mut self, began: Instant) {
        let next = began + self.pause();
        let kicks = self.shared.kicks.clone();
        let Some(kick) = kicks.0.get(self.index.0) else { return sleep_until(next).await };
        loop {
            let lookup = match &self.name {
                Name::Known { due, .. } => *due,
                Name::Literal => next,
            };
            tokio::select! {
                () = sleep_until(next) => return,
                () = kick.notified() => {
                    self.lookup_is_due();
                    // A storm of kicks must not turn three readings into one moment.
                    return sleep_until(began + PROBE_GAP).await;
                }
                () = sleep_until(lookup), if lookup < next => {
                    if self.look_up().await == Lookup::Moved {
                        return sleep_until(began + PROBE_GAP).await;
                    }
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        match self.verdict.state() {
            NodeState::Unknown => PROBE_GAP,
            NodeState::Starting
            | NodeState::Ready
            | NodeState::Busy
            | NodeState::Failing
            | NodeState::Down => self.interval().mul_f64(0.9 + 0.2 * fastrand::f64()),
        }
    }

    fn interval(&self) -> Duration {
        let usual = self.shared.settings.interval;
        match self.shared.attention.pace() {
            Pace::Usual => usual,
            Pace::Closely => usual.min(PROBE_CLOSELY),
        }
    }
}

fn is_connect_failure(health: &ProbeAnswer) -> bool {
    match health {
        ProbeAnswer::Refused
        | ProbeAnswer::Unreachable(_)
        | ProbeAnswer::NotTried(_)
        | ProbeAnswer::TimedOut => true,
        // An unresolved name is looked up for its next reading anyway.
        ProbeAnswer::Answered(_) | ProbeAnswer::Unresolved(_) | ProbeAnswer::Broken(_) => false,
    }
}

/// Does this round prove that the application was not running?
fn proves_down(health: &ProbeAnswer, reading: &Reading) -> bool {
    *health == ProbeAnswer::Refused || reading.starts
}

#[cfg(test)]
mod tests;
