//! What the verbs that talk to a running gateway share: its socket, their streams, their failures.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use super::config_file::environment;
use super::exit::Exit;
use super::keyboard::Keyboard;
use crate::control::client::{Client, ClientError};
use crate::control::problem::{Code, Problem, StandDoc};

/// Which gateway is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ControlArgs {
    /// The running gateway's control socket, for the verbs that talk to it.
    #[arg(long = "control", env = "DRAWSPAN_CONTROL", value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// A verb that talks to a running gateway.
#[derive(Clone, Debug, clap::Args)]
pub struct Called<Verb: clap::Args> {
    #[command(flatten)]
    pub args: Verb,
    /// The gateway's control socket; else what DRAWSPAN_CONTROL names, else where `run` puts it: for
    /// root /run/drawspan/control.sock, for others drawspan/control.sock below $XDG_RUNTIME_DIR, or
    /// /tmp/drawspan-UID/control.sock.
    #[arg(long = "control", value_name = "PATH")]
    pub control: Option<PathBuf>,
}

impl ControlArgs {
    /// What was said after the verb counts before what was said in front of it.
    pub(super) fn or_in_front(nearer: Option<PathBuf>, in_front: Self) -> Self {
        Self { control: nearer.or(in_front.control) }
    }

    pub fn client(&self) -> Client {
        Client::new(self.control.clone().unwrap_or_else(|| environment().control_path()))
    }
}

/// Where a verb writes: results to `out`, diagnostics to `err`.
pub struct Terminal<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// Does `out` end at a person, so that a screen can be drawn anew?
    pub screen: Screen,
    /// What is typed, where somebody sits there.
    pub keyboard: Keyboard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    Redrawn,
    Appended,
}

/// Which form of an answer goes to `out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Human,
    Json,
}

impl Form {
    pub const fn json(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }
}

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Control(#[from] ClientError),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Runs one verb on a small runtime of its own and on the process's streams.
pub fn run(form: Form, verb: impl AsyncFnOnce(&mut Terminal<'_>) -> Result<Exit, Failure>) -> Exit {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let screen = if stdout.is_terminal() { Screen::Redrawn } else { Screen::Appended };
    let (mut out, mut err) = (stdout.lock(), stderr.lock());
    let keyboard = Keyboard::find();
    let mut terminal = Terminal { out: &mut out, err: &mut err, screen, keyboard };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(terminal.err, "error: cannot start a runtime: {error}");
            return Exit::Internal;
        }
    };
    let ended = runtime.block_on(verb(&mut terminal));
    let flushed = terminal.out.flush();
    let ended = ended.and_then(|exit| flushed.map(|()| exit).map_err(Failure::from));
    conclude(ended, form, &mut terminal)
}

/// Tells a failure, and turns it into an exit code. A reader that has seen enough is no failure.
pub fn conclude(ended: Result<Exit, Failure>, form: Form, terminal: &mut Terminal<'_>) -> Exit {
    match ended {
        Ok(exit) => exit,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::True,
        Err(Failure::Output(error)) => {
            let _ = writeln!(terminal.err, "error: cannot write the answer: {error}");
            Exit::Internal
        }
        Err(Failure::Control(error)) => {
            // Nothing can be done about a diagnosis that nobody takes; the code still tells.
            let _ = tell(&error, form, terminal);
            exit_of(&error)
        }
    }
}

fn tell(error: &ClientError, form: Form, terminal: &mut Terminal<'_>) -> io::Result<()> {
    writeln!(terminal.err, "error: {}", printable(&error.to_string()))?;
    if let ClientError::Problem(problem) = error {
        objections(problem, terminal.err)?;
        if form == Form::Json {
            writeln!(terminal.out, "{}", serde_json::to_string(problem)?)?;
        }
    }
    if let Some(remedy) = error.remedy() {
        writeln!(terminal.err, "remedy: {}", printable(&remedy))?;
    }
    terminal.err.flush()
}

