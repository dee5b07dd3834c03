//! The three procedures from begin to done, and what can go wrong on the way: the real binary, real
//! processes, the operator's commands as scripts.

#[path = "../common/mod.rs"]
mod common;
mod roads;
mod world;
