//! Waits and event streams.

use std::time::Duration;

use drawspan::engine::EventKind;
use drawspan::model::NodeState;
use serde_json::Value;

use crate::harness::{Fake, Gateway, body, code, until};

#[tokio::test]
async fn a_wait_is_met_by_a_later_switch() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let wait = client.wait("mode=maintenance", Duration::from_secs(60));
    let switch = async {
        until(|| gateway.engine.listeners() == 1).await;
        gateway.client().switch(&body("maintenance"), &Default::default()).await
    };
    let (met, switched) = tokio::join!(wait, switch);
    assert_eq!(met.expect("met").doc.revision, switched.expect("switched").doc.revision);
}

#[tokio::test]
async fn a_wait_sees_counts_that_move_without_an_event() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.with_status(|status| {
        status.nodes[0].routed = false;
        status.nodes[0].in_flight = 1;
    });
    let client = gateway.client();
    let wait = client.wait("node=n1:drained", Duration::from_secs(60));
    let drain = async {
        until(|| gateway.engine.listeners() == 1).await;
        gateway.engine.with_status(|status| status.nodes[0].in_flight = 0);
    };
    let (met, ()) = tokio::join!(wait, drain);
    met.expect("met");
}

#[tokio::test]
async fn a_wait_that_cannot_be_met_or_was_not_met_says_which() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let hour = Duration::from_secs(3600);
    for condition in ["node=n9:ready", "mode=single:n9", "phase=back-up", "procedure=done"] {
        let error = client.wait(condition, hour).await.expect_err(condition);
        assert_eq!(code(error), "can_never_be_met", "{condition}");
    }
    let error = client.wait("mode=maintenance", Duration::ZERO).await.expect_err("not met");
    assert_eq!(code(error), "timed_out");
}

#[tokio::test]
async fn events_begin_with_the_kept_ones_and_go_on_live() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.happened(1, EventKind::Stopping);
    gateway.engine.happened(2, EventKind::JournalChanged { degraded: None });
    let mut events = gateway.client().events(Some(1)).await.expect("listening");
    let kept = events.next().await.expect("no failure").expect("a line");
    assert!(kept.contains("journal_changed") && kept.contains("\"revision\":2"), "{kept}");
    gateway.engine.happened(3, EventKind::GuardedCall { node: "n1".parse().expect("legal") });
    let live = events.next().await.expect("no failure").expect("a line");
    assert!(live.contains("guarded_call"), "{live}");
}

#[tokio::test]
async fn a_slow_reader_is_told_how_much_it_missed() {
    let gateway = Gateway::start(Fake::new()).await;
    let mut events = gateway.client().events(None).await.expect("listening");
    let text = "x".repeat(10_000);
    let total = 2_000;
    for number in 0..total {
        let reason = text.clone();
        let (from, to) = (NodeState::Ready, NodeState::Down);
        let node = "n1".parse().expect("legal");
        gateway.engine.happened(number, EventKind::NodeChanged { node, from, to, reason });
        tokio::task::yield_now().await;
    }
    gateway.engine.happened(total, EventKind::Stopping);
    let (mut seen, mut missed) = (0, 0);
    loop {
        let line = events.next().await.expect("no failure").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        match line["kind"].as_str() {
            Some("lagged") => missed += line["missed"].as_u64().expect("a number"),
            Some("stopping") => break,
            _ => seen += 1,
        }
    }
    assert!(missed > 0, "the queue was never full");
    assert_eq!(seen + missed, total);
}
