//! A TCP port for a server that has to know it before it starts.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::error::{Error, Result};

/// A port of the loopback interface that the kernel chose and gives to nobody else while this lives.
/// A server that sets SO_REUSEADDR, as those of Rust and Go do, binds it all the same, because nothing
/// listens on the socket that keeps it (socket(7)).
#[derive(Debug)]
pub struct Port {
    number: u16,
    _kept: OwnedFd,
}

impl Port {
    /// Takes a port.
    pub fn take() -> Result<Self> {
        Self::bound().map_err(|e| Error::new(format!("no TCP port on the loopback interface: {e}")))
    }

    fn bound() -> std::io::Result<Self> {
        let socket = net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            Some(net::ipproto::TCP),
        )?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        // The name of a socket that does not listen is asked as a listener's is.
        let kept = TcpListener::from(socket);
        Ok(Self { number: kept.local_addr()?.port(), _kept: kept.into() })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_binds_the_port_and_binds_it_again_after_a_restart() {
        let port = Port::take().unwrap();
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        assert_eq!(server.local_addr().unwrap().port(), port.number());
        drop(server);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
    }
}
