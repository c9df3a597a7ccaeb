//! The calling side: a connection that is kept up in the background.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::exchange::Exchange;
use super::hello::{self, ConnectError, Hello, Verdict};
use super::link::{self, CallError, Link};

/// The bounds of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Calls at once; the server's bound holds where it is lower.
    pub in_flight: u16,
    /// How long connecting and the handshake may take.
    pub handshake: Duration,
    /// How long an answer may take.
    pub call: Duration,
    /// How long the server may take to finish a frame, or to take a request.
    pub stall: Duration,
    /// How often to ask whether the server is still there.
    pub keepalive: Duration,
    /// How long to wait before the first new attempt to connect; doubles with every failure.
    pub first_retry: Duration,
    /// The longest wait between attempts.
    pub longest_retry: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            in_flight: 1024,
            handshake: Duration::from_secs(5),
            call: Duration::from_secs(60),
            stall: Duration::from_secs(10),
            keepalive: Duration::from_secs(10),
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(2),
        }
    }
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// The first attempt is under way.
    Connecting,
    /// Connected for the `generation`th time.
    Up {
        /// Counts from 1.
        generation: u64,
    },
    /// Not connected; the last reason.
    Down(ConnectError),
}

#[derive(Clone, Debug)]
enum State {
    Connecting,
    Up(Arc<Link>, u64),
    Down(ConnectError),
}

impl From<&State> for LinkStatus {
    fn from(state: &State) -> Self {
        match state {
            State::Connecting => Self::Connecting,
            State::Up(_, generation) => Self::Up { generation: *generation },
            State::Down(why) => Self::Down(why.clone()),
        }
    }
}

/// Stops the background task with the last client.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A client of the server at a Unix socket. Clones share one connection; dropping the last one
/// closes it.
#[derive(Clone, Debug)]
pub struct Client<R> {
    path: Arc<Path>,
    limits: ClientLimits,
    state: watch::Receiver<State>,
    _keeper: Arc<Keeper>,
    _request: PhantomData<fn(R)>,
}

impl<R: Exchange> Client<R> {
    /// Starts connecting to `path` in the background, again and again where it fails. Needs a tokio
    /// runtime.
    pub fn start(path: impl Into<PathBuf>, limits: ClientLimits) -> Self {
        let path: Arc<Path> = path.into().into();
        let (sender, state) = watch::channel(State::Connecting);
        let keeper = Keeper(tokio::spawn(keep_up::<R>(Arc::clone(&path), limits, sender)));
        Self { path, limits, state, _keeper: Arc::new(keeper), _request: PhantomData }
    }

    /// Connects once: for commands, which want the reason at once rather than another attempt.
    pub async fn connect(
        path: impl Into<PathBuf>,
        limits: ClientLimits,
    ) -> Result<Self, ConnectError> {
        let mut client = Self::start(path, limits);
        match client.changed().await {
            LinkStatus::Down(why) => Err(why),
            LinkStatus::Connecting | LinkStatus::Up { .. } => Ok(client),
        }
    }

    /// How the connection is now.
    pub fn status(&self) -> LinkStatus {
        LinkStatus::from(&*self.state.borrow())
    }

    /// Waits for the next change of the connection that this client has not seen.
    pub async fn changed(&mut self) -> LinkStatus {
        if self.state.changed().await.is_err() {
            // The task ends only with the last client, so this is a runtime that shuts down.
            std::future::pending::<()>().await;
        }
        LinkStatus::from(&*self.state.borrow_and_update())
    }

    /// Sends `request` and waits for its answer. Fails at once where there is no connection or too
    /// many calls are in flight; dropping the future gives the answer up.
    pub async fn call(&self, request: R) -> Result<R::Answer, CallError> {
        let state = self.state.borrow().clone();
        match state {
            State::Up(link, _) => link.call(&request, self.limits.call).await,
            State::Down(why) => Err(CallError::NotConnected(why)),
            State::Connecting => Err(CallError::NotConnected(ConnectError::NoHandshake {
                path: self.path.to_path_buf(),
                protocol: R::NAME,
                cause: "still connecting".to_owned(),
            })),
        }
    }
}

/// Ends the calls of a link also where the task is aborted.
struct Closing<'a>(&'a Link);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close(&CallError::Lost("this client was closed".to_owned()));
    }
}

async fn keep_up<R: Exchange>(path: Arc<Path>, limits: ClientLimits, state: watch::Sender<State>) {
    let mut backoff = Backoff::new(limits.first_retry, limits.longest_retry);
    let mut generation = 0;
    let mut reported = None;
    loop {
        let why = match establish::<R>(&path, &limits).await {
            Ok((stream, in_flight)) => {
                generation += 1;
                log::info!("connected to the {} socket {}", R::NAME, path.display());
                let (link, queue) = Link::new(in_flight);
                let _closing = Closing(&link);
                let since = Instant::now();
                state.send_replace(State::Up(Arc::clone(&link), generation));
                let cause = link::run::<R>(&link, stream, queue, &limits).await;
                if since.elapsed() > limits.longest_retry {
                    backoff.reset();
                }
                reported = None;
                link.close(&CallError::Lost(cause.clone()));
                ConnectError::Lost { path: path.to_path_buf(), cause }
            }
            Err(why) => why,
        };
        if reported.as_ref() != Some(&why) {
            log::warn!("no connection to the {} socket: {why}", R::NAME);
            reported = Some(why.clone());
        }
        let pause = if why.needs_operator() { backoff.longest() } else { backoff.next() };
        state.send_replace(State::Down(why));
        sleep(pause).await;
    }
}

/// Connects and shakes hands; also how many calls may be in flight.
async fn establish<R: Exchange>(
    path: &Path,
    limits: &ClientLimits,
) -> Result<(UnixStream, u16), ConnectError> {
    let unreachable = |cause: String| ConnectError::Unreachable { path: path.to_owned(), cause };
    let silent = |cause: String| ConnectError::NoHandshake {
        path: path.to_owned(),
        protocol: R::NAME,
        cause,
    };
    let mut stream = timeout(limits.handshake, UnixStream::connect(path))
        .await
        .map_err(|_| unreachable("no answer in time".to_owned()))?
        .map_err(|e| unreachable(e.to_string()))?;
    let ours =
        Hello { protocol: R::TAG, verdict: Verdict::Welcome, version: R::VERSION, in_flight: 0 };
    // A server that refuses may have closed already; what it said is still to be read.
    let _ = hello::send(&mut stream, ours).await;
    let theirs = hello::receive(&mut stream, limits.handshake)
        .await
        .map_err(|e| silent(e.to_string()))?
        .ok_or_else(|| silent("it sent something else".to_owned()))?;
    let path = path.to_owned();
    if theirs.verdict == Verdict::WrongUser {
        return Err(ConnectError::WrongUser { path });
    }
    if (theirs.protocol, theirs.version) != (R::TAG, R::VERSION)
        || theirs.verdict == Verdict::WrongVersion
    {
        return Err(ConnectError::WrongVersion {
            path,
            protocol: R::NAME,
            our_protocol: R::TAG,
            their_protocol: theirs.protocol,
            ours: R::VERSION,
            theirs: theirs.version,
        });
    }
    match theirs.verdict {
        Verdict::Full => Err(ConnectError::Full { path }),
        Verdict::Stopping => Err(ConnectError::Stopping { path }),
        _ => Ok((stream, limits.in_flight.min(theirs.in_flight))),
    }
}
