//! The control socket and its command line, on a real Unix socket, with a stand-in for the engine.

mod calls;
mod company;
mod ending;
mod following;
mod harness;
mod listening;
mod played;
mod procedures;
mod roles;
mod verbs;
