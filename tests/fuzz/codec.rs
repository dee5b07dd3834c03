//! The codec as the tests drive it: every call of `drawspan::http1` stands here.

#![allow(
    dead_code,
    reason = "the fuzz targets and the differential tests use their own parts of it"
)]

use drawspan::http1::{self, BodyDecoder, BodyLength, Buffer, Decoded, Lines, Malformed};
use http::{HeaderMap, Method, Version};

use crate::strict::{Line, Request, Response};

/// How a stream of bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Between two messages.
    Clean,
    /// In the middle of one.
    Cut,
    /// The last message asked for the connection's end: what follows is not looked at.
    Closing,
    Refused(Malformed),
}

impl End {
    /// Is it as good an end as `other`? Which of two faults is found first depends on how the bytes
    /// come.
    pub fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Refused(_), Self::Refused(_)) => true,
            _ => self == other,
        }
    }
}

/// A message as it was taken, and as it is written for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<T> {
    pub message: T,
    pub written: Vec<u8>,
}

/// What a stream of bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<T> {
    pub messages: Vec<T>,
    pub end: End,
}

fn lines_of(lines: &Lines) -> Vec<Line> {
    lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn minor(version: Version) -> u8 {
    u8::from(version == Version::HTTP_11)
}

/// Bytes that come in pieces.
struct Source<'a> {
    buffer: Buffer,
    pieces: std::slice::Iter<'a, &'a [u8]>,
    /// Each step takes a byte, or asks for a piece, or ends: more steps are a hang.
    steps_left: usize,
}

impl<'a> Source<'a> {
    fn new(pieces: &'a [&'a [u8]]) -> Self {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let steps_left = 4 * (bytes + pieces.len()) + 16;
        Self { buffer: Buffer::default(), pieces: pieces.iter(), steps_left }
    }

    fn step(&mut self) {
        self.steps_left = self.steps_left.checked_sub(1).expect("a step that takes nothing");
    }

    /// The next piece, if there is one.
    fn fill(&mut self) -> bool {
        let piece = self.pieces.next();
        self.buffer.extend_from_slice(piece.copied().unwrap_or_default());
        piece.is_some()
    }

    /// The rest of the bytes.
    fn rest(mut self) -> Vec<u8> {
        while self.fill() {}
        self.buffer.to_vec()
    }
}

/// A body with its trailers, and its frames for the other side.
#[derive(Default)]
struct Body {
    data: Vec<u8>,
    trailers: HeaderMap,
    written: Buffer,
}

impl Body {
    fn take(source: &mut Source<'_>, length: BodyLength) -> Result<Self, End> {
        let (mut decoder, mut body) = (BodyDecoder::new(length), Self::default());
        loop {
            source.step();
            match decoder.decode(&mut source.buffer).map_err(End::Refused)? {
                Decoded::Data(data) => {
                    assert!(!data.is_empty(), "a piece of nothing");
                    body.data.extend_from_slice(&data);
                    if length == BodyLength::Chunked {
                        http1::put_chunk_size(&mut body.written, data.len());
                        body.written.extend_from_slice(&data);
                        body.written.extend_from_slice(b"\r\n");
                    } else {
                        body.written.extend_from_slice(&data);
                    }
                }
                Decoded::Trailers(trailers) => {
                    body.trailers = *trailers;
                    break;
                }
                Decoded::End => break,
                Decoded::More if source.fill() => {}
                Decoded::More => {
                    decoder.closed().map_err(|_| End::Cut)?;
                    break;
                }
            }
        }
        assert!(decoder.is_ended(), "an end that is none");
        if length == BodyLength::Chunked {
            http1::put_last_chunk(&mut body.written, &body.trailers);
        }
        Ok(body)
    }

    fn trailers(&self) -> Vec<Line> {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
        };
        self.trailers.iter().map(line).collect()
    }
}

/// The requests on a connection, as a client's bytes come.
pub fn requests(pieces: &[&[u8]]) -> Taken<Passed<Request>> {
    let mut source = Source::new(pieces);
    let mut messages = Vec::new();
    let end = loop {
        source.step();
        match next_request(&mut source) {
            Ok((request, keeps_alive)) => {
                messages.push(request);
                if !keeps_alive {
                    break End::Closing;
                }
            }
            Err(end) => break end,
        }
    };
    Taken { messages, end }
}

fn next_request(source: &mut Source<'_>) -> Result<(Passed<Request>, bool), End> {
    let head = loop {
        source.step();
        match http1::take_request_head(&mut source.buffer).map_err(End::Refused)? {
            Some(head) => break head,
            None if source.fill() => {}
            None if source.buffer.is_empty() => return Err(End::Clean),
            None => return Err(End::Cut),
        }
    };
    let length = http1::of_request(head.version, &head.headers).map_err(End::Refused)?;
    let body = Body::take(source, length)?;
    let mut written = Buffer::default();
    http1::put_request_head(&mut written, &head);
    written.extend_from_slice(&body.written);
    let message = Request {
        method: head.method.as_str().as_bytes().to_vec(),
        target: head.path().to_vec(),
        minor: minor(head.version),
        lines: lines_of(&head.headers),
        trailers: body.trailers(),
        body: body.data,
    };
    Ok((Passed { message, written: written.to_vec() }, head.keeps_alive()))
}

/// The answer to a request of `method`, with the informational ones before it, as a node's bytes
/// come until its connection ends.
pub fn responses(method: &Method, pieces: &[&[u8]]) -> Taken<Passed<Response>> {
    let mut source = Source::new(pieces);
    let mut messages = Vec::new();
    let end = loop {
        source.step();
        match next_response(method, &mut source) {
            Ok(answer) => {
                let status = answer.message.status;
                messages.push(answer);
                if !(100..200).contains(&status) || status == 101 {
                    break if source.rest().is_empty() { End::Clean } else { End::Closing };
                }
            }
            Err(end) => break end,
        }
    };
    Taken { messages, end }
}

fn next_response(method: &Method, source: &mut Source<'_>) -> Result<Passed<Response>, End> {
    let head = loop {
        source.step();
        match http1::take_response_head(&mut source.buffer).map_err(End::Refused)? {
            Some(head) => break head,
            None if source.fill() => {}
            None => return Err(End::Cut),
        }
    };
    let length = http1::of_response(method, &head).map_err(End::Refused)?;
    let body = Body::take(source, length)?;
    let mut written = Buffer::default();
    http1::put_status_line(&mut written, head.status);
    head.headers.put(&mut written);
    written.extend_from_slice(&body.written);
    let message = Response {
        status: head.status.as_u16(),
        minor: minor(head.version),
        lines: lines_of(&head.headers),
        trailers: body.trailers(),
        body: body.data,
    };
    Ok(Passed { message, written: written.to_vec() })
}

/// A body in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    pub data: Vec<u8>,
    pub trailers: Vec<Line>,
    pub written: Vec<u8>,
    /// Bytes behind it.
    pub rest: Vec<u8>,
}

pub fn chunked(pieces: &[&[u8]]) -> Result<Chunks, End> {
    let mut source = Source::new(pieces);
    let body = Body::take(&mut source, BodyLength::Chunked)?;
    let (trailers, rest) = (body.trailers(), source.rest());
    Ok(Chunks { data: body.data, trailers, written: body.written.to_vec(), rest })
}
