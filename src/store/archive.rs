//! Reading single entries from the journal: where each record begins, in memory for the segment
//! that grows, in a file beside each other segment (four octets a record). These files are made
//! from the segments whenever they are missing or do not fit.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::disk::io_error;
use super::record::{self, HEADER_LEN};
use super::segment::{End, Segment, walk};
use crate::ledger::{MAX_ENTRY_LEN, StoreError};

/// The most octets that one call reads.
const READ_BYTES: u64 = 1 << 20;

/// Where the journal's records are.
#[derive(Debug, Default)]
pub(super) struct Archive {
    places: RwLock<Places>,
}

/// A segment, with the offsets of some of its records and of where the last of them ends.
type Found = (Arc<Segment>, Vec<u32>);

#[derive(Debug, Default)]
struct Places {
    /// The segments that grow no more, by their first sequence.
    full: BTreeMap<u64, Arc<Segment>>,
    last: Option<Arc<Segment>>,
    /// Offsets of the last segment's records, and of its end.
    offsets: Vec<u32>,
}

impl Archive {
    /// Takes `segment`, which grows no more and is followed by `next`.
    pub(super) fn add_full(&self, segment: &Segment, next: u64) -> Result<(), StoreError> {
        let path = offsets_path(segment);
        let count = next - segment.first();
        let length = std::fs::metadata(&path).map_or(0, |m| m.len());
        if length != (count + 1) * 4 {
            let offsets = scan(segment, &segment.read()?)?;
            write_offsets(segment, &offsets)?;
        }
        self.change(|places| drop(places.full.insert(segment.first(), segment.clone().into())));
        Ok(())
    }

    /// Takes `segment`, which will grow, with the offsets of its records and of its end.
    pub(super) fn set_last(&self, segment: &Segment, offsets: Vec<u32>) {
        self.change(|places| {
            places.last = Some(segment.clone().into());
            places.offsets = offsets;
        });
    }

    /// Notes that records were appended to the last segment, by their lengths.
    pub(super) fn grow(&self, lengths: impl IntoIterator<Item = usize>) {
        self.change(|places| {
            let mut end = places.offsets.last().copied().unwrap_or(0);
            for length in lengths {
                end += length as u32;
                places.offsets.push(end);
            }
        });
    }

    /// The last segment grows no more; `next` takes its place.
    pub(super) fn roll(&self, next: &Segment) -> Result<(), StoreError> {
        let (last, offsets) = {
            let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
            (places.last.clone(), places.offsets.clone())
        };
        if let Some(last) = last {
            write_offsets(&last, &offsets)?;
            self.change(|places| drop(places.full.insert(last.first(), last)));
        }
        self.set_last(next, vec![next.header_len as u32]);
        Ok(())
    }

