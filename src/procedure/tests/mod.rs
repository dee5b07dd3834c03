//! The three procedures, walked through by hand: each guard and each edge once.

mod backup;
mod decisions;
mod play;
mod proof;
mod roads;
