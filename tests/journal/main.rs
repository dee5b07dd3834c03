//! The journal on real files: what a start makes of whatever a crash, a bad disk or a person left.
//!
//! Crash tests run this same binary again as a child (see [`child`]) and kill it.

mod child;
mod crash;
mod damage;
mod full_disk;
mod scene;
mod start;
