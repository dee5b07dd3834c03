//! Procedures on the socket: what is asked, what is answered, and what is no answer to anything.

use drawspan::control::Bounds;
use drawspan::control::client::{Answer, ClientError, Conditions};
use drawspan::control::problem::Problem;
use drawspan::control::wire::{BeginBody, ChoiceBody, SaidDoc};
use drawspan::engine::ProcedureError;
use drawspan::model::Revision;
use drawspan::procedure::{Choice, Kind, ObjectionKind, Offer, Phase};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::harness::{
    Audit, Fake, Gateway, Script, code, curl_as, run_curl, until, until_answered,
};
use crate::played::{objection, view};

fn begin(kind: &str) -> BeginBody {
    BeginBody { kind: kind.to_owned(), ..BeginBody::default() }
}

fn at(phase: &str) -> ChoiceBody {
    ChoiceBody { phase: Some(phase.to_owned()), ..ChoiceBody::default() }
}

fn seen(revision: u64) -> Conditions {
    Conditions { revision: Some(revision), ..Conditions::default() }
}

fn key(key: &str, revision: Option<u64>) -> Conditions {
    Conditions { revision, idempotency_key: Some(key.to_owned()) }
}

fn problem(answer: Result<Answer<SaidDoc>, ClientError>) -> Problem {
    match answer {
        Err(ClientError::Problem(problem)) => *problem,
        other => panic!("no problem: {other:?}"),
    }
}

/// Sends a body to a path with curl; the head and the document of the answer.
async fn post(gateway: &Gateway, path: &str, arguments: &[&str], body: &str) -> (String, Value) {
    let url = format!("http://g{path}");
    let fixed = ["-i", "-X", "POST", "-d", body, &url];
    let answer = run_curl(&gateway.path, &[&fixed[..], arguments].concat()).await;
    let (head, json) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), serde_json::from_str(json).expect("JSON"))
}

async fn get(gateway: &Gateway, path: &str) -> (String, Value) {
    let answer = run_curl(&gateway.path, &["-i", &format!("http://g{path}")]).await;
    let (head, json) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), serde_json::from_str(json).expect("JSON"))
}

