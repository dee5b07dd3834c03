//! Calls and their answers.

use std::time::Duration;

use drawspan::control::client::ClientError;
use drawspan::engine::{Objection, SwitchError, WaitFor};
use drawspan::model::{Mode, NodeState, Revision};
use serde_json::{Value, json};

use crate::harness::{Fake, Gateway, Script, body, raw, run_curl};

#[tokio::test]
async fn curl_reads_the_status_and_its_revision_as_etag() {
    let gateway = Gateway::start(Fake::new()).await;
    let answer = run_curl(&gateway.path, &["-i", "http://g/v1/status"]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains("etag: \"7\""), "{answer}");
    let json = answer.split("\r\n\r\n").nth(1).expect("a body");
    let status: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(status["mode"], json!({"kind": "cluster"}));
    assert_eq!(status["revision"], 7);
    assert_eq!(status["nodes"][0]["id"], "n1");
    assert_eq!(status["nodes"][0]["state"], "ready");
    assert_eq!(status["nodes"][0]["last_answer"]["text"], "200");
    assert_eq!(status["journal"], "ok");
    assert_eq!(status["sick_workers"], json!([]));
}

#[tokio::test]
async fn curl_switches_with_its_default_content_type() {
    let gateway = Gateway::start(Fake::new()).await;
    let command = r#"{"kind":"single","node":"n2","drain_timeout":5,"wait":"fenced"}"#;
    let answer = run_curl(
        &gateway.path,
        &["-X", "PUT", "-H", "If-Match: \"7\"", "-d", command, "http://g/v1/mode"],
    )
    .await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["mode"], json!({"kind": "single", "node": "n2"}));
    assert_eq!(answer["changed"], true);
    assert_eq!(answer["acknowledged"], "fenced");
    assert_eq!(answer["removed"][0]["node"], "n1");
    let asked = gateway.engine.last_command().expect("it arrived");
    assert_eq!(asked.target.to_string(), "single n2");
    assert_eq!(asked.drain_timeout, Duration::from_secs(5));
    assert_eq!(asked.wait, WaitFor::Fenced);
    assert_eq!(asked.expected, Some(Revision(7)));
    assert_eq!(asked.by.uid, rustix::process::getuid().as_raw());
    assert!(asked.by.pid.is_some());
}

#[tokio::test]
async fn what_is_not_there_or_not_so_is_a_problem_document() {
    let gateway = Gateway::start(Fake::new()).await;
    for (arguments, status, code) in [
        (vec!["http://g/v2/status"], 404, "not_found"),
        (vec!["http://g/v1/status?x=1"], 400, "bad_request"),
        (vec!["-X", "POST", "http://g/v1/mode"], 405, "method_not_allowed"),
        (vec!["-X", "PUT", "-d", "nonsense", "http://g/v1/mode"], 400, "bad_request"),
        (vec!["http://g/v1/wait"], 400, "bad_request"),
        (vec!["http://g/v1/wait?for=mode%3Dopen&timeout=25h"], 400, "bad_request"),
        (vec!["http://g/v1/history?limit=0"], 400, "bad_request"),
        (vec!["http://g/v1/events?after=x"], 400, "bad_request"),
    ] {
        let answer = run_curl(&gateway.path, &[&["-i"], &arguments[..]].concat()).await;
        let (head, json) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{arguments:?}: {head}");
        assert!(head.contains("application/problem+json"), "{head}");
        assert_eq!(status == 405, head.contains("allow: PUT"), "{head}");
        let problem: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(problem["code"], code, "{arguments:?}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
    assert_eq!(gateway.engine.last_command().map(|c| c.target), None);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_it_says_so_or_not() {
    let gateway = Gateway::start(Fake::new()).await;
    let big = "x".repeat(70_000);
    let announced =
        format!("PUT /v1/mode HTTP/1.1\r\nhost: g\r\ncontent-length: 70000\r\n\r\n{big}");
    let answer = raw(&gateway.path, announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let chunked = format!(
        "PUT /v1/mode HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n",
        big.len()
    );
    let answer = raw(&gateway.path, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("\"code\":\"body_too_large\""), "{answer}");
}

#[tokio::test]
async fn curl_hears_that_its_body_is_too_large_while_it_still_sends() {
    let gateway = Gateway::start(Fake::new()).await;
    let big = tempfile::NamedTempFile::new().expect("a file");
    big.as_file().set_len(8 << 20).expect("grown");
    let data = format!("@{}", big.path().display());
    // Without "Expect: 100-continue" it does not ask first.
    let arguments = ["-X", "PUT", "-H", "Expect:", "--data-binary", &data, "http://g/v1/mode"];
    let answer = run_curl(&gateway.path, &arguments).await;
    assert!(answer.contains("\"code\":\"body_too_large\""), "{answer}");
}

#[tokio::test]
async fn a_refusal_lists_every_objection() {
    let node = || "n2".parse().expect("a legal id");
    let refused = SwitchError::Refused(vec![
        Objection::NotReady { node: node(), state: NodeState::Down, reason: "refused".into() },
        Objection::TakesNoTraffic { node: node() },
    ]);
    let gateway = Gateway::start(Fake::scripted(Script::Fail(refused))).await;
    let error = gateway.client().switch(&body("cluster"), &Default::default()).await;
    let Err(ClientError::Problem(problem)) = error else { panic!("{error:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (409, "refused"));
    let forced: Vec<bool> = problem.objections.iter().map(|o| o.may_be_forced).collect();
    assert_eq!(forced, [true, false]);
    assert!(problem.objections.iter().all(|o| !o.remedy.is_empty() && !o.detail.is_empty()));
    assert_eq!(problem.revision, Some(7));
}

#[tokio::test]
async fn a_lost_race_is_412_and_shows_what_won() {
    let lost = SwitchError::LostRace {
        expected: Revision(6),
        current: Revision(7),
        mode: Mode::Maintenance,
    };
    let gateway = Gateway::start(Fake::scripted(Script::Fail(lost))).await;
    let error = gateway.client().switch(&body("cluster"), &Default::default()).await;
    let Err(ClientError::Problem(problem)) = error else { panic!("{error:?}") };
    assert_eq!((problem.status, problem.revision), (412, Some(7)));
    assert_eq!(problem.mode.expect("the mode").kind, "maintenance");
}

#[tokio::test]
async fn history_and_nodes_are_shown() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.client().switch(&body("maintenance"), &Default::default()).await.expect("switched");
    let history = gateway.client().history(10).await.expect("answered").doc;
    assert_eq!(history.history[0].to.kind, "maintenance");
    assert_eq!(history.revision, 8);
    let nodes = gateway.client().nodes().await.expect("answered").doc;
    assert_eq!(nodes.nodes.len(), 2);
    assert!(nodes.nodes.iter().all(|node| !node.routed));
}
