//! The store: journal, memory and database together.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::archive::Archive;
use super::disk::{Disk, SystemDisk, create_folder, io_error, write_durably};
use super::hash_files::HashFiles;
use super::indexer::{ROUND, Shared};
use super::journal::{Found, Journal};
use super::line::Line;
use super::recent::RecentEntry;
use super::record;
use super::startup::{
    check_heads, check_space, checkpoint_path, lock, open_database, read_checkpoint,
};
use crate::control::Safeguard;
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::proof::HashSource;
use crate::ledger::{Entry, Index, Key, KnownHead, Posting, Record, Store, StoreError, postings};
use crate::random::Random;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data folder; made where it is not there.
    pub folder: PathBuf,
    /// Octets of memory for the database's cache.
    pub cache_bytes: u64,
    /// Octets that must stay free on the file system: with less, nothing more is appended.
    pub reserve_bytes: u64,
    /// Octets after which the journal goes on in another file.
    pub segment_bytes: u64,
    /// Heads of this ledger that are known from elsewhere: an anchor, a witness. The store does not
    /// open where it ends before one or has another tree.
    pub known_heads: Vec<KnownHead>,
}

impl StoreOptions {
    /// The usual sizes.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            cache_bytes: 32 << 20,
            reserve_bytes: 256 << 20,
            segment_bytes: 64 << 20,
            known_heads: Vec::new(),
        }
    }
}

/// The ledger's files, open. One process at a time.
pub struct FileStore {
    options: StoreOptions,
    random: Arc<dyn Random>,
    /// Gone once the store is closed or its journal has failed.
    journal: Mutex<Option<Journal>>,
    archive: Arc<Archive>,
    hashes: Arc<HashFiles>,
    shared: Arc<Shared>,
    indexer: Mutex<Option<JoinHandle<()>>>,
    set_aside: Option<String>,
    torn: u64,
    signed: Frontier,
    _lock: File,
}

