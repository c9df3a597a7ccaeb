//! The journal read by somebody who must not touch it: an auditor's copy, or the folder of a signer
//! that is stopped. Nothing is written, not even what a crash left is cut off.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::hash_files::HashFiles;
use super::journal::Found;
use super::record;
use super::segment::Segment;
use super::startup::read_checkpoint;
use crate::ledger::StoreError;
use crate::ledger::merkle::Frontier;
use crate::ledger::proof::HashSource;
use crate::ledger::verify::EntrySource;

/// The journal in a data folder, for reading from start to end.
pub struct JournalView {
    found: Found,
    hashes: Option<HashFiles>,
    checkpoint: Option<String>,
    /// The segment that was read last, from its first entry on.
    current: Mutex<Option<Current>>,
}

struct Current {
    segment: Segment,
    bytes: Vec<u8>,
    /// The next entry and where its record begins.
    next: (u64, usize),
}

impl JournalView {
    /// Looks at the journal in the data folder `folder`. Errors as `FileStore::open` has them.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        // In this order: a signer that runs meanwhile signs only what is in the journal already.
        let checkpoint = read_checkpoint(folder)?;
        let found = Found::look_only(&folder.join("journal"))?;
        let hashes = HashFiles::look(&folder.join("tree"))?;
        Ok(Self { found, hashes, checkpoint, current: Mutex::new(None) })
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.found.frontier.size()
    }

    /// The tree over them, as the last segment's header and records tell it.
    pub const fn frontier(&self) -> &Frontier {
        &self.found.frontier
    }

    /// Octets at the end that belong to no whole group: what a crash leaves, or a cut.
    pub const fn torn_bytes(&self) -> u64 {
        self.found.torn
    }

    /// The checkpoint that the folder holds.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The segment of entry `first`, read up to its record.
    fn current(&self, first: u64, before: Option<Current>) -> Result<Current, StoreError> {
        let segment = self.found.segments().take_while(|s| s.first() <= first).last();
        let segment = segment.ok_or_else(|| {
            StoreError::Damaged(format!("no segment of the journal has entry {first}"))
        })?;
        let mut current = match before {
            Some(same) if same.segment.path == segment.path && same.next.0 <= first => same,
            _ => Current {
                bytes: segment.read()?,
                next: (segment.first(), segment.header_len),
                segment: segment.clone(),
            },
        };
        while current.next.0 < first {
            current.take()?;
        }
        Ok(current)
    }
}

impl Current {
    /// The next entry, and on to the one behind it.
    fn take(&mut self) -> Result<Vec<u8>, StoreError> {
        let (sequence, offset) = self.next;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let record = record::read(rest, self.segment.header.salt);
        let record = record.filter(|r| r.sequence == sequence && r.leaf_fits());
        let record = record.ok_or_else(|| {
            let path = self.segment.path.display();
            StoreError::Damaged(format!(
                "{path} at octet {offset}: the record of entry {sequence} is damaged"
            ))
        })?;
        self.next = (sequence + 1, offset + record.len());
        Ok(record.entry.to_vec())
    }
}

impl EntrySource for JournalView {
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut slot = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if first >= self.size() {
            return Ok(Vec::new());
        }
        let mut current = self.current(first, slot.take())?;
        let segments = self.found.segments();
        let end = segments.map(Segment::first).find(|f| *f > first).unwrap_or(self.size());
        let count = (end - first).min(limit as u64);
        let entries = (0..count).map(|_| current.take()).collect();
        *slot = Some(current);
        entries
    }
    /// Those of the last segment are written anew at each start, and may be lost after a crash.
    fn kept_hashes(&self) -> Option<(&dyn HashSource, u64)> {
        let kept = self.found.segments().map(Segment::first).last()?;
        self.hashes.as_ref().map(|hashes| (hashes as &dyn HashSource, kept))
    }
}
