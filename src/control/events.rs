//! `/v1/events`: what happens, one JSON document a line, for readers as slow as they like.
//!
//! A slow reader costs a few lines of memory here; what it misses is counted and told to it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Body;
use super::seats::Busy;
use super::wire::EventDoc;
use crate::engine::Event;
use crate::model::limits::CONTROL_EVENT_LINES;

/// Starts a stream: the kept events, then live ones until the reader leaves, the engine ends or
/// `stop` is cancelled. The body holds the reader's seat.
pub fn stream(
    tasks: &TaskTracker,
    (kept, live): (Vec<Event>, broadcast::Receiver<Event>),
    stop: CancellationToken,
    listening: Busy,
) -> Body {
    let (lines, body) = mpsc::channel(CONTROL_EVENT_LINES);
    tasks.spawn(async move {
        // An error means that the reader left, which ends the stream as it should.
        let _ = feed(lines, kept, live, stop).await;
    });
    Lines { body, _listening: listening }.boxed_unsync()
}

async fn feed(
    lines: mpsc::Sender<Bytes>,
    kept: Vec<Event>,
    mut live: broadcast::Receiver<Event>,
    stop: CancellationToken,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    for event in &kept {
        lines.send(line(&event.into())).await?;
    }
    loop {
        let doc = tokio::select! {
            biased;
            () = lines.closed() => return Ok(()),
            received = live.recv() => match received {
                Ok(event) => EventDoc::from(&event),
                Err(RecvError::Lagged(missed)) => EventDoc::lagged(missed),
                Err(RecvError::Closed) => return Ok(()),
            },
            // Last, so that what happened before the stop is still told.
            () = stop.cancelled() => return Ok(()),
        };
        lines.send(line(&doc)).await?;
    }
}

fn line(doc: &EventDoc) -> Bytes {
    let mut bytes = serde_json::to_vec(doc)
        .expect("the wire's documents hold only strings, numbers and lists under string keys");
    bytes.push(b'\n');
    bytes.into()
}

/// The lines as a body.
struct Lines {
    body: mpsc::Receiver<Bytes>,
    _listening: Busy,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.body.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
