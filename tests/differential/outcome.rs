//! What a reader makes of a stream of bytes, in a form that two readers can be compared in.

use std::fmt;

use http::Method;

use crate::codec::{self, End};
use crate::strict::{self, Line, Request, Response};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To its end, or to where its connection was to close.
    Taken,
    /// It ends in the middle of a message.
    Cut,
    Refused(String),
}

/// A message: its first line, its lines in a fixed order, its body and its trailers.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub first: String,
    pub lines: Vec<Line>,
    pub body: Vec<u8>,
    pub trailers: Vec<Line>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&strict::text(&self.first, &self.lines, &self.body, &self.trailers))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub messages: Vec<Message>,
    pub verdict: Verdict,
}

/// A map of headers knows no case, and keeps lines of one name together.
pub fn sorted(lines: &[Line]) -> Vec<Line> {
    let small = |(name, value): &Line| (name.to_ascii_lowercase(), value.clone());
    let mut lines: Vec<Line> = lines.iter().map(small).collect();
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    lines
}

impl Message {
    pub fn request(request: &Request) -> Self {
        let Request { method, target, minor, lines, body, trailers } = request;
        let (method, target) = (method.escape_ascii(), target.escape_ascii());
        Self {
            first: format!("{method} {target} 1.{minor}"),
            lines: sorted(lines),
            body: body.clone(),
            trailers: sorted(trailers),
        }
    }

    pub fn response(response: &Response) -> Self {
        let Response { status, minor, lines, body, trailers } = response;
        Self {
            first: format!("{status} 1.{minor}"),
            lines: sorted(lines),
            body: body.clone(),
            trailers: sorted(trailers),
        }
    }
}

fn verdict(end: End) -> Verdict {
    match end {
        End::Clean | End::Closing => Verdict::Taken,
        End::Cut => Verdict::Cut,
        End::Refused(why) => Verdict::Refused(why.to_string()),
    }
}

/// What our codec makes of a client's bytes.
pub fn our_requests(bytes: &[u8]) -> Outcome {
    let taken = codec::requests(&[bytes]);
    let messages = taken.messages.iter().map(|passed| Message::request(&passed.message));
    Outcome { messages: messages.collect(), verdict: verdict(taken.end) }
}

/// What our codec makes of a node's bytes; of the answers, the final one.
pub fn our_response(method: &Method, bytes: &[u8]) -> Outcome {
    let taken = codec::responses(method, &[bytes]);
    let verdict = verdict(taken.end);
    let last = taken.messages.last().filter(|_| verdict == Verdict::Taken);
    let messages = last.map(|passed| Message::response(&passed.message)).into_iter().collect();
    Outcome { messages, verdict }
}
