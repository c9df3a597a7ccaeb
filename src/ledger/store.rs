//! What the ledger wants of the disk. `crate::store` implements it; the contract is small enough
//! that a database on other hosts could.

use super::merkle::{Frontier, Hash};
use super::proof::HashSource;
use super::{ENTRY_VERSION, EntryError, Index, Key, Posting};

/// One entry on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub sequence: u64,
    /// The canonical bytes of the entry.
    pub entry: Vec<u8>,
    /// The hash of the entry as a leaf of the Merkle tree.
    pub leaf: Hash,
    /// Whether it is the last of those that become durable together or not at all.
    pub ends_group: bool,
    /// What the indexes say of it.
    pub postings: Vec<Posting>,
}

/// A head of the ledger that somebody outside it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHead {
    /// Who remembers it, for messages.
    pub known_by: String,
    /// Number of entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

/// Why the store cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed. Where it was a write or an fsync, what is on the disk is unknown.
    #[error("cannot {what} {path}: {cause}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// There is too little space to go on; nothing was written.
    #[error("{path} has {free} bytes left, fewer than the reserve of {reserve}: free some space")]
    Full {
        /// The data folder.
        path: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The data folder is in use.
    #[error("{0} is in use by another process: stop it first")]
    Locked(String),
    /// What was read is not what was written.
    #[error(
        "the ledger is damaged: {0}; nothing is signed on it: leave its folder as it is, and start on a copy of it from before the damage"
    )]
    Damaged(String),
    /// The ledger is older than what is known of it.
    #[error(
        "the ledger has {here} entries, but {known_by} knows {size}: it was cut or an old copy was \
         put back; restore the latest backup"
    )]
    RolledBack {
        /// Who knows more.
        known_by: String,
        /// How many entries that one knows.
        size: u64,
        /// How many entries there are.
        here: u64,
    },
    /// The files were written by a later version of the program.
    #[error("{0}: use a newer chancery")]
    UnknownFormat(String),
    /// The ledger was not opened: the signer is in maintenance mode and has none to read or write.
    #[error("the signer has not opened its ledger and shows nothing of it: {0}")]
    Unavailable(String),
    /// The index database failed; it is rebuilt from the journal at the next start.
    #[error("the index database failed ({0}); restart the signer, it is then rebuilt")]
    Database(String),
    /// The program was linked without the barrier that makes the database durable.
    #[error("this build does not reach the disk with its flushes ({0}): do not use it")]
    NoBarrier(String),
}

impl StoreError {
    /// The entry `sequence` is there as it was written, and cannot be read. One of an unknown version is
    /// not damaged: it wants the release that wrote it.
    pub fn unreadable(sequence: u64, why: &EntryError) -> Self {
        match why {
            EntryError::UnknownVersion(version) => Self::UnknownFormat(format!(
                "entry {sequence} has version {version}, this program reads version {ENTRY_VERSION}"
            )),
            _ => Self::Damaged(format!("entry {sequence} cannot be read: {why}")),
        }
    }
}

/// Where records are kept, in order and durably. One process at a time.
pub trait Store: HashSource + Send + Sync {
    /// Number of entries that are stored.
    fn size(&self) -> u64;

    /// The tree over all entries that are stored.
    fn frontier(&self) -> Frontier;

    /// Whether there is room for another commit and nothing has failed so far.
    fn ready(&self) -> Result<(), StoreError>;

    /// Whether the threads that it has live, or ended with what [`Store::ready`] tells.
    fn lives(&self) -> bool {
        true
    }

    /// Appends `records`, whose sequences go on where the store ends. When it returns they are
    /// durable, readable and found by the indexes. After an error what is durable is unknown, and
    /// the store must be opened anew. Called by one thread only.
    fn append(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// The entries from `first` on, at most `limit` of them and fewer where the store ends or
    /// finds it convenient; none only at the end.
    fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The same as [`Store::read`], from the disk even where memory has them, for who wants to know what
    /// is there.
    fn reread(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(first, limit)
    }

    /// The sequences that are posted under exactly `key`, ascending.
    fn lookup(&self, index: Index, key: &Key) -> Result<Vec<u64>, StoreError>;

    /// The keys and sequences that are posted under keys in `from..to`, ascending, at most `limit`.
    fn range(
        &self,
        index: Index,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, u64)>, StoreError>;

    /// Compares the indexes that are kept beside the entries with them; `progress` is told how many entries are
    /// done and ends it by returning false. Says how many entries' indexes were compared: none where they are
    /// kept in memory alone. The first difference is a [`StoreError::Database`].
    fn verify_indexes(&self, progress: &mut dyn FnMut(u64) -> bool) -> Result<u64, StoreError> {
        let _ = progress;
        Ok(0)
    }

    /// Keeps the latest signed checkpoint, durably, in the place of the one before. From then on the
    /// store refuses to open where it ends before the checkpoint or has another tree.
    fn keep_checkpoint(&self, note: &str) -> Result<(), StoreError>;

    /// The checkpoint that was kept last.
    fn checkpoint(&self) -> Result<Option<String>, StoreError>;

    /// Brings everything to the disk. Nothing can follow; the data folder is given back when the
    /// store is dropped.
    fn close(&self) -> Result<(), StoreError>;
}
