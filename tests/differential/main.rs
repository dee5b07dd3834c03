//! The same bytes through our HTTP/1 engine and through others': every difference is listed, with
//! the reason why ours is right. One that is not listed fails, and so does an entry that no stream
//! of the tables meets any more.

#[path = "../common/mod.rs"]
mod common;

#[path = "../fuzz/codec.rs"]
mod codec;
#[path = "../fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/mutator.rs"]
mod mutator;
#[path = "../fuzz/scene.rs"]
mod scene;
#[path = "../fuzz/stage.rs"]
mod stage;
#[path = "../fuzz/strict.rs"]
mod strict;

mod differences;
mod nginx;
mod outcome;
mod proxies;
mod streams;
mod theirs;

use std::collections::BTreeSet;

use differences::{Case, Difference, explained};
use http::Method;
use outcome::{Outcome, our_requests, our_response};
use proptest::prelude::*;

/// Streams made out of the kept ones, from a fixed seed.
fn new_streams() -> usize {
    let asked = std::env::var("DRAWSPAN_FUZZ_INPUTS").ok();
    asked.map_or(4_000, |asked| asked.parse().expect("DRAWSPAN_FUZZ_INPUTS is a number"))
}

/// Differences between the two readings; `met` gets the entries that explain one.
fn compared(
    list: &[Difference],
    what: &str,
    case: &Case<'_>,
    met: &mut BTreeSet<&'static str>,
) -> Option<String> {
    if case.is_same() {
        return None;
    }
    if let Some(difference) = explained(list, case) {
        met.insert(difference.name);
        return None;
    }
    let told = |outcome: &Outcome| format!("{:?} then {:?}", outcome.messages, outcome.verdict);
    let bytes = corpus::escape(case.bytes);
    Some(format!("{what}: {bytes}\n  ours: {}\n  theirs: {}", told(case.ours), told(case.theirs)))
}

fn none_left(unexplained: &[String]) {
    let first: Vec<&String> = unexplained.iter().take(12).collect();
    assert!(first.is_empty(), "{} differences without an entry: {first:#?}", unexplained.len());
}

fn all_met(list: &[Difference], met: &BTreeSet<&'static str>) {
    let never = list.iter().filter(|difference| !met.contains(difference.name));
    let never: Vec<String> = never.map(|d| format!("{}: {}", d.name, d.why)).collect();
    assert!(never.is_empty(), "no stream of the table differs like this any more: {never:#?}");
}

/// What is kept of a fuzz target, and new streams out of it.
fn made(target: &str, count: usize) -> Vec<Vec<u8>> {
    let kept = corpus::read(target);
    let mut rng = fastrand::Rng::with_seed(7);
    let new = (0..count).map(|_| mutator::input(&mut rng, &kept, &[]));
    kept.iter().cloned().chain(new).collect()
}

/// The same for both readers: how many requests, what each of them is, and where it ends.
#[tokio::test]
async fn requests_read_as_hyper_reads_them_but_for_what_is_listed() {
    let (mut met, mut unexplained) = (BTreeSet::new(), Vec::new());
    for (name, bytes) in streams::requests() {
        let (ours, theirs) = (our_requests(&bytes), theirs::requests(&bytes).await);
        let case = Case { bytes: &bytes, ours: &ours, theirs: &theirs };
        unexplained.extend(compared(differences::REQUESTS, name, &case, &mut met));
    }
    none_left(&unexplained);
    all_met(differences::REQUESTS, &met);
}

#[tokio::test]
async fn responses_read_as_hyper_reads_them_but_for_what_is_listed() {
    let (mut met, mut unexplained) = (BTreeSet::new(), Vec::new());
    for (name, bytes) in streams::responses() {
        for method in [Method::GET, Method::HEAD] {
            let ours = our_response(&method, &bytes);
            let theirs = theirs::response(&method, &bytes).await;
            let case = Case { bytes: &bytes, ours: &ours, theirs: &theirs };
            let what = format!("{method}, {name}");
            unexplained.extend(compared(differences::RESPONSES, &what, &case, &mut met));
        }
    }
    none_left(&unexplained);
    all_met(differences::RESPONSES, &met);
}

