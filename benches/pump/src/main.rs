//! The small programs of `benches/compare`, one thread each: `floor` moves bytes and parses nothing,
//! `ws-node` answers as three nodes and echoes WebSocket messages, `ws-load` sends such messages,
//! `rate-load` sends requests at a fixed rate, `hold` keeps connections open.
//!
//! The loads write one line of JSON to standard error; whatever is wrong ends them with code 1 and
//! a line that says what.

mod arguments;
mod floor;
mod frame;
mod head;
mod hold;
mod latency;
mod poll;
mod rate_load;
mod ws_load;
mod ws_node;

use std::process::ExitCode;

use arguments::Arguments;

/// Whatever ends a program early, told to a person.
type Fault = Box<dyn std::error::Error>;

const USAGE: &str = "usage: pump floor --listen ADDRESS --nodes ADDRESS,...
       pump ws-node --listen ADDRESS,...
       pump ws-load --connect ADDRESS --request FILE --connections N --bytes N --seconds N
       pump rate-load --connect ADDRESS --request FILE --connections N --bytes N --seconds N
                      --rate N
       pump hold --connect ADDRESS --request FILE --connections N --status N";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(program) = words.next() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&program, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("pump {program}: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str, words: impl Iterator<Item = String>) -> Result<(), Fault> {
    let arguments = Arguments::read(words)?;
    match program {
        "floor" => floor::run(&arguments),
        "ws-node" => ws_node::run(&arguments),
        "ws-load" => ws_load::run(&arguments),
        "rate-load" => rate_load::run(&arguments),
        "hold" => hold::run(&arguments),
        _ => Err(USAGE.into()),
    }
}
