//! The WebSocket of `/ws`.
//!
//! Beside NocoBase's own messages it knows some for tests, all as `{"type": ...}`:
//! `echo` (sends the same text back), `test:whoami`, `test:big` (`bytes`: one frame of that size),
//! `test:fragments` (one message in `parts` frames with a Ping between them), `test:stall` (promises a
//! frame of `promise` bytes, sends `send` of them and then nothing ever), `test:close` (`code`),
//! `test:cut` (RST), `test:mute` (answers no Close from then on).

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::answers;
use super::frame::{self, CLOSE, CONTINUATION, Fin, Frame, PING, PONG, TEXT};
use super::head::Head;
use super::node::{Counted, Node};
use super::record::{Outcome, Ticket};
use super::wire::Wire;

/// Largest frame that a test may ask for.
const TEST_FRAME_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most fragments of one message that a test may ask for.
const TEST_FRAGMENTS_MAX: u64 = 1_000;

/// How a message left the session.
enum Step {
    On,
    /// A Close was exchanged, or the client broke the rules and was told.
    Closed,
    Reset,
}

struct Session {
    node: Arc<Node>,
    wire: Wire,
    /// Pieces of a fragmented message, and its opcode.
    message: Option<(u8, Vec<u8>)>,
    manners: Manners,
}

/// How the node's end behaves, by what a test asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Good,
    /// It answers no Close.
    Mute,
    /// It stopped in the middle of a frame and sends nothing any more.
    Stalled,
}

pub(super) async fn serve(node: &Arc<Node>, mut wire: Wire, head: &Head, mut ticket: Ticket) {
    let Some(key) = accepted(&mut wire, head, &ticket).await else {
        ticket.end(Outcome::Answered);
        return;
    };
    ticket.status(101);
    // Subscribed before the client knows that it is connected: it misses no frame after that.
    let mut frames = node.frames.subscribe();
    let _counted = Counted::new(&node.websockets);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        frame::accept(&key)
    );
    if wire.write(answer.as_bytes()).await.is_err() {
        ticket.vanished();
        ticket.end(Outcome::Vanished);
        return;
    }
    let mut session =
        Session { node: Arc::clone(node), wire, message: None, manners: Manners::Good };
    loop {
        let step = tokio::select! {
            biased;
            text = frames.recv() => match text {
                Ok(text) => session.send(TEXT, text.as_bytes()).await.map(|()| Step::On),
                // A slow reader misses frames, as the test's bound says.
                Err(RecvError::Lagged(_) | RecvError::Closed) => Ok(Step::On),
            },
            read = session.read() => match read {
                Ok(frame) => session.handle(frame).await,
                Err(error) => Err(error),
            },
        };
        match step {
            Ok(Step::On) => {}
            Ok(Step::Closed) => {
                session.wire.finish().await;
                ticket.end(Outcome::Answered);
                return;
            }
            Ok(Step::Reset) => return session.wire.reset(),
            Err(_) => {
                ticket.vanished();
                ticket.end(Outcome::Vanished);
                return;
            }
        }
    }
}

/// The client's key; or `None`, and the refusal of the `ws` library was sent.
async fn accepted(wire: &mut Wire, head: &Head, ticket: &Ticket) -> Option<String> {
    let key = head.header("sec-websocket-key").filter(|key| key.len() == 24);
    let version = head.header("sec-websocket-version");
    let (status, reason, more, text) = if head.method() != "GET" {
        (405, "Method Not Allowed", "", "Invalid HTTP method")
    } else if !head.lists("upgrade", "websocket") {
        (400, "Bad Request", "", "Invalid Upgrade header")
    } else if key.is_none() {
        (400, "Bad Request", "", "Missing or invalid Sec-WebSocket-Key header")
    } else if version != Some("13") && version != Some("8") {
        let versions = "Sec-WebSocket-Version: 13, 8\r\n";
        (400, "Bad Request", versions, "Missing or invalid Sec-WebSocket-Version header")
    } else {
        return key.map(ToOwned::to_owned);
    };
    ticket.status(status);
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\n\
         Content-Length: {}\r\n{more}\r\n{text}",
        text.len()
    );
    // Whether it arrives or not, the connection ends here.
    let _ = wire.write(answer.as_bytes()).await;
    wire.finish().await;
    None
}

impl Session {
    /// The next frame, or the close code that the client deserves.
    ///
    /// # Cancel safety
    /// No byte is lost.
    async fn read(&mut self) -> io::Result<Result<Frame, u16>> {
        loop {
            match frame::take(&mut self.wire.buffer) {
                Ok(Some(frame)) => return Ok(Ok(frame)),
                Ok(None) => self.wire.fill().await?,
                Err(code) => return Ok(Err(code)),
            }
        }
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        if self.manners == Manners::Stalled {
            return Ok(());
        }
        self.wire.write(&frame::whole(opcode, payload)).await
    }

