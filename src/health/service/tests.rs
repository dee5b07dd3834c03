//! The loop under a paused clock, with a fake probe and a fake resolver.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use tokio::sync::broadcast;

use super::*;
use crate::health::{Health, ResolveError, Settings};
use crate::model::{NodeRole, Weight};
use crate::nocobase::Answer;
use crate::routing::Nodes;

/// Answers the next of its script, the last one for ever, and keeps when it was asked.
#[derive(Default)]
struct Script {
    rounds: Mutex<VecDeque<Round>>,
    asked: Mutex<Vec<(Instant, Vec<SocketAddr>)>>,
    builds: Mutex<VecDeque<Option<String>>>,
    plugins: Mutex<VecDeque<Option<Arc<[String]>>>>,
}

impl Probe for Script {
    async fn round(&self, target: Target<'_>) -> Round {
        self.asked.lock().expect("sound").push((Instant::now(), target.addresses.to_vec()));
        let mut rounds = self.rounds.lock().expect("sound");
        let next = rounds.pop_front().expect("a script has a round");
        if rounds.is_empty() {
            rounds.push_back(next.clone());
        }
        next
    }

    async fn build(&self, _: Target<'_>) -> Option<String> {
        self.builds.lock().expect("sound").pop_front().flatten()
    }

    async fn plugins(&self, _: Target<'_>) -> Option<Arc<[String]>> {
        self.plugins.lock().expect("sound").pop_front().flatten()
    }
}

/// Answers the next of its script, the last one for ever; `None` fails.
#[derive(Default)]
struct Names(Mutex<VecDeque<Option<SocketAddr>>>);

impl Resolve for Names {
    async fn resolve(&self, _: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut names = self.0.lock().expect("sound");
        let next = names.pop_front().expect("a script has an answer");
        if names.is_empty() {
            names.push_back(next);
        }
        let failure = || ResolveError::Failed { source: io::Error::other("no such name") };
        next.map(|address| vec![address]).ok_or_else(failure)
    }
}

fn ok() -> ProbeAnswer {
    ProbeAnswer::Answered(Answer { status: 200, location: None, body: b"ok".to_vec() })
}

fn ready() -> Round {
    Round { health: ok(), info: Some(ok()) }
}

fn ready_with(version: &str) -> Round {
    let body = format!(r#"{{"data":{{"version":"{version}"}}}}"#).into_bytes();
    let info = ProbeAnswer::Answered(Answer { status: 200, location: None, body });
    Round { health: ok(), info: Some(info) }
}

fn refused() -> Round {
    Round { health: ProbeAnswer::Refused, info: None }
}

fn timed_out() -> Round {
    Round { health: ProbeAnswer::TimedOut, info: None }
}

fn starting() -> Round {
    let body = br#"{"error":{"maintaining":true,"command":{"name":"start"}}}"#.to_vec();
    let health = ProbeAnswer::Answered(Answer { status: 503, location: None, body });
    Round { health, info: None }
}

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], n))
}

struct Bench {
    health: Health,
    nodes: Nodes,
    script: Arc<Script>,
    names: Arc<Names>,
    changes: broadcast::Receiver<Change>,
}

/// One node and a script. The first rounds run when the test first waits.
fn bench(authority: &str, rounds: &[Round], names: &[Option<SocketAddr>]) -> Bench {
    let id = "n1".parse().expect("a legal id");
    let node = Node::new(id, NodeRole::Request, Weight::ONE, authority.to_owned());
    let nodes: Nodes = Arc::from([Arc::new(node)]);
    let script = Arc::new(Script::default());
    script.rounds.lock().expect("sound").extend(rounds.iter().cloned());
    let resolver = Arc::new(Names(Mutex::new(names.iter().copied().collect())));
    let stop = CancellationToken::new();
    let settings = Settings::default();
    let health = Health::start_with(&nodes, settings, script.clone(), resolver.clone(), stop);
    let changes = health.changes();
    Bench { health, nodes, script, names: resolver, changes }
}

impl Bench {
    async fn change(&mut self) -> (NodeState, String) {
        let change = self.changes.recv().await.expect("health runs");
        assert_eq!(self.nodes[0].state(), change.to);
        (change.to, change.reason)
    }

