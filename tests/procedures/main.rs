//! The three procedures from begin to done, and what can go wrong on the way: the real binary, real
//! processes, the operator's commands as scripts.

#[path = "../common/mod.rs"]
mod common;
mod config;
#[cfg(feature = "failpoints")]
mod crash;
mod hands;
#[cfg(feature = "failpoints")]
mod plots;
mod roads;
mod trouble;
mod world;
