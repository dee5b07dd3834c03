//! Both loops back to back: a client's bytes through a whole gateway to a node that answers with
//! bytes of the same input. What is promised:
//!
//! - every byte at the node belongs to a request that is well formed by the strict reader, tells no
//!   second story, and is one of those that the client's bytes hold, in their order;
//! - every answer at the client is well formed, or cut with its connection; none looks whole whose
//!   node did not say all of it, and none is the answer to another request;
//! - the client's connection ends.

use crate::drive::{Classing, Target, Verdict};
use crate::scene::{ClientEnd, Play, Played, Reading, Visit, reading};
use crate::stage::Stage;
use crate::strict::{self, After, Extensions, Read, Request, Response, values};

/// Between the client's bytes and each of the node's answers.
const NODE: &[u8] = b"\xfeNODE:";
/// Between two writes of the client.
const PAUSE: &[u8] = b"\xfeWAIT:";

pub const LOOPS: Target = Target {
    name: "loops",
    tokens: &[
        NODE, PAUSE, b"\xfd", b"\xfeNODE:\xfd",
        b"\xfeNODE:HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"\xfeNODE:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"\xfeNODE:HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        b"\xfeNODE:HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ],
    inputs: 500,
    classes: Classing::Timed,
};

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for at in memchr::memmem::find_iter(bytes, by) {
        parts.push(&bytes[begin..at]);
        begin = at + by.len();
    }
    parts.push(&bytes[begin..]);
    parts
}

pub fn loops(stage: &mut Stage, input: &[u8]) -> Verdict {
    let parts = split(input, NODE);
    let pieces = split(parts[0], PAUSE);
    let sent = pieces.concat();
    let play = Play { pieces, answers: parts[1..].to_vec() };
    let played = stage.scene.play(stage.gateway.address, &play);
    if let Some(fault) = played.faults.first() {
        return Err(format!("no request at the node: {fault}"));
    }
    let (asked, _) = strict::requests(&sent);
    let visits = visits(&asked, &sent, &played)?;
    tunnels(&sent, &played)?;
    let answers = answers(&asked, &played)?;
    let (count, cut) = (answers.len(), played.cut.len().min(1));
    if played.end == ClientEnd::Never {
        return Err(format!("the connection never ends: {}", played.to_client.escape_ascii()));
    }
    matched(&visits, &answers, &played)?;
    // A node may say any status; those of our own tell what was found wrong.
    let status = |answer: &Response| match answer.status {
        own if OWN.contains(&own) => own,
        other => other / 100,
    };
    let statuses: Vec<u16> = answers.iter().take(2).map(status).collect();
    let (visits, tunnels) = (played.visits.len().min(2), played.tunnelled.len().min(1));
    Ok(format!("{visits} {cut} {tunnels} {} {statuses:?} {:?}", count.min(3), played.end))
}

/// The requests at the node, each with the number of the client's request that it is. `None` where
/// two are the same and one may have been sent again.
type Places = Vec<Option<usize>>;

fn visits(asked: &[Request], sent: &[u8], played: &Played) -> Result<Places, String> {
    let (mut places, mut next) = (Places::new(), 0);
    let mut before: Option<&Visit> = None;
    for visit in &played.visits {
        clean(&visit.request)?;
        // To each request the gateway gives an id, where the client gives none: the same one again
        // is the same request again, by the rules of retries.
        let again = before.is_some_and(|before| before.request == visit.request);
        let place = (next..asked.len()).find(|at| same_request(&asked[*at], &visit.request));
        let own_id = place.is_some_and(|at| !values(&asked[at].lines, "x-request-id").is_empty());
        match place {
            _ if again && !own_id => places.push(None),
            Some(_) if again => {
                places.push(None);
                next += 1;
            }
            Some(place) => {
                places.push(Some(place));
                next = place + 1;
            }
            None => return Err(format!("not the client's request: {:?}", visit.request)),
        }
        before = Some(visit);
    }
    for cut in &played.cut {
        match strict::request(cut, Extensions::Wrong) {
            Read::More => {}
            other => return Err(format!("{other:?} is left at the node: {}", cut.escape_ascii())),
        }
        let Read::Whole(head, _) = strict::request_head(cut) else { continue };
        clean(&head)?;
        let mut half = asked.iter().map(|asked| (&asked.method, origin_form(&asked.target)));
        let named = half.any(|(method, target)| (method, &target) == (&head.method, &head.target));
        // Of the last one there is only a part.
        let last = memchr::memmem::find(sent, &head.method).is_some();
        if !named && !last {
            return Err(format!("not the client's request: {head:?}"));
        }
    }
    Ok(places)
}

fn same_request(asked: &Request, came: &Request) -> bool {
    asked.method == came.method
        && origin_form(&asked.target) == came.target
        && asked.body == came.body
}

/// What a node is asked by: the path of a URL.
fn origin_form(target: &[u8]) -> Vec<u8> {
    let Some(scheme) = memchr::memmem::find(target, b"://").filter(|_| target[0] != b'/') else {
        return target.to_vec();
    };
    let rest = &target[scheme + 3..];
    let begin = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    match rest.get(begin) {
        Some(b'/') => rest[begin..].to_vec(),
        _ => [b"/", &rest[begin..]].concat(),
    }
}

