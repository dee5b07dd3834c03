//! What tests ask of a node under `/__test/`: slowness, streams, and every way to misbehave.
//!
//! | path | what it does |
//! |---|---|
//! | `whoami` | JSON: `node`, `build`, `connection` kept or not |
//! | `echo` | JSON: `method`, `target`, `headers`, `trailers`, `body`, `body_bytes` |
//! | `mirror` | the request's body, streamed back while it comes |
//! | `status?code=` | this status |
//! | `slow?ms=` | answers after this time |
//! | `hold` | answers after `StandIn::release` |
//! | `bytes?n=[&framing=length\|chunked\|close]` | this many bytes |
//! | `stream?n=&ms=` | chunked: `n` lines, this far apart |
//! | `events?ms=[&n=]` | an event stream, without an end unless `n` is given |
//! | `trailers` | chunked, with a trailer `X-Sum` |
//! | `hints` | 103 Early Hints, then 200 |
//! | `stall?n=&of=` | a head that promises `of` bytes, `n` of them, then nothing until `StandIn::release` |
//! | `cut?n=&of=[&how=reset]` | the same, then the end of the connection |
//! | `early[?then=read\|close\|reset]` | 413 before the body is read |
//! | `large-head?n=` | a response header of this many bytes |
//! | `nonsense` | bytes that are no HTTP |
//! | `drop` | closes without a byte of an answer |
//! | `reset` | the same with a RST |

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::answers;
use super::connection::{after, conclude};
use super::head::Head;
use super::node::{Counted, Node};
use super::record::{Outcome, Ticket};
use super::reply::{After, Length, Reply};
use super::streams;
use super::wire::{Body, Wire};

/// Bytes of a body that `echo` shows; all are counted.
const ECHO_BYTES_MAX: usize = 64 * 1024;

/// One request under `/__test/`.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) head: &'a Head,
    /// The rest of the path.
    pub(super) fault: &'a str,
}

impl Asked<'_> {
    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        self.head.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    pub(super) fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name, 0))
    }

    pub(super) fn after(&self) -> After {
        after(self.node, self.head)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Over,
    /// The client left, and what was waited for came after that.
    Vanished,
    /// The node is being stopped.
    Leaving,
}

pub(super) async fn serve(
    asked: Asked<'_>,
    mut wire: Wire,
    mut ticket: Ticket,
) -> ControlFlow<(), Wire> {
    match asked.fault {
        // Dropping the wire is the answer.
        "drop" => return ControlFlow::Break(()),
        "reset" => {
            wire.reset();
            return ControlFlow::Break(());
        }
        "early" => return early(asked, wire, ticket).await,
        "mirror" => return streams::mirror(asked, wire, ticket).await,
        _ => {}
    }
    let mut body = Body::of(asked.head);
    let Ok((shown, body_bytes)) = body.collect(&mut wire, ECHO_BYTES_MAX).await else {
        ticket.vanished();
        return ControlFlow::Break(());
    };
    let reply = match asked.fault {
        "echo" => echo(asked, &shown, body_bytes, &body.trailers),
        "whoami" => whoami(asked),
        "status" => status(asked),
        "slow" => {
            let over = tokio::time::sleep(asked.millis("ms"));
            match wait(asked.node, &mut wire, &ticket, over).await {
                Waited::Over => text(200, "slow\n"),
                Waited::Leaving => answers::stopping(),
                Waited::Vanished => return through(ticket),
            }
        }
        "hold" => match held(asked, &mut wire, &ticket).await {
            Waited::Over => text(200, "released\n"),
            Waited::Leaving => answers::stopping(),
            Waited::Vanished => return through(ticket),
        },
        "large-head" => {
            let mut reply = text(200, "large\n");
            let length = usize::try_from(asked.number("n", 20_000)).unwrap_or(usize::MAX);
            reply.headers.push(("X-Large", "a".repeat(length.min(16 << 20)).into()));
            reply
        }
        _ => return streams::serve(asked, wire, ticket).await,
    };
    ticket.status(reply.status);
    reply.write(&mut wire.out, asked.head, asked.after());
    let written = wire.flush().await;
    conclude(wire, &mut ticket, asked.after(), written).await
}

/// Waits as a NocoBase node does: a client that leaves is noticed, but the work goes on.
pub(super) async fn wait(
    node: &Node,
    wire: &mut Wire,
    ticket: &Ticket,
    until: impl Future<Output = ()>,
) -> Waited {
    let mut until = pin!(until);
    tokio::select! {
        biased;
        () = &mut until => return Waited::Over,
        () = node.leaving.cancelled() => return Waited::Leaving,
        () = wire.gone() => {}
    }
    ticket.vanished();
    wire.finish().await;
    tokio::select! {
        () = until => {}
        () = node.leaving.cancelled() => {}
    }
    Waited::Vanished
}

/// Waits for `StandIn::release`.
pub(super) async fn held(asked: Asked<'_>, wire: &mut Wire, ticket: &Ticket) -> Waited {
    // Subscribed before it is counted, so that a release that follows the count reaches it.
    let mut released = asked.node.released.subscribe();
    let _counted = Counted::new(&asked.node.held);
    let until = async {
        // The sender lives as long as the node.
        let _ = released.changed().await;
    };
    wait(asked.node, wire, ticket, until).await
}

/// The node is through with a request whose client left.
pub(super) fn through(mut ticket: Ticket) -> ControlFlow<(), Wire> {
    ticket.end(Outcome::Vanished);
    ControlFlow::Break(())
}

async fn early(asked: Asked<'_>, mut wire: Wire, mut ticket: Ticket) -> ControlFlow<(), Wire> {
    let then = asked.head.parameter("then").unwrap_or("close");
    let after = if then == "read" { asked.after() } else { After::Close };
    ticket.status(413);
    text(413, "too large\n").write(&mut wire.out, asked.head, after);
    let mut written = wire.flush().await;
    match then {
        "read" if written.is_ok() => {
            written = Body::of(asked.head).collect(&mut wire, 0).await.map(drop);
        }
        "reset" => {
            ticket.end(Outcome::Answered);
            wire.reset();
            return ControlFlow::Break(());
        }
        _ => {}
    }
    conclude(wire, &mut ticket, after, written).await
}

fn echo(asked: Asked<'_>, shown: &[u8], body_bytes: u64, trailers: &[String]) -> Reply {
    let headers: Vec<_> = asked.head.headers().collect();
    let value = json!({
        "node": asked.node.options.id,
        "method": asked.head.method(),
        "target": asked.head.target(),
        "minor_version": asked.head.minor,
        "headers": headers,
        "trailers": trailers,
        "body": String::from_utf8_lossy(shown),
        "body_bytes": body_bytes,
    });
    test_json(&value)
}

fn whoami(asked: Asked<'_>) -> Reply {
    let options = &asked.node.options;
    test_json(&json!({ "node": options.id, "build": options.build, "pid": std::process::id() }))
}

fn status(asked: Asked<'_>) -> Reply {
    let code = u16::try_from(asked.number("code", 200)).unwrap_or(200);
    text(code, "status\n")
}

fn test_json(value: &serde_json::Value) -> Reply {
    let headers = vec![("Content-Type", "application/json".into())];
    Reply { status: 200, headers, body: value.to_string().into(), length: Length::Given }
}

fn text(status: u16, body: &'static str) -> Reply {
    let headers = vec![("Content-Type", "text/plain".into())];
    Reply { status, headers, body: body.into(), length: Length::Given }
}
