//! Listening sockets: bound here, or handed over.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel holds ready for us.
const BACKLOG: u32 = 1024;

/// A listening socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address}: {cause}; choose another address or port, stop the process that \
         uses it, or grant the right to bind a port below 1024 (CAP_NET_BIND_SERVICE)"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        cause: io::Error,
    },
    /// A socket that was handed over is of no use.
    #[error("a socket that was handed over cannot be used: {0}; check the socket unit")]
    HandedOver(io::Error),
}

/// Listens on `addresses`, all or none; port 0 lets the system choose one.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let one = |&address: &SocketAddr| {
        listen(address).map_err(|cause| BindError::Address { address, cause })
    };
    addresses.iter().map(one).collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for old connections to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes over sockets that listen already: from systemd, or from a test.
pub fn adopt(sockets: Vec<std::net::TcpListener>) -> Result<Vec<TcpListener>, BindError> {
    let one = |socket: std::net::TcpListener| {
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    };
    sockets.into_iter().map(one).collect::<io::Result<_>>().map_err(BindError::HandedOver)
}
