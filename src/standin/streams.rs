//! Responses that take their time, or that end where they should not.

use std::io::Write as _;
use std::ops::ControlFlow;

use super::connection::conclude;
use super::faults::{Asked, Waited, held, through, wait};
use super::record::Ticket;
use super::reply::{self, After};
use super::wire::{Body, Wire};

/// A piece of a long body.
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// How the length of a streamed body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

pub(super) async fn serve(asked: Asked<'_>, wire: Wire, ticket: Ticket) -> ControlFlow<(), Wire> {
    match asked.fault {
        "bytes" => bytes(asked, wire, ticket).await,
        "stream" => lines(asked, wire, ticket).await,
        "events" => events(asked, wire, ticket).await,
        "stall" | "cut" => part(asked, wire, ticket).await,
        "trailers" => {
            let trailer = "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
            let rest = format!("{trailer}5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n");
            canned(asked, wire, ticket, &rest).await
        }
        "hints" => {
            let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            wire_hint(asked, wire, ticket, hint).await
        }
        "nonsense" => nonsense(wire, ticket).await,
        _ => canned(asked, wire, ticket, "Content-Length: 14\r\n\r\nno such test.\n").await,
    }
}

/// The request's body as the response's, while it comes.
pub(super) async fn mirror(
    asked: Asked<'_>,
    mut wire: Wire,
    mut ticket: Ticket,
) -> ControlFlow<(), Wire> {
    let kind = asked.head.header("content-type").unwrap_or("application/octet-stream");
    begin(asked, &mut wire, &ticket, kind, Framing::Chunked);
    let mut body = Body::of(asked.head);
    let mut written = wire.flush().await;
    while written.is_ok() {
        written = match body.piece(&mut wire).await {
            Ok(Some(piece)) => {
                chunk(&mut wire.out, &piece);
                wire.flush().await
            }
            Ok(None) => {
                written = wire.write(b"0\r\n\r\n").await;
                break;
            }
            Err(error) => Err(error),
        };
    }
    conclude(wire, &mut ticket, asked.after(), written).await
}

async fn bytes(asked: Asked<'_>, mut wire: Wire, mut ticket: Ticket) -> ControlFlow<(), Wire> {
    let mut left = asked.number("n", 0);
    let (framing, after) = match asked.head.parameter("framing") {
        Some("chunked") => (Framing::Chunked, asked.after()),
        Some("close") => (Framing::Close, After::Close),
        _ => (Framing::Length(left), asked.after()),
    };
    begin(asked, &mut wire, &ticket, "application/octet-stream", framing);
    if asked.head.method() == "HEAD" {
        left = 0;
    }
    let mut written = Ok(());
    while 0 < left && written.is_ok() {
        let length = left.min(PIECE.len() as u64);
        // It is at most the length of the piece.
        let piece = &PIECE[..length as usize];
        match framing {
            Framing::Chunked => chunk(&mut wire.out, piece),
            Framing::Length(_) | Framing::Close => wire.out.extend_from_slice(piece),
        }
        left -= length;
        written = wire.flush().await;
    }
    if framing == Framing::Chunked && asked.head.method() != "HEAD" {
        wire.out.extend_from_slice(b"0\r\n\r\n");
    }
    if written.is_ok() {
        written = wire.flush().await;
    }
    conclude(wire, &mut ticket, after, written).await
}

async fn lines(asked: Asked<'_>, wire: Wire, ticket: Ticket) -> ControlFlow<(), Wire> {
    let line = |number: u64| format!("line {number}\n");
    pieces(asked, wire, ticket, ("text/plain", asked.number("n", 10), &line)).await
}

async fn events(asked: Asked<'_>, wire: Wire, ticket: Ticket) -> ControlFlow<(), Wire> {
    let event = |number: u64| format!("id: {number}\ndata: {number}\n\n");
    let count = asked.number("n", u64::MAX);
    pieces(asked, wire, ticket, ("text/event-stream", count, &event)).await
}

/// A content type, how many pieces, and the text of each.
type Pieces<'a> = (&'static str, u64, &'a (dyn Fn(u64) -> String + Send + Sync));

