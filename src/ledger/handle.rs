//! The ledger as the rest of the program has it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::group_commit::{Answer, Call, Writer};
use super::merkle::{Frontier, Hash};
use super::{Draft, Entry, LedgerError, Sequence, Store};
use crate::clock::{Clock, Timestamp};

/// How many calls may wait for the writer before `append` waits itself.
const WAITING_CALLS: usize = 4096;

/// The ledger, open for appending and reading. Cheap to share in an [`Arc`].
pub struct Ledger {
    pub(super) store: Arc<dyn Store>,
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    head: Arc<Mutex<Head>>,
    abandoned: Vec<Sequence>,
}

/// Where the ledger stands.
#[derive(Clone, Debug)]
pub struct Head {
    /// The Merkle tree over all durable entries.
    pub frontier: Frontier,
    /// The latest time that an entry has.
    pub last_time: Timestamp,
    /// Why nothing more can be appended, if so.
    pub poisoned: Option<LedgerError>,
}

impl Head {
    /// Number of durable entries.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The Merkle root over them.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

impl Ledger {
    /// Opens the ledger on `store`. Every write-ahead entry of which nothing came in the last run
    /// is recorded as abandoned before this returns; [`Ledger::abandoned_at_open`] names them.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, LedgerError> {
        let empty = Head {
            frontier: Frontier::new(),
            last_time: Timestamp::from_unix_millis(0),
            poisoned: None,
        };
        let head = Arc::new(Mutex::new(empty));
        let mut writer = Writer::new(store.clone(), clock, head.clone())?;
        let abandoned = writer.recover()?;
        let (calls, receiver) = mpsc::channel(WAITING_CALLS);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || writer.run(receiver))
            .map_err(|e| LedgerError::NoWriter(e.to_string()))?;
        Ok(Arc::new(Self {
            store,
            calls: Mutex::new(Some(calls)),
            writer: Mutex::new(Some(thread)),
            head,
            abandoned,
        }))
    }

    /// Appends `drafts`, all or none, one after the other. Resolves when they are durable and
    /// found by every look-up, to their sequences. A caller that stops waiting does not undo it.
    pub fn append(
        &self,
        drafts: Vec<Draft>,
    ) -> impl Future<Output = Answer> + Send + 'static + use<> {
        let calls = lock(&self.calls).clone();
        let refusal = self.refusal();
        async move {
            if drafts.is_empty() {
                return Ok(Vec::new());
            }
            if let Some(e) = refusal {
                return Err(e);
            }
            let (reply, answer) = oneshot::channel();
            let calls = calls.ok_or(LedgerError::Closed)?;
            calls.send(Call { drafts, reply }).await.map_err(|_| LedgerError::Closed)?;
            answer.await.unwrap_or(Err(LedgerError::Closed))
        }
    }

    /// A ledger on `store` that takes no entries; `head` says why.
    pub(super) fn without_writer(store: Arc<dyn Store>, head: Arc<Mutex<Head>>) -> Self {
        let (calls, writer) = (Mutex::new(None), Mutex::new(None));
        Self { store, calls, writer, head, abandoned: Vec::new() }
    }

    /// From now on nothing is appended, for the reason `why`, until the ledger is opened anew. What
    /// was appended before is kept.
    pub fn take_no_more(&self, why: LedgerError) {
        lock(&self.head).poisoned.get_or_insert(why);
    }

    /// Why nothing more is appended, if so.
    pub fn refusal(&self) -> Option<LedgerError> {
        lock(&self.head).poisoned.clone()
    }

    /// Why an append would be refused now, if so: for good, or while the disk is full.
    pub fn obstacle(&self) -> Option<LedgerError> {
        self.refusal().or_else(|| self.store.ready().err().map(LedgerError::Store))
    }

    /// Whether the threads that write it live, where it takes entries.
    pub fn lives(&self) -> bool {
        let writes = lock(&self.writer).as_ref().is_none_or(|thread| !thread.is_finished());
        writes && self.store.lives()
    }

    /// Where the ledger stands now.
    pub fn head(&self) -> Head {
        lock(&self.head).clone()
    }

    /// The `Abandoned` entries that opening the ledger wrote.
    pub fn abandoned_at_open(&self) -> &[Sequence] {
        &self.abandoned
    }

    /// The entry at `sequence`, where there is one.
    pub fn entry(&self, sequence: Sequence) -> Result<Option<Entry>, LedgerError> {
        Ok(self.entries(sequence, 1)?.pop())
    }

    /// The entries from `first` on, at most `limit` and possibly fewer; none only at the end.
    pub fn entries(&self, first: Sequence, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let read = self.store.read(first.0, limit)?;
        read.iter().map(|bytes| Ok(Entry::decode(bytes)?)).collect()
    }

    /// Commits what is waiting, then closes the store. Later appends fail. The data folder is given
    /// back when the ledger is dropped.
    pub fn close(&self) -> Result<(), LedgerError> {
        drop(lock(&self.calls).take());
        if let Some(writer) = lock(&self.writer).take() {
            // A writer that panicked has answered nobody; the store is closed all the same.
            drop(writer.join());
        }
        Ok(self.store.close()?)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Whoever wants to know of an error calls `close` before.
        drop(self.close());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
