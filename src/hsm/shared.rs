//! What the threads, the signers and the unwrappers of one token share, and how a job is handed in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use cryptoki::slot::Slot;
use tokio::sync::oneshot;

use super::event::EVENT;
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
    /// Threads that wait until the token has room for another session.
    pub(super) resting: AtomicUsize,
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

    /// The token refused the PIN: no call waits for it, and whoever watches is told once.
    pub(super) fn refuse_pin(&self, cause: &str) {
        if self.health.refuse(cause.to_owned()) {
            let token = &self.token.label;
            log::error!(
                event = EVENT; "HSM {token} refuses the PIN ({cause}); it is not tried again: correct the PIN and restart"
            );
        }
    }

    /// How much there is to do, in thousandths of an operation a lane; none while the token is away.
    pub(super) fn load(&self) -> Option<usize> {
        let busy = self.lanes.iter().filter(|lane| lane.busy_for().is_some()).count();
        let waiting = busy + self.queue.len();
        self.health.is_up().then(|| waiting * 1000 / self.working().max(1))
    }

    /// How many threads have a session, or may have one.
    pub(super) fn working(&self) -> usize {
        self.lanes.len().saturating_sub(self.resting.load(Ordering::Relaxed))
    }

    /// Lets one more thread rest, but never the last one.
    pub(super) fn rest(&self) -> bool {
        let lanes = self.lanes.len();
        let one_more = |resting: usize| (resting + 1 < lanes).then_some(resting + 1);
        self.resting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
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
        let avoid = avoid.filter(|_| self.working() > 1);
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
