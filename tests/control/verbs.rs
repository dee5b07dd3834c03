//! The verbs of the command line: what they print where, and how they end.

use std::time::Duration;

use clap::Args;
use drawspan::cli::client::{Failure, Form, Screen, Terminal, conclude};
use drawspan::cli::events::{EventsArgs, follow};
use drawspan::cli::exit::Exit;
use drawspan::cli::keyboard::Keyboard;
use drawspan::cli::mode::{ModeArgs, switch};
use drawspan::cli::status::{StatusArgs, show};
use drawspan::cli::wait::{WaitArgs, wait};
use drawspan::control::client::Client;
use drawspan::control::wire::SwitchDoc;
use drawspan::engine::{EventKind, Objection, SwitchError};
use drawspan::model::{Generation, Mode, NodeState, Revision};

use crate::harness::{Fake, Gateway, Script, until};

/// What a verb printed and how it ended.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

async fn ran(
    form: Form,
    verb: impl AsyncFnOnce(&mut Terminal<'_>) -> Result<Exit, Failure>,
) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (screen, keyboard) = (Screen::Appended, Keyboard::Nobody);
    let mut terminal = Terminal { out: &mut out, err: &mut err, screen, keyboard };
    let ended = verb(&mut terminal).await;
    let exit = conclude(ended, form, &mut terminal);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { exit, out: text(out), err: text(err) }
}

fn parsed<A: Args>(arguments: &[&str]) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("verb").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

async fn mode(client: &Client, arguments: &[&str]) -> Ran {
    let arguments: ModeArgs = parsed(arguments).expect("legal arguments");
    let form = Form::json(arguments.json);
    ran(form, async |terminal| switch(&arguments, client, terminal).await).await
}

async fn waited(client: &Client, arguments: &[&str]) -> Ran {
    let arguments: WaitArgs = parsed(arguments).expect("legal arguments");
    ran(Form::Human, async |terminal| wait(&arguments, client, terminal).await).await
}

async fn status(client: &Client, arguments: &[&str]) -> Ran {
    let arguments: StatusArgs = parsed(arguments).expect("legal arguments");
    ran(Form::Human, async |terminal| show(&arguments, client, terminal).await).await
}

#[tokio::test]
async fn status_is_a_table_in_which_no_node_can_command_the_terminal() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.with_status(|status| {
        status.nodes[1].state = NodeState::Down;
        status.nodes[1].reason = "said \u{1b}[2J".into();
        status.doubt = Some("the journal was unreadable".into());
    });
    let shown = status(&gateway.client(), &[]).await;
    assert_eq!(shown.exit, Exit::True);
    assert!(shown.out.contains("mode       cluster (since 2025-11-22T"), "{}", shown.out);
    assert!(shown.out.contains("doubt      the journal was unreadable"), "{}", shown.out);
    assert!(!shown.out.contains('\u{1b}'), "{}", shown.out);
    let rows: Vec<&str> = shown.out.lines().skip_while(|line| !line.starts_with("NODE")).collect();
    assert_eq!(rows.len(), 3);
    let column = rows[0].find("ADDRESS").expect("a heading");
    assert!(rows[1][column..].starts_with("n1.internal:13000"), "{}", shown.out);
    assert!(rows[2][column..].starts_with("n2.internal:13000"), "{}", shown.out);
    assert_eq!(shown.err, "");
}

#[tokio::test]
async fn json_is_the_gateway_s_own_document() {
    let gateway = Gateway::start(Fake::new()).await;
    let shown = status(&gateway.client(), &["--json"]).await;
    let document: serde_json::Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(document["revision"], 7);
    let switched = mode(&gateway.client(), &["single", "n1", "--json"]).await;
    let document: SwitchDoc = serde_json::from_str(&switched.out).expect("JSON");
    assert!(document.changed);
}

#[tokio::test]
async fn a_switch_that_is_true_ends_with_0_and_says_what_was_left_where() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let arguments =
        ["single", "n1", "--drain-timeout", "5s", "--why", "upgrade", "--if-revision", "7"];
    let switched = mode(&client, &arguments).await;
    assert_eq!(switched.exit, Exit::True);
    assert!(switched.out.starts_with("single n1: drained after 12 ms (revision 8)\n"));
    assert!(switched.out.contains("n2: 0 requests left, 1 cut, 2 tunnels closed, 3 abandoned"));
    let asked = gateway.engine.last_command().expect("it arrived");
    assert_eq!(asked.drain_timeout, Duration::from_secs(5));
    assert_eq!(asked.expected, Some(Revision(7)));
    assert_eq!(asked.why.expect("a reason").as_str(), "upgrade");
    let again = mode(&client, &["single", "n1", "--no-wait"]).await;
    assert_eq!(again.exit, Exit::True);
    assert!(again.out.contains("nothing to change"), "{}", again.out);
}