    /// The entries from `first` on, at most `limit`, as far as their segment goes and one read
    /// reaches; none where the journal ends before. Every record is checked.
    pub(super) fn read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        match self.try_read(first, limit) {
            Err(StoreError::Damaged(_)) => {}
            result => return result,
        }
        // Either the segment is damaged, which the scan finds, or its offsets are.
        if let Some(segment) = self.full_segment(first) {
            write_offsets(&segment, &scan(&segment, &segment.read()?)?)?;
        }
        self.try_read(first, limit)
    }

    fn try_read(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let Some((segment, offsets)) = self.offsets(first, limit)? else { return Ok(Vec::new()) };
        let (Some(start), Some(all)) = (offsets.first(), offsets.last()) else {
            return Ok(Vec::new());
        };
        // As many as fit, but one at least.
        let reach = u64::from(*start) + READ_BYTES;
        let end = offsets.iter().rev().find(|o| u64::from(**o) <= reach).unwrap_or(all);
        let end = if end == start { offsets[1.min(offsets.len() - 1)] } else { *end };
        let mut bytes = vec![0; (end - start) as usize];
        let io = |e: std::io::Error| io_error("read", &segment.path, &e);
        let file = File::open(&segment.path).map_err(io)?;
        file.read_exact_at(&mut bytes, u64::from(*start)).map_err(io)?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && entries.len() < limit {
            let sequence = first + entries.len() as u64;
            let record = record::read(rest, segment.header.salt);
            let Some(record) = record.filter(|r| r.sequence == sequence && r.leaf_fits()) else {
                let path = segment.path.display();
                return Err(StoreError::Damaged(format!(
                    "{path}: the record of entry {sequence} is damaged"
                )));
            };
            entries.push(record.entry.to_vec());
            rest = &rest[record.len()..];
        }
        Ok(entries)
    }

    /// The segment of entry `first` with the offsets of it and of what follows, at most `limit`,
    /// and of the end.
    fn offsets(&self, first: u64, limit: usize) -> Result<Option<Found>, StoreError> {
        let count = limit.saturating_add(1);
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = places.last.as_ref().filter(|s| s.first() <= first) {
            let skipped = (first - last.first()) as usize;
            let offsets = places.offsets.iter().skip(skipped).take(count).copied().collect();
            return Ok(Some((last.clone(), offsets)));
        }
        drop(places);
        let Some(segment) = self.full_segment(first) else { return Ok(None) };
        let path = offsets_path(&segment);
        let io = |e: std::io::Error| io_error("read", &path, &e);
        let file = File::open(&path).map_err(io)?;
        let start = (first - segment.first()) * 4;
        let rest = file.metadata().map_err(io)?.len().saturating_sub(start);
        let mut bytes = vec![0; (rest as usize).min(count.saturating_mul(4))];
        file.read_exact_at(&mut bytes, start).map_err(io)?;
        let offsets: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|c| c.iter().fold(0, |all, digit| all << 8 | u32::from(*digit)))
            .collect();
        let longest = (HEADER_LEN + MAX_ENTRY_LEN) as u32;
        let sane = |w: &[u32]| w[1] > w[0] && w[1] - w[0] <= longest;
        if offsets.windows(2).all(sane) {
            Ok(Some((segment, offsets)))
        } else {
            Err(StoreError::Damaged(format!("{} does not fit its segment", path.display())))
        }
    }

    /// The segment of entry `sequence`, if it is one that grows no more.
    fn full_segment(&self, sequence: u64) -> Option<Arc<Segment>> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let in_last = places.last.as_ref().is_some_and(|s| s.first() <= sequence);
        let found = places.full.range(..=sequence).next_back().filter(|_| !in_last);
        found.map(|(_, segment)| segment.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Places)) {
        change(&mut self.places.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The offsets of all records of a full segment and of its end.
fn scan(segment: &Segment, bytes: &[u8]) -> Result<Vec<u32>, StoreError> {
    let mut offsets = Vec::new();
    let mut frontier = segment.header.frontier.clone();
    let salt = segment.header.salt;
    let end: Result<End, StoreError> =
        walk(bytes, segment.header_len, salt, &mut frontier, |records| {
            offsets.extend(records.iter().map(|(offset, _)| *offset as u32));
            Ok(())
        });
    offsets.push(bytes.len() as u32);
    match end? {
        End::Clean => Ok(offsets),
        End::Torn { offset } | End::Damaged { offset, .. } => {
            let why = format!("{}: octet {offset} begins no record", segment.path.display());
            Err(StoreError::Damaged(why))
        }
    }
}

fn offsets_path(segment: &Segment) -> PathBuf {
    segment.path.with_extension("offsets")
}

/// Not fsynced: it is made again where it is missing.
fn write_offsets(segment: &Segment, offsets: &[u32]) -> Result<(), StoreError> {
    let path = offsets_path(segment);
    let io = |path: &Path, e: std::io::Error| io_error("write", path, &e);
    let bytes: Vec<u8> = offsets.iter().flat_map(|o| o.to_be_bytes()).collect();
    let temporary = path.with_extension("offsets.tmp");
    std::fs::write(&temporary, bytes).map_err(|e| io(&temporary, e))?;
    std::fs::rename(&temporary, &path).map_err(|e| io(&path, e))
}
