//! What reaches a node through a proxy, ours and nginx: the requests by their first line and body.

use std::net::SocketAddr;

use crate::outcome::{Message, Outcome, Verdict, our_requests};
use crate::scene::{Play, Played, Scene};

/// The requests at the node. Refused is what ends in an error of the proxy: the node has none.
fn outcome(played: &Played) -> Outcome {
    let message = |visit: &crate::scene::Visit| Message {
        first: format!(
            "{} {}",
            visit.request.method.escape_ascii(),
            visit.request.target.escape_ascii()
        ),
        lines: Vec::new(),
        body: visit.request.body.clone(),
        trailers: Vec::new(),
    };
    let status = last_status(&played.to_client);
    let verdict = match (played.faults.first(), status) {
        (Some(fault), _) => Verdict::Refused(format!("by the node: {fault}")),
        (None, Some(status)) if 400 <= status => Verdict::Refused(status.to_string()),
        (None, _) if !played.cut.is_empty() => Verdict::Cut,
        (None, _) => Verdict::Taken,
    };
    Outcome { messages: played.visits.iter().map(message).collect(), verdict }
}

fn last_status(bytes: &[u8]) -> Option<u16> {
    let at = memchr::memmem::rfind(bytes, b"HTTP/1.1 ")?;
    let status = bytes.get(at + 9..at + 12)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// What a proxy makes of a client's bytes.
pub fn through(scene: &mut Scene, proxy: SocketAddr, bytes: &[u8]) -> Outcome {
    let play = Play { pieces: vec![bytes], answers: Vec::new() };
    outcome(&scene.play(proxy, &play))
}

/// What our gateway makes of them; where its codec refused, it says why.
pub fn through_ours(scene: &mut Scene, gateway: SocketAddr, bytes: &[u8]) -> Outcome {
    let mut outcome = through(scene, gateway, bytes);
    if let (Verdict::Refused(_), Verdict::Refused(why)) =
        (&outcome.verdict, our_requests(bytes).verdict)
    {
        outcome.verdict = Verdict::Refused(why);
    }
    outcome
}
