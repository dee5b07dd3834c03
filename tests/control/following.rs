//! The verbs of procedures: what they say to whom, what they print, and how they end.

use clap::Args;
use drawspan::cli::client::{Failure, Form, Screen, Terminal, conclude};
use drawspan::cli::exit::Exit;
use drawspan::cli::keyboard::Keyboard;
use drawspan::cli::procedure::begin::{BeginArgs, begin};
use drawspan::cli::procedure::follow::{Followed, follow};
use drawspan::cli::procedure::history::{HistoryArgs, history};
use drawspan::cli::procedure::plan::{PlanArgs, plan};
use drawspan::cli::procedure::say::{Confirmation, SayArgs, Spoken, say};
use drawspan::cli::status::{StatusArgs, show};
use drawspan::control::client::Client;
use drawspan::engine::ProcedureError;
use drawspan::model::Revision;
use drawspan::procedure::{Kind, Phase, View};
use tokio::sync::mpsc;

use crate::harness::{Fake, Gateway, until};
use crate::played::view;

/// What a verb printed and how it ended.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

async fn ran(
    keyboard: Keyboard,
    form: Form,
    verb: impl AsyncFnOnce(&mut Terminal<'_>) -> Result<Exit, Failure>,
) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let screen = Screen::Appended;
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

async fn said(client: &Client, spoken: Spoken, arguments: &[&str]) -> Ran {
    let arguments: SayArgs = parsed(arguments).expect("legal arguments");
    let spoken = (spoken, Confirmation::Given);
    let form = Form::json(arguments.json);
    ran(Keyboard::Nobody, form, async |terminal| say(spoken, &arguments, client, terminal).await)
        .await
}

fn word(verb: &str) -> Spoken {
    Spoken::new(verb, None)
}

async fn running(kind: Kind) -> Gateway {
    let gateway = Gateway::start(Fake::new()).await;
    gateway.engine.show(view(kind));
    gateway
}

#[tokio::test]
async fn begin_says_where_the_procedure_stands() {
    let gateway = Gateway::start(Fake::new()).await;
    let arguments: BeginArgs =
        parsed(&["upgrade", "--to", "1.9.0", "--first", "n2", "--why", "news"]).expect("legal");
    let client = gateway.client();
    let begun = ran(Keyboard::Nobody, Form::Human, async |terminal| {
        begin(&arguments, &client, terminal).await
    })
    .await;
    assert_eq!(begun.exit, Exit::True, "{}", begun.err);
    assert!(begun.out.starts_with("begun at revision 8\nupgrade 8 is in phase raise: "));
    assert!(begun.out.contains("waits for `continue`"), "{}", begun.out);
    let asked = gateway.engine.with_procedure(|played| played.begun[0].clone());
    assert_eq!(asked.plan.node.expect("a node").as_str(), "n2");
}

#[tokio::test]
async fn what_cannot_be_begun_together_is_a_usage_error_before_anything_is_asked() {
    assert!(parsed::<BeginArgs>(&["maintenance"]).is_err(), "which node is kept?");
    for arguments in [
        &["maintenance", "--keep", "n1", "--first", "n2"][..],
        &["upgrade", "--keep", "n1"],
        &["first-start", "--to", "1.9.0"],
    ] {
        let arguments: BeginArgs = parsed(arguments).expect("legal one by one");
        let nobody = Client::new("/nonexistent");
        let ended = ran(Keyboard::Nobody, Form::Human, async |terminal| {
            begin(&arguments, &nobody, terminal).await
        })
        .await;
        assert_eq!(ended.exit, Exit::Usage, "{arguments:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_choice_answers_what_it_shows_or_what_an_earlier_screen_showed() {
    let gateway = running(Kind::Upgrade).await;
    let client = gateway.client();
    let taken = said(&client, word("continue"), &[]).await;
    assert_eq!(taken.exit, Exit::True, "{}", taken.err);
    assert!(taken.out.starts_with("answering phase raise at revision 7\n"), "{}", taken.out);
    assert!(taken.out.contains("continue: taken at revision 8"), "{}", taken.out);
    // The operator of the other screen was slower.
    let earlier = ["--phase", "raise", "--revision", "7"];
    let late = said(&client, word("continue"), &earlier).await;
    assert_eq!(late.exit, Exit::LostRace, "{}", late.out);
    assert!(late.err.contains("you answered: raise, revision 7"), "{}", late.err);
    assert!(late.err.contains("it is now at: stop, revision 8"), "{}", late.err);
    assert!(parsed::<SayArgs>(&["--phase", "raise"]).is_err(), "both or none");
}

#[tokio::test]
async fn every_failure_of_a_choice_has_its_exit_code() {
    let gateway = running(Kind::Upgrade).await;
    let client = gateway.client();
    let refused = said(&client, word("confirm"), &[]).await;
    assert_eq!(refused.exit, Exit::Refused, "{}", refused.err);
    assert!(refused.err.contains("[not_here]"), "{}", refused.err);
    assert!(refused.err.contains("meaning: ") && refused.err.contains("remedy: "));
    let node = "n9".parse().expect("a legal id");
    for (error, exit) in [
        (ProcedureError::NoneRuns, Exit::Refused),
        (ProcedureError::Another { asked: 5, running: 6 }, Exit::LostRace),
        (ProcedureError::UnknownNode { node, known: "n1".into() }, Exit::Usage),
        (ProcedureError::SwitchRuns, Exit::Refused),
        (ProcedureError::WhyMissing, Exit::Usage),
        (ProcedureError::KeyReused, Exit::Usage),
        (ProcedureError::Stopping, Exit::Unreachable),
        (ProcedureError::JournalDegraded { cause: "full".into() }, Exit::Refused),
    ] {
        gateway.engine.with_procedure(|played| played.fails = Some(error.clone()));
        let ended = said(&client, word("retry"), &[]).await;
        assert_eq!(ended.exit, exit, "{error}");
        assert!(ended.err.contains("error: ") && ended.err.contains("remedy: "), "{}", ended.err);
    }
    gateway.engine.with_status(|status| status.procedure = None);
    let none = said(&client, word("retry"), &["--json"]).await;
    assert_eq!(none.exit, Exit::Refused);
    assert!(none.out.contains("\"code\":\"no_procedure\""), "{}", none.out);
}

#[tokio::test]
async fn a_reason_is_asked_for_before_anything_is_said() {
    let nobody = Client::new("/nonexistent");
    for spoken in [Spoken::new("waive", Some("no_backup")), Spoken::new("exclude", Some("n2"))] {
        let ended = said(&nobody, spoken, &[]).await;
        assert_eq!(ended.exit, Exit::Usage);
        assert!(ended.err.contains("--why TEXT"), "{}", ended.err);
    }
}

#[tokio::test]
async fn include_needs_no_procedure() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let outside = said(&client, Spoken::new("include", Some("n2")), &["--why", "mended"]).await;
    assert_eq!(outside.exit, Exit::True, "{}", outside.err);
    let asked = gateway.engine.with_procedure(|played| played.said[0].clone());
    assert!(asked.id.is_none() && asked.answers.is_none() && asked.why.is_some());
    gateway.engine.show(view(Kind::Upgrade));
    let inside = said(&client, Spoken::new("include", Some("n2")), &[]).await;
    assert_eq!(inside.exit, Exit::Refused, "it is refused in this phase");
    let asked = gateway.engine.with_procedure(|played| played.said[1].clone());
    assert_eq!(asked.answers, Some((Phase::Raise, Revision(7))));
}

/// Somebody who types what is sent.
fn person() -> (mpsc::Sender<String>, Keyboard) {
    let (typed, lines) = mpsc::channel(8);
    (typed, Keyboard::Lines(lines))
}

#[tokio::test]
async fn a_rollback_is_asked_for_once_more_where_a_person_sits() {
    for (answer, exit, said) in [("no", Exit::Refused, 0), ("yes", Exit::True, 1)] {
        let gateway = running(Kind::Upgrade).await;
        let client = gateway.client();
        let (typed, keyboard) = person();
        typed.send(answer.to_owned()).await.expect("room");
        let spoken = (word("rollback"), Confirmation::Ask);
        let arguments = SayArgs::default();
        let ended = ran(keyboard, Form::Human, async |terminal| {
            say(spoken, &arguments, &client, terminal).await
        })
        .await;
        assert_eq!(ended.exit, exit, "{}", ended.err);
        assert!(ended.out.contains("restores the backup"), "{}", ended.out);
        assert_eq!(gateway.engine.with_procedure(|played| played.said.len()), said);
    }
}

async fn followed(gateway: &Gateway, keyboard: Keyboard) -> Ran {
    let client = gateway.client();
    let status = client.status().await.expect("answered").doc;
    let followed = Followed::new(&status.procedure.expect("one runs"));
    ran(keyboard, Form::Human, async |terminal| {
        follow(followed, Form::Human, &client, terminal).await
    })
    .await
}

/// The procedure as the next look shows it.
fn turn(gateway: &Gateway, change: impl FnOnce(View) -> View) {
    let shown = gateway.engine.with_status(|status| status.procedure.clone());
    gateway.engine.show(change(shown.expect("one runs").view.clone()));
}

#[tokio::test]
async fn without_a_person_it_follows_to_the_end_and_asks_nothing() {
    for (road, outcome, exit) in [
        (None, drawspan::procedure::Outcome::Completed, Exit::True),
        (
            Some(drawspan::procedure::Road::Back),
            drawspan::procedure::Outcome::RolledBack,
            Exit::Refused,
        ),
    ] {
        let gateway = running(Kind::Upgrade).await;
        let following = followed(&gateway, Keyboard::Nobody);
        let going_on = async {
            let looks = gateway.engine.looks();
            until(|| looks + 2 <= gateway.engine.looks()).await;
            turn(&gateway, |view| View {
                phase: Phase::Done,
                road: road.unwrap_or(view.road),
                outcome: Some(outcome),
                ..view
            });
        };
        let (ended, ()) = tokio::join!(following, going_on);
        assert_eq!(ended.exit, exit, "{}", ended.out);
        assert!(ended.out.contains("[>] raise") && !ended.out.contains("say [REASON]"));
        assert!(ended.out.contains("waits for: `continue`"), "{}", ended.out);
        let said = outcome.as_str();
        assert!(ended.out.ends_with(&format!("procedure 5: {said}\n")), "{}", ended.out);
    }
}

#[tokio::test]
async fn a_person_is_asked_at_the_gates_and_answers_what_was_shown() {
    let gateway = running(Kind::Upgrade).await;
    let (typed, keyboard) = person();
    let following = followed(&gateway, keyboard);
    let typing = async {
        typed.send("explode".to_owned()).await.expect("room");
        typed.send("continue it is late".to_owned()).await.expect("room");
        until(|| gateway.engine.with_procedure(|played| played.said.len()) == 1).await;
        // Giving up is asked for once more.
        let looks = gateway.engine.looks();
        until(|| looks + 3 <= gateway.engine.looks()).await;
        typed.send("abort".to_owned()).await.expect("room");
        typed.send("yes".to_owned()).await.expect("room");
        until(|| gateway.engine.with_procedure(|played| played.said.len()) == 2).await;
        turn(&gateway, |view| View {
            phase: Phase::Done,
            outcome: Some(drawspan::procedure::Outcome::Aborted),
            ..view
        });
    };
    let (ended, ()) = tokio::join!(following, typing);
    assert_eq!(ended.exit, Exit::True, "it ended as it was told to: {}", ended.out);
    for part in ["phase raise, revision 7; say [REASON]> ", "`explode` cannot be said now"] {
        assert!(ended.out.contains(part), "{part} in {}", ended.out);
    }
    assert!(ended.out.contains("taken at revision 8"), "{}", ended.out);
    assert!(ended.out.contains("type yes to abort: "), "{}", ended.out);
    let said = gateway.engine.with_procedure(|played| played.said.clone());
    assert_eq!(said[0].answers, Some((Phase::Raise, Revision(7))));
    assert_eq!(said[0].why.as_ref().expect("a reason").as_str(), "it is late");
    assert_eq!(said[1].answers, Some((Phase::Stop, Revision(8))));
}

#[tokio::test]
async fn a_late_word_is_told_what_changed_and_asked_for_again() {
    let gateway = running(Kind::Upgrade).await;
    let (typed, keyboard) = person();
    let following = followed(&gateway, keyboard);
    let typing = async {
        let (phase, revision) = (Phase::Raise, Revision(7));
        let (now_phase, now) = (Phase::Stop, Revision(9));
        let stale = ProcedureError::Stale { phase, revision, now_phase, now };
        gateway.engine.with_procedure(|played| played.fails = Some(stale));
        typed.send("continue".to_owned()).await.expect("room");
        until(|| gateway.engine.with_procedure(|played| played.said.len()) == 1).await;
        turn(&gateway, |view| View { phase: Phase::Stop, stamp: 9, ..view });
        let looks = gateway.engine.looks();
        until(|| looks + 3 <= gateway.engine.looks()).await;
        turn(&gateway, |view| View {
            phase: Phase::Done,
            outcome: Some(drawspan::procedure::Outcome::Completed),
            ..view
        });
    };
    let (ended, ()) = tokio::join!(following, typing);
    assert_eq!(ended.exit, Exit::True, "{}", ended.err);
    assert!(ended.err.contains("it is now at: stop, revision 9"), "{}", ended.err);
    assert!(ended.out.contains("phase stop, revision 9; say [REASON]> "), "{}", ended.out);
}

#[tokio::test]
async fn the_status_shows_the_procedure_first() {
    let gateway = running(Kind::Maintenance).await;
    let client = gateway.client();
    let arguments: StatusArgs = parsed(&[]).expect("legal");
    let shown = ran(Keyboard::Nobody, Form::Human, async |terminal| {
        show(&arguments, &client, terminal).await
    })
    .await;
    assert!(shown.out.starts_with("procedure  maintenance 5, kept node n1\n"), "{}", shown.out);
    assert!(shown.out.contains("[>] narrow for 2m05s"), "{}", shown.out);
    assert!(shown.out.contains("\nmode       cluster"), "{}", shown.out);
}

#[tokio::test]
async fn a_plan_with_an_objection_ends_with_3_and_changes_nothing() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let arguments: PlanArgs = parsed(&["upgrade", "--to", "1.9.0"]).expect("legal");
    let planned = ran(Keyboard::Nobody, Form::Human, async |terminal| {
        plan(&arguments, &client, terminal).await
    })
    .await;
    assert_eq!(planned.exit, Exit::Refused, "{}", planned.err);
    for part in [
        "plan       upgrade, first node n1",
        "before     version 1.8.0, 2 plugins enabled",
        "2. stop",
        "limit: 10m",
        "OBJECTION  not_ready:n2",
        "verdict    as things are, it would not begin",
    ] {
        assert!(planned.out.contains(part), "{part} in {}", planned.out);
    }
    assert!(planned.out.lines().all(|line| line.chars().count() <= 80), "{}", planned.out);
    assert_eq!(gateway.engine.begun(), 0);
}

#[tokio::test]
async fn the_history_tells_procedures_and_what_happened_in_one() {
    let gateway = Gateway::start(Fake::new()).await;
    let client = gateway.client();
    let tell = async |arguments: &[&str]| {
        let arguments: HistoryArgs = parsed(arguments).expect("legal");
        ran(Keyboard::Nobody, Form::Human, async |terminal| {
            history(&arguments, &client, terminal).await
        })
        .await
    };
    assert!(tell(&[]).await.out.contains("no procedure was begun yet"));
    let body = drawspan::control::wire::BeginBody {
        kind: "first-start".into(),
        why: Some("new".into()),
        ..Default::default()
    };
    client.begin(&body, &Default::default()).await.expect("begun");
    let all = tell(&[]).await;
    assert!(all.out.contains("first-start 8 by ") && all.out.contains("it runs"), "{}", all.out);
    let one = tell(&["8"]).await;
    assert!(one.out.contains("advanced: to stop") && !one.out.contains('\u{1b}'), "{}", one.out);
    let unknown = tell(&["9"]).await;
    assert!(unknown.err.contains("there is no procedure 9"), "{}", unknown.err);
}
