//! What a person types, where one sits there.

use std::future::pending;
use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;

/// Lines that wait to be read: nobody types faster than they are.
const LINES: usize = 16;

#[derive(Debug)]
pub enum Keyboard {
    /// Nobody is there, or nobody any more.
    Nobody,
    /// Somebody is; no line was asked for yet.
    Person,
    Lines(mpsc::Receiver<String>),
}

impl Keyboard {
    /// Somebody is there if what they type and what they read are both a terminal.
    pub fn find() -> Self {
        let there = io::stdin().is_terminal() && io::stdout().is_terminal();
        if there { Self::Person } else { Self::Nobody }
    }

    pub const fn is_there(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Person | Self::Lines(_) => true,
        }
    }

    /// The next line without its end; never where nobody is there. `None` is said once, when the
    /// person closes the input.
    ///
    /// # Cancel safety
    /// Dropping the future loses no line.
    pub async fn line(&mut self) -> Option<String> {
        if matches!(self, Self::Person) {
            *self = Self::Lines(listen());
        }
        let line = match self {
            Self::Lines(lines) => lines.recv().await,
            Self::Nobody | Self::Person => return pending().await,
        };
        if line.is_none() {
            *self = Self::Nobody;
        }
        line
    }
}

/// A read from a terminal cannot be given up: its thread ends with the process.
fn listen() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