impl FileStore {
    /// Opens the store in `options.folder`, or makes it. Cuts off what a crash left of a commit
    /// that nobody was told of; rebuilds the database where it fails or disagrees with the journal.
    ///
    /// Errors: [`StoreError::Locked`]; [`StoreError::Damaged`] where the journal is not what was
    /// acknowledged; [`StoreError::Io`], [`StoreError::Full`].
    pub fn open(options: StoreOptions, random: Arc<dyn Random>) -> Result<Arc<Self>, StoreError> {
        Self::open_on(Arc::new(SystemDisk), options, random)
    }

    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>, StoreError> {
        create_folder(&options.folder)?;
        let lock = lock(&options.folder)?;
        check_space(&options)?;
        let found = Found::look(&options.folder.join("journal"))?;
        let signed = check_heads(&options, &found)?;
        let (database, manifest, set_aside) = open_database(&options, &found)?;
        let applied = manifest.frontier.size();
        let shared = Arc::new(Shared::new(database, manifest));
        found.replay(applied, |records, salt| {
            let entries = records.iter().map(|(_, r)| {
                let postings = Entry::decode(r.entry)
                    .and_then(|entry| postings(&entry))
                    .map_err(|e| StoreError::unreadable(r.sequence, &e))?;
                let mut record = Vec::with_capacity(r.len());
                record::write_ref(&mut record, r, salt);
                Ok(RecentEntry { record: record.into(), salt, lines: lines(&postings) })
            });
            shared.publish(entries.collect::<Result<_, _>>()?);
            // Here and now, so that a rebuild needs no more memory than a run of the service.
            if shared.waiting() >= ROUND { shared.apply_round() } else { Ok(()) }
        })?;
        let torn = found.torn;
        let journal = found.open(disk, options.segment_bytes, &*random)?;
        let indexer = std::thread::Builder::new()
            .name("ledger-index".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run()
            })
            .map_err(|e| io_error("start the indexer of", &options.folder, &e))?;
        Ok(Arc::new(Self {
            options,
            random,
            archive: journal.archive().clone(),
            hashes: journal.hashes().clone(),
            journal: Mutex::new(Some(journal)),
            shared,
            indexer: Mutex::new(Some(indexer)),
            set_aside,
            torn,
            signed,
            _lock: lock,
        }))
    }

    /// The checkpoint that is kept in `folder`, before the ledger there is opened.
    pub fn kept_checkpoint(folder: &std::path::Path) -> Result<Option<String>, StoreError> {
        read_checkpoint(folder)
    }

    /// Why the database was set aside and rebuilt when the store was opened, if it was.
    pub fn database_rebuilt(&self) -> Option<&str> {
        self.set_aside.as_deref()
    }

    /// Octets of an unacknowledged commit that a crash left and that were cut off at opening.
    pub const fn torn_bytes(&self) -> u64 {
        self.torn
    }

    /// The tree that the newest known head covered when the store was opened; empty where none was known.
    pub const fn signed_at_open(&self) -> &Frontier {
        &self.signed
    }

    /// Number of entries whose indexes are in the database; those of the rest are in memory.
    pub fn indexed_size(&self) -> u64 {
        self.shared.recent().first()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn with_journal<T>(
        &self,
        work: impl FnOnce(&mut Option<Journal>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end_indexer(&self) {
        self.shared.stop();
        let indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(indexer) = indexer {
            // A panic in it is a failure of the database, which the next start repairs.
            drop(indexer.join());
        }
    }

    fn closed(&self) -> StoreError {
        StoreError::Io {
            what: "append to",
            path: self.options.folder.display().to_string(),
            cause: "it is closed, or an earlier write failed".into(),
        }
    }
}

impl HashSource for FileStore {
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        self.hashes.hashes(level, first, count)
    }
}

impl Store for FileStore {
    fn size(&self) -> u64 {
        self.shared.recent().end()
    }

    fn frontier(&self) -> Frontier {
        let frontier = self.with_journal(|journal| {
            Ok(journal.as_ref().map_or_else(Frontier::new, |j| j.frontier().clone()))
        });
        frontier.unwrap_or_default()
    }

    fn ready(&self) -> Result<(), StoreError> {
        match self.shared.failure() {
            Some(failure) => Err(failure),
            None => check_space(&self.options),
        }
    }

    fn lives(&self) -> bool {
        let indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner);
        let works = indexer.as_ref().is_none_or(|thread| !thread.is_finished());
        // It ends by itself where the database fails, as on a disk that does.
        works || self.shared.failure().is_some()
    }

    fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let (salt, commit) = self.with_journal(|slot| {
            let mut journal = slot.take().ok_or_else(|| self.closed())?;
            let commit = journal.frontier().size();
            let appended = journal.append(&records, &*self.random);
            let salt = journal.salt();
            // A journal that failed is not put back: what it holds is unknown.
            if appended.is_ok() || !Safeguard::LastFailure.holds() {
                *slot = Some(journal);
            }
            appended.map(|()| (salt, commit))
        })?;
        let entries = records.into_iter().map(|r| {
            let mut record = Vec::new();
            record::write(&mut record, &r, commit, salt);
            RecentEntry { record: record.into(), salt, lines: lines(&r.postings) }
        });
        self.shared.publish(entries.collect());
        Ok(())
    }

    fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        {
            let recent = self.shared.recent();
            if first >= recent.first() {
                let rest = (first..).map_while(|sequence| recent.get(sequence)).take(limit);
                let entries = rest.filter_map(|e| record::read(&e.record, e.salt));
                return Ok(entries.map(|r| r.entry.to_vec()).collect());
            }
        }
        self.archive.read(first, limit)
    }

    fn reread(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.archive.read(first, limit)
    }

    fn lookup(&self, index: Index, key: &Key) -> Result<Vec<u64>, StoreError> {
        let (from, to) = (Line::first(index, key), Line::last(index, key));
        let found = self.shared.range(from, to, usize::MAX)?;
        Ok(found.iter().map(Line::sequence).collect())
    }

    fn range(
        &self,
        index: Index,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, u64)>, StoreError> {
        let found = self.shared.range(Line::first(index, from), Line::first(index, to), limit)?;
        let parts = found.iter().map(|line| (line.key(), line.sequence()));
        Ok(parts.filter(|(key, _)| key < to).collect())
    }

    fn verify_indexes(&self, progress: &mut dyn FnMut(u64) -> bool) -> Result<u64, StoreError> {
        self.verify_database(progress)
    }

    fn keep_checkpoint(&self, note: &str) -> Result<(), StoreError> {
        let path = checkpoint_path(&self.options.folder);
        write_durably(&path, note.as_bytes()).map_err(|e| io_error("write", &path, &e))
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        read_checkpoint(&self.options.folder)
    }

    fn close(&self) -> Result<(), StoreError> {
        let journal = self.with_journal(|slot| Ok(slot.take()))?;
        self.end_indexer();
        if journal.is_none() || self.shared.failure().is_some() {
            return Ok(());
        }
        self.shared.apply_round()?;
        let size = self.size();
        self.shared.database().set_closed_at(size)?;
        self.shared.database().flush()
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // One that is given up without having been closed leaves no thread behind, which would keep the
        // database open.
        self.end_indexer();
    }
}

/// The lines of an entry's postings.
fn lines(postings: &[Posting]) -> Arc<[Line]> {
    postings.iter().map(Line::of).collect()
}
