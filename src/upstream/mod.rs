//! One node's side of the data plane: connections, their pool, one exchange on one connection.
//!
//! Everything here belongs to one worker thread and is not `Send`.

mod connect;
mod connection;
mod exchange;
pub mod frames;
mod pool;
mod sending;
mod stream;
mod unsent;

pub use connect::{ConnectError, connect, tune};
pub use connection::NodeConnection;
pub use exchange::{Exchange, ExchangeError, Piece, SentInformational, Source, Written};
pub use pool::{Departure, Pool};
pub use stream::{Look, Stream, Waiting};
pub use unsent::Unsent;
