//! One node's side of the data plane: connections, their pool, one exchange on one connection.
//!
//! Everything here belongs to one worker thread and is not `Send`.

mod connect;
mod connection;
pub mod frames;
mod node_io;
mod pool;
mod stream;

pub use connect::{ConnectError, connect, tune};
pub use connection::{NodeConnection, ResponseStream, SendError, SentInformational};
pub use pool::{Departure, Pool};
pub use stream::{Stream, Waiting};