    async fn handle(&mut self, frame: Result<Frame, u16>) -> io::Result<Step> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(code) => return self.fail(code).await,
        };
        match (frame.opcode, self.message.take()) {
            (PING, message) => {
                self.message = message;
                self.send(PONG, &frame.payload).await?;
            }
            (PONG, message) => self.message = message,
            (CLOSE, _) => return self.close(&frame.payload).await,
            (CONTINUATION, None) => return self.fail(frame::PROTOCOL_ERROR).await,
            (CONTINUATION, Some((opcode, mut parts))) => {
                parts.extend_from_slice(&frame.payload);
                if frame::MESSAGE_BYTES_MAX < parts.len() as u64 {
                    return self.fail(frame::TOO_BIG).await;
                }
                if frame.fin {
                    return self.message(opcode, &parts).await;
                }
                self.message = Some((opcode, parts));
            }
            (_, Some(_)) => return self.fail(frame::PROTOCOL_ERROR).await,
            (opcode, None) if frame.fin => return self.message(opcode, &frame.payload).await,
            (opcode, None) => self.message = Some((opcode, frame.payload)),
        }
        Ok(Step::On)
    }

    async fn fail(&mut self, code: u16) -> io::Result<Step> {
        self.send(CLOSE, &code.to_be_bytes()).await?;
        Ok(Step::Closed)
    }

    async fn close(&mut self, payload: &[u8]) -> io::Result<Step> {
        if self.manners != Manners::Good {
            return Ok(Step::On);
        }
        let code = match payload {
            [] => None,
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            [_] => Some(0),
        };
        match code {
            None | Some(1000..=1003 | 1007..=1014 | 3000..=4999) => {
                self.send(CLOSE, payload).await?;
                Ok(Step::Closed)
            }
            Some(_) => self.fail(frame::PROTOCOL_ERROR).await,
        }
    }

    async fn message(&mut self, opcode: u8, payload: &[u8]) -> io::Result<Step> {
        if opcode != TEXT {
            return Ok(Step::On);
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return self.fail(frame::NOT_UTF8).await;
        };
        // NocoBase never answers the browser's `ping`, nor what is no JSON.
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Ok(Step::On) };
        let number = |name: &str| value[name].as_u64().unwrap_or(0);
        match value["type"].as_str().unwrap_or_default() {
            "auth:token" if value["payload"]["token"].as_str().is_some_and(answers::is_token) => {
                self.send(TEXT, br#"{"type":"authorized"}"#).await?;
            }
            "echo" => self.send(TEXT, payload).await?,
            "test:whoami" => {
                let answer = json!({ "type": "node", "node": self.node.options.id });
                self.send(TEXT, answer.to_string().as_bytes()).await?;
            }
            "test:big" => {
                let bytes = number("bytes").min(TEST_FRAME_BYTES_MAX);
                self.send(TEXT, &vec![b'x'; usize::try_from(bytes).unwrap_or(0)]).await?;
            }
            "test:fragments" => self.fragments(number("parts").min(TEST_FRAGMENTS_MAX)).await?,
            "test:stall" => {
                let bytes =
                    [number("promise"), number("send")].map(|n| n.min(TEST_FRAME_BYTES_MAX));
                let [promise, send] = bytes.map(|n| usize::try_from(n).unwrap_or(0));
                let mut frame = frame::head(TEXT, Fin::Last, promise);
                frame.resize(frame.len() + send.min(promise), b'x');
                self.wire.write(&frame).await?;
                self.manners = Manners::Stalled;
            }
            "test:close" => {
                let code = u16::try_from(number("code")).unwrap_or(1000);
                self.send(CLOSE, &code.to_be_bytes()).await?;
                return Ok(Step::Closed);
            }
            "test:cut" => return Ok(Step::Reset),
            "test:mute" => self.manners = Manners::Mute,
            _ => {}
        }
        Ok(Step::On)
    }

    /// One text message, `part 0;part 1;...`, with a Ping after each frame but the last.
    async fn fragments(&mut self, parts: u64) -> io::Result<()> {
        for part in 0..parts {
            let opcode = if part == 0 { TEXT } else { CONTINUATION };
            let last = part + 1 == parts;
            let payload = format!("part {part};");
            let fin = if last { Fin::Last } else { Fin::More };
            let mut bytes = frame::head(opcode, fin, payload.len());
            bytes.extend_from_slice(payload.as_bytes());
            if !last {
                bytes.extend_from_slice(&frame::whole(PING, b"between"));
            }
            self.wire.write(&bytes).await?;
        }
        Ok(())
    }
}
