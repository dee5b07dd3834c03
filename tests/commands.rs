//! Revisions, keys, events and guarded calls through the real engine, over restarts too.

mod common;

use common::{InProcess, Wish, code, command, eventually, http, node_is, nodes};
use drawspan::control::client::{Client, ClientError, Conditions};
use drawspan::control::wire::{EventDoc, SwitchBody, SwitchDoc, What};
use drawspan::standin::{Login, Options, StandIn, State};

type Answered = Result<SwitchDoc, ClientError>;

async fn under(client: &Client, mode: &str, conditions: Conditions) -> Answered {
    let body = SwitchBody { drain_timeout: Some("0s".into()), ..command(mode) };
    client.switch(&body, &conditions).await.map(|answer| answer.doc)
}

fn key(text: &str) -> Conditions {
    Conditions { idempotency_key: Some(text.into()), ..Conditions::default() }
}

async fn start(nodes: &[StandIn]) -> InProcess {
    let gateway = InProcess::start(nodes, Wish::default()).await;
    all_ready(&gateway, nodes).await;
    gateway
}

async fn all_ready(gateway: &InProcess, nodes: &[StandIn]) {
    for node in nodes {
        gateway.node_is(node.id(), "ready").await;
    }
}

async fn restart(gateway: InProcess, nodes: &[StandIn]) -> InProcess {
    let gateway = InProcess::start_in(gateway.stop(), nodes, Wish::default()).await;
    all_ready(&gateway, nodes).await;
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_for_an_old_revision_changes_nothing_and_tells_the_new_one() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let seen = gateway.status().await.revision;
    let at = |revision| Conditions { revision: Some(revision), ..Conditions::default() };
    let first = under(&gateway.client, "single n1", at(seen)).await.expect("nobody was faster");
    assert!(seen < first.revision);
    match under(&gateway.client, "maintenance", at(seen)).await {
        Err(ClientError::Problem(problem)) => {
            assert_eq!((problem.code.as_str(), problem.status), ("lost_race", 412));
            assert_eq!(problem.revision, Some(first.revision));
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(gateway.status().await.mode.to_string(), "single n1");
    // Health and a restart do not move it.
    nodes[1].set_state(State::PortClosed);
    node_is(&gateway.client, "n2", "down").await;
    nodes[1].set_state(State::Running);
    let gateway = restart(gateway, &nodes).await;
    assert_eq!(gateway.status().await.revision, first.revision);
    under(&gateway.client, "maintenance", at(first.revision)).await.expect("nobody was faster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_is_harmless_over_a_restart_and_a_reused_key_is_refused() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let first = under(&gateway.client, "maintenance", key("a")).await.expect("raised");
    let same = under(&gateway.client, "maintenance", key("b")).await.expect("raised before");
    assert_eq!((first.changed, same.changed), (true, false));
    under(&gateway.client, "cluster", key("c")).await.expect("lowered");

    let gateway = restart(gateway, &nodes).await;
    let revision = gateway.status().await.revision;
    for (name, changed) in [("a", true), ("b", false)] {
        let again = under(&gateway.client, "maintenance", key(name)).await.expect("it was done");
        assert_eq!((again.changed, again.revision), (changed, first.revision), "{name}");
        assert_eq!(again.mode.kind, "maintenance");
        // It says that it is an answer of then, and what is true now.
        assert!(again.replayed && !again.effect_is_true(), "{again:?}");
        let now = again.now.expect("what is true now");
        assert_eq!((now.mode.kind.as_str(), now.revision), ("cluster", revision));
    }
    assert_eq!(code(under(&gateway.client, "single n1", key("a")).await), "idempotency_key_reused");
    let status = gateway.status().await;
    assert_eq!((status.mode.kind.as_str(), status.revision), ("cluster", revision));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_does_not_call_an_effect_true_that_has_passed() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let raise = async |gateway: &InProcess| {
        let socket = gateway.folder().join("control.sock");
        let raising = tokio::task::spawn_blocking(move || {
            let mut command = common::binary();
            command.args(["mode", "maintenance", "--idempotency-key", "k", "--control"]);
            command.arg(socket).output().expect("it runs")
        });
        let output = raising.await.expect("no panic");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    assert_eq!(raise(&gateway).await.0, Some(0));
    let (status, told) = raise(&gateway).await;
    assert_eq!(status, Some(0), "it is still true: {told}");
    gateway.switch("cluster", "0s").await.expect("lowered");
    let (status, told) = raise(&gateway).await;
    assert_eq!(status, Some(4), "{told}");
    assert!(told.contains("already carried out at revision 2; the mode is now cluster"), "{told}");
    assert_eq!(gateway.status().await.mode.kind, "cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_given_several_times_at_once_gets_one_answer() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let address = gateway.address;
    let mut held = tokio::task::JoinSet::new();
    let hold = "GET /__test/hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    held.spawn(async move { http(address, hold).await });
    eventually("a node holds it", async || nodes.iter().any(|node| node.held() == 1)).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = gateway.client.clone();
        asking.spawn(async move {
            let body = SwitchBody { drain_timeout: Some("60s".into()), ..command("maintenance") };
            client.switch(&body, &key("once")).await.map(|answer| answer.doc)
        });
    }
    eventually("it drains", async || gateway.status().await.switch.is_some_and(|s| s.fenced)).await;
    // Whoever asks from here on still joins it: it ends only when the node lets go.
    nodes.iter().for_each(StandIn::release);
    while let Some(answer) = asking.join_next().await {
        let answer = answer.expect("no panic").expect("raised");
        assert!(answer.changed && answer.revision == 2, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_superseded_switch_says_so_then_and_after_a_restart() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    under(&gateway.client, "single n1", Conditions::default()).await.expect("narrowed");
    let address = gateway.address;
    let mut held = tokio::task::JoinSet::new();
    let hold = "GET /__test/hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    held.spawn(async move { http(address, hold).await });
    eventually("n1 holds it", async || nodes[0].held() == 1).await;
    let body = SwitchBody {
        drain_timeout: Some("60s".into()),
        wait: Some("fenced".into()),
        ..command("single n2")
    };
    let narrowing = gateway.client.switch(&body, &key("narrow")).await.expect("fenced").doc;
    under(&gateway.client, "maintenance", Conditions::default()).await.expect("raised");
    let repeat = async |gateway: &InProcess| {
        let answer = gateway.client.switch(&body, &key("narrow")).await;
        code(answer.map(|answer| answer.doc))
    };
    assert_eq!(repeat(&gateway).await, "superseded");
    nodes[0].release();
    let gateway = restart(gateway, &nodes).await;
    assert_eq!(repeat(&gateway).await, "superseded");
    let status = gateway.status().await;
    assert!(narrowing.revision < status.revision && status.mode.kind == "maintenance");
}

async fn next(events: &mut drawspan::control::client::Events) -> EventDoc {
    let line = tokio::time::timeout(common::PATIENCE, events.next()).await.expect("in time");
    let line = line.expect("it answers").expect("the stream goes on");
    serde_json::from_str(&line).expect("an event")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_after_a_revision_are_those_that_were_missed_and_then_what_follows() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let first = under(&gateway.client, "single n1", Conditions::default()).await.expect("ok");
    let second = under(&gateway.client, "maintenance", Conditions::default()).await.expect("ok");
    let mut missed = gateway.client.events(Some(first.revision)).await.expect("a stream");
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let event = next(&mut missed).await;
        assert_eq!(event.revision, Some(second.revision), "{event:?}");
        kinds.push(event.what);
    }
    assert!(matches!(kinds[0], What::SwitchBegan { .. }), "{kinds:?}");
    assert!(matches!(kinds[1], What::SwitchFenced { .. }), "{kinds:?}");
    assert!(matches!(kinds[2], What::SwitchFinished { .. }), "{kinds:?}");
    let third = under(&gateway.client, "cluster", Conditions::default()).await.expect("ok");
    loop {
        let event = next(&mut missed).await;
        if matches!(event.what, What::SwitchFinished { .. }) {
            assert_eq!(event.revision, Some(third.revision));
            break;
        }
    }
    // Whoever missed the restart as well learns at what the gateway came up.
    let gateway = restart(gateway, &nodes).await;
    let mut missed = gateway.client.events(Some(second.revision)).await.expect("a stream");
    let event = next(&mut missed).await;
    assert_eq!(event.revision, Some(third.revision));
    match event.what {
        What::Started { mode, .. } => assert_eq!(mode.kind, "cluster"),
        other => panic!("{other:?}"),
    }
}

/// The lines of `GET /v1/events?QUERY` until `enough`.
async fn events(gateway: &InProcess, query: &str, enough: usize) -> Vec<EventDoc> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let socket = gateway.folder().join("control.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("it listens");
    let request = format!("GET /v1/events?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("taken");
    let mut lines = BufReader::new(stream).lines();
    let mut events = Vec::new();
    while events.len() < enough {
        let line =
            tokio::time::timeout(common::PATIENCE, lines.next_line()).await.expect("in time");
        let line = line.expect("it answers").expect("the stream goes on");
        events.extend(serde_json::from_str::<EventDoc>(&line).ok());
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_after_the_very_event_that_was_seen_last() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    gateway.switch("single n1", "0s").await.expect("narrowed");
    let all = events(&gateway, "after=1", 3).await;
    let began = all[0].seq.expect("numbered");
    assert!(matches!(all[0].what, What::SwitchBegan { .. }), "{all:?}");
    // The rest of that revision is not skipped.
    let rest = events(&gateway, &format!("after_seq={began}"), 2).await;
    assert_eq!(rest, all[1..]);
    // Over a restart the numbers go on, and what is gone is said to be.
    let gateway = restart(gateway, &nodes).await;
    let later = events(&gateway, &format!("after_seq={began}"), 1).await;
    assert!(all[2].seq < later[0].seq, "{later:?}");
    match &later[0].what {
        What::Started { earlier_events, .. } => assert_eq!(earlier_events, "gone"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_down_is_named_where_it_is_meant_to_carry_traffic() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    gateway.switch("single n1", "0s").await.expect("narrowed");
    nodes[1].set_state(State::PortClosed);
    node_is(&gateway.client, "n2", "down").await;
    let lowered = gateway.switch("cluster", "0s").await.expect("one node is ready");
    assert_eq!(lowered.warnings.len(), 1, "{lowered:?}");
    let warning = &lowered.warnings[0];
    assert!(warning.starts_with("n2 is down and gets no new requests: "), "{warning}");
    let status = gateway.status().await;
    let traffic = status.nodes.iter().map(|node| (node.routed, node.takes_requests));
    assert_eq!(traffic.collect::<Vec<_>>(), [(true, true), (true, false)]);
    let mut show = common::binary();
    show.args(["status", "--control"]).arg(gateway.folder().join("control.sock"));
    let shown = tokio::task::spawn_blocking(move || show.output()).await.expect("no panic");
    let shown = String::from_utf8(shown.expect("it runs").stdout).expect("text");
    let n2 = shown.lines().find(|line| line.starts_with("n2")).expect("shown");
    assert!(n2.contains("when ready") && !n2.contains("yes"), "{n2}");
}

/// `pm:enable` through the gateway; what runs changes. Returns when the node is through with it.
async fn enable(gateway: &InProcess, nodes: &[StandIn]) {
    let call = "POST /api/pm:enable?filterByTk=x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                Connection: close\r\n\r\n";
    let answer = http(gateway.address, call).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    eventually("the command is over", async || {
        nodes.iter().all(|node| node.state() == State::Running)
    })
    .await;
    all_ready(gateway, nodes).await;
}

/// Health may still be telling of the command when it is over.
async fn narrow(gateway: &InProcess) {
    eventually("n1 is kept", async || gateway.switch("single n1", "0s").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_changes_what_runs_forbids_lowering_only_if_it_passed_in_single_mode() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let lower = async |gateway: &InProcess| gateway.switch("cluster", "0s").await;
    // Before it: both nodes learn of it in NocoBase's own way.
    enable(&gateway, &nodes).await;
    narrow(&gateway).await;
    lower(&gateway).await.expect("nothing passed while single");

    narrow(&gateway).await;
    enable(&gateway, &nodes).await;
    assert_eq!(code(lower(&gateway).await), "refused");
    // The engine remembers over raising and over a restart.
    gateway.switch("maintenance", "0s").await.expect("raised");
    let gateway = restart(gateway, &nodes).await;
    assert_eq!(code(lower(&gateway).await), "refused");
    // Restarted, the other one is no objection any more.
    nodes[1].set_state(State::PortClosed);
    node_is(&gateway.client, "n2", "down").await;
    nodes[1].set_state(State::Running);
    node_is(&gateway.client, "n2", "ready").await;
    lower(&gateway).await.expect("the other one was restarted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_node_refuses_does_not_hold_up_the_operator() {
    let node = |k| Options { id: format!("n{k}"), login: Login::Asked, ..Options::default() };
    let nodes = [1, 2].map(|k| StandIn::start(node(k)).expect("a stand-in starts"));
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    let call = UnderWay::begin(gateway.address).await;
    // The journal has heard of its beginning; a stop tells it the end.
    n2_must_restart(&gateway).await;
    let answer = call.end().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let gateway = restart(gateway, &nodes).await;
    gateway.switch("cluster", "0s").await.expect("nothing ran");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_which_no_byte_reached_its_node_holds_up_nobody() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    let broken = "POST /api/pm:enable?filterByTk=x HTTP/1.1\r\nHost: a\r\n\
                  Transfer-Encoding: chunked\r\n\r\nno chunk\r\n";
    let answer = http(gateway.address, broken).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    gateway.switch("cluster", "0s").await.expect("nothing ran");
    assert!(gateway.status().await.nodes.iter().all(|node| node.abandoned == 0));
}

/// A guarded call that its node has in hand: its body is not whole yet.
struct UnderWay(tokio::net::TcpStream);

impl UnderWay {
    async fn begin(address: std::net::SocketAddr) -> Self {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("accepted");
        let head = "POST /api/pm:enable?filterByTk=x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                    Connection: close\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.expect("taken");
        Self(stream)
    }

    /// Sends the rest; the answer.
    async fn end(mut self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        self.0.write_all(b"  }").await.expect("taken");
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

async fn objections(gateway: &InProcess, mode: &str) -> Vec<String> {
    match gateway.switch(mode, "0s").await {
        Err(ClientError::Problem(problem)) => {
            problem.objections.into_iter().map(|objection| objection.code).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn n2_must_restart(gateway: &InProcess) {
    eventually("n2 must be restarted", async || {
        let must = gateway.status().await.must_restart;
        must.iter().map(|must| must.node.as_str()).eq(["n2"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_changes_what_runs_counts_from_its_write_and_not_only_from_its_answer() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    let call = UnderWay::begin(gateway.address).await;
    n2_must_restart(&gateway).await;
    let refused = ["guarded_call_under_way", "not_restarted"];
    assert_eq!(objections(&gateway, "cluster").await, refused);
    // Raising is always allowed, and waits for it.
    let client = gateway.client.clone();
    let mut raising = tokio::task::JoinSet::new();
    raising.spawn(async move { common::switch(&client, "maintenance", "60s").await });
    eventually("it drains", async || gateway.status().await.switch.is_some_and(|s| s.fenced)).await;
    assert!(call.end().await.starts_with("HTTP/1.1 200"));
    raising.join_next().await.expect("one").expect("no panic").expect("raised");
    all_ready(&gateway, &nodes).await;
    assert_eq!(objections(&gateway, "cluster").await, ["not_restarted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_changes_what_runs_and_was_cut_may_have_run() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    let _cut = UnderWay::begin(gateway.address).await;
    n2_must_restart(&gateway).await;
    let raised = gateway.switch("maintenance", "0s").await.expect("raised");
    assert_eq!(raised.removed[0].cut, 1);
    assert_eq!(objections(&gateway, "cluster").await, ["not_restarted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_right_after_a_call_that_changes_what_runs_forgets_nothing() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    let call = UnderWay::begin(gateway.address).await;
    n2_must_restart(&gateway).await;
    assert!(call.end().await.starts_with("HTTP/1.1 200"));
    let gateway = restart(gateway, &nodes).await;
    assert_eq!(objections(&gateway, "cluster").await, ["not_restarted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_traffic_may_not_go_to_a_node_that_a_call_passed_by() {
    let nodes = nodes(3);
    let gateway = start(&nodes).await;
    narrow(&gateway).await;
    enable(&gateway, &nodes).await;
    assert_eq!(objections(&gateway, "single n2").await, ["not_restarted"]);
    gateway.switch("maintenance", "0s").await.expect("raised");
    gateway.switch("single n1", "0s").await.expect("the call was its own");
    nodes[1].set_state(State::PortClosed);
    node_is(&gateway.client, "n2", "down").await;
    nodes[1].set_state(State::Running);
    node_is(&gateway.client, "n2", "ready").await;
    gateway.switch("single n2", "0s").await.expect("it was restarted");
    assert_eq!(objections(&gateway, "cluster").await, ["not_restarted"], "n3 was not");
    let must: Vec<_> = gateway.status().await.must_restart;
    assert!(must.iter().map(|must| (must.node.as_str(), must.kept.as_str())).eq([("n3", "n1")]));
}

/// What the real binary prints, and how it ends.
async fn printed(arguments: Vec<String>) -> (Option<i32>, String, String) {
    let run = tokio::task::spawn_blocking(move || {
        common::binary().args(arguments).stdin(std::process::Stdio::null()).output()
    });
    let output = run.await.expect("no panic").expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_help_of_every_verb_of_a_procedure_says_when_it_may_be_said_and_gives_an_example() {
    let (_, main, _) = printed(words("--help")).await;
    for (verb, says) in [
        ("plan", "Changes nothing"),
        ("begin", "cancels nothing"),
        ("follow", "ctrl-C leaves"),
        ("continue", "Allowed where"),
        ("confirm", "Allowed in"),
        ("retry", "Allowed where"),
        ("rollback", "Allowed in"),
        ("abort", "Allowed before"),
        ("waive", "Allowed only"),
        ("exclude", "Allowed when"),
        ("include", "outside of one"),
        ("change-first", "Allowed while"),
        ("change-keep", "Allowed before"),
        ("stop-again", "Allowed where"),
        ("adopt", "Allowed where"),
        ("history", "with an ID"),
    ] {
        let (status, help, _) = printed(vec![verb.to_owned(), "--help".to_owned()]).await;
        assert_eq!(status, Some(0), "{verb}");
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(flat.contains(&says.to_lowercase()), "{verb}: {says} in {help}");
        assert!(help.contains("Examples:"), "{verb}: {help}");
        assert!(help.contains("--json"), "{verb}: {help}");
        assert!(main.lines().any(|line| line.trim_start().starts_with(verb)), "{verb} in {main}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_is_planned_begun_shown_and_given_up_by_the_real_binary() {
    let nodes = nodes(2);
    let gateway = start(&nodes).await;
    let socket = gateway.folder().join("control.sock").display().to_string();
    let run = async |line: &str| {
        let mut all = words(line);
        all.extend(["--control".to_owned(), socket.clone()]);
        printed(all).await
    };
    let (status, plan, told) = run("plan first-start").await;
    assert!(matches!(status, Some(0 | 3)), "{told}");
    assert!(plan.contains("start-first") && plan.contains("verdict"), "{plan}");
    let (status, _, told) = run("continue").await;
    assert_eq!(status, Some(3), "none runs: {told}");
    let (status, begun, told) = run("begin first-start --first n1 --why new").await;
    assert_eq!(status, Some(0), "{told}");
    assert!(begun.contains("first-start") && begun.contains("in phase raise"), "{begun}");
    let (status, _, told) = run("begin upgrade").await;
    assert_eq!(status, Some(3), "one runs: {told}");
    let (_, shown, _) = run("status").await;
    assert!(shown.starts_with("procedure  first-start "), "{shown}");
    assert!(shown.lines().any(|line| line.trim_start().starts_with("[>] ")), "{shown}");
    let (status, _, told) = run("continue --phase lower --revision 1").await;
    assert_eq!(status, Some(4), "{told}");
    assert!(told.contains("you answered: lower, revision 1"), "{told}");
    let (status, said, told) = run("abort --why later --follow").await;
    assert_eq!(status, Some(0), "{told}{said}");
    assert!(said.contains("answering phase ") && said.contains("aborted"), "{said}");
    let (status, history, _) = run("history").await;
    assert_eq!(status, Some(0));
    assert!(history.contains("(new): aborted"), "{history}");
    let (status, _, told) = run("wait procedure=done").await;
    assert_eq!(status, Some(6), "it was given up, and can never be done: {told}");
    let (_, shown, _) = run("status").await;
    assert!(shown.contains(": aborted\n"), "{shown}");
}
