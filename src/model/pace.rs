//! How closely nodes are watched.

/// How often nodes are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// At the configured interval.
    #[default]
    Usual,
    /// While a procedure waits for what nodes do: every
    /// [`PROBE_CLOSELY`](super::limits::PROBE_CLOSELY), or at the configured interval where that
    /// is shorter.
    Closely,
}