/// The head at once, then a piece every `ms`.
async fn pieces(
    asked: Asked<'_>,
    mut wire: Wire,
    mut ticket: Ticket,
    (kind, count, piece): Pieces<'_>,
) -> ControlFlow<(), Wire> {
    begin(asked, &mut wire, &ticket, kind, Framing::Chunked);
    let mut written = wire.flush().await;
    let mut number = 0;
    while number < count && written.is_ok() {
        let pause = tokio::time::sleep(asked.millis("ms"));
        match wait(asked.node, &mut wire, &ticket, pause).await {
            Waited::Over => {}
            Waited::Vanished => return through(ticket),
            // A stream of a node that stops looks cut.
            Waited::Leaving => return ControlFlow::Break(()),
        }
        chunk(&mut wire.out, piece(number).as_bytes());
        written = wire.flush().await;
        number += 1;
    }
    if written.is_ok() {
        written = wire.write(b"0\r\n\r\n").await;
    }
    conclude(wire, &mut ticket, asked.after(), written).await
}

/// `stall` and `cut`: a body that is not as long as its head says.
async fn part(asked: Asked<'_>, mut wire: Wire, mut ticket: Ticket) -> ControlFlow<(), Wire> {
    let promised = asked.number("of", 100);
    begin(asked, &mut wire, &ticket, "application/octet-stream", Framing::Length(promised));
    let sent = asked.number("n", 10).min(promised).min(PIECE.len() as u64) as usize;
    wire.out.extend_from_slice(&PIECE[..sent]);
    if wire.flush().await.is_err() {
        ticket.vanished();
        return through(ticket);
    }
    if asked.fault == "stall" {
        match held(asked, &mut wire, &ticket).await {
            Waited::Over => {
                let rest = vec![b'x'; usize::try_from(promised).unwrap_or(0).saturating_sub(sent)];
                let written = wire.write(&rest).await;
                return conclude(wire, &mut ticket, asked.after(), written).await;
            }
            Waited::Vanished => return through(ticket),
            Waited::Leaving => {}
        }
    } else if asked.head.parameter("how") == Some("reset") {
        wire.reset();
    } else {
        wire.finish().await;
    }
    ControlFlow::Break(())
}

/// A hint and, in a packet of its own, the response.
async fn wire_hint(
    asked: Asked<'_>,
    mut wire: Wire,
    ticket: Ticket,
    hint: &str,
) -> ControlFlow<(), Wire> {
    if wire.write(hint.as_bytes()).await.is_err() {
        ticket.vanished();
        return through(ticket);
    }
    canned(asked, wire, ticket, "Content-Length: 6\r\n\r\nhinted").await
}

/// A 200 whose last headers and body are these.
async fn canned(
    asked: Asked<'_>,
    mut wire: Wire,
    mut ticket: Ticket,
    rest: &str,
) -> ControlFlow<(), Wire> {
    let found = matches!(asked.fault, "trailers" | "hints");
    let status = if found { 200 } else { 404 };
    ticket.status(status);
    reply::start(&mut wire.out, status);
    reply::connection(&mut wire.out, asked.after());
    wire.out.extend_from_slice(rest.as_bytes());
    let written = wire.flush().await;
    conclude(wire, &mut ticket, asked.after(), written).await
}

async fn nonsense(mut wire: Wire, mut ticket: Ticket) -> ControlFlow<(), Wire> {
    let written = wire.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;
    conclude(wire, &mut ticket, After::Close, written).await
}

/// Puts the head of a streamed 200 into `wire.out`.
fn begin(asked: Asked<'_>, wire: &mut Wire, ticket: &Ticket, kind: &str, framing: Framing) {
    ticket.status(200);
    let out = &mut wire.out;
    reply::start(out, 200);
    reply::field(out, "Content-Type", kind);
    if kind == "text/event-stream" {
        reply::field(out, "Cache-Control", "no-cache, no-transform");
    }
    match framing {
        Framing::Length(length) => {
            reply::field(out, "Content-Length", itoa::Buffer::new().format(length));
        }
        Framing::Chunked => reply::field(out, "Transfer-Encoding", "chunked"),
        Framing::Close => {}
    }
    let after = if framing == Framing::Close { After::Close } else { asked.after() };
    reply::connection(out, after);
    out.extend_from_slice(b"\r\n");
}

fn chunk(out: &mut Vec<u8>, piece: &[u8]) {
    // Writing into memory does not fail.
    let _ = write!(out, "{:x}\r\n", piece.len());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}