#[tokio::test]
async fn a_refusal_ends_with_3_and_lists_every_objection_and_its_remedy() {
    let node = || "n2".parse().expect("a legal id");
    let refused = SwitchError::Refused(vec![
        Objection::NotReady { node: node(), state: NodeState::Down, reason: "refused".into() },
        Objection::TakesNoTraffic { node: node() },
    ]);
    let gateway = Gateway::start(Fake::scripted(Script::Fail(refused))).await;
    let ended = mode(&gateway.client(), &["single", "n2"]).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Refused, ""));
    assert!(ended.err.contains("node n2 is down, not ready: refused"), "{}", ended.err);
    assert!(ended.err.contains("--force --why TEXT goes over it"), "{}", ended.err);
    assert!(ended.err.contains("role worker"), "{}", ended.err);
    assert!(ended.err.contains("cannot be forced"), "{}", ended.err);
    let ended = mode(&gateway.client(), &["single", "n2", "--json"]).await;
    let problem: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(problem["objections"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn every_failure_of_a_switch_has_its_exit_code() {
    let (target, revision) = (Mode::Maintenance, Revision(9));
    let (expected, current) = (Revision(1), revision);
    for (error, exit) in [
        (
            SwitchError::UnknownNode { node: "n9".parse().expect("legal"), known: "n1".into() },
            Exit::Usage,
        ),
        (SwitchError::LostRace { expected, current, mode: target.clone() }, Exit::LostRace),
        (SwitchError::InProgress { target: target.clone(), revision }, Exit::Refused),
        (SwitchError::Superseded { target, revision }, Exit::LostRace),
        (
            SwitchError::FenceIncomplete { workers: vec![1], generation: Generation(2), revision },
            Exit::Internal,
        ),
        (SwitchError::JournalDegraded { cause: "full".into() }, Exit::Refused),
        (SwitchError::KeyReused, Exit::Usage),
        (SwitchError::Stopping, Exit::Unreachable),
    ] {
        let gateway = Gateway::start(Fake::scripted(Script::Fail(error.clone()))).await;
        let ended = mode(&gateway.client(), &["maintenance"]).await;
        assert_eq!(ended.exit, exit, "{error}");
        assert!(ended.err.contains("error: ") && ended.err.contains("remedy: "), "{}", ended.err);
    }
}

#[test]
fn arguments_that_cannot_be_meant_are_refused() {
    for wrong in [
        &["single"][..],
        &["open"],
        &["cluster", "--force"],
        &["single", "N1"],
        &["cluster", "--drain-timeout", "soon"],
        &["cluster", "--idempotency-key", "a b"],
    ] {
        assert!(parsed::<ModeArgs>(wrong).is_err(), "{wrong:?}");
    }
    assert!(parsed::<WaitArgs>(&["mode=open"]).is_err());
}

#[tokio::test]
async fn a_node_where_none_is_taken_is_a_usage_error_before_anything_is_asked() {
    let ended = mode(&Client::new("/nonexistent"), &["cluster", "n1"]).await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(ended.err.contains("takes no node"), "{}", ended.err);
}

#[tokio::test]
async fn wait_ends_with_0_5_or_6() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let met = waited(&client, &["mode=cluster"]).await;
    assert_eq!(met.exit, Exit::True);
    assert_eq!(met.out, "mode=cluster: met at revision 7\n");
    let late = waited(&client, &["mode=maintenance", "--timeout", "10ms"]).await;
    assert_eq!(late.exit, Exit::TimedOut);
    let never = waited(&client, &["node=n9:ready"]).await;
    assert_eq!(never.exit, Exit::Never);
    assert!(never.err.contains("there is no node n9; the nodes are n1, n2"), "{}", never.err);
}

#[tokio::test]
async fn no_gateway_ends_with_7_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let client = Client::new(&path);
    let ended = status(&client, &[]).await;
    assert_eq!(ended.exit, Exit::Unreachable);
    assert!(ended.err.contains(&path.display().to_string()), "{}", ended.err);
    assert!(ended.err.contains("remedy: start the gateway"), "{}", ended.err);
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let ended = status(&client, &[]).await;
    assert_eq!(ended.exit, Exit::Unreachable);
    assert!(ended.err.contains("no gateway listens"), "{}", ended.err);
}

