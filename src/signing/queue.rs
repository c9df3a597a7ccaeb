//! The bounded signing queue. Work waits in its lanes; when a slot is free it is reserved in the
//! ledger, signed in the HSM, recorded in the ledger, and only then handed out (I1, I2). There are
//! no timers and no explicit batches: whatever arrives while the ledger commits forms its next
//! commit, and reserving, signing and recording of different work overlap.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::lanes::Lanes;
use super::{Class, KeyUseError, Signer};
use crate::clock::{Clock, Timestamp};
use crate::ledger::{Draft, Event, Fingerprint, Ledger, LedgerError, Sequence};

/// Makes the record entry of finished work from the reservation's sequence and the signature:
/// the entry and the finished object (a certificate in DER).
pub type Assemble = Box<dyn FnOnce(Sequence, &[u8]) -> Result<(Draft, Vec<u8>), String> + Send>;

/// Makes the entry that abandons a reservation whose signature failed, with the reason.
pub type Abandon = Box<dyn FnOnce(Sequence, &str) -> Draft + Send>;

/// One object to be signed by a CA key.
pub struct Work {
    /// The lane: how urgent.
    pub class: Class,
    /// The lane: for whom.
    pub endpoint: Arc<str>,
    /// The key.
    pub signer: Arc<dyn Signer>,
    /// What the key signs; the write-ahead entry holds the same bytes (I2).
    pub message: Vec<u8>,
    /// The write-ahead entry.
    pub reservation: Draft,
    /// From signature to record.
    pub assemble: Assemble,
    /// From failure to record.
    pub abandon: Abandon,
    /// When nobody waits any more; work not begun by then is dropped.
    pub deadline: Timestamp,
}

/// Finished work: the object is signed, verified, and its entry is durable. Only the queue makes one.
#[derive(Clone, Debug)]
pub struct Committed {
    object: Arc<[u8]>,
    reservation: Sequence,
    record: Sequence,
}

impl Committed {
    /// The signed object in DER.
    pub fn object(&self) -> &[u8] {
        &self.object
    }

    /// Where its write-ahead entry is.
    pub const fn reservation(&self) -> Sequence {
        self.reservation
    }

    /// Where its record is.
    pub const fn record(&self) -> Sequence {
        self.record
    }
}

/// Why work was not finished. In each case nothing was handed out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SigningError {
    /// The queue is full: try again later.
    #[error("the signing queue is full ({0} waiting); try again later")]
    Full(usize),
    /// The service is stopping.
    #[error("the service is stopping; try again later")]
    Stopping,
    /// The deadline passed before the work began.
    #[error("the request waited too long for the HSM; try again later")]
    Expired,
    /// The write-ahead entry is not about the bytes that are to be signed (I2).
    #[error(
        "the write-ahead entry names other bytes than those to be signed; nothing was signed; please report this defect"
    )]
    Unannounced,
    /// The HSM failed; the reservation is abandoned.
    #[error(transparent)]
    Key(#[from] KeyUseError),
    /// The signature could not be made into an object; the reservation is abandoned.
    #[error("the signed object was not accepted by its own check: {0}")]
    Object(String),
    /// The ledger did not take an entry.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The right to the result of work that is queued.
#[derive(Debug)]
pub struct Permit(oneshot::Receiver<Result<Committed, SigningError>>);

impl Permit {
    /// Waits for the result. Dropping the permit does not stop the work.
    pub async fn result(self) -> Result<Committed, SigningError> {
        self.0.await.unwrap_or(Err(SigningError::Stopping))
    }
}

/// The queue; clones are handles to the same one.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    arrived: Notify,
    idle: Notify,
    capacity: usize,
    slots: Arc<Semaphore>,
    slot_count: u32,
}

struct State {
    lanes: Lanes<Waiting>,
    stopping: bool,
}

struct Waiting {
    work: Work,
    answer: oneshot::Sender<Result<Committed, SigningError>>,
}

/// The size of the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// How much may wait; more is refused at once.
    pub waiting: usize,
    /// How much may be under way between reservation and record.
    pub under_way: u32,
}

