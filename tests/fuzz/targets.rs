//! The codec's targets, each a plain function of bytes. What they promise:
//!
//! - nothing panics, and every step takes something, asks for more, or ends;
//! - what is taken does not depend on how its bytes came;
//! - what is written for the other side is one message, the same, by a reader of another hand;
//! - that reader finds the same messages in the bytes that came; what only it takes is listed.

use drawspan::http1::Malformed;
use http::Method;

use crate::codec::{self, Chunks, End, Passed, Taken};
use crate::drive::{Classing, Target, Verdict};
use crate::mutator::cuts;
use crate::strict::{self, After, Extensions, Line, Read, Request, Response};

pub const REQUEST_HEADS: Target =
    Target { name: "request_heads", tokens: &[], inputs: 20_000, classes: Classing::Exact };
pub const RESPONSE_HEADS: Target =
    Target { name: "response_heads", tokens: &[], inputs: 20_000, classes: Classing::Exact };
pub const CHUNKED_BODIES: Target =
    Target { name: "chunked_bodies", tokens: &[], inputs: 20_000, classes: Classing::Exact };

/// One byte at a time is slow, and long inputs are long because something in them repeats.
const SINGLE_BYTES_MAX: usize = 100;

/// `take` comes to the same result however `input` is cut.
fn however_cut<T>(
    input: &[u8],
    whole: &T,
    alike: impl Fn(&T, &T) -> bool,
    take: impl Fn(&[&[u8]]) -> T,
) -> Result<(), String> {
    let mut ways = vec![cuts(input, 2), cuts(input, 5)];
    if input.len() <= SINGLE_BYTES_MAX {
        ways.push(input.chunks(1).collect());
    }
    for pieces in ways {
        if !alike(whole, &take(&pieces)) {
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
            return Err(format!("another result when it comes in pieces of {lengths:?} bytes"));
        }
    }
    Ok(())
}

fn alike<T: PartialEq>(one: &Taken<Passed<T>>, other: &Taken<Passed<T>>) -> bool {
    let messages = |taken: &Taken<Passed<T>>| taken.messages.len();
    let same = one.messages.iter().zip(&other.messages).all(|(a, b)| a.message == b.message);
    same && messages(one) == messages(other) && one.end.is_like(other.end)
}

fn promise(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// A stream of requests.
pub fn request_heads(input: &[u8]) -> Verdict {
    let taken = codec::requests(&[input]);
    however_cut(input, &taken, alike, codec::requests)?;
    for Passed { message, written } in &taken.messages {
        let read = strict::request(written, Extensions::Wrong);
        let Read::Whole(read, length) = read else {
            return Err(format!("{read:?} is written: {}", written.escape_ascii()));
        };
        promise(length == written.len(), "bytes are written behind a request")?;
        let same_target = read.target == message.target || !message.target.starts_with(b"/");
        promise(same_target && same_request(&read, message), "another request is written")?;
    }
    let (theirs, rest) = strict::requests(input);
    for (ours, theirs) in taken.messages.iter().zip(&theirs) {
        promise(same_request(&ours.message, theirs), "another request is read")?;
        let plain = theirs.target.starts_with(b"/");
        promise(!plain || ours.message.target == theirs.target, "another target is read")?;
    }
    let (ours, theirs) = (taken.messages.len(), theirs.len());
    promise(ours <= theirs, "more requests are taken than there are")?;
    match taken.end {
        End::Clean => promise(ours == theirs && matches!(rest, Read::Whole(..)), "a clean end")?,
        // A fault in a head may be found when all of it has come.
        End::Cut => promise(ours == theirs && !matches!(rest, Read::Whole(..)), "a cut")?,
        End::Refused(why) if ours < theirs => {
            promise(is_of_our_own(why), &format!("refused without need: {why}"))?;
        }
        End::Refused(_) | End::Closing => {}
    }
    let class = match (taken.end, taken.messages.last()) {
        // What came before a fault is of another class already.
        (End::Refused(_), _) | (_, None) => String::new(),
        (End::Clean | End::Cut | End::Closing, Some(last)) => request_class(&last.message),
    };
    Ok(format!("{} then {:?}: {class}", ours.min(1), taken.end))
}

/// What the grammar allows and we do not.
fn is_of_our_own(why: Malformed) -> bool {
    match why {
        Malformed::HeadTooLong | Malformed::TooManyLines => true,
        // Of a URI not every byte is one; and a size may have zeros in front without end.
        Malformed::Head(what) => what == "the target",
        Malformed::Chunk(what) => ["too many bytes of extensions", "a size line"].contains(&what),
        Malformed::BareLineFeed | Malformed::Framing(_) => false,
    }
}

fn same_request(one: &Request, other: &Request) -> bool {
    let of =
        |request: &Request| (request.method.clone(), request.lines.clone(), request.body.clone());
    of(one) == of(other) && same_trailers(&one.trailers, &other.trailers)
}

/// A map of trailers knows no case, and keeps lines of one name together.
fn same_trailers(one: &[Line], other: &[Line]) -> bool {
    let of = |lines: &[Line]| {
        let small = |(name, value): &Line| (name.to_ascii_lowercase(), value.clone());
        let mut lines: Vec<Line> = lines.iter().map(small).collect();
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        lines
    };
    of(one) == of(other)
}

/// A number in a few steps, so that there are few classes.
fn few(count: usize) -> &'static str {
    match count {
        0 => "0",
        1 => "1",
        2..90 => "some",
        _ => "many",
    }
}

