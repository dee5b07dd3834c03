//! Opening a connection to a node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream};

use super::Stream;
use crate::model::limits::{TCP_KEEPALIVE, TCP_KEEPALIVE_INTERVAL, TCP_USER_TIMEOUT};

/// Why no connection came about. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the node's name does not resolve")]
    NoAddress,
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    #[error("connection failed")]
    Failed(#[source] io::Error),
}

/// Connects to the first of `addresses` that answers; each may take `limit`.
///
/// # Errors
/// The failure of the last address tried.
///
/// # Cancel safety
/// Dropping the future closes what was opened.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<Stream, ConnectError> {
    let mut last = ConnectError::NoAddress;
    for address in addresses {
        match tokio::time::timeout(limit, open(*address)).await {
            Ok(Ok(stream)) => return Ok(Stream::new(stream)),
            Ok(Err(error)) => last = ConnectError::Failed(error),
            Err(_) => last = ConnectError::TimedOut(limit),
        }
    }
    Err(last)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    tune(&SockRef::from(&socket))?;
    TcpSocket::from_std_stream(socket.into()).connect(address).await
}

/// What every TCP connection of the gateway has, on either side.
pub fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
}
