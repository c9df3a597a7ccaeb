//! sled, behind a fence: every call is caught where it panics, and every value has a checksum of
//! its own.
//!
//! One tree of keys: `0x00` the manifest; `0x01`, sequence, number: a part of a chunk of journal
//! records, the salt of their checksums before the first part; `0x02`, run, number: a page of a run; `0x03`, run: its fences;
//! `0x04` how often the database was opened; `0x05` the size of the ledger when it was last closed. Pages and fences end in their CRC-32.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::disk::{create_folder, io_error, sync_folder};
use super::line::{LEN, lines};
use super::manifest::Manifest;
use super::record::{self, Salt};
use super::run::Run;
use crate::ledger::StoreError;

/// sled keeps some sixteen values together, and puts what is larger than a quarter of this into a
/// file of its own, which it never fsyncs: sixteen of [`PART_BYTES`] must fit.
const SEGMENT_SIZE: usize = 2 << 20;

/// The most octets of a value.
const PART_BYTES: usize = 24 << 10;

const MANIFEST: &[u8] = &[0];
const CHUNKS: u8 = 1;
const PAGES: u8 = 2;
const FENCES: u8 = 3;
const OPENED: &[u8] = &[4];
const CLOSED_AT: &[u8] = &[5];

/// After so many octets of values the database is opened anew: sled notes where it is only when it
/// is opened, and a start reads all that came after.
const REOPEN_BYTES: u64 = 128 << 20;

/// The database of one ledger.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    cache_bytes: u64,
    /// Gone where opening anew failed.
    db: Option<sled::Db>,
    /// Octets of values since it was opened.
    written: AtomicU64,
}

