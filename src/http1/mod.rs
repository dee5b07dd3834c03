//! HTTP/1.1 messages as bytes (RFC 9112), without I/O: bytes in, heads and pieces of bodies out.
//!
//! Strict: what two parsers could read as two different messages is [`Malformed`], and whoever
//! holds the connection closes it.

mod body;
mod buffer;
mod chunked;
mod connection;
mod framing;
mod head;
mod lanes;
mod lines;
mod names;
mod scan;
mod target;

pub use body::{BodyDecoder, CutShort, Decoded};
pub use buffer::{Buffer, Fits};
pub use chunked::{put_chunk_size, put_last_chunk};
pub use connection::ConnectionOptions;
pub use framing::{BodyLength, of_request, of_response};
pub use head::{
    RequestHead, ResponseHead, put_request_head, put_status_line, take_request_head,
    take_response_head,
};
pub use lines::{Lines, elements};
pub use names::{Kind, Name, Names, is};
pub use target::Target;

use crate::model::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Why bytes are no HTTP/1.1 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the head has more than {HEADERS_MAX} lines")]
    TooManyLines,
    /// RFC 9112 section 2.2 lets a recipient take it for a line's end; not all do.
    #[error("a line of the head ends without a carriage return")]
    BareLineFeed,
    #[error("the head is malformed: {0}")]
    Head(&'static str),
    #[error("ambiguous framing: {0}")]
    Framing(&'static str),
    #[error("the chunked body is malformed: {0}")]
    Chunk(&'static str),
}
