//! One file of the journal: a header that ties it to what came before, then records.
//!
//! | octets | field |
//! |---|---|
//! | 16 | `chancery-ledger\n` |
//! | 2 | version of the format, 1 |
//! | 2 | number of hashes |
//! | 8 | sequence of the first record, which is the size of the tree before it |
//! | 8 | length of the segment before, in octets; 0 in the first |
//! | 8 | random salt of the records' checksums |
//! | 32 each | the tree's frontier before the first record |
//! | 4 | CRC-32 of all before |

use std::path::{Path, PathBuf};

use super::disk::io_error;
use super::record::{self, RecordRef, Salt};
use crate::ledger::StoreError;
use crate::ledger::merkle::{Frontier, Hash};

const MAGIC: &[u8; 16] = b"chancery-ledger\n";
const VERSION: u16 = 1;
const FIXED_LEN: usize = 44;

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The tree before the first record.
    pub(super) frontier: Frontier,
    /// Length of the segment before.
    pub(super) previous_length: u64,
    /// Goes into the checksum of each record.
    pub(super) salt: Salt,
}

impl Header {
    /// The header's octets.
    pub(super) fn encode(&self) -> Vec<u8> {
        let hashes = self.frontier.subtrees();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&(hashes.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.frontier.size().to_be_bytes());
        out.extend_from_slice(&self.previous_length.to_be_bytes());
        out.extend_from_slice(&self.salt);
        hashes.iter().for_each(|hash| out.extend_from_slice(hash));
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    /// Reads the header at the start of `bytes`; also its length.
    fn decode(bytes: &[u8]) -> Result<(Self, usize), String> {
        let cut = || "it is shorter than its header".to_owned();
        let fixed = bytes.get(..FIXED_LEN).ok_or_else(cut)?;
        if &fixed[..16] != MAGIC {
            return Err("it is no segment of a journal".into());
        }
        let version = u16::from_be_bytes([fixed[16], fixed[17]]);
        if version != VERSION {
            return Err(format!("it has format {version}, this program reads {VERSION}"));
        }
        let count = usize::from(u16::from_be_bytes([fixed[18], fixed[19]]));
        let length = FIXED_LEN + 32 * count + 4;
        let whole = bytes.get(..length).ok_or_else(cut)?;
        let (body, sum) = whole.split_at(length - 4);
        if crc32fast::hash(body).to_be_bytes() != *sum {
            return Err("its header's checksum is wrong".into());
        }
        let number = |at: usize| {
            let digits = whole.iter().skip(at).take(8);
            digits.fold(0, |all: u64, digit| all << 8 | u64::from(*digit))
        };
        let hashes = body[FIXED_LEN..].chunks_exact(32).filter_map(|h| Hash::try_from(h).ok());
        let frontier = Frontier::from_parts(number(20), hashes.collect())
            .ok_or("its header's hashes do not fit its size")?;
        let salt = number(36).to_be_bytes();
        Ok((Self { frontier, previous_length: number(28), salt }, length))
    }
}

/// A segment's file, as the journal knows it without reading its records.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) header_len: usize,
    /// Length of the file.
    pub(super) length: u64,
}

impl Segment {
    /// The name of the segment that begins at `first`.
    pub(super) fn file_name(first: u64) -> String {
        format!("{first:020}.journal")
    }

    /// Reads the header of `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        use std::io::Read;
        let io = |e: std::io::Error| io_error("read", path, &e);
        let file = std::fs::File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut start = Vec::new();
        // A frontier has at most 64 hashes.
        file.take(FIXED_LEN as u64 + 64 * 32 + 4).read_to_end(&mut start).map_err(io)?;
        let (header, header_len) = Header::decode(&start)
            .map_err(|why| StoreError::Damaged(format!("{}: {why}", path.display())))?;
        let name = Self::file_name(header.frontier.size());
        if path.file_name().is_none_or(|n| n != name.as_str()) {
            let why = format!("{}: its header belongs to {name}", path.display());
            return Err(StoreError::Damaged(why));
        }
        Ok(Self { path: path.to_owned(), header, header_len, length })
    }

    /// Sequence of its first record.
    pub(super) const fn first(&self) -> u64 {
        self.header.frontier.size()
    }

    /// Where it is and how long.
    pub(super) fn place(&self) -> (PathBuf, u64) {
        (self.path.clone(), self.length)
    }

    /// The whole file, past what the system's cache may hold wrongly after a failed fsync.
    pub(super) fn read(&self) -> Result<Vec<u8>, StoreError> {
        std::fs::read(&self.path).map_err(|e| io_error("read", &self.path, &e))
    }
}

/// How the records of a segment end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the file.
    Clean,
    /// In octets that are no whole record or no whole group, as a crash leaves them: at this
    /// offset.
    Torn { offset: usize },
    /// In octets that were good once, since something durable follows them.
    Damaged { offset: usize, why: String },
}

/// Walks the records in `bytes`, a segment's, and hands each whole group to `group`, whose records
/// `frontier` takes in before.
pub(super) fn walk<'a, E>(
    bytes: &'a [u8],
    start: usize,
    salt: Salt,
    frontier: &mut Frontier,
    mut group: impl FnMut(&[(usize, RecordRef<'a>)]) -> Result<(), E>,
) -> Result<End, E> {
    let mut offset = start;
    let mut whole = start;
    let mut open: Vec<(usize, RecordRef<'a>)> = Vec::new();
    while offset < bytes.len() {
        let expected = frontier.size() + open.len() as u64;
        let found = record::read(&bytes[offset..], salt);
        let Some(record) = found.filter(|r| r.sequence == expected) else {
            if let Some(later) = later_commit(&bytes[offset..], expected, salt) {
                let why = format!(
                    "the record of entry {expected} is damaged, though entry {later} was committed after it"
                );
                return Ok(End::Damaged { offset, why });
            }
            return Ok(End::Torn { offset: whole });
        };
        if !record.leaf_fits() {
            let why = format!("entry {expected} is not what its hash says");
            return Ok(End::Damaged { offset, why });
        }
        open.push((offset, record));
        offset += record.len();
        if record.ends_group {
            open.iter().for_each(|(_, r)| frontier.push(r.leaf));
            group(&open)?;
            open.clear();
            whole = offset;
        }
    }
    if open.is_empty() { Ok(End::Clean) } else { Ok(End::Torn { offset: whole }) }
}

/// Looks in `rest`, whose first record should be that of `expected` and is not whole, for a record
/// of a later commit: that commit was begun only after `expected` was durable.
fn later_commit(rest: &[u8], expected: u64, salt: Salt) -> Option<u64> {
    (0..rest.len()).find_map(|at| {
        let record = record::read(&rest[at..], salt)?;
        (record.commit > expected).then_some(record.sequence)
    })
}
