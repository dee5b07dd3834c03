//! One response on its way to a client: framed by what the client understands, written as its
//! socket takes it.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, Method, StatusCode, Version};

use crate::http1::{self, Buffer, Lines, Name, RequestHead};
use crate::proxy::{Client, Ending, Forward, Response, ResponseBody, Worker};
use crate::upstream::{Piece, Unsent};

/// What of a request decides how its answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    version: Version,
    body: BodyWanted,
    trailers: Trailers,
    /// What the client wishes.
    pub after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyWanted {
    Yes,
    /// HEAD: the head alone, as if the body followed.
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailers {
    Understood,
    Dropped,
}

/// What becomes of the connection behind the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Close,
    /// Another protocol begins.
    Tunnel,
}

impl Asking {
    pub fn of(head: &RequestHead) -> Self {
        Self {
            version: head.version,
            body: if head.method == Method::HEAD { BodyWanted::No } else { BodyWanted::Yes },
            trailers: match head.takes_trailers() {
                true => Trailers::Understood,
                false => Trailers::Dropped,
            },
            after: if head.keeps_alive() { After::Keep } else { After::Close },
        }
    }

    /// The same, with another end.
    pub fn ending(self, after: After) -> Self {
        Self { after, ..self }
    }

    /// Of bytes that `client` sent and that are no request.
    pub fn unread(client: &Client) -> Self {
        let body = match client.inbound.begins_with_head() {
            // Whoever sent that takes what follows the head for another answer.
            true => BodyWanted::No,
            false => BodyWanted::Yes,
        };
        Self { version: Version::HTTP_11, body, trailers: Trailers::Dropped, after: After::Close }
    }
}

/// An answer broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client takes no more.
    Client,
    /// Its source ended early: what was sent must not look whole.
    Source,
}

/// A response being written.
#[derive(Debug)]
pub(super) struct Answering<'a> {
    /// Whose body it is. Our own words are put behind their head at once.
    node: Option<&'a mut Forward>,
    framing: Framing,
    trailers: Trailers,
    unsent: Unsent,
    broke_off: bool,
    pub after: After,
}

/// How the client finds the body's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// By the length in the head.
    Sized,
    Chunked,
    UntilClose,
    /// All of it is framed.
    Ended,
}

impl<'a> Answering<'a> {
    /// Prepares `response` for whoever asked. Writes nothing.
    pub fn new(response: Response<'a>, asking: Asking) -> Self {
        let Response { status, mut headers, body } = response;
        let framing = framing(status, &mut headers, &body, asking);
        let after = match framing {
            Framing::UntilClose => After::Close,
            Framing::Sized | Framing::Chunked | Framing::Ended if headers.connection().close() => {
                After::Close
            }
            Framing::Sized | Framing::Chunked | Framing::Ended => asking.after,
        };
        tell(&mut headers, asking.version, after);
        let mut head = Buffer::default();
        http1::put_status_line(&mut head, status);
        headers.put(&mut head);
        let mut unsent = Unsent::new(head);
        let (node, framing) = match body {
            ResponseBody::Node(forward) => (Some(forward), framing),
            ResponseBody::Own(words) => {
                if framing != Framing::Ended {
                    unsent.put_own(words);
                }
                (None, Framing::Ended)
            }
        };
        Self { node, framing, trailers: asking.trailers, unsent, broke_off: false, after }
    }

    /// Writes what there is. `Ready` when all of it is written.
    ///
    /// # Errors
    /// [`Broken`]: the connection must close.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &Client,
        worker: &Worker,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let wants_body = self.framing != Framing::Ended && self.unsent.has_room();
            let waits = wants_body && self.poll_body(cx).is_pending();
            if self.unsent.is_empty() {
                match self.framing {
                    Framing::Ended if self.broke_off => {
                        return Poll::Ready(Err(Broken::Source));
                    }
                    Framing::Ended => return Poll::Ready(Ok(())),
                    _ if waits => return Poll::Pending,
                    _ => continue,
                }
            }
            let polled = self.unsent.poll_write(cx, &client.stream);
            match polled.is_pending() {
                true => {
                    client.write_blocked(worker.now_ms());
                    if let Some(node) = &mut self.node {
                        node.go_on_uploading(cx);
                    }
                }
                false => client.write_moved(worker.now_ms()),
            }
            if ready!(polled).is_err() {
                return Poll::Ready(Err(Broken::Client));
            }
        }
    }

    /// Takes the next piece of the body, if there is one, and frames it. Where there is none any
    /// more, what came before still goes: a client that gets no byte at all takes its connection
    /// for one that was closed before its request, and may send that again.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(node) = &mut self.node else {
            self.framing = Framing::Ended;
            return Poll::Ready(());
        };
        match ready!(node.poll_piece(cx)) {
            Ok(Piece::Data(data)) => self.frame(data),
            Ok(Piece::Trailers(trailers)) => self.end(&trailers),
            Ok(Piece::End) => self.end(&HeaderMap::new()),
            Err(error) => {
                tracing::debug!(%error, "an answer broke off");
                self.broke_off = true;
                self.framing = Framing::Ended;
            }
        }
        Poll::Ready(())
    }

    fn frame(&mut self, data: Buffer) {
        let ended = self.node.as_ref().is_none_or(|node| node.is_ended());
        match self.framing {
            Framing::Chunked if ended => self.unsent.put_final_chunk(data),
            Framing::Chunked => self.unsent.put_chunk(data),
            Framing::Sized | Framing::UntilClose | Framing::Ended => self.unsent.put(data),
        }
        if ended {
            self.framing = Framing::Ended;
        }
    }

    fn end(&mut self, trailers: &HeaderMap) {
        match (self.framing, self.trailers) {
            (Framing::Chunked, Trailers::Understood) => self.unsent.put_last_chunk(trailers),
            (Framing::Chunked, Trailers::Dropped) => self.unsent.put_last_chunk(&HeaderMap::new()),
            (Framing::Sized | Framing::UntilClose | Framing::Ended, _) => {}
        }
        self.framing = Framing::Ended;
    }

    /// What an end of the connection means while this is written.
    pub fn ending(&self) -> Ending {
        match self.framing {
            Framing::UntilClose => Ending::LooksWhole,
            Framing::Sized | Framing::Chunked | Framing::Ended => Ending::Plain,
        }
    }
}

/// Decides how the body's end is found, and says so in the head.
fn framing(
    status: StatusCode,
    headers: &mut Lines,
    body: &ResponseBody<'_>,
    asking: Asking,
) -> Framing {
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        if status != StatusCode::NOT_MODIFIED {
            // RFC 9110 section 8.6 has no length there, whatever a node says.
            headers.remove(Name::ContentLength);
        }
        return Framing::Ended;
    }
    match (asking.body, body.left()) {
        (BodyWanted::No, _) => Framing::Ended,
        (BodyWanted::Yes, Some(0)) => Framing::Ended,
        (BodyWanted::Yes, Some(_)) => Framing::Sized,
        (BodyWanted::Yes, None) if asking.version == Version::HTTP_11 => {
            headers.set(Name::TransferEncoding, b"chunked");
            Framing::Chunked
        }
        (BodyWanted::Yes, None) => Framing::UntilClose,
    }
}

/// Tells the client what becomes of the connection, where it would expect otherwise.
fn tell(headers: &mut Lines, version: Version, after: After) {
    match after {
        After::Close => headers.set(Name::Connection, b"close"),
        After::Keep if version == Version::HTTP_10 => {
            headers.set(Name::Connection, b"keep-alive");
        }
        After::Keep | After::Tunnel => {}
    }
}
