//! Fuzzing of our own HTTP/1 engine: plain functions of bytes, the inputs that were worth keeping,
//! and a mutator that makes more of them.
//!
//! In a run of all tests each target replays what is kept and takes a bounded number of new inputs
//! from a fixed seed, the same ones each time. `tests/fuzz/run --inputs 1000000` goes on for longer.

#[path = "../common/mod.rs"]
mod common;

mod codec;
mod corpus;
mod drive;
mod loops;
mod mutator;
mod scene;
mod stage;
mod strict;
mod targets;

#[test]
fn request_heads() {
    drive::run(targets::REQUEST_HEADS, || targets::request_heads);
}

#[test]
fn response_heads() {
    drive::run(targets::RESPONSE_HEADS, || targets::response_heads);
}

#[test]
fn chunked_bodies() {
    drive::run(targets::CHUNKED_BODIES, || targets::chunked_bodies);
}

#[test]
fn loops() {
    drive::run(loops::LOOPS, || {
        let mut stage = stage::Stage::new();
        move |input: &[u8]| loops::loops(&mut stage, input)
    });
}
