//! One established connection, on the client's side.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};

use super::client::ClientLimits;
use super::exchange::{BodyError, Exchange, Refusal, decode, encode};
use super::frame::{self, FrameReader, Kind, Patience};
use super::hello::ConnectError;
use super::writer::write_frames;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no connection; the request was not sent.
    #[error("not connected: {0}")]
    NotConnected(ConnectError),
    /// The connection broke while the call was outstanding; whether it was served is not known.
    #[error("the connection was lost before the answer came: {0}")]
    Lost(String),
    /// Too many calls are in flight, here or at the server; the request was not started.
    #[error("too many requests are in flight; try again")]
    Overloaded,
    /// The server is shutting down; the request was not started.
    #[error("the peer is shutting down; try again")]
    Stopping,
    /// The server failed unexpectedly in this request.
    #[error("the peer failed in this request; its log says more")]
    Failed,
    /// No answer within the limit; whether it is still being served is not known.
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// Request or answer do not fit the protocol.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overloaded => Self::Overloaded,
            Refusal::Stopping => Self::Stopping,
            Refusal::Failed => Self::Failed,
        }
    }
}

type Waiter = oneshot::Sender<Result<Bytes, CallError>>;

/// The calls that wait for an answer, and the reason why there will be none any more.
#[derive(Debug, Default)]
struct Outstanding {
    waiters: HashMap<u64, Waiter>,
    closed: Option<CallError>,
}

/// What callers of one connection share.
#[derive(Debug)]
pub(super) struct Link {
    out: mpsc::Sender<Vec<u8>>,
    outstanding: Mutex<Outstanding>,
    next_id: AtomicU64,
    slots: Semaphore,
}

/// Forgets a call whose caller goes away.
struct Place<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.link.outstanding().waiters.remove(&self.id);
    }
}

impl Link {
    /// A link for `in_flight` calls, and the queue of the frames to send.
    pub(super) fn new(in_flight: u16) -> (Arc<Self>, mpsc::Receiver<Vec<u8>>) {
        let in_flight = usize::from(in_flight.max(1));
        let (out, queue) = mpsc::channel(in_flight + 1);
        let link = Self {
            out,
            outstanding: Mutex::default(),
            next_id: AtomicU64::new(1),
            slots: Semaphore::new(in_flight),
        };
        (Arc::new(link), queue)
    }

    fn outstanding(&self) -> MutexGuard<'_, Outstanding> {
        // The map is whole between any two operations, also after a panic elsewhere.
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `request` and waits for its answer.
    pub(super) async fn call<R: Exchange>(
        &self,
        request: &R,
        patience: Duration,
    ) -> Result<R::Answer, CallError> {
        let _slot = self.slots.try_acquire().map_err(|_| CallError::Overloaded)?;
        let body = encode(request, R::MAX_MESSAGE)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (waiter, answer) = oneshot::channel();
        {
            let mut outstanding = self.outstanding();
            if let Some(why) = &outstanding.closed {
                return Err(why.clone());
            }
            outstanding.waiters.insert(id, waiter);
        }
        let _place = Place { link: self, id };
        let exchange = async {
            let gone = || CallError::Lost("the connection is closing".to_owned());
            self.out.send(frame::encode(id, Kind::Request, &body)).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        let body =
            timeout(patience, exchange).await.map_err(|_| CallError::TimedOut(patience))??;
        Ok(decode(&body)?)
    }

    fn deliver(&self, id: u64, answer: Result<Bytes, CallError>) {
        // Nobody waits any more: a caller that gave up.
        if let Some(waiter) = self.outstanding().waiters.remove(&id) {
            let _ = waiter.send(answer);
        }
    }

    /// Ends every outstanding call, and every later one, with `why`.
    pub(super) fn close(&self, why: &CallError) {
        let waiters = {
            let mut outstanding = self.outstanding();
            outstanding.closed.get_or_insert_with(|| why.clone());
            std::mem::take(&mut outstanding.waiters)
        };
        for (_, waiter) in waiters {
            let _ = waiter.send(Err(why.clone()));
        }
    }
}

/// Carries frames until the connection ends, and says why it did.
pub(super) async fn run<R: Exchange>(
    link: &Link,
    stream: UnixStream,
    queue: mpsc::Receiver<Vec<u8>>,
    limits: &ClientLimits,
) -> String {
    let (read, write) = stream.into_split();
    let mut writer = tokio::spawn(write_frames(write, queue, limits.stall));
    // The server answers every ping: silence for three of them means that it hangs.
    let patience = Patience { idle: limits.keepalive * 3, stall: limits.stall };
    let mut reader = FrameReader::new(read, R::MAX_ANSWER, patience);
    let mut pings = interval_at(Instant::now() + limits.keepalive, limits.keepalive);
    let why = loop {
        tokio::select! {
            frame = reader.next() => match frame {
                Ok(Some(frame)) => match frame.kind {
                    Kind::Answer => link.deliver(frame.id, Ok(frame.body)),
                    Kind::Refusal => match decode::<Refusal>(&frame.body) {
                        Ok(refusal) => link.deliver(frame.id, Err(refusal.into())),
                        Err(e) => break e.to_string(),
                    },
                    Kind::Pong => {}
                    kind => break format!("the peer sends a frame of the kind {kind:?}"),
                },
                Ok(None) => break "the peer closed the connection".to_owned(),
                Err(e) => break e.to_string(),
            },
            sent = &mut writer => break match sent {
                Ok(Err(e)) => write_reason(&e),
                _ => "the connection is closed".to_owned(),
            },
            // A full queue is traffic enough.
            _ = pings.tick() => drop(link.out.try_send(frame::encode(0, Kind::Ping, &[]))),
        }
    };
    writer.abort();
    why
}

fn write_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the peer takes no requests any more".to_owned(),
        _ => format!("the socket failed: {error}"),
    }
}
