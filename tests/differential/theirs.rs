//! hyper's HTTP/1 connections over a stream in memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::outcome::{Message, Outcome, Verdict};
use crate::strict::{Line, Request, Response};

/// More than any stream here has.
const ROOM: usize = 256 * 1024;

fn lines_of(headers: &HeaderMap) -> Vec<Line> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    headers.iter().map(line).collect()
}

/// Did the bytes end too early, or are they wrong?
fn fault(error: &hyper::Error) -> Verdict {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(known) = cause {
        let early = known.downcast_ref::<io::Error>().map(io::Error::kind);
        if early == Some(io::ErrorKind::UnexpectedEof) {
            return Verdict::Cut;
        }
        cause = known.source();
    }
    match error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        true => Verdict::Cut,
        false => Verdict::Refused(format!("{error:?}")),
    }
}

async fn body(mut body: Incoming) -> Result<(Vec<u8>, Vec<Line>), hyper::Error> {
    let (mut data, mut trailers) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = lines_of(&frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((data, trailers))
}

/// Says `bytes`, then nothing more; reads whatever comes.
async fn peer(mut stream: DuplexStream, bytes: &[u8]) {
    // Whether or not the other side listens to the end.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// What hyper's server makes of a client's bytes.
pub async fn requests(bytes: &[u8]) -> Outcome {
    let (client, server) = duplex(ROOM);
    let seen = Rc::new(RefCell::new((Vec::new(), None)));
    let service = service_fn(|request: http::Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (head, incoming) = request.into_parts();
            let read = body(incoming).await;
            let (messages, broken) = &mut *seen.borrow_mut();
            match read {
                Ok((data, trailers)) => {
                    let alone = head.uri.authority().filter(|_| head.uri.scheme().is_none());
                    let path = head.uri.path_and_query().map_or("", |target| target.as_str());
                    let target = alone.map_or(path, |host| host.as_str());
                    messages.push(Message::request(&Request {
                        method: head.method.as_str().into(),
                        target: target.into(),
                        minor: u8::from(head.version == Version::HTTP_11),
                        lines: lines_of(&head.headers),
                        body: data,
                        trailers,
                    }));
                }
                Err(error) => *broken = Some(fault(&error)),
            }
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true);
    let serving = builder.serve_connection(TokioIo::new(server), service);
    let (served, ()) = tokio::join!(serving, peer(client, bytes));
    let (messages, broken) = seen.take();
    let verdict = match (broken, served) {
        (Some(broken), _) => broken,
        (None, Ok(())) => Verdict::Taken,
        (None, Err(error)) => fault(&error),
    };
    Outcome { messages, verdict }
}

/// What hyper's client makes of a node's bytes.
pub async fn response(method: &Method, bytes: &[u8]) -> Outcome {
    let (client, server) = duplex(ROOM);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(client)).await;
    let (mut sender, connection) = handshake.expect("nothing is sent yet");
    let asking = async move {
        let request = http::Request::builder().method(method).uri("/").header("host", "a");
        let request = request.body(Empty::<Bytes>::new()).expect("well formed");
        let (head, incoming) = sender.send_request(request).await?.into_parts();
        let (data, trailers) = body(incoming).await?;
        Ok(Message::response(&Response {
            status: head.status.as_u16(),
            minor: u8::from(head.version == Version::HTTP_11),
            lines: lines_of(&head.headers),
            body: data,
            trailers,
        }))
    };
    let answering = async {
        let mut server = server;
        // An answer before its question would be one to nobody.
        let _ = server.read(&mut [0; 1024]).await;
        peer(server, bytes).await;
    };
    let (answer, _, ()) = tokio::join!(asking, connection.with_upgrades(), answering);
    match answer {
        Ok(message) => Outcome { messages: vec![message], verdict: Verdict::Taken },
        Err(error) => Outcome { messages: Vec::new(), verdict: fault(&error) },
    }
}
