//! One client's connection, on the server's side.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, watch};

use super::exchange::{BodyError, Exchange, Refusal, decode, encode};
use super::frame::{self, Frame, FrameError, FrameReader, Kind, Patience};
use super::server::ServerLimits;
use super::writer::write_frames;

/// A future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The effective user id at the time of connecting.
    pub uid: u32,
    /// The process id, where the kernel tells it.
    pub pid: Option<i32>,
}

/// Why a connection ended before its peer closed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the peer does not take its answers: {0}")]
    Write(io::Error),
}

/// Serves an accepted and greeted connection until the peer closes it, it breaks the protocol, or
/// `stop` turns true and the last answer is sent.
pub(super) async fn run<R, H>(
    stream: UnixStream,
    peer: Peer,
    limits: ServerLimits,
    handler: Arc<H>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    R: Exchange,
    H: Fn(Peer, R) -> BoxFuture<R::Answer> + Send + Sync + 'static,
{
    let (read, write) = stream.into_split();
    let patience = Patience { idle: limits.idle, stall: limits.stall };
    let mut reader = FrameReader::new(read, R::MAX_MESSAGE, patience);
    // Answers wait here for the writer; where it is full, nothing more is read from the peer.
    let (out, queue) = mpsc::channel(usize::from(limits.in_flight));
    let mut writer = tokio::spawn(write_frames(write, queue, limits.stall));
    let slots = Arc::new(Semaphore::new(usize::from(limits.in_flight)));

    let mut written = false;
    let mut ended = loop {
        let stopping = *stop.borrow();
        tokio::select! {
            biased;
            sent = &mut writer => {
                written = true;
                let sent = flatten(sent).err().unwrap_or(io::ErrorKind::BrokenPipe.into());
                break Err(ConnectionError::Write(sent));
            }
            // In-flight requests hold their slots: all of them free means that all are answered.
            _ = slots.acquire_many(u32::from(limits.in_flight)), if stopping => break Ok(()),
            changed = stop.changed(), if !stopping => {
                if changed.is_err() {
                    break Ok(());
                }
            }
            frame = reader.next() => match frame {
                Ok(Some(frame)) => {
                    if let Err(e) = take_in(frame, peer, &handler, &slots, &out, stopping).await {
                        break Err(e);
                    }
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(e.into()),
            },
        }
    };
    // The handlers in flight keep their own senders: the writer ends after the last answer.
    drop(out);
    if ended.is_err() {
        writer.abort();
    } else if !written && let Err(e) = flatten(writer.await) {
        ended = Err(ConnectionError::Write(e));
    }
    // Handlers run to their end also where nobody takes the answer; until then this counts as open.
    let _ = slots.acquire_many(u32::from(limits.in_flight)).await;
    ended
}

fn flatten(sent: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    sent.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// Acts on one frame: starts the handler, or refuses.
async fn take_in<R, H>(
    frame: Frame,
    peer: Peer,
    handler: &Arc<H>,
    slots: &Arc<Semaphore>,
    out: &mpsc::Sender<Vec<u8>>,
    stopping: bool,
) -> Result<(), ConnectionError>
where
    R: Exchange,
    H: Fn(Peer, R) -> BoxFuture<R::Answer> + Send + Sync + 'static,
{
    let Frame { id, kind, body } = frame;
    match kind {
        Kind::Request => {}
        Kind::Ping => {
            // A closed queue is noticed by the caller's look at the writer.
            let _ = out.send(frame::encode(id, Kind::Pong, &[])).await;
            return Ok(());
        }
        Kind::Answer | Kind::Refusal | Kind::Pong => {
            return Err(FrameError::UnexpectedKind(kind as u8).into());
        }
    }
    let request: R = decode(&body)?;
    drop(body);
    let refused = if stopping { Some(Refusal::Stopping) } else { None };
    let slot = match (refused, Arc::clone(slots).try_acquire_owned()) {
        (None, Ok(slot)) => slot,
        (refused, _) => {
            let _ = out.send(refusal(id, refused.unwrap_or(Refusal::Overloaded))).await;
            return Ok(());
        }
    };
    let handler = Arc::clone(handler);
    let out = out.clone();
    tokio::spawn(async move {
        let answer = match guarded(|| handler(peer, request)).await {
            Some(answer) => match encode(&answer, R::MAX_ANSWER) {
                Ok(body) => frame::encode(id, Kind::Answer, &body),
                Err(e) => {
                    log::error!("{} socket: the answer to a request is lost: {e}", R::NAME);
                    refusal(id, Refusal::Failed)
                }
            },
            None => {
                log::error!("{} socket: the handler of a request panicked", R::NAME);
                refusal(id, Refusal::Failed)
            }
        };
        // A peer that has left does not get its answer; the work is done all the same.
        let _ = out.send(answer).await;
        drop(slot);
    });
    Ok(())
}

fn refusal(id: u64, refusal: Refusal) -> Vec<u8> {
    // One octet; it cannot fail to encode.
    let body = encode(&refusal, 16).unwrap_or_default();
    frame::encode(id, Kind::Refusal, &body)
}

/// Runs the future that `make` makes; `None` where either panics.
async fn guarded<T>(make: impl FnOnce() -> BoxFuture<T>) -> Option<T> {
    let mut future = catch_unwind(AssertUnwindSafe(make)).ok()?;
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}