    fn report(&self) -> crate::health::NodeReport {
        self.health.board().report(NodeIndex(0)).expect("there is one node")
    }

    fn gaps(&self) -> Vec<Duration> {
        let asked = self.script.asked.lock().expect("sound");
        asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    async fn rounds(&self, count: usize) {
        while self.script.asked.lock().expect("sound").len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const LITERAL: &str = "192.0.2.1:80";

#[tokio::test(start_paused = true)]
async fn probes_come_every_200_ms_until_the_first_verdict_and_every_interval_after_it() {
    let mut bench = bench(LITERAL, &[refused()], &[None]);
    assert_eq!(bench.change().await, (NodeState::Down, "connection refused".to_owned()));
    bench.rounds(10).await;
    let gaps = bench.gaps();
    // The paused clock counts in whole milliseconds.
    assert!(gaps[..2].iter().all(|gap| gap.as_millis().abs_diff(200) <= 1), "{gaps:?}");
    assert!(gaps[2..].iter().all(|gap| (1_799..=2_202).contains(&gap.as_millis())), "{gaps:?}");
    assert!(gaps[2..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_round_is_over_when_every_node_has_a_verdict() {
    let mut bench = bench(LITERAL, &[timed_out(), ready(), ready()], &[None]);
    assert!(!*bench.health.first_round().borrow());
    bench.health.first_round_over().await;
    assert_eq!(bench.nodes[0].state(), NodeState::Ready);
    assert_eq!(bench.change().await.0, NodeState::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_kick_brings_the_next_probe_forward_but_a_storm_of_kicks_stays_paced() {
    let mut bench = bench(LITERAL, &[ready(), ready(), refused()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    let kicks = bench.health.kicks();
    let storm = async {
        loop {
            kicks.kick(NodeIndex(0));
            kicks.kick(NodeIndex(99));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = storm => {}
        change = bench.change() => assert_eq!(change.0, NodeState::Down),
    }
    let gaps = bench.gaps();
    assert_eq!(gaps.len(), 4, "two ready readings and three refused ones");
    assert!(gaps.iter().all(|gap| (199..300).contains(&gap.as_millis())), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_never_looked_up() {
    // The resolver fails every look-up.
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    assert_eq!(*bench.nodes[0].addresses(), ["192.0.2.1:80".parse().expect("an address")]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_does_not_resolve_is_a_node_that_is_down_and_is_looked_up_again() {
    let failures = [None, None, None, None, Some(address(1))];
    let mut bench = bench("n1:80", &[ready()], &failures);
    let down = (NodeState::Down, "name does not resolve: no such name".to_owned());
    assert_eq!(bench.change().await, down);
    assert!(bench.nodes[0].addresses().is_empty());
    assert_eq!(bench.change().await.0, NodeState::Ready);
    assert_eq!(*bench.nodes[0].addresses(), [address(1)]);
    assert_eq!(bench.report().down_seen, None, "a name server's failure proves no restart");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_fails_now_and_then_takes_no_node_away() {
    let bench = bench("n1:80", &[ready()], &[Some(address(1))]);
    bench.health.first_round_over().await;
    for _ in 0..20 {
        let flap = [None, None, Some(address(1)), Some(address(1))];
        let missing = bench.names.0.lock().expect("sound").len() == 1;
        if missing {
            bench.names.0.lock().expect("sound").extend(flap);
        }
        tokio::time::sleep(RESOLVE_INTERVAL).await;
        assert_eq!(bench.nodes[0].state(), NodeState::Ready);
        assert_eq!(*bench.nodes[0].addresses(), [address(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_stays_away_takes_its_node_and_the_addresses_with_it() {
    let mut bench = bench("n1:80", &[ready()], &[Some(address(1)), None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    assert_eq!(*bench.nodes[0].addresses(), [address(1)]);
    assert_eq!(bench.change().await.0, NodeState::Down);
    assert!(bench.nodes[0].addresses().is_empty(), "nobody knows who has them now");
}

#[tokio::test(start_paused = true)]
async fn a_moved_name_is_probed_at_its_new_address() {
    let mut bench = bench("n1:80", &[ready()], &[Some(address(1))]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    bench.names.0.lock().expect("sound").push_back(Some(address(2)));
    let before = bench.script.asked.lock().expect("sound").len();
    bench.rounds(before + 3).await;
    let asked = bench.script.asked.lock().expect("sound");
    assert_eq!(asked.last().expect("asked").1, [address(2)]);
}

#[tokio::test(start_paused = true)]
async fn the_board_tells_a_restart_from_a_time_out() {
    let restart = [ready(), ready(), timed_out(), ready(), refused(), ready(), ready()];
    let mut bench = bench(LITERAL, &restart[..2], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    let before = bench.report().ready_since.expect("it is ready");

    bench.script.rounds.lock().expect("sound").extend(restart[2..4].iter().cloned());
    bench.rounds(6).await;
    assert_eq!(bench.report().down_seen, None);
    assert_eq!(bench.report().ready_since, Some(before));

    bench.script.rounds.lock().expect("sound").extend(restart[4..].iter().cloned());
    bench.rounds(10).await;
    let report = bench.report();
    assert_eq!(report.state, NodeState::Ready, "one refusal moves no state");
    assert!(report.restarted_since(before.saturating_sub(1)), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_it_starts_was_seen_down() {
    let mut bench = bench(LITERAL, &[starting()], &[None]);
    assert_eq!(bench.change().await, (NodeState::Busy, "maintaining (start)".to_owned()));
    assert!(bench.report().down_seen.is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_sees_a_node_ready_sees_its_build() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    bench.script.builds.lock().expect("sound").push_back(Some("index-1.js".to_owned()));
    assert_eq!(bench.change().await.0, NodeState::Ready);
    assert_eq!(bench.report().build.as_deref(), Some("index-1.js"));
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_not_found_is_looked_for_again_and_then_given_up() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    let late = [None, None, None, Some("too-late.js".to_owned())];
    bench.script.builds.lock().expect("sound").extend(late);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    bench.rounds(10).await;
    assert_eq!(bench.report().build, None);
    assert_eq!(bench.script.builds.lock().expect("sound").len(), 1);
}

fn plugins(names: &[&str]) -> Option<Arc<[String]>> {
    Some(names.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn plugins_are_looked_for_with_the_build_and_each_until_it_is_found() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    let builds = [Some("index-1.js".to_owned()), Some("never-asked.js".to_owned())];
    bench.script.builds.lock().expect("sound").extend(builds);
    let lists = [None, None, plugins(&["acl"]), plugins(&["too-late"])];
    bench.script.plugins.lock().expect("sound").extend(lists);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    assert_eq!(bench.report().plugins, None);
    bench.rounds(10).await;
    let report = bench.report();
    assert_eq!((report.plugins, report.build.as_deref()), (plugins(&["acl"]), Some("index-1.js")));
    assert_eq!(bench.script.builds.lock().expect("sound").len(), 1);
    assert_eq!(bench.script.plugins.lock().expect("sound").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn build_and_plugins_are_looked_up_again_when_that_is_asked_for_and_only_then() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    let script = bench.script.clone();
    let next = |build: &str, names: &[&str]| {
        script.builds.lock().expect("sound").push_back(Some(build.to_owned()));
        script.plugins.lock().expect("sound").push_back(plugins(names));
    };
    next("index-1.js", &["acl"]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    next("index-2.js", &["acl", "embed"]);
    bench.rounds(8).await;
    let before = bench.report();
    assert_eq!(before.build.as_deref(), Some("index-1.js"), "nobody asked");

    bench.health.look_again(NodeIndex(0));
    bench.health.look_again(NodeIndex(99));
    bench.rounds(10).await;
    let after = bench.report();
    assert_eq!(after.build.as_deref(), Some("index-2.js"));
    assert_eq!(after.plugins, plugins(&["acl", "embed"]));
    assert!(before.looked_up <= after.looked_up && before.looked_up.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_finds_nothing_leaves_nothing_old_behind() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    bench.script.builds.lock().expect("sound").push_back(Some("index-1.js".to_owned()));
    bench.script.plugins.lock().expect("sound").push_back(plugins(&["acl"]));
    assert_eq!(bench.change().await.0, NodeState::Ready);
    bench.health.look_again(NodeIndex(0));
    bench.rounds(8).await;
    assert_eq!((bench.report().build, bench.report().plugins), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_asked_for_waits_until_the_node_is_ready() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    bench.rounds(6).await;
    assert_eq!(bench.report().build, None);
    bench.script.builds.lock().expect("sound").push_back(Some("index-1.js".to_owned()));
    // The next reading is another `ready` of the script, so the time-out comes after it.
    bench.script.rounds.lock().expect("sound").extend([timed_out(), ready()]);
    bench.rounds(7).await;
    bench.health.look_again(NodeIndex(0));
    bench.rounds(8).await;
    let report = bench.report();
    assert_eq!((report.ready_in_a_row, report.build), (0, None), "it was asked in vain");
    bench.rounds(10).await;
    assert_eq!(bench.report().build.as_deref(), Some("index-1.js"));
}

#[tokio::test(start_paused = true)]
async fn refusals_without_a_break_are_reported_since_the_first() {
    let mut bench = bench(LITERAL, &[refused()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Down);
    let since = bench.report().unreached_since.expect("every probe was refused");
    bench.rounds(9).await;
    let report = bench.report();
    assert_eq!(report.unreached_since, Some(since));
    assert_eq!((report.answered, report.ready_in_a_row), (None, 0));

    let script = &bench.script.rounds;
    script.lock().expect("sound").extend([timed_out(), timed_out()]);
    bench.rounds(12).await;
    assert_eq!(bench.report().unreached_since, None, "a time-out proves nothing");
    assert_eq!(bench.report().state, NodeState::Down);

    script.lock().expect("sound").extend([refused(), refused()]);
    bench.rounds(15).await;
    let again = bench.report().unreached_since.expect("refused again");
    assert!(since <= again, "a streak of its own");
}

#[tokio::test(start_paused = true)]
async fn ready_readings_are_counted_and_the_last_version_row_is_kept() {
    let unnamed = ready();
    let named = || ready_with("2.2.15");
    let mut bench = bench(LITERAL, &[named(), named(), named(), timed_out()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    let report = bench.report();
    assert_eq!((report.ready_in_a_row, report.version.as_deref()), (2, Some("2.2.15")));
    assert_eq!(report.answered, report.taken);
    bench.rounds(5).await;
    let report = bench.report();
    assert_eq!(report.ready_in_a_row, 0, "a time-out breaks it");
    assert_eq!(report.version.as_deref(), Some("2.2.15"));
    bench.script.rounds.lock().expect("sound").extend([ready_with("2.3.0"), ready_with("2.3.0")]);
    bench.rounds(9).await;
    assert_eq!(bench.report().version.as_deref(), Some("2.3.0"));
    bench.script.rounds.lock().expect("sound").push_back(unnamed);
    bench.rounds(12).await;
    assert_eq!(bench.report().version, None, "it named none");
    assert!(4 < bench.report().ready_in_a_row);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_watched_closely_is_probed_at_once_and_every_500_ms() {
    let mut bench = bench(LITERAL, &[ready()], &[None]);
    assert_eq!(bench.change().await.0, NodeState::Ready);
    let attention = bench.health.attention();
    bench.rounds(4).await;
    attention.hurry(Pace::Closely);
    attention.hurry(Pace::Closely);
    bench.rounds(9).await;
    attention.hurry(Pace::Usual);
    let gaps: Vec<_> = bench.gaps().iter().map(Duration::as_millis).collect();
    assert!((1_799..=2_202).contains(&gaps[2]), "before: {gaps:?}");
    assert!(gaps[3] <= 300, "brought forward: {gaps:?}");
    assert!(gaps[4..].iter().all(|gap| (449..=552).contains(gap)), "{gaps:?}");
    bench.rounds(12).await;
    let gaps: Vec<_> = bench.gaps().iter().map(Duration::as_millis).collect();
    assert!((1_799..=2_202).contains(gaps.last().expect("many")), "and back: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_an_address_is_unknown_and_delays_nobody() {
    let bench = bench("", &[], &[]);
    bench.health.first_round_over().await;
    assert_eq!(bench.nodes[0].state(), NodeState::Unknown);
    assert_eq!(bench.report().reason, "no address");
}

#[tokio::test(start_paused = true)]
async fn after_stop_nothing_is_probed_any_more() {
    let bench = bench(LITERAL, &[ready()], &[None]);
    bench.health.first_round_over().await;
    bench.health.stop().await;
    let before = bench.script.asked.lock().expect("sound").len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.script.asked.lock().expect("sound").len(), before);
}