impl Queue {
    /// Starts the queue on the current tokio runtime.
    pub fn start(ledger: Arc<Ledger>, clock: Arc<dyn Clock>, limits: QueueLimits) -> Self {
        let under_way = limits.under_way.max(1);
        let inner = Arc::new(Inner {
            ledger,
            clock,
            state: Mutex::new(State { lanes: Lanes::new(), stopping: false }),
            arrived: Notify::new(),
            idle: Notify::new(),
            capacity: limits.waiting.max(1),
            slots: Arc::new(Semaphore::new(under_way as usize)),
            slot_count: under_way,
        });
        tokio::spawn(inner.clone().dispatch());
        Self(inner)
    }

    /// Queues `work`, or refuses at once.
    pub fn enqueue(&self, work: Work) -> Result<Permit, SigningError> {
        let (answer, permit) = oneshot::channel();
        let mut state = self.0.state();
        if state.stopping {
            return Err(SigningError::Stopping);
        }
        if state.lanes.len() >= self.0.capacity {
            return Err(SigningError::Full(state.lanes.len()));
        }
        let (class, endpoint) = (work.class, work.endpoint.clone());
        state.lanes.push(class, &endpoint, Waiting { work, answer });
        drop(state);
        self.0.arrived.notify_one();
        Ok(Permit(permit))
    }

    /// How much waits for a slot.
    pub fn waiting(&self) -> usize {
        self.0.state().lanes.len()
    }

    /// Takes no new work, and returns when all that was taken is finished.
    pub async fn drain(&self) {
        self.0.state().stopping = true;
        self.0.arrived.notify_one();
        self.0.idle.notified().await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // The lock is held for plain list operations only; a poisoned one is still in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes work from the lanes whenever a slot is free.
    async fn dispatch(self: Arc<Self>) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else { break };
            let Some(waiting) = self.next().await else { break };
            tokio::spawn(self.clone().perform(waiting, slot));
        }
        // All slots back in hand means that nothing is under way any more.
        let _all = self.slots.acquire_many(self.slot_count).await;
        self.idle.notify_one();
    }

    /// The next piece of work; `None` when the queue is stopping and empty.
    async fn next(&self) -> Option<Waiting> {
        loop {
            let stopping = {
                let mut state = self.state();
                if let Some(waiting) = state.lanes.pop() {
                    return Some(waiting);
                }
                state.stopping
            };
            if stopping {
                return None;
            }
            self.arrived.notified().await;
        }
    }

    async fn perform(self: Arc<Self>, waiting: Waiting, slot: OwnedSemaphorePermit) {
        let Waiting { work, answer } = waiting;
        let result = match self.clock.now() > work.deadline {
            true => Err(SigningError::Expired),
            false => self.reserve_sign_record(work).await,
        };
        drop(slot);
        // Nobody waiting is no error: the object is in the ledger and a retry finds it there.
        let _ = answer.send(result);
    }

    async fn reserve_sign_record(&self, work: Work) -> Result<Committed, SigningError> {
        if !announces(&work.reservation.event, &work.message) {
            return Err(SigningError::Unannounced);
        }
        let reservation = self.append(work.reservation).await?;
        let signed = work.signer.sign(work.message).await.map_err(SigningError::Key);
        let finished = signed.and_then(|signature| {
            (work.assemble)(reservation, &signature).map_err(SigningError::Object)
        });
        match finished {
            Ok((record, object)) => {
                let record = self.append(record).await?;
                Ok(Committed { object: object.into(), reservation, record })
            }
            Err(error) => {
                self.append((work.abandon)(reservation, &error.to_string())).await?;
                Err(error)
            }
        }
    }

    async fn append(&self, draft: Draft) -> Result<Sequence, SigningError> {
        let sequences = self.ledger.append(vec![draft]).await?;
        sequences.first().copied().ok_or(SigningError::Stopping)
    }
}

/// Whether the write-ahead entry names exactly `message` (I2): the key sees nothing else.
fn announces(event: &Event, message: &[u8]) -> bool {
    match event {
        Event::Reservation(reservation) => *reservation.tbs == *message,
        Event::SigningIntent(intent) => intent.digest == Fingerprint::of(message),
        _ => false,
    }
}
