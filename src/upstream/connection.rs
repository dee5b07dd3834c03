//! One HTTP/1.1 connection to a node, and one exchange on it at a time.
//!
//! hyper's connection future is polled by the request that uses it, not by a task of its own: so
//! the request owns its connection, dropping the request closes it, and no wake-up crosses tasks.
//! While a connection is idle nobody polls it; it is checked when it is taken again.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::node_io::NodeIo;
use super::{Stream, Waiting};
use crate::model::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an exchange brought no response head.
#[derive(Debug, thiserror::Error)]
pub enum SendError<B> {
    /// No byte of the request was written; here it is again.
    #[error("the connection was gone before the request was written")]
    Unwritten { request: Box<Request<B>>, source: hyper::Error },
    /// Some of it was: the node may be working on it.
    #[error("the exchange failed after the request was written")]
    Written { source: hyper::Error },
}

/// An informational (1xx) head that came before the response.
pub type SentInformational = (StatusCode, HeaderMap);

thread_local! {
    /// hyper hands 1xx heads to a callback that must be `Send`; ours is called while we poll the
    /// connection on this very thread, and leaves them here for the exchange being polled.
    static INFORMATIONAL: RefCell<Vec<SentInformational>> = const { RefCell::new(Vec::new()) };
}

/// An open connection to a node.
#[derive(Debug)]
pub struct NodeConnection<B: Body + 'static> {
    stream: Stream,
    sender: http1::SendRequest<B>,
    driver: http1::Connection<TokioIo<NodeIo>, B>,
    finished: bool,
    /// The node's address epoch when this was opened.
    pub epoch: u32,
}

impl<B> NodeConnection<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Prepares a fresh connection for its first exchange. Sends nothing.
    ///
    /// # Errors
    /// hyper's, where it refuses the connection (it has no reason to).
    pub async fn new(stream: Stream, epoch: u32) -> Result<Box<Self>, hyper::Error> {
        let (sender, driver) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(NodeIo(stream.clone())))
            .await?;
        // hyper's state is large, and a connection goes through many hands.
        Ok(Box::new(Self { stream, sender, driver, finished: false, epoch }))
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// May another request be sent on it? Looks at the socket itself.
    pub fn is_reusable(&self) -> bool {
        !self.finished && self.sender.is_ready() && self.stream.waiting() == Waiting::Nothing
    }

    /// Sends one request and waits for its response head; `informational` gets the 1xx before it.
    /// The first poll writes: the caller's decision to send and the write have no await between.
    ///
    /// # Errors
    /// [`SendError`] tells whether anything was written.
    ///
    /// # Cancel safety
    /// Not: a dropped exchange leaves the connection unusable; drop it too.
    pub fn send(
        &mut self,
        mut request: Request<B>,
        mut informational: impl FnMut(SentInformational),
    ) -> impl Future<Output = Result<Response<Incoming>, SendError<B>>> {
        hyper::ext::on_informational(&mut request, |head| {
            let head = (head.status(), head.headers().clone());
            INFORMATIONAL.with_borrow_mut(|waiting| waiting.push(head));
        });
        // A request is large: handing it over here, outside the future, saves moving it twice.
        let response = self.sender.try_send_request(request);
        let (driver, finished) = (&mut self.driver, &mut self.finished);
        async move {
            let mut response = pin!(response);
            let sent = poll_fn(|cx| {
                drive(driver, finished, cx);
                INFORMATIONAL.take().into_iter().for_each(&mut informational);
                response.as_mut().poll(&mut unwoken())
            });
            sent.await.map_err(|mut error| match error.take_message() {
                Some(request) => {
                    SendError::Unwritten { request: Box::new(request), source: error.into_error() }
                }
                None => SendError::Written { source: error.into_error() },
            })
        }
    }

    /// After a 101: the bare stream, and the bytes that the node sent behind its head.
    ///
    /// # Errors
    /// Where the connection ended in between.
    pub async fn into_upgraded(mut self) -> Result<(Stream, Bytes), hyper::Error> {
        if !self.finished {
            poll_fn(|cx| self.driver.poll_without_shutdown(cx)).await?;
        }
        let parts = self.driver.into_parts();
        Ok((parts.io.into_inner().0, parts.read_buf))
    }
}

/// For what moves only when we drive the connection, and is looked at right after: woken by it,
/// the task would be run once more per request, to find nothing.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Lets hyper read and write. Its errors reach us through the response or the body.
fn drive<B>(
    driver: &mut http1::Connection<TokioIo<NodeIo>, B>,
    finished: &mut bool,
    cx: &mut Context<'_>,
) where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if !*finished {
        *finished = driver.poll_without_shutdown(cx).is_ready();
    }
}

/// A response body with the connection that brings it.
#[derive(Debug)]
pub struct ResponseStream<B: Body + 'static> {
    incoming: Incoming,
    connection: Box<NodeConnection<B>>,
    ended: bool,
}

impl<B> ResponseStream<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub fn new(incoming: Incoming, connection: Box<NodeConnection<B>>) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, connection, ended }
    }

    pub fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.size_hint()
    }

    /// Has all of the body been handed out?
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// The next piece of the body; `None` after a whole body only.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // First what hyper has ready; this also tells it that more is wanted.
        let mut polled = Pin::new(&mut self.incoming).poll_frame(&mut unwoken());
        if polled.is_pending() {
            drive(&mut self.connection.driver, &mut self.connection.finished, cx);
            polled = Pin::new(&mut self.incoming).poll_frame(&mut unwoken());
        }
        if matches!(polled, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.ended = true;
        }
        polled
    }

    /// The connection, for the pool, where the whole exchange is over and another may follow.
    pub fn into_idle(mut self) -> Option<Box<NodeConnection<B>>> {
        if !self.ended {
            return None;
        }
        // hyper settles the end of the exchange when it is polled once more. Whatever wakes this
        // context later finds nothing to do.
        drive(&mut self.connection.driver, &mut self.connection.finished, &mut unwoken());
        (!self.connection.finished && self.connection.sender.is_ready()).then_some(self.connection)
    }
}