pub(super) fn objections(problem: &Problem, err: &mut dyn Write) -> io::Result<()> {
    for objection in &problem.objections {
        let over = match (&objection.id, objection.may_be_waived, objection.may_be_forced) {
            (Some(id), true, _) => format!(" (`waive {} --why TEXT` goes over it)", printable(id)),
            (Some(_), false, _) => String::new(),
            (None, _, true) => " (--force --why TEXT goes over it)".to_owned(),
            (None, _, false) => " (cannot be forced)".to_owned(),
        };
        let named = objection.id.as_ref().unwrap_or(&objection.code);
        writeln!(err, "  - {} [{}]", printable(&objection.detail), printable(named))?;
        if let Some(meaning) = &objection.meaning {
            writeln!(err, "    meaning: {}", printable(meaning))?;
        }
        writeln!(err, "    remedy: {}{over}", printable(&objection.remedy))?;
    }
    if problem.faults.len() > 1 {
        for fault in &problem.faults {
            writeln!(err, "  - {}", printable(&fault.to_string()))?;
        }
    }
    if let (Some(given), Some(now)) = (&problem.given, &problem.now) {
        let stand = |stand: &StandDoc| format!("{}, revision {}", stand.phase, stand.revision);
        writeln!(err, "  you answered: {}", printable(&stand(given)))?;
        writeln!(err, "  it is now at: {}", printable(&stand(now)))?;
    }
    if let (Some(revision), Some(mode)) = (problem.revision, &problem.mode) {
        writeln!(err, "  revision {revision}, mode {}", printable(&mode.to_string()))?;
    }
    Ok(())
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::NoSocket { .. }
        | ClientError::NotServed { .. }
        | ClientError::Connect { .. }
        | ClientError::Interrupted { .. }
        | ClientError::Silent { .. } => Exit::Unreachable,
        ClientError::Denied { .. } => Exit::NotAllowed,
        ClientError::TooLong { .. } | ClientError::NotASocket { .. } => Exit::Usage,
        ClientError::Foreign { .. } => Exit::Internal,
        ClientError::Problem(problem) => exit_of_problem(problem),
    }
}

fn exit_of_problem(problem: &Problem) -> Exit {
    // A code that only a newer gateway knows is at least not a success.
    let Ok(code) = problem.code.parse::<Code>() else { return Exit::Internal };
    match code {
        Code::BadRequest
        | Code::UnknownNode
        | Code::BodyTooLarge
        | Code::IdempotencyKeyReused
        | Code::AnswersNothing
        | Code::WhyMissing => Exit::Usage,
        Code::Refused
        | Code::ProcedureRuns
        | Code::NoProcedure
        | Code::SwitchInProgress
        | Code::JournalDegraded => Exit::Refused,
        Code::LostRace | Code::AnotherProcedure | Code::Superseded => Exit::LostRace,
        Code::TimedOut => Exit::TimedOut,
        Code::CanNeverBeMet => Exit::Never,
        Code::Busy | Code::Stopping => Exit::Unreachable,
        Code::NotAllowed => Exit::NotAllowed,
        Code::NotFound
        | Code::MethodNotAllowed
        | Code::ReadTimeout
        | Code::FenceIncomplete
        | Code::Internal => Exit::Internal,
    }
}

/// Some of what is shown was said by a node: it must not command the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }

    #[test]
    fn no_problem_ends_a_verb_with_success() {
        for code in Code::ALL {
            assert_ne!(exit_of_problem(&Problem::new(code, "x")), Exit::True, "{code:?}");
        }
        let newer = Problem { code: "unheard_of".into(), ..Problem::new(Code::Internal, "x") };
        assert_eq!(exit_of_problem(&newer), Exit::Internal);
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (screen, keyboard) = (Screen::Appended, Keyboard::Nobody);
        let mut terminal = Terminal { out: &mut out, err: &mut err, screen, keyboard };
        let left = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(conclude(Err(left), Form::Human, &mut terminal), Exit::True);
        let full = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(conclude(Err(full), Form::Human, &mut terminal), Exit::Internal);
    }
}