#[tokio::test]
async fn a_procedure_that_was_begun_is_shown_and_found_where_the_answer_says() {
    let gateway = Gateway::start(Fake::new()).await;
    let body = r#"{"kind":"upgrade","to":"1.9.0-beta.3","first":"n2","auto":true,"why":"news"}"#;
    let (head, said) = post(&gateway, "/v1/procedures", &["-H", "If-Match: \"7\""], body).await;
    assert!(head.starts_with("http/1.1 201"), "{head}");
    assert!(head.contains("location: /v1/procedures/8"), "{head}");
    assert!(head.contains("etag: \"8\""), "{head}");
    assert_eq!(
        (&said["id"], &said["revision"], &said["replayed"]),
        (&json!(8), &json!(8), &json!(false))
    );
    assert_eq!(said["procedure"]["phase"], "raise");
    let asked = gateway.engine.with_procedure(|played| played.begun[0].clone());
    assert_eq!(asked.plan.kind, Kind::Upgrade);
    assert_eq!(asked.plan.to.as_deref(), Some("1.9.0-beta.3"));
    assert_eq!(asked.plan.node.expect("a node").as_str(), "n2");
    assert_eq!(asked.expected, Some(Revision(7)));
    assert!(asked.auto && asked.why.expect("a reason").as_str() == "news");
    for path in ["/v1/procedures/8", "/v1/history/8"] {
        let (head, doc) = get(&gateway, path).await;
        assert!(head.contains("etag: \"8\""), "{head}");
        assert_eq!((&doc["kind"], &doc["why"]), (&json!("upgrade"), &json!("news")));
        assert_eq!(doc["events"][0]["what"], "advanced");
        assert_eq!(doc["procedure"]["revision"], 8);
    }
    let (_, list) = get(&gateway, "/v1/procedures").await;
    assert_eq!(list["procedures"][0]["id"], 8);
    let (_, history) = get(&gateway, "/v1/history").await;
    assert_eq!(history["procedures"][0]["kind"], "upgrade");
    assert!(history["procedures"][0].get("outcome").is_none(), "{history}");
    let (head, _) = get(&gateway, "/v1/procedures/99").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[tokio::test]
async fn the_status_shows_all_that_there_is_to_see_and_nothing_where_there_never_was_one() {
    let gateway = Gateway::start(Fake::new()).await;
    let (_, status) = get(&gateway, "/v1/status").await;
    assert!(status.get("procedure").is_none(), "{status}");
    assert_eq!(status["excluded"], json!([]));
    let refused = vec![objection(ObjectionKind::NoWayBack, None)];
    let choices = vec![
        Offer {
            choice: Choice::Waive("not_down:n2".into()),
            does: "goes over not_down:n2; your reason is kept".into(),
            objections: vec![],
        },
        Offer { choice: Choice::Abort, does: "lowers".into(), objections: refused },
    ];
    let objections = vec![objection(ObjectionKind::NotDown, Some("n2"))];
    gateway.engine.show(drawspan::procedure::View {
        phase: Phase::Stop,
        limit: Some(std::time::Duration::from_secs(600)),
        overdue: true,
        waiting_for: vec![],
        objections,
        choices,
        ..view(Kind::Upgrade)
    });
    let (_, status) = get(&gateway, "/v1/status").await;
    let shown = &status["procedure"];
    for (field, value) in [
        ("id", json!(5)),
        ("kind", json!("upgrade")),
        ("road", json!("forward")),
        ("phase", json!("stop")),
        ("limit_ms", json!(600_000)),
        ("overdue", json!(true)),
        ("closed_too_long", json!(false)),
        ("revision", json!(7)),
        ("first", json!("n1")),
        ("asks", json!(true)),
    ] {
        assert_eq!(shown[field], value, "{field} of {shown}");
    }
    assert_eq!(shown["phases"][0], json!({"phase": "raise", "state": "done"}));
    assert_eq!(shown["phases"][1], json!({"phase": "stop", "state": "now"}));
    assert_eq!(shown["phases"][2], json!({"phase": "back-up", "state": "to_come"}));
    let objection = &shown["objections"][0];
    assert_eq!((&objection["id"], &objection["node"]), (&json!("not_down:n2"), &json!("n2")));
    assert_eq!(objection["may_be_waived"], true);
    assert!(objection["meaning"].is_string() && objection["remedy"] == "stop it", "{objection}");
    let (waive, abort) = (&shown["choices"][0], &shown["choices"][1]);
    assert_eq!((&waive["target"], &waive["needs_why"]), (&json!("not_down:n2"), &json!(true)));
    assert_eq!((&waive["allowed"], &abort["allowed"]), (&json!(true), &json!(false)));
    assert_eq!(abort["objections"][0]["code"], "no_way_back");
    assert!(shown.get("outcome").is_none() && shown["evidence"][0]["source"] == "workers");
}

#[tokio::test]
async fn a_choice_that_does_not_say_what_it_answers_is_428() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.show(view(Kind::Upgrade));
    let path = "/v1/procedures/5/continue";
    let revision = ["-H", "If-Match: \"7\""];
    for (arguments, body) in [
        (&[][..], r#"{"phase":"raise"}"#),
        (&["-H", "If-Match: *"], r#"{"phase":"raise"}"#),
        (&revision, "{}"),
    ] {
        let (head, problem) = post(&gateway, path, arguments, body).await;
        assert!(head.starts_with("http/1.1 428"), "{body}: {head}");
        assert_eq!(problem["code"], "answers_nothing");
    }
    assert!(gateway.engine.with_procedure(|played| played.said.is_empty()));
    let (head, said) = post(&gateway, path, &revision, r#"{"phase":"raise"}"#).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("etag: \"8\""), "{head}");
    assert_eq!(said["procedure"]["phase"], "stop");
    let asked = gateway.engine.with_procedure(|played| played.said[0].clone());
    assert_eq!((asked.id, asked.choice), (Some(5), Choice::Continue));
    assert_eq!(asked.answers, Some((Phase::Raise, Revision(7))));
}

#[tokio::test]
async fn a_choice_that_came_too_late_is_412_with_the_difference() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.show(view(Kind::Upgrade));
    let client = gateway.client();
    client.choose((5, "continue"), &at("raise"), &seen(7)).await.expect("in time");
    let late = problem(client.choose((5, "continue"), &at("raise"), &seen(7)).await);
    assert_eq!((late.status, late.code.as_str()), (412, "lost_race"));
    let stand = |stand: Option<drawspan::control::problem::StandDoc>| {
        stand.map(|stand| (stand.phase, stand.revision))
    };
    assert_eq!(stand(late.given), Some(("raise".into(), 7)));
    assert_eq!(stand(late.now), Some(("stop".into(), 8)));
}

#[tokio::test]
async fn a_refused_choice_is_409_with_every_objection_its_meaning_and_its_remedy() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.show(view(Kind::Upgrade));
    let client = gateway.client();
    let refused = problem(client.choose((5, "confirm"), &at("raise"), &seen(7)).await);
    assert_eq!((refused.status, refused.code.as_str()), (409, "refused"));
    let objection = &refused.objections[0];
    assert_eq!(objection.id.as_deref(), Some("not_here"));
    assert_eq!(objection.meaning.as_deref(), Some(ObjectionKind::NotHere.meaning()));
    assert_eq!(objection.remedy, "stop it");
    gateway.engine.with_procedure(|played| {
        played.fails = Some(ProcedureError::Another { asked: 4, running: 5 });
    });
    let other = problem(client.choose((4, "retry"), &at("raise"), &seen(7)).await);
    assert_eq!((other.status, other.procedure), (409, Some(5)));
    let running = ProcedureError::Running { id: 5, kind: Kind::Upgrade, phase: Phase::Stop };
    gateway.engine.with_procedure(|played| played.fails = Some(running));
    let second = problem(client.begin(&begin("upgrade"), &Conditions::default()).await);
    assert_eq!((second.status, second.code.as_str()), (409, "procedure_runs"));
    assert_eq!(second.procedure, Some(5));
}

#[tokio::test]
async fn every_choice_takes_what_it_is_about_and_nothing_else() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.show(view(Kind::Upgrade));
    let revision = ["-H", "If-Match: \"7\""];
    for (verb, extra, choice) in [
        ("retry", "", "retry"),
        ("waive", r#","objection":"not_down:n2","why":"I saw it off""#, "waive not_down:n2"),
        ("exclude", r#","node":"n2","why":"its disk is broken""#, "exclude n2"),
        ("include", r#","node":"n2""#, "include n2"),
        ("change-first", r#","node":"n2""#, "change-first n2"),
        ("change-keep", r#","node":"n2""#, "change-keep n2"),
        ("stop-again", "", "stop-again"),
        ("adopt", r#","why":"it was through""#, "adopt"),
    ] {
        let path = format!("/v1/procedures/5/{verb}");
        let body = format!(r#"{{"phase":"raise"{extra}}}"#);
        let (head, _) = post(&gateway, &path, &revision, &body).await;
        assert!(head.starts_with("http/1.1 409"), "{verb}: {head}");
        let asked = gateway.engine.with_procedure(|played| played.said.pop()).expect(verb);
        assert_eq!(asked.choice.to_string(), choice);
    }
    for (verb, body, at) in [
        ("continue", r#"{"phase":"raise","node":"n2"}"#, "node"),
        ("continue", r#"{"phase":"backup"}"#, "phase"),
        ("continue", r#"{"phase":"raise","phase":"stop"}"#, "phase"),
        ("continue", r#"{"phase":"raise","why":"a\nb"}"#, "why"),
        ("waive", r#"{"phase":"raise","why":"x"}"#, "objection"),
        ("waive", r#"{"phase":"raise","objection":"no backup","why":"x"}"#, "objection"),
        ("waive", r#"{"phase":"raise","objection":"no_backup"}"#, "why"),
        ("exclude", r#"{"phase":"raise","node":"n2"}"#, "why"),
        ("exclude", r#"{"phase":"raise","node":"N2","why":"x"}"#, "node"),
        ("include", r#"{"phase":"raise"}"#, "node"),
        ("retry", "[]", ""),
    ] {
        let path = format!("/v1/procedures/5/{verb}");
        let (head, problem) = post(&gateway, &path, &revision, body).await;
        assert!(head.starts_with("http/1.1 400"), "{verb} {body}: {head}");
        assert_eq!(problem["faults"][0]["at"], at, "{verb} {body}: {problem}");
    }
    assert!(gateway.engine.with_procedure(|played| played.said.is_empty()));
}

#[tokio::test]
async fn what_cannot_be_begun_is_told_with_every_fault_before_anything_is_asked() {
    let gateway = Gateway::start(Fake::new()).await;
    for (body, at) in [
        ("{}", "kind"),
        (r#"{"kind":"downgrade"}"#, "kind"),
        (r#"{"kind":"maintenance"}"#, "keep"),
        (r#"{"kind":"maintenance","keep":"n1","first":"n2"}"#, "first"),
        (r#"{"kind":"upgrade","keep":"n1"}"#, "keep"),
        (r#"{"kind":"first-start","to":"1.9"}"#, "to"),
        (r#"{"kind":"upgrade","to":"--rm"}"#, "to"),
        (r#"{"kind":"upgrade","to":"1.9; reboot"}"#, "to"),
        (r#"{"kind":"upgrade","auto":"yes"}"#, "auto"),
        (r#"{"kind":"upgrade","force":true}"#, "force"),
        (r#"{"kind":"upgrade","kind":"upgrade"}"#, "kind"),
    ] {
        let (head, problem) = post(&gateway, "/v1/procedures", &[], body).await;
        assert!(head.starts_with("http/1.1 400"), "{body}: {head}");
        let faults: Vec<&Value> = problem["faults"].as_array().expect("faults").iter().collect();
        assert!(faults.iter().any(|fault| fault["at"] == at), "{body}: {problem}");
    }
    assert_eq!(gateway.engine.begun(), 0);
}

#[tokio::test]
async fn a_plan_changes_nothing_and_says_what_would_happen() {
    let gateway = Gateway::start(Fake::new()).await;
    let (_, plan) = get(&gateway, "/v1/plan?procedure=upgrade&to=1.9.0&node=n1").await;
    assert_eq!((&plan["kind"], &plan["first"]), (&json!("upgrade"), &json!("n1")));
    assert_eq!(plan["phases"][1]["limit"], "10m");
    assert_eq!(plan["before"], json!({"version": "1.8.0", "plugins": 2}));
    assert_eq!(plan["objections"][0]["id"], "not_ready:n2");
    assert!(plan["warnings"][0].is_string());
    let asked = gateway.engine.with_procedure(|played| played.planned[0].clone());
    assert_eq!((asked.kind, asked.to.as_deref()), (Kind::Upgrade, Some("1.9.0")));
    for wrong in ["", "?procedure=x", "?procedure=maintenance", "?procedure=upgrade&node=N1"] {
        let (head, _) = get(&gateway, &format!("/v1/plan{wrong}")).await;
        assert!(head.starts_with("http/1.1 400"), "{wrong}: {head}");
    }
    let (head, _) = post(&gateway, "/v1/plan", &[], "{}").await;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_another_command_under_it_is_422() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let first = client.begin(&begin("upgrade"), &key("a", None)).await.expect("begun").doc;
    let again = client.begin(&begin("upgrade"), &key("a", None)).await.expect("as before").doc;
    assert_eq!((first.id, first.replayed), (again.id, false));
    assert!(again.replayed);
    let other = problem(client.begin(&begin("first-start"), &key("a", None)).await);
    assert_eq!((other.status, other.code.as_str()), (422, "idempotency_key_reused"));
    // What it is said to counts too: the same body to another verb is another command.
    let id = first.id.expect("an id");
    let on = |verb| {
        let client = client.clone();
        async move { client.choose((id, verb), &at("raise"), &key("b", Some(id))).await }
    };
    assert!(!on("continue").await.expect("said").doc.replayed);
    assert!(on("continue").await.expect("said before").doc.replayed);
    assert_eq!(problem(on("abort").await).status, 422);
    assert_eq!(
        gateway.engine.with_procedure(|played| (played.begun.len(), played.said.len())),
        (1, 1)
    );
}

#[tokio::test]
async fn a_node_is_taken_back_outside_a_procedure_without_a_phase() {
    let gateway = Gateway::start(Fake::new()).await;
    let (head, said) = post(&gateway, "/v1/nodes/n2/include", &[], r#"{"why":"mended"}"#).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(said, json!({"revision": 8, "replayed": false}));
    let asked = gateway.engine.with_procedure(|played| played.said[0].clone());
    assert_eq!((asked.id, asked.choice.to_string()), (None, "include n2".to_owned()));
    assert!(asked.answers.is_none() && asked.why.is_some());
    let bare = run_curl(&gateway.path, &["-X", "POST", "http://g/v1/nodes/n2/include"]).await;
    assert!(bare.contains("\"revision\":9"), "it needs no body: {bare}");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_no_begin() {
    let one = Bounds { connections_max: 1, connections_reserved: 0, ..Bounds::default() };
    let gateway = Gateway::with(Fake::scripted(Script::Hold), one).await;
    let mut stream = UnixStream::connect(&gateway.path).await.expect("connects");
    let body = r#"{"kind":"upgrade"}"#;
    let length = body.len();
    let head =
        format!("POST /v1/procedures HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
    until(|| gateway.engine.begun() == 1).await;
    drop(stream);
    // The one seat is free again: the gateway has noticed that its client left.
    until_answered(&gateway).await;
    assert_eq!(gateway.engine.ended(), 0);
    gateway.engine.release();
    until(|| gateway.engine.ended() == 1).await;
    let status = gateway.client().status().await.expect("answered").doc;
    assert_eq!(status.procedure.expect("it was begun").phase, "raise");
}

#[tokio::test]
async fn every_attempt_to_begin_or_to_say_something_is_in_the_audit() {
    let log = Audit::install();
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let body = BeginBody {
        to: Some("1.9.0".into()),
        why: Some("news".into()),
        auto: Some(true),
        ..begin("upgrade")
    };
    client.begin(&body, &Conditions::default()).await.expect("begun");
    client.choose((8, "continue"), &at("raise"), &seen(8)).await.expect("said");
    client.choose((8, "continue"), &at("raise"), &seen(8)).await.expect_err("too late");
    client.choose((8, "confirm"), &ChoiceBody::default(), &seen(9)).await.expect_err("nothing");
    until(|| log.text().lines().filter(|line| line.contains("audit")).count() == 4).await;
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("what=begin upgrade to 1.9.0 on its own from_revision=7"), "{text}");
    assert!(lines[0].contains("why=\"news\" outcome=\"done\""), "{text}");
    let said = "what=continue to procedure 8 in phase raise at revision 8 from_revision=8";
    assert!(lines[1].contains(said) && lines[1].contains("outcome=\"done\""), "{text}");
    assert!(lines[2].contains("outcome=\"lost_race\""), "{text}");
    let refused = "what=POST /v1/procedures/8/confirm outcome=\"answers_nothing\"";
    assert!(lines[3].contains(refused), "{text}");
}

#[tokio::test]
async fn a_viewer_may_plan_and_look_and_not_say_anything() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let log = Audit::install();
    let gateway = Gateway::in_group(Fake::new(), 4242).await;
    gateway.engine.show(view(Kind::Upgrade));
    let member = ["--reuid", "65534", "--regid", "65534", "--groups", "4242"];
    for path in ["/v1/plan?procedure=upgrade", "/v1/procedures", "/v1/status"] {
        let look = curl_as(&member, &gateway.path, &[&format!("http://g{path}")]).await;
        assert!(!look.contains("not_allowed"), "{path}: {look}");
    }
    for path in ["/v1/procedures", "/v1/procedures/5/abort", "/v1/nodes/n1/include"] {
        let url = format!("http://g{path}");
        let touch = curl_as(&member, &gateway.path, &["-X", "POST", "-d", "{}", &url]).await;
        assert!(touch.contains("\"code\":\"not_allowed\""), "{path}: {touch}");
    }
    let (begun, said) = gateway.engine.with_procedure(|p| (p.begun.len(), p.said.len()));
    assert_eq!((begun, said), (0, 0));
    until(|| log.text().matches("outcome=\"not_allowed\"").count() == 3).await;
}

#[tokio::test]
async fn wait_follows_a_procedure_to_its_phases_and_to_its_end() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let soon = std::time::Duration::from_millis(10);
    let never = async |condition| {
        code(client.wait(condition, soon).await.expect_err("never")) == "can_never_be_met"
    };
    assert!(never("procedure=done").await && never("phase=stop").await);
    gateway.engine.show(view(Kind::Upgrade));
    client.wait("phase=raise", soon).await.expect("met");
    let error = client.wait("procedure=done", soon).await.expect_err("it runs");
    assert_eq!(code(error), "timed_out");
    client.choose((5, "abort"), &at("raise"), &seen(7)).await.expect("given up");
    assert!(never("phase=stop").await, "its road leads elsewhere now");
}
