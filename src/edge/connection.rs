//! One client connection: hyper's HTTP/1.1 server on it, then its tunnel, or its end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::accept::Slot;
use crate::model::limits::{HEAD_BYTES_MAX, HEADERS_MAX, LINGER_BYTES_MAX, LINGER_TIME};
use crate::proxy::{self, Client, ClientPhase, Peer, ResponseBody, Served, Worker};
use crate::upstream::Stream;

/// Serves a connection to its end. `_slot` is its place under the cap.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, _slot: Slot) {
    let peer = match worker.settings.trusts(address.ip()) {
        true => Peer::Trusted,
        false => Peer::Untrusted,
    };
    let stream = Stream::new(stream);
    let client = Client::new(address, peer, stream.clone(), worker.now_ms());
    let key = worker.add_client(client.clone());
    let registered = Registered { worker: worker.clone(), key };
    let session = Rc::new(Session { worker, client: client.clone() });
    if let Some(early) = serve_requests(&session).await {
        match client.take_tunnel() {
            Some(tunnel) => {
                client.enter(ClientPhase::Tunnel, session.worker.now_ms());
                tunnel.run(stream, early).await;
            }
            None => linger(stream).await,
        }
    }
    drop(registered);
}

/// Takes the connection out of the worker's list, however its task ends.
struct Registered {
    worker: Rc<Worker>,
    key: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.remove_client(self.key);
        self.worker.metrics.client_closed();
    }
}

/// Runs hyper until the connection is over, or was upgraded: then the bytes it had read ahead.
async fn serve_requests(session: &Rc<Session>) -> Option<bytes::Bytes> {
    let io = ClientIo { stream: session.client.stream.clone(), session: session.clone() };
    let mut connection = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(io), Serve(session.clone()));
    let mut told_to_stop = false;
    let served = poll_fn(|cx| {
        session.client.register(cx);
        let busy = session.client.phase() == ClientPhase::Busy;
        let stops = session.worker.is_stopping() && busy || session.worker.is_closing_idle();
        if stops && !told_to_stop {
            told_to_stop = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx)
    });
    match served.await {
        Ok(()) => Some(connection.into_parts().read_buf),
        Err(error) => {
            tracing::debug!(%error, client = %session.client.address, "a connection ended early");
            Some(connection.into_parts().read_buf)
        }
    }
}

/// Reads what the client still sends after our last answer: closing at once would reset the
/// connection, and the reset could reach the client before the answer does.
async fn linger(mut stream: Stream) {
    let drain = async {
        // Where hyper broke off an answer it did not say so; the client must not wait for more.
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut scratch = [0; 2048];
        let mut drained = 0;
        while drained < LINGER_BYTES_MAX {
            match stream.read(&mut scratch).await {
                Ok(0) | Err(_) => break,
                Ok(count) => drained += count,
            }
        }
    };
    // Whoever has not finished by then is not waited for.
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}

/// What the connection's I/O and its requests share.
struct Session {
    worker: Rc<Worker>,
    client: Rc<Client>,
}

struct Serve(Rc<Session>);

impl Service<Request<Incoming>> for Serve {
    type Response = Response<ResponseBody>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let served = proxy::serve(&self.0.worker, &self.0.client, request);
        Answering { served, session: self.0.clone() }
    }
}

/// A request being answered; the last one on its connection where the gateway is stopping.
struct Answering {
    served: Served,
    session: Rc<Session>,
}

impl Future for Answering {
    type Output = Result<Response<ResponseBody>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.served).poll(cx);
        polled.map_ok(|mut response| {
            let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if self.session.worker.is_stopping() && !upgraded {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        })
    }
}

/// The client's socket, noting when it last moved.
struct ClientIo {
    stream: Stream,
    session: Rc<Session>,
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if polled.is_ready() && !buffer.filled().is_empty() {
            self.session.client.bytes_read(self.session.worker.now_ms());
        }
        polled
    }
}

impl ClientIo {
    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        let (client, now_ms) = (&self.session.client, self.session.worker.now_ms());
        match polled.is_pending() {
            true => client.write_blocked(now_ms),
            false => client.write_moved(now_ms),
        }
        polled
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
