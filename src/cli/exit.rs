//! The exit codes of every verb.

use std::process::ExitCode;

/// How a verb ended, as scripts see it. The numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the condition is true.
    True = 0,
    /// An error inside the program.
    Internal = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Refused: there are objections.
    Refused = 3,
    /// The state had moved on: somebody was faster.
    LostRace = 4,
    /// Not true within the time given.
    TimedOut = 5,
    /// Can never become true.
    Never = 6,
    /// The gateway does not answer.
    Unreachable = 7,
    /// The caller has not the role for it.
    NotAllowed = 8,
}

impl Exit {
    pub const ALL: [Self; 9] = [
        Self::True,
        Self::Internal,
        Self::Usage,
        Self::Refused,
        Self::LostRace,
        Self::TimedOut,
        Self::Never,
        Self::Unreachable,
        Self::NotAllowed,
    ];

    pub const fn code(self) -> u8 {
        self as u8
    }

    /// One line for the help and the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::True => "done, or the condition is true",
            Self::Internal => "an error inside the program",
            Self::Usage => "wrong usage or configuration",
            Self::Refused => "refused: there are objections",
            Self::LostRace => "the state had moved on: somebody was faster",
            Self::TimedOut => "not true within the time given",
            Self::Never => "can never become true",
            Self::Unreachable => "the gateway does not answer",
            Self::NotAllowed => "the caller has not the role for it",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_scripts_know() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Exit::Refused.code(), 3);
        assert_eq!(Exit::Unreachable.code(), 7);
    }
}
