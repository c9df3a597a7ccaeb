//! The handshake: ten bytes each way, the client first, in every version of the protocols.
//!
//! `"CHNY" | u8 protocol | u8 verdict | u16 version | u16 in flight`, big endian. The client's
//! verdict is 0; the server's says whether it serves this client, and why not.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes of a hello.
pub const LENGTH: usize = 10;
const MAGIC: [u8; 4] = *b"CHNY";

/// What the server makes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Welcome,
    /// Its user id is not among the allowed ones.
    WrongUser,
    /// It speaks another protocol or version.
    WrongVersion,
    /// There are too many connections.
    Full,
    /// The server is shutting down.
    Stopping,
}

impl Verdict {
    fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            0 => Self::Welcome,
            1 => Self::WrongUser,
            2 => Self::WrongVersion,
            3 => Self::Full,
            4 => Self::Stopping,
            _ => return None,
        })
    }
}

/// One side's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`super::Exchange::TAG`].
    pub protocol: u8,
    /// What the server makes of the client.
    pub verdict: Verdict,
    /// [`super::Exchange::VERSION`].
    pub version: u16,
    /// How many requests the sender takes at once; 0 from a client.
    pub in_flight: u16,
}

impl Hello {
    /// The ten bytes.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let [m0, m1, m2, m3] = MAGIC;
        let [v0, v1] = self.version.to_be_bytes();
        let [f0, f1] = self.in_flight.to_be_bytes();
        [m0, m1, m2, m3, self.protocol, self.verdict as u8, v0, v1, f0, f1]
    }

    /// Reads ten bytes; `None` where they are no hello at all.
    pub fn from_bytes(bytes: [u8; LENGTH]) -> Option<Self> {
        let [m0, m1, m2, m3, protocol, verdict, v0, v1, f0, f1] = bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return None;
        }
        Some(Self {
            protocol,
            verdict: Verdict::from_octet(verdict)?,
            version: u16::from_be_bytes([v0, v1]),
            in_flight: u16::from_be_bytes([f0, f1]),
        })
    }
}

/// Sends a hello.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), hello: Hello) -> io::Result<()> {
    stream.write_all(&hello.to_bytes()).await
}

/// Receives a hello within `patience`; `Ok(None)` where the bytes are none.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> io::Result<Option<Hello>> {
    let mut bytes = [0; LENGTH];
    timeout(patience, stream.read_exact(&mut bytes)).await??;
    Ok(Hello::from_bytes(bytes))
}

/// Why there is no connection to the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The socket cannot be reached.
    #[error("cannot connect to the socket {path}: {cause}; is `chancery signer` running?", path = .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        cause: String,
    },
    /// The peer is no chancery server, or left during the handshake.
    #[error("the peer at {path} does not answer the {protocol} handshake: {cause}", path = .path.display())]
    NoHandshake {
        /// The socket.
        path: PathBuf,
        /// The protocol's name.
        protocol: &'static str,
        /// What happened instead.
        cause: String,
    },
    /// There was a connection and it broke.
    #[error("the connection to {path} was lost: {cause}", path = .path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
    /// Version or protocol differ.
    #[error(
        "the peer at {path} speaks protocol {their_protocol} version {theirs}, this program speaks \
         {protocol} ({our_protocol}) version {ours}; run the same release of chancery on both sides, \
         and check that the path is the {protocol} socket", path = .path.display()
    )]
    WrongVersion {
        /// The socket.
        path: PathBuf,
        /// The protocol's name.
        protocol: &'static str,
        /// The protocol's number.
        our_protocol: u8,
        /// The peer's protocol number.
        their_protocol: u8,
        /// Our version.
        ours: u16,
        /// The peer's.
        theirs: u16,
    },
    /// Our user is not allowed.
    #[error(
        "the signer at {path} does not serve this user; run the command as the user that the \
         signer's configuration allows", path = .path.display()
    )]
    WrongUser {
        /// The socket.
        path: PathBuf,
    },
    /// Too many connections.
    #[error("the signer at {path} has too many connections; try again", path = .path.display())]
    Full {
        /// The socket.
        path: PathBuf,
    },
    /// The server is shutting down.
    #[error("the signer at {path} is shutting down; try again", path = .path.display())]
    Stopping {
        /// The socket.
        path: PathBuf,
    },
}

impl ConnectError {
    /// Whether a person must act before another attempt can succeed.
    pub fn needs_operator(&self) -> bool {
        matches!(self, Self::WrongVersion { .. } | Self::WrongUser { .. })
    }
}
