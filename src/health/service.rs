//! The watch over one node: resolve, probe, judge, report, wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::probe::{Probe, Round, Target};
use super::resolve::{Resolve, in_order};
use super::verdict::Verdict;
use super::{Change, Shared};
use crate::clock;
use crate::model::NodeState;
use crate::model::limits::{BUILD_TRIES_MAX, PROBE_GAP, RESOLVE_INTERVAL};
use crate::nocobase::{ProbeAnswer, Reading, ReadingKind, judge};
use crate::routing::{Node, NodeIndex};

/// Owns one node's state: nobody else sets it, nor its addresses.
pub(super) struct Watch<P, R> {
    index: NodeIndex,
    node: Arc<Node>,
    shared: Arc<Shared<P, R>>,
    verdict: Verdict,
    name: Name,
    /// Times that the page may still be asked for the build.
    build_tries: u32,
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
        Self { index, node, shared, verdict, name, build_tries: 0 }
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
        let reading = judge(&round.health, round.info.as_ref());
        if is_connect_failure(&round.health) {
            self.lookup_is_due();
        }
        let from = self.verdict.state();
        let changed = self.verdict.take(&reading);
        match changed {
            Some(NodeState::Ready) => self.build_tries = BUILD_TRIES_MAX,
            Some(_) => self.build_tries = 0,
            None => {}
        }
        let build = self.look_for_build(&reading).await;
        self.report(round, &reading, changed, build);
        if let Some(to) = changed {
            self.announce(from, to, reading.reason);
        }
    }

    /// Looked for before the node is shown as ready: whoever sees it ready sees its build as well,
    /// so that no switch slips in between.
    async fn look_for_build(&mut self, reading: &Reading) -> Option<String> {
        if self.build_tries == 0 || reading.kind != ReadingKind::Ready {
            return None;
        }
        let addresses = self.node.addresses();
        let target = Target { authority: &self.node.authority, addresses: &addresses };
        let build = self.shared.probe.build(target).await;
        self.build_tries = if build.is_some() { 0 } else { self.build_tries - 1 };
        build
    }

    fn report(
        &self,
        round: &Round,
        reading: &Reading,
        changed: Option<NodeState>,
        build: Option<String>,
    ) {
        let (now, uptime) = (clock::now(), clock::uptime_ms());
        let state = self.verdict.state();
        let explains =
            changed.is_some() || state == NodeState::Unknown || reading.kind.state() == state;
        self.shared.board.write(self.index, |report| {
            report.last_answer = Some((now, reading.reason.clone()));
            if explains {
                report.reason.clone_from(&reading.reason);
            }
            if changed.is_some() {
                report.state = state;
                report.since = now;
            }
            if changed == Some(NodeState::Ready) || build.is_some() {
                report.build = build;
            }
            if proves_down(&round.health, reading) {
                report.down_seen = Some(uptime);
                report.ready_since = None;
            }
            if state != NodeState::Ready {
                report.ready_since = None;
            } else if reading.kind == ReadingKind::Ready && report.ready_since.is_none() {
                report.ready_since = Some(uptime);
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
            | NodeState::Down => self.shared.settings.interval.mul_f64(0.9 + 0.2 * fastrand::f64()),
        }
    }
}

fn is_connect_failure(health: &ProbeAnswer) -> bool {
    match health {
        ProbeAnswer::Refused | ProbeAnswer::Unreachable(_) | ProbeAnswer::TimedOut => true,
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
