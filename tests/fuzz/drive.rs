//! Runs a target: first the kept inputs, then as many new ones as are wished.
//!
//! An input is kept when what comes of it is of a class that no input before it was of. With the
//! same seed and the same kept inputs a run is the same, each time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use crate::{corpus, mutator};

/// What is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Of its test, and of its kept inputs.
    pub name: &'static str,
    /// Beside what all targets are given.
    pub tokens: &'static [&'static [u8]],
    /// New inputs of a run that asks for no number.
    pub inputs: usize,
    pub classes: Classing,
}

/// What an input's class hangs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Classing {
    /// The input alone.
    Exact,
    /// Time as well: inputs are made out of those that seemed new only where a number is asked for,
    /// so that a run of all tests is the same each time.
    Timed,
}

/// What became of an input, in a few words; or which promise was broken.
pub type Verdict = Result<String, String>;

/// What a run was asked for, by environment variables: `tests/fuzz/run` sets them.
#[derive(Clone, Copy)]
struct Wish {
    inputs: usize,
    seed: u64,
    keep: bool,
    jobs: usize,
    /// Are inputs made out of those that were new?
    grows: bool,
}

fn wish(target: Target) -> Wish {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let inputs = number("DRAWSPAN_FUZZ_INPUTS").map(|count| usize::try_from(count).expect("fits"));
    Wish {
        grows: target.classes == Classing::Exact || inputs.is_some(),
        inputs: inputs.unwrap_or(target.inputs),
        seed: number("DRAWSPAN_FUZZ_SEED").unwrap_or(1),
        keep: number("DRAWSPAN_FUZZ_KEEP").is_some(),
        jobs: number("DRAWSPAN_FUZZ_JOBS").map_or(1, |jobs| usize::try_from(jobs).expect("fits")),
    }
}

/// Runs `target` with checks made by `check`, one for each job. Panics where one finds something.
pub fn run<C: FnMut(&[u8]) -> Verdict>(target: Target, check: impl Fn() -> C + Sync) {
    let wish = wish(target);
    let began = std::time::Instant::now();
    let kept = corpus::read(target.name);
    let found = std::thread::scope(|scope| {
        let job = |job| {
            let (kept, check) = (&kept, &check);
            scope.spawn(move || explore(target, wish, job as u64, kept, check()))
        };
        let jobs: Vec<_> = (0..wish.jobs).map(job).collect();
        let ended = jobs.into_iter().map(|job| job.join().expect("failures are caught"));
        ended.collect::<Result<Vec<_>, String>>()
    });
    let mut found = found.unwrap_or_else(|failure| panic!("{}: {failure}", target.name));
    let first = found.remove(0);
    let mut classes = first;
    for other in found {
        for (class, input) in other {
            keep_shorter(&mut classes, class, input);
        }
    }
    let secs = began.elapsed().as_secs_f64();
    let (inputs, seed, count) = (wish.inputs, wish.seed, classes.len());
    eprintln!("{}: {inputs} inputs of seed {seed}, {count} classes, {secs:.1} s", target.name);
    if wish.keep {
        write(target, &classes, check());
    }
}

type Classes = BTreeMap<String, Vec<u8>>;

fn keep_shorter(classes: &mut Classes, class: String, input: Vec<u8>) -> bool {
    match classes.get_mut(&class) {
        Some(known) if known.len() <= input.len() => false,
        Some(known) => {
            *known = input;
            false
        }
        None => {
            classes.insert(class, input);
            true
        }
    }
}

fn explore(
    target: Target,
    wish: Wish,
    job: u64,
    kept: &[Vec<u8>],
    mut check: impl FnMut(&[u8]) -> Verdict,
) -> Result<Classes, String> {
    let (mut classes, mut corpus) = (Classes::new(), kept.to_vec());
    for input in kept {
        let class = checked(&mut check, input)?;
        keep_shorter(&mut classes, class, input.clone());
    }
    let mut rng = Rng::with_seed(wish.seed.wrapping_add(job << 32));
    for _ in 0..wish.inputs / wish.jobs {
        let input = mutator::input(&mut rng, &corpus, target.tokens);
        let class = checked(&mut check, &input)?;
        if keep_shorter(&mut classes, class, input.clone()) && wish.grows {
            corpus.push(input);
        }
    }
    Ok(classes)
}

/// Checks an input; one that breaks a promise is made small first.
fn checked(check: &mut impl FnMut(&[u8]) -> Verdict, input: &[u8]) -> Verdict {
    let mut verdict = |input: &[u8]| {
        let caught = catch_unwind(AssertUnwindSafe(|| check(input)));
        caught.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    };
    verdict(input).map_err(|first| {
        let small = minimised(input, |input| verdict(input).is_err());
        // What a race broke may hold this time.
        let why = verdict(&small).err().unwrap_or_else(|| "it held when tried again".to_owned());
        let (small, input) = (corpus::escape(&small), corpus::escape(input));
        format!("{first}\n  input: {input}\n  made small: {small}\n  then: {why}")
    })
}

/// As much of `input` as still `holds`, cut piece by piece.
fn minimised(input: &[u8], mut holds: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let (mut small, mut tries) = (input.to_vec(), 400);
    let mut length = small.len() / 2;
    while 0 < length && 0 < tries {
        let mut at = 0;
        while at + length <= small.len() && 0 < tries {
            tries -= 1;
            let shorter = [&small[..at], &small[at + length..]].concat();
            match holds(&shorter) {
                true => small = shorter,
                false => at += length,
            }
        }
        length /= 2;
    }
    small
}

/// Of a line in the kept inputs.
const KEPT_BYTES_MAX: usize = 2_000;

/// Writes the smallest input of each class, made smaller.
fn write(target: Target, classes: &Classes, mut check: impl FnMut(&[u8]) -> Verdict) {
    let mut text = format!(
        "# What is fuzzed first as `{}`: an input for each class of outcomes.\n\
         # Written by `tests/fuzz/run --keep`; what is added by hand stands in the seeds.\n",
        target.name
    );
    for (class, input) in classes {
        let small = minimised(input, |input| check(input).as_ref() == Ok(class));
        let line = corpus::escape(&small);
        // What is long only to meet a limit has tests of its own.
        if line.len() <= KEPT_BYTES_MAX {
            text.push_str(&line);
            text.push('\n');
        }
    }
    std::fs::write(corpus::path(target.name), text).expect("the kept inputs can be written");
}
