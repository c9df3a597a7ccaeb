//! The listening side: who may connect, how many, and the end of service.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::{self, BoxFuture, Peer};
use super::exchange::Exchange;
use super::hello::{self, Hello, Verdict};

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once.
    pub connections: u16,
    /// Requests at once in one connection; further ones are refused as overload. At least 1.
    pub in_flight: u16,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a peer may be silent; clients send a ping well before.
    pub idle: Duration,
    /// How long a peer may take to finish a frame, or to take its answers.
    pub stall: Duration,
    /// How long the end of service waits for requests in flight.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            in_flight: 1024,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(10),
            drain: Duration::from_secs(60),
        }
    }
}

/// Why a server ended otherwise than by its shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket failed.
    #[error("the {protocol} socket cannot accept connections: {cause}; restart the service")]
    Accept {
        /// The protocol's name.
        protocol: &'static str,
        /// The system's reason.
        cause: io::Error,
    },
    /// Requests were still in flight at the end of the patience.
    #[error(
        "{connections} connections of the {protocol} socket did not end in time; they were cut"
    )]
    Undrained {
        /// The protocol's name.
        protocol: &'static str,
        /// Connections that were cut.
        connections: usize,
    },
}

/// Serves `listener` until `shutdown` ends: each request of a user whose uid is `allowed` when it
/// connects goes to `handler`.
///
/// At the end nothing new is started; what is in flight is finished and answered, for
/// [`ServerLimits::drain`] at the most. A handler outlives a peer that leaves, and a panic in it
/// costs its own request alone.
pub async fn serve<R, H>(
    listener: UnixListener,
    allowed: impl Fn(u32) -> bool,
    limits: ServerLimits,
    handler: Arc<H>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    R: Exchange,
    H: Fn(Peer, R) -> BoxFuture<R::Answer> + Send + Sync + 'static,
{
    let limits = ServerLimits { in_flight: limits.in_flight.max(1), ..limits };
    let (stop, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(usize::from(limits.connections)));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    let result = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let place = Arc::clone(&places).try_acquire_owned().ok();
                    let (peer, verdict) = judge(&stream, &allowed, place.is_some());
                    let (handler, stopped) = (Arc::clone(&handler), stopped.clone());
                    connections.spawn(async move {
                        converse::<R, H>(stream, peer, verdict, limits, handler, stopped).await;
                        drop(place);
                    });
                }
                Err(e) if is_temporary(&e) => sleep(Duration::from_millis(100)).await,
                Err(cause) => break Err(ServeError::Accept { protocol: R::NAME, cause }),
            },
        }
    };
    drop(listener);
    stop.send_replace(true);
    let drained = timeout(limits.drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() && result.is_ok() {
        let connections = connections.len();
        return Err(ServeError::Undrained { protocol: R::NAME, connections });
    }
    result
}

/// Running out of descriptors or memory passes; a connection that died in the queue is nothing.
fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, OutOfMemory, WouldBlock};
    let exhausted = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS];
    matches!(error.kind(), ConnectionAborted | Interrupted | OutOfMemory | WouldBlock)
        || exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn judge(
    stream: &UnixStream,
    allowed: &impl Fn(u32) -> bool,
    place: bool,
) -> (Option<Peer>, Verdict) {
    let Ok(credentials) = stream.peer_cred() else {
        return (None, Verdict::WrongUser);
    };
    let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
    let verdict = match (allowed(peer.uid), place) {
        (false, _) => Verdict::WrongUser,
        (true, false) => Verdict::Full,
        (true, true) => Verdict::Welcome,
    };
    (Some(peer), verdict)
}

/// The handshake, and the connection where it succeeds.
async fn converse<R, H>(
    mut stream: UnixStream,
    peer: Option<Peer>,
    mut verdict: Verdict,
    limits: ServerLimits,
    handler: Arc<H>,
    stopped: watch::Receiver<bool>,
) where
    R: Exchange,
    H: Fn(Peer, R) -> BoxFuture<R::Answer> + Send + Sync + 'static,
{
    let who = peer.map_or_else(|| "unknown".to_owned(), |p| format!("uid {}", p.uid));
    let theirs = match hello::receive(&mut stream, limits.handshake).await {
        Ok(theirs) => theirs,
        Err(e) => {
            log::debug!("{} socket: no handshake from {who}: {e}", R::NAME);
            return;
        }
    };
    let fits = theirs.is_some_and(|h| (h.protocol, h.version) == (R::TAG, R::VERSION));
    if verdict == Verdict::Welcome {
        if *stopped.borrow() {
            verdict = Verdict::Stopping;
        } else if !fits {
            verdict = Verdict::WrongVersion;
        }
    }
    let ours =
        Hello { protocol: R::TAG, verdict, version: R::VERSION, in_flight: limits.in_flight };
    let sent = timeout(limits.handshake, hello::send(&mut stream, ours)).await;
    let (Verdict::Welcome, Ok(Ok(())), Some(peer)) = (verdict, sent, peer) else {
        log::warn!("{} socket: refused a connection of {who}: {verdict:?}", R::NAME);
        return;
    };
    if let Err(e) = connection::run(stream, peer, limits, handler, stopped).await {
        log::warn!("{} socket: closed a connection of {who}: {e}", R::NAME);
    }
}