fn request_class(request: &Request) -> String {
    let target = match request.target.first() {
        _ if !request.target.is_ascii() => "not ASCII",
        Some(b'/') => "path",
        Some(b'*') => "asterisk",
        Some(_) => "other",
        None => "none",
    };
    let framing = ["content-length", "transfer-encoding"]
        .map(|name| strict::values(&request.lines, name).len());
    let (body, trailers) = (request.body.len().min(1), few(request.trailers.len()));
    format!("1.{} {target} {framing:?} body {body} trailers {trailers}", request.minor)
}

/// The first byte says what was asked; the rest is what a node answers until it closes.
pub fn response_heads(input: &[u8]) -> Verdict {
    let (method, bytes) = match input {
        [b'H', rest @ ..] if !rest.starts_with(b"TTP") => (Method::HEAD, rest),
        bytes => (Method::GET, bytes),
    };
    let taken = codec::responses(&method, &[bytes]);
    however_cut(bytes, &taken, alike, |pieces| codec::responses(&method, pieces))?;
    let asked = method.as_str().as_bytes();
    let mut at = 0;
    for Passed { message, written } in &taken.messages {
        let read = strict::response(written, asked, Extensions::Wrong, After::TheEnd);
        let Read::Whole(read, length) = read else {
            return Err(format!("{read:?} is written: {}", written.escape_ascii()));
        };
        promise(length == written.len(), "bytes are written behind an answer")?;
        promise(same_response(&read, message), "another answer is written")?;
        match strict::response(&bytes[at..], asked, Extensions::Passed, After::TheEnd) {
            Read::Whole(read, length) => {
                promise(same_response(&read, message), "another answer is read")?;
                at += length;
            }
            other => return Err(format!("taken, though {other:?}")),
        }
    }
    if let End::Refused(why) = taken.end {
        let read = strict::response(&bytes[at..], asked, Extensions::Passed, After::TheEnd);
        let needless = matches!(read, Read::Whole(..)) && !is_of_our_own(why);
        promise(!needless, &format!("refused without need: {why}"))?;
    }
    let class = match (taken.end, taken.messages.last()) {
        (End::Refused(_), _) | (_, None) => String::new(),
        (End::Clean | End::Cut | End::Closing, Some(last)) => response_class(&last.message),
    };
    Ok(format!("{method} {} then {:?}: {class}", taken.messages.len().min(2), taken.end))
}

fn same_response(one: &Response, other: &Response) -> bool {
    let of = |response: &Response| (response.status, response.lines.clone(), response.body.clone());
    of(one) == of(other) && same_trailers(&one.trailers, &other.trailers)
}

fn response_class(response: &Response) -> String {
    let status = match response.status {
        named @ (101 | 204 | 304) => named.to_string(),
        other => format!("{}xx", other / 100),
    };
    let framing = ["content-length", "transfer-encoding"]
        .map(|name| !strict::values(&response.lines, name).is_empty());
    let (body, trailers) = (response.body.len().min(1), response.trailers.len().min(1));
    format!("1.{} {status} {framing:?} body {body} trailers {trailers}", response.minor)
}

/// A body in chunks, and what follows it.
pub fn chunked_bodies(input: &[u8]) -> Verdict {
    let taken = codec::chunked(&[input]);
    let alike = |one: &Result<Chunks, End>, other: &Result<Chunks, End>| match (one, other) {
        (Ok(one), Ok(other)) => {
            (&one.data, &one.trailers, &one.rest) == (&other.data, &other.trailers, &other.rest)
        }
        (Err(one), Err(other)) => one.is_like(*other),
        _ => false,
    };
    however_cut(input, &taken, alike, codec::chunked)?;
    let read = strict::chunked(input, Extensions::Passed);
    let class = match (&taken, read) {
        (Ok(ours), Read::Whole((data, trailers), length)) => {
            promise(ours.data == data, "another body is read")?;
            promise(same_trailers(&ours.trailers, &trailers), "other trailers are read")?;
            promise(input.ends_with(&ours.rest), "what follows is not what came")?;
            promise(ours.rest.len() + length == input.len(), "another end is found")?;
            let written = strict::chunked(&ours.written, Extensions::Wrong);
            let Read::Whole((data, trailers), length) = written else {
                return Err(format!("{written:?} is written: {}", ours.written.escape_ascii()));
            };
            let same = data == ours.data && same_trailers(&trailers, &ours.trailers);
            promise(same && length == ours.written.len(), "another body is written")?;
            let rest = if ours.rest.is_empty() { "nothing" } else { "more" };
            format!("body {} trailers {} then {rest}", few(data.len()), few(trailers.len()))
        }
        (Err(End::Cut), Read::More) => "cut".to_owned(),
        // A fault in trailers is found when all of them have come.
        (Err(End::Cut), Read::Wrong(why)) => format!("cut, or {why}"),
        (Err(End::Refused(why)), Read::Wrong(theirs)) => format!("{why}, or {theirs}"),
        (Err(End::Refused(why)), Read::More) => format!("{why}, early"),
        (Err(End::Refused(why)), Read::Whole(..)) if is_of_our_own(*why) => format!("{why}, ours"),
        (ours, theirs) => return Err(format!("{ours:?}, and another reader: {theirs:?}")),
    };
    let mut sizes = input.split(|byte| *byte == b'\n').map(|line| line.contains(&b';'));
    Ok(format!("{class}, extensions {}", sizes.any(|extended| extended)))
}