#[tokio::test]
async fn a_gateway_that_goes_away_in_the_middle_leaves_the_outcome_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let client = Client::new(&path);
    let gone = async {
        // First it is asked whether it answers at all.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.expect("a caller");
            stream.readable().await.expect("a call");
        }
    };
    let (ended, ()) = tokio::join!(mode(&client, &["maintenance"]), gone);
    assert_eq!(ended.exit, Exit::Unreachable);
    assert!(ended.err.contains("may have been carried out"), "{}", ended.err);
}

#[tokio::test]
async fn a_gateway_that_hangs_is_told_with_7_and_gets_no_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    // It listens, and nobody ever accepts.
    let _hanging = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let client = Client::new(&path).answering_within(Duration::from_millis(50));
    let ended = [
        status(&client, &[]).await,
        mode(&client, &["maintenance"]).await,
        waited(&client, &["mode=maintenance"]).await,
    ];
    for Ran { exit, out, err } in ended {
        assert_eq!((exit, out.as_str()), (Exit::Unreachable, ""), "{err}");
        let pid = format!("(pid {})", std::process::id());
        assert!(err.contains(&pid) && err.contains("did not answer within 50ms"), "{err}");
        assert!(!err.contains("may still be carried out"), "{err}");
    }
}

#[tokio::test]
async fn a_gateway_that_hangs_while_it_switches_leaves_the_outcome_open() {
    let gateway = Gateway::start(Fake::scripted(Script::Hold)).await;
    let client = gateway.client().answering_within(Duration::from_millis(50));
    let arguments = ["maintenance"];
    let switching = mode(&client, &arguments);
    let hang = async {
        until(|| gateway.engine.begun() == 1).await;
        // Others are answered meanwhile: for as long as that is so, it waits.
        let looks = gateway.engine.looks();
        until(|| looks + 3 <= gateway.engine.looks()).await;
        gateway.engine.hang();
    };
    let (ended, ()) = tokio::join!(switching, hang);
    assert_eq!(ended.exit, Exit::Unreachable, "{}", ended.err);
    assert!(ended.err.contains("may still be carried out"), "{}", ended.err);
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_does_not_hide_that_the_mode_did_change() {
    let gateway = Gateway::start(Fake::new()).await;
    let arguments: ModeArgs = parsed(&["maintenance"]).expect("legal arguments");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("there is one");
    let (mut out, mut err) = (full, Vec::new());
    let (screen, keyboard) = (Screen::Appended, Keyboard::Nobody);
    let mut terminal = Terminal { out: &mut out, err: &mut err, screen, keyboard };
    let ended = switch(&arguments, &gateway.client(), &mut terminal).await;
    assert_eq!(conclude(ended, Form::Human, &mut terminal), Exit::Internal);
    let err = String::from_utf8(err).expect("text");
    assert!(err.contains("carried out: maintenance, revision 8"), "{err}");
}

#[tokio::test]
async fn what_is_no_socket_is_no_gateway_that_ended() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let ended = status(&Client::new(file.path()), &[]).await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(ended.err.contains("is no socket"), "{}", ended.err);
}

#[test]
fn a_duration_needs_its_unit_as_in_a_file() {
    for arguments in [["maintenance", "--drain-timeout", "5"], ["cluster", "--drain-timeout", "5x"]]
    {
        assert!(parsed::<ModeArgs>(&arguments).is_err(), "{arguments:?}");
    }
    assert!(parsed::<WaitArgs>(&["mode=cluster", "--timeout", "5"]).is_err());
    parsed::<ModeArgs>(&["maintenance", "--drain-timeout", "1m30s"]).expect("legal");
    let error = parsed::<ModeArgs>(&["cluster", "--if-revision", "abc"]).expect_err("no number");
    assert!(error.to_string().contains("write a whole number"), "{error}");
}

#[tokio::test]
async fn events_are_lines_until_the_gateway_stops() {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.happened(8, EventKind::Stopping);
    let client = gateway.client();
    let arguments: EventsArgs = parsed(&["--after", "7"]).expect("legal arguments");
    let following = ran(Form::Human, async |terminal| follow(&arguments, &client, terminal).await);
    let stop = async {
        until(|| gateway.engine.listeners() == 1).await;
        gateway.stop.cancel();
    };
    let (followed, ()) = tokio::join!(following, stop);
    assert_eq!(followed.exit, Exit::Unreachable);
    assert_eq!(followed.out, "1970-01-01T00:00:00.000Z r8 stopping\n");
    assert!(followed.err.contains("--after"), "{}", followed.err);
}
