//! Trouble that a file asks for, while a stand-in runs as a process of its own.
//!
//! | word | what the node does while the file says so |
//! |---|---|
//! | `never-ready` | the API stays 503, as in a start that does not end |
//! | `crash` | the process ends with an error as soon as its port is open |
//! | `crash-loop` | the port opens, says 503, and is refused again, over and over |
//! | `database-down` | health stays 200, the API is 500 |
//! | `hang` | connections are accepted, and nothing is answered |
//! | `port-closed` | the port is refused, and the process lives |
//! | `stubborn` | SIGTERM is ignored |
//!
//! No file, an empty one, or another word is no trouble. When it is over, the node runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{StandIn, State};

/// How often the file is read.
const LOOK: Duration = Duration::from_millis(20);
/// A node in a crash loop is up for this long, and gone for as long.
const CRASH_LOOP_HALF: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    NeverReady,
    Crash,
    CrashLoop,
    DatabaseDown,
    Hang,
    PortClosed,
    Stubborn,
}

impl Trouble {
    fn of(word: &str) -> Option<Self> {
        Some(match word.trim() {
            "never-ready" => Self::NeverReady,
            "crash" => Self::Crash,
            "crash-loop" => Self::CrashLoop,
            "database-down" => Self::DatabaseDown,
            "hang" => Self::Hang,
            "port-closed" => Self::PortClosed,
            "stubborn" => Self::Stubborn,
            _ => return None,
        })
    }
}

/// The file that asks.
#[derive(Debug)]
pub(super) struct TroubleFile(pub(super) Option<PathBuf>);

impl TroubleFile {
    fn read(&self) -> Option<Trouble> {
        let path: &Path = self.0.as_deref()?;
        Trouble::of(&fs::read_to_string(path).ok()?)
    }

    pub(super) fn ignores_sigterm(&self) -> bool {
        self.read() == Some(Trouble::Stubborn)
    }

    /// Puts the node into the states that the file asks for. Returns when it is to crash.
    pub(super) async fn follow(&self, node: &StandIn) {
        let began = Instant::now();
        let mut last = None;
        let mut troubled = false;
        loop {
            let trouble = self.read();
            if trouble == Some(Trouble::Crash) && node.is_listening() {
                return;
            }
            // A node that had no trouble yet may be starting, and is left alone.
            if trouble != last && troubled {
                node.set_state(State::Running);
                troubled = false;
            }
            last = trouble;
            if let Some(state) = trouble.and_then(|word| state(word, node, began.elapsed())) {
                if node.state() != state {
                    node.set_state(state);
                }
                troubled = true;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The state that trouble puts a node into; `None` leaves it as it is. Before the port of a start
/// opens there is no trouble yet: the start would go on over it.
fn state(trouble: Trouble, node: &StandIn, age: Duration) -> Option<State> {
    let starting = || State::Starting { message: "load plugin [acl], 1/12".to_owned() };
    let in_first_half = (age.as_millis() / CRASH_LOOP_HALF.as_millis()).is_multiple_of(2);
    let began = node.is_listening() || !matches!(node.state(), State::PortClosed);
    match trouble {
        Trouble::NeverReady => began.then(starting),
        Trouble::CrashLoop => Some(if in_first_half { starting() } else { State::PortClosed }),
        Trouble::DatabaseDown => runs(&node.state()).then_some(State::DatabaseDown),
        Trouble::Hang => runs(&node.state()).then_some(State::Frozen),
        Trouble::PortClosed => Some(State::PortClosed),
        Trouble::Crash | Trouble::Stubborn => None,
    }
}

/// Is a start over, as far as this state tells?
fn runs(state: &State) -> bool {
    match state {
        State::Running | State::DatabaseDown | State::Frozen => true,
        State::PortClosed
        | State::RefusingFront(_)
        | State::Starting { .. }
        | State::Commanding { .. }
        | State::ApiBroken(_)
        | State::Stopping => false,
    }
}
