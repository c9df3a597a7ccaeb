//! What the threads, the signers and the unwrappers of one token share, and how a job is handed in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use cryptoki::slot::Slot;
use tokio::sync::oneshot;

use super::health::Health;
use super::job::{Answer, Job, JobError, Operation, Reply};
use super::keys::{Key, KeyPurpose};
use super::lane::Lane;
use super::login::Login;
use super::module::{ModuleUse, locked};
use super::profile::Profile;
use super::queue::{Queue, Rejected};
use super::token::TokenDescription;

/// How many jobs of each rank may wait for each thread. More would only wait past its deadline.
pub(super) const QUEUED_PER_WORKER: usize = 64;

/// One token in use.
pub(super) struct Shared {
    pub(super) profile: Profile,
    pub(super) module: ModuleUse,
    pub(super) token: TokenDescription,
    pub(super) login: Login,
    pub(super) queue: Queue<Job>,
    pub(super) lanes: Vec<Lane>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(super) slot: Mutex<Slot>,
    pub(super) health: Health,
    /// Operations that are known to work, the least precious key's first.
    pub(super) canaries: Mutex<Vec<(Arc<Key>, Operation)>>,
    /// Threads that are in a call that does not come back.
    pub(super) hung: AtomicUsize,
    /// Whether only a new process can help.
    pub(super) needs_restart: AtomicBool,
    pub(super) operations: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) bad_signatures: AtomicU64,
}

impl Shared {
    /// The token's slot, under the module's present generation.
    pub(super) fn slot(&self) -> Slot {
        *locked(&self.slot)
    }

    /// Takes `operation`, which has just worked, as one that tells whether the HSM is there. CA
    /// keys come last: they should sign little that is no certificate.
    pub(super) fn add_canary(&self, key: &Arc<Key>, operation: Operation) {
        let rank = |key: &Key| key.reference.purpose == KeyPurpose::CaSign;
        let same = |a: &Key, b: &Key| {
            let (a, b) = (&a.reference, &b.reference);
            a.purpose == b.purpose && a.public_key == b.public_key
        };
        let mut canaries = locked(&self.canaries);
        canaries.retain(|(known, _)| !same(known, key));
        canaries.push((Arc::clone(key), operation));
        canaries.sort_by_key(|(key, _)| rank(key));
    }

    fn submit(
        &self,
        key: &Arc<Key>,
        operation: Operation,
        avoid: Option<usize>,
        reply: Reply,
    ) -> Result<(), JobError> {
        if let Some(error) = self.health.hopeless() {
            return Err(error);
        }
        let deadline = Instant::now() + self.profile.call_timeout();
        let avoid = avoid.filter(|_| self.lanes.len() > 1);
        let job = Job { key: Arc::clone(key), operation, deadline, avoid, reply };
        self.queue.push(job).map_err(|(rejected, _)| match rejected {
            Rejected::Full => JobError::Busy,
            Rejected::Closed => JobError::Closed,
        })
    }

    /// Has `operation` done by some thread, not `avoid`.
    pub(super) async fn call(
        &self,
        key: &Arc<Key>,
        operation: Operation,
        avoid: Option<usize>,
    ) -> Result<Answer, JobError> {
        let (sender, receiver) = oneshot::channel();
        let reply: Reply = Box::new(move |result| {
            // Nobody waits any more when the deadline has passed.
            let _ = sender.send(result);
        });
        self.submit(key, operation, avoid, reply)?;
        match tokio::time::timeout(self.profile.call_timeout(), receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(JobError::Closed),
            Err(_) => Err(self.expired()),
        }
    }

    /// The same for callers outside of tokio.
    pub(super) fn call_blocking(
        &self,
        key: &Arc<Key>,
        operation: Operation,
        avoid: Option<usize>,
    ) -> Result<Answer, JobError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let reply: Reply = Box::new(move |result| {
            // Nobody waits any more when the deadline has passed.
            let _ = sender.send(result);
        });
        self.submit(key, operation, avoid, reply)?;
        match receiver.recv_timeout(self.profile.call_timeout()) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.expired()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(JobError::Closed),
        }
    }

    fn expired(&self) -> JobError {
        self.errors.fetch_add(1, Ordering::Relaxed);
        JobError::Expired
    }
}