/// A request as a node may get it: nothing of another connection's, no second story.
fn clean(request: &Request) -> Result<(), String> {
    let count = |name: &str| values(&request.lines, name).len();
    let mut wrong = Vec::new();
    for name in ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"] {
        if count(name) != 1 {
            wrong.push(format!("{} times {name}", count(name)));
        }
    }
    let of_others =
        ["keep-alive", "proxy-connection", "proxy-authorization", "expect", "forwarded"];
    for name in of_others {
        if count(name) != 0 {
            wrong.push(name.to_owned());
        }
    }
    if values(&request.lines, "x-forwarded-for") != [b"127.0.0.1"] {
        wrong.push("another origin".to_owned());
    }
    let (connection, upgrade) = (
        strict::elements(&request.lines, "connection"),
        strict::elements(&request.lines, "upgrade"),
    );
    let asks = connection == ["upgrade"] && !upgrade.is_empty();
    if !asks && (!connection.is_empty() || !upgrade.is_empty()) || upgrade.contains(&"h2c".into()) {
        wrong.push(format!("connection {connection:?}, upgrade {upgrade:?}"));
    }
    for (name, _) in &request.lines {
        let plain = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
        let framing = ["content-length", "transfer-encoding", "x-real-ip", "x-request-id"];
        let disguised = framing.contains(&plain.as_str()) || plain.starts_with("x-forwarded-");
        if name.contains(&b'_') && disguised {
            wrong.push(format!("{plain} in disguise"));
        }
    }
    for (name, _) in &request.trailers {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let framing = ["transfer-encoding", "host", "te", "connection", "authorization", "cookie"];
        if framing.contains(&name.as_str()) || name.starts_with("content-") {
            wrong.push(format!("{name} as a trailer"));
        }
    }
    match request.minor == 1 && wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("unclean ({wrong:?}): {request:?}")),
    }
}

/// Behind an upgrade there are only bytes that the client sent behind its request.
fn tunnels(sent: &[u8], played: &Played) -> Result<(), String> {
    for bytes in &played.tunnelled {
        if !sent.ends_with(bytes) {
            return Err(format!("not the client's bytes: {}", bytes.escape_ascii()));
        }
    }
    Ok(())
}

/// The final answers at the client, in order.
fn answers(asked: &[Request], played: &Played) -> Result<Vec<Response>, String> {
    let (mut answers, mut at) = (Vec::<Response>::new(), 0);
    let bytes = &played.to_client;
    let after = if played.end == ClientEnd::InOrder { After::TheEnd } else { After::More };
    while at < bytes.len() {
        if answers.last().is_some_and(|last| closes(last) || last.status == 101) {
            let tunnel = answers.last().is_some_and(|last| last.status == 101);
            let rest = bytes[at..].escape_ascii();
            return if tunnel {
                Ok(answers)
            } else {
                Err(format!("behind the last answer: {rest}"))
            };
        }
        let method = asked.get(answers.len()).map_or(&b"GET"[..], |request| &request.method);
        match strict::response(&bytes[at..], method, Extensions::Wrong, after) {
            Read::Whole(answer, length) => {
                at += length;
                if !(100..200).contains(&answer.status) || answer.status == 101 {
                    answers.push(answer);
                }
            }
            // Cut with its connection.
            Read::More => break,
            Read::Wrong(why) => {
                return Err(format!("{why} at the client: {}", bytes.escape_ascii()));
            }
        }
    }
    match answers.len() <= asked.len() + 1 {
        true => Ok(answers),
        false => Err(format!("{} answers to {} requests", answers.len(), asked.len())),
    }
}

fn closes(answer: &Response) -> bool {
    strict::elements(&answer.lines, "connection").contains(&"close".to_owned())
}

/// Said by the gateway where a node's answer is none, or there is no node.
const OWN: [u16; 9] = [400, 405, 408, 413, 414, 431, 502, 503, 504];

/// Each answer is what the node said to that request, all of it.
fn matched(places: &Places, answers: &[Response], played: &Played) -> Result<(), String> {
    for (at, (place, visit)) in places.iter().zip(&played.visits).enumerate() {
        // What was sent again has one answer, to which of the two is not told.
        let sent_again = places.get(at + 1) == Some(&None);
        let answer = place.filter(|_| !sent_again).and_then(|place| answers.get(place));
        let Some(answer) = answer.filter(|answer| !OWN.contains(&answer.status)) else { continue };
        match reading(&visit.answer, &visit.request.method).0 {
            Reading::Whole(said) => {
                let same = said.status == answer.status && said.body == answer.body;
                if !same {
                    return Err(format!("another answer: {answer:?}, and the node said {said:?}"));
                }
            }
            Reading::Cut | Reading::Wrong => {
                let said = visit.answer.escape_ascii();
                return Err(format!("{answer:?} looks whole, and the node said: {said}"));
            }
        }
    }
    Ok(())
}
