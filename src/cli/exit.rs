//! The exit codes, which scripts may rely on.

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The effect that was asked for is true.
    True = 0,
    /// Drawspan failed.
    Internal = 1,
    /// The arguments or the configuration are wrong.
    Usage = 2,
    /// The gateway refused; every objection was listed.
    Refused = 3,
    /// Somebody was faster.
    LostRace = 4,
    /// The condition was not met in time.
    TimedOut = 5,
    /// The condition can never be met.
    Never = 6,
    /// No gateway could be reached.
    Unreachable = 7,
    /// The caller may not do this.
    NotAllowed = 8,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
