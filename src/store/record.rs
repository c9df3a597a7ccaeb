//! The journal's record: one entry with what is needed to find its bounds, its damage and its place.
//!
//! | octets | field |
//! |---|---|
//! | 1 | magic, 0xCA |
//! | 1 | flags: bit 0 is set on the last record of a group |
//! | 2 | length of the entry |
//! | 4 | CRC-32 over the segment's salt and all of the record but these four octets |
//! | 8 | sequence |
//! | 8 | sequence of the first record of the same commit |
//! | 32 | leaf hash |
//! | length | entry |
//!
//! Numbers are big-endian. The salt is random, so that nobody can send an entry that holds what
//! looks like a record.

use std::ops::Range;

use crate::ledger::Record;
use crate::ledger::merkle::{self, Hash};

/// Length of a record without its entry.
pub(super) const HEADER_LEN: usize = 56;

const MAGIC: u8 = 0xca;
const ENDS_GROUP: u8 = 1;

/// A record that was read, its entry in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordRef<'a> {
    pub(super) sequence: u64,
    /// Sequence of the first record of its commit: all of it went to the disk by one fsync.
    pub(super) commit: u64,
    pub(super) ends_group: bool,
    pub(super) leaf: Hash,
    pub(super) entry: &'a [u8],
}

impl RecordRef<'_> {
    /// Length of the whole record.
    pub(super) fn len(&self) -> usize {
        HEADER_LEN + self.entry.len()
    }

    /// Whether the leaf is the hash of the entry. The checksum finds accidents; this finds malice.
    pub(super) fn leaf_fits(&self) -> bool {
        merkle::leaf_hash(self.entry) == self.leaf
    }
}

/// A segment's random salt.
pub(super) type Salt = [u8; 8];

/// Appends the record of a commit that began at `commit`. Entries that do not fit were refused
/// when they were encoded.
pub(super) fn write(out: &mut Vec<u8>, record: &Record, commit: u64, salt: Salt) {
    let (sequence, leaf, entry) = (record.sequence, record.leaf, &*record.entry);
    write_ref(
        out,
        &RecordRef { sequence, commit, ends_group: record.ends_group, leaf, entry },
        salt,
    );
}

/// Appends a record as it was read.
pub(super) fn write_ref(out: &mut Vec<u8>, record: &RecordRef<'_>, salt: Salt) {
    let start = out.len();
    let length = record.entry.len() as u16;
    debug_assert_eq!(usize::from(length), record.entry.len());
    out.push(MAGIC);
    out.push(if record.ends_group { ENDS_GROUP } else { 0 });
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.sequence.to_be_bytes());
    out.extend_from_slice(&record.commit.to_be_bytes());
    out.extend_from_slice(&record.leaf);
    out.extend_from_slice(record.entry);
    let sum = checksum(&out[start..], salt);
    out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Reads the record at the start of `bytes`; nothing unless it is whole and its checksum right.
pub(super) fn read(bytes: &[u8], salt: Salt) -> Option<RecordRef<'_>> {
    let header = bytes.get(..HEADER_LEN)?;
    if header[0] != MAGIC || header[1] & !ENDS_GROUP != 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let whole = bytes.get(..HEADER_LEN + length)?;
    if number(header, 4..8)? != u64::from(checksum(whole, salt)) {
        return None;
    }
    Some(RecordRef {
        sequence: number(header, 8..16)?,
        commit: number(header, 16..24)?,
        ends_group: header[1] & ENDS_GROUP != 0,
        leaf: header[24..56].try_into().ok()?,
        entry: &whole[HEADER_LEN..],
    })
}

/// The big-endian number at `range`.
fn number(bytes: &[u8], range: Range<usize>) -> Option<u64> {
    let digits = bytes.get(range)?;
    Some(digits.iter().fold(0, |all, digit| all << 8 | u64::from(*digit)))
}

fn checksum(record: &[u8], salt: Salt) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt);
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: Salt = *b"saltsalt";

    fn record(entry: Vec<u8>) -> Record {
        let leaf = merkle::leaf_hash(&entry);
        Record { sequence: 7, entry, leaf, ends_group: true, postings: Vec::new() }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(entry in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut bytes = Vec::new();
            write(&mut bytes, &record(entry.clone()), 5, SALT);
            let read = read(&bytes, SALT).unwrap();
            prop_assert_eq!((read.sequence, read.commit, read.ends_group), (7, 5, true));
            prop_assert_eq!(read.entry, &entry[..]);
            prop_assert!(read.leaf_fits());
            prop_assert_eq!(read.len(), bytes.len());
            prop_assert_eq!(super::read(&bytes, *b"another."), None);
        }

        #[test]
        fn finds_every_flipped_bit_and_every_cut(
            entry in prop::collection::vec(any::<u8>(), 1..300), place in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, &record(entry), 5, SALT);
            let place = place.index(bytes.len());
            prop_assert_eq!(read(&bytes[..place], SALT), None);
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(read(&bytes, SALT), None);
        }
    }
}
