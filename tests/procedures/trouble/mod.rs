//! Everything that can go wrong: what the operator is told, that nothing is lost, and that doing
//! what is said ends well.

mod audit;
mod begins;
mod by_hand;
mod data;
mod disk;
mod first;
mod included;
mod left_behind;
mod lost_backup;
mod notices;
mod others;
mod pauses;
mod refusals;
mod stops;
mod terminal;
mod words;