impl Database {
    /// Opens or makes the database in `path` and checks that its flushes reach the disk.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let new = !path.exists();
        create_folder(path)?;
        let db = Some(open_sled(path, cache_bytes)?);
        let written = AtomicU64::new(0);
        let database = Self { path: path.to_owned(), cache_bytes, db, written };
        if new {
            // sled does not bring its own files' names to the disk.
            for item in std::fs::read_dir(path).map_err(|e| io_error("list", path, &e))? {
                let file = item.map_err(|e| io_error("list", path, &e))?.path();
                sync_folder(&file).map_err(|e| io_error("fsync", &file, &e))?;
            }
            create_folder(path)?;
        }
        database.check_barrier()?;
        Ok(database)
    }

    /// Opens the database anew where much was written since it was opened.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        if !self.is_stale() {
            return Ok(());
        }
        self.written.store(0, Ordering::Relaxed);
        self.flush()?;
        self.db = None;
        self.db = Some(open_sled(&self.path, self.cache_bytes)?);
        Ok(())
    }

    /// Whether [`Database::refresh`] would do something.
    pub(super) fn is_stale(&self) -> bool {
        self.written.load(Ordering::Relaxed) >= REOPEN_BYTES
    }

    /// Runs a piece of sled; a panic in it is an error of the database, not of the signer.
    fn with<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let db = self.db.as_ref();
        let db = db.ok_or_else(|| StoreError::Database("it could not be opened anew".into()))?;
        fenced(|| work(db))
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.written.fetch_add(value.len() as u64, Ordering::Relaxed);
        self.with(|db| db.insert(key, value)).map(drop)
    }

    /// A flush with something to flush must call the barrier.
    fn check_barrier(&self) -> Result<(), StoreError> {
        let before = chancery_barrier::calls();
        self.with(|db| {
            let count = db.get(OPENED)?.and_then(|v| v.as_ref().try_into().ok());
            let count = count.map_or(0, u64::from_be_bytes);
            db.insert(OPENED, &(count + 1).to_be_bytes())?;
            db.flush()
        })?;
        if chancery_barrier::calls() > before {
            Ok(())
        } else {
            Err(StoreError::NoBarrier("a flush of the database did not call fdatasync".into()))
        }
    }

    /// What the database has, the runs with their fences; nothing in a new one.
    pub(super) fn manifest(&self) -> Result<Manifest, StoreError> {
        let Some(value) = self.with(|db| db.get(MANIFEST))? else { return Ok(Manifest::default()) };
        let mut manifest = Manifest::decode(&value)
            .ok_or_else(|| StoreError::Database("its manifest is damaged".into()))?;
        for run in &mut manifest.runs {
            let fences = self.checked(&fence_key(run.id))?;
            run.fences = lines(&fences).collect();
        }
        Ok(manifest)
    }

    /// Records what the database has. What was written before is on the disk before this is.
    pub(super) fn set_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.insert(MANIFEST, &manifest.encode())
    }

    /// How many entries the ledger had when it was last closed in order.
    pub(super) fn closed_at(&self) -> Result<u64, StoreError> {
        let value = self.with(|db| db.get(CLOSED_AT))?;
        let size = value.and_then(|v| v.as_ref().try_into().ok());
        Ok(size.map_or(0, u64::from_be_bytes))
    }

    /// Records how many entries the ledger has.
    pub(super) fn set_closed_at(&self, size: u64) -> Result<(), StoreError> {
        self.insert(CLOSED_AT, &size.to_be_bytes())
    }

    /// Stores whole records, the first of which has the sequence `first`.
    pub(super) fn put_chunk(
        &self,
        first: u64,
        salt: Salt,
        records: &[u8],
    ) -> Result<(), StoreError> {
        let chunk = [&salt, records].concat();
        for (number, part) in (0_u8..).zip(chunk.chunks(PART_BYTES)) {
            self.insert(&chunk_key(first, number), part)?;
        }
        Ok(())
    }

    /// The entries of the chunk that holds entry `sequence`, with their sequences, as far as their
    /// checksums are right.
    pub(super) fn chunk_of(&self, sequence: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let chunk = self.with(|db| {
            let last = db.range(chunk_key(0, 0)..=chunk_key(sequence, u8::MAX)).next_back();
            let Some((key, _)) = last.transpose()? else { return Ok(Vec::new()) };
            let parts = db.scan_prefix(&key[..key.len() - 1]).values();
            parts.collect::<sled::Result<Vec<_>>>()
        })?;
        let chunk = chunk.concat();
        let Some((salt, mut rest)) = chunk.split_first_chunk() else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        while let Some(record) = record::read(rest, *salt) {
            entries.push((record.sequence, record.entry.to_vec()));
            rest = &rest[record.len()..];
        }
        Ok(entries)
    }

    /// Stores a page of a run.
    pub(super) fn put_page(&self, run: u64, number: usize, page: &[u8]) -> Result<(), StoreError> {
        self.insert(&page_key(run, number), &with_sum(page))
    }

    /// The lines of a page of a run.
    pub(super) fn page(&self, run: u64, number: usize) -> Result<Checked, StoreError> {
        self.checked(&page_key(run, number))
    }

    /// Stores the fences of a run.
    pub(super) fn put_fences(&self, run: &Run) -> Result<(), StoreError> {
        let fences: Vec<u8> = run.fences.iter().flat_map(|line| line.0).collect();
        self.insert(&fence_key(run.id), &with_sum(&fences))
    }

    /// Removes all of a run, where it is there.
    pub(super) fn remove_run(&self, run: u64) -> Result<(), StoreError> {
        self.with(|db| {
            let Some(fences) = db.get(fence_key(run))? else { return Ok(()) };
            for number in 0..fences.len() / LEN {
                db.remove(page_key(run, number))?;
            }
            db.remove(fence_key(run)).map(drop)
        })
    }

    /// Removes what a crash left of runs that no manifest names.
    pub(super) fn remove_runs_from(&self, first: u64) -> Result<(), StoreError> {
        self.with(|db| {
            for kind in [PAGES, FENCES] {
                let from = [&[kind][..], &first.to_be_bytes()].concat();
                for key in db.range(from..vec![kind + 1]).keys() {
                    db.remove(key?)?;
                }
            }
            Ok(())
        })
    }

    /// Brings everything to the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.with(|db| db.flush()).map(drop)
    }

    /// The value of `key` without its checksum, which is checked.
    fn checked(&self, key: &[u8]) -> Result<Checked, StoreError> {
        let damaged =
            || StoreError::Database(format!("the value of {} is damaged", hex::encode(key)));
        let value = self.with(|db| db.get(key))?.ok_or_else(damaged)?;
        let (body, sum) = value.split_last_chunk().ok_or_else(damaged)?;
        if crc32fast::hash(body).to_be_bytes() == *sum {
            Ok(Checked(value))
        } else {
            Err(damaged())
        }
    }
}

/// A value whose checksum is right; what is read is the rest of it.
pub(super) struct Checked(sled::IVec);

impl Deref for Checked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[..self.0.len() - 4]
    }
}

fn with_sum(body: &[u8]) -> Vec<u8> {
    [body, &crc32fast::hash(body).to_be_bytes()].concat()
}

fn chunk_key(first: u64, number: u8) -> Vec<u8> {
    [&[CHUNKS][..], &first.to_be_bytes(), &[number]].concat()
}

fn page_key(run: u64, number: usize) -> Vec<u8> {
    [&[PAGES][..], &run.to_be_bytes(), &(number as u32).to_be_bytes()].concat()
}

fn fence_key(run: u64) -> Vec<u8> {
    [&[FENCES][..], &run.to_be_bytes()].concat()
}

/// Opens sled. A process that has just closed it may hold its lock for a moment still.
fn open_sled(path: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_SIZE)
        .mode(sled::Mode::LowSpace);
    let mut tries = 0;
    loop {
        match fenced(|| config.open()) {
            Err(StoreError::Database(e)) if tries < 50 && e.contains("acquire lock") => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

fn fenced<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(StoreError::Database(e.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(StoreError::Database(format!("it panicked: {}", text.unwrap_or("no reason given"))))
        }
    }
}