#[tokio::test]
async fn streams_made_of_the_kept_inputs_differ_in_nothing_that_is_not_listed() {
    let (mut met, mut unexplained) = (BTreeSet::new(), Vec::new());
    for bytes in made("request_heads", new_streams()) {
        let (ours, theirs) = (our_requests(&bytes), theirs::requests(&bytes).await);
        let case = Case { bytes: &bytes, ours: &ours, theirs: &theirs };
        unexplained.extend(compared(differences::REQUESTS, "made", &case, &mut met));
    }
    for bytes in made("response_heads", new_streams()) {
        let ours = our_response(&Method::GET, &bytes);
        let theirs = theirs::response(&Method::GET, &bytes).await;
        let case = Case { bytes: &bytes, ours: &ours, theirs: &theirs };
        unexplained.extend(compared(differences::RESPONSES, "made", &case, &mut met));
    }
    let head = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in made("chunked_bodies", new_streams()) {
        let bytes = [&head[..], &body].concat();
        let (ours, theirs) = (our_requests(&bytes), theirs::requests(&bytes).await);
        let case = Case { bytes: &bytes, ours: &ours, theirs: &theirs };
        unexplained.extend(compared(differences::REQUESTS, "a body", &case, &mut met));
    }
    none_left(&unexplained);
}

/// A request as a client without faults writes it.
fn request() -> impl Strategy<Value = String> {
    let line =
        ("[A-Za-z][A-Za-z0-9-]{0,12}", "[ -~]{0,30}").prop_filter("a line of ours", |line| {
            let own =
                ["host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"];
            !own.contains(&line.0.to_ascii_lowercase().as_str())
        });
    let lines = prop::collection::vec(line, 0..8);
    let chunks = prop::collection::vec("[ -~]{1,40}", 0..4);
    let target = "/[a-z0-9/._~%-]{0,20}(\\?[a-z0-9=&]{0,10})?";
    ("(GET|POST|PUT|DELETE)", target, lines, chunks, any::<bool>()).prop_map(
        |(method, target, lines, pieces, chunked)| {
            let mut text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
            for (name, value) in lines {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            if chunked {
                text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for piece in pieces {
                    text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
                }
                text.push_str("0\r\n\r\n");
            } else {
                let body = pieces.concat();
                text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_without_faults_says_is_read_alike(
        requests in prop::collection::vec(request(), 1..5),
    ) {
        let bytes = requests.concat().into_bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (ours, theirs) = (our_requests(&bytes), runtime.block_on(theirs::requests(&bytes)));
        prop_assert_eq!(ours.messages.len(), requests.len());
        prop_assert_eq!(ours, theirs);
    }
}

/// Where there is no nginx this says so, and nothing else.
#[test]
fn through_the_gateway_and_through_nginx_a_node_gets_the_same_but_for_what_is_listed() {
    let mut stage = stage::Stage::new();
    let (scene, gateway) = (&mut stage.scene, stage.gateway.address);
    let Some(nginx) = nginx::Nginx::start(scene.address()) else {
        eprintln!("left out: nginx is missing (Debian: apt-get install nginx-light)");
        return;
    };
    let mut compare = |what: &str, bytes: &[u8], met: &mut BTreeSet<&'static str>| {
        let ours = proxies::through_ours(scene, gateway, bytes);
        let theirs = proxies::through(scene, nginx.address, bytes);
        let case = Case { bytes, ours: &ours, theirs: &theirs };
        compared(differences::PROXIES, what, &case, met)
    };
    let (mut met, mut unexplained) = (BTreeSet::new(), Vec::new());
    for (name, bytes) in [streams::requests(), streams::for_proxies()].concat() {
        unexplained.extend(compare(name, &bytes, &mut met));
    }
    let of_the_table = met.clone();
    // New ones only where they are asked for: what is listed was met on one version of nginx.
    let new = std::env::var("DRAWSPAN_FUZZ_INPUTS").map_or(0, |_| new_streams());
    for bytes in made("request_heads", new) {
        unexplained.extend(compare("made", &bytes, &mut met));
    }
    none_left(&unexplained);
    if nginx.version.contains("nginx/1.22.") {
        all_met(differences::PROXIES, &of_the_table);
    }
}
