//! The journal: segments one after the other, the last of which grows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::disk::{Disk, Tail, create_folder, io_error};
use super::hash_files::HashFiles;
use super::record::{self, HEADER_LEN, RecordRef, Salt};
use super::segment::{End, Header, Segment, walk};
use crate::control::Safeguard;
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::{Entry, Record, StoreError};
use crate::random::{self, Random};

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// A segment that has grown beyond this many octets is followed by a new one.
    segment_bytes: u64,
    /// The segment that grows.
    last: Segment,
    tail: Box<dyn Tail>,
    /// Length of the last segment.
    length: u64,
    frontier: Frontier,
    buffer: Vec<u8>,
    archive: Arc<Archive>,
    hashes: Arc<HashFiles>,
}

/// The journal as it was found, before its torn end is cut off.
pub(super) struct Found {
    folder: PathBuf,
    segments: BTreeMap<u64, Segment>,
    last: Option<Segment>,
    /// Where the last segment's records begin, and where they end.
    offsets: Vec<u32>,
    /// Their leaf hashes.
    leaves: Vec<Hash>,
    /// Where the whole groups of the last segment end.
    length: u64,
    /// Octets behind that, left by a crash.
    pub(super) torn: u64,
    /// The tree over all whole groups.
    pub(super) frontier: Frontier,
    /// Why the first entry of the last segment that cannot be read cannot be.
    unreadable: Option<StoreError>,
}

impl Found {
    /// Finds the journal in `folder`; checks the chain of its segments and every record of the last
    /// one. Brings to the disk what the last process left in the cache.
    pub(super) fn look(folder: &Path) -> Result<Self, StoreError> {
        create_folder(folder)?;
        if let Some(last) = segment_paths(folder)?.last() {
            forget_cache(last)?;
        }
        let found = Self::look_only(folder)?;
        // Before anything else of the folder is opened: what a later release wrote is left alone.
        found.unreadable.clone().map_or(Ok(found), Err)
    }

    /// The same, and changes nothing.
    pub(super) fn look_only(folder: &Path) -> Result<Self, StoreError> {
        let mut segments = BTreeMap::new();
        for path in segment_paths(folder)? {
            let segment = Segment::open(&path)?;
            segments.insert(segment.first(), segment);
        }
        let mut previous = 0;
        for (index, segment) in segments.values().enumerate() {
            let (path, said) = (segment.path.display(), segment.header.previous_length);
            if index == 0 && segment.first() != 0 {
                let why = format!("{path} is the first segment, entries before it are missing");
                return Err(StoreError::Damaged(why));
            }
            if said != previous {
                let why = format!(
                    "before {path}: its segment has {previous} octets instead of {said}, or one is missing"
                );
                return Err(StoreError::Damaged(why));
            }
            previous = segment.length;
        }
        let folder = folder.to_owned();
        let Some((_, last)) = segments.pop_last() else {
            let frontier = Frontier::new();
            return Ok(Self {
                folder,
                segments,
                last: None,
                offsets: Vec::new(),
                leaves: Vec::new(),
                length: 0,
                torn: 0,
                frontier,
                unreadable: None,
            });
        };
        let bytes = last.read()?;
        let mut frontier = last.header.frontier.clone();
        let mut offsets = vec![last.header_len as u32];
        let mut leaves = Vec::new();
        let mut unreadable = None;
        let end: Result<End, StoreError> =
            walk(&bytes, last.header_len, last.header.salt, &mut frontier, |records| {
                offsets.extend(records.iter().map(|(offset, r)| (offset + r.len()) as u32));
                leaves.extend(records.iter().map(|(_, r)| r.leaf));
                unreadable = unreadable.take().or_else(|| records.iter().find_map(version_problem));
                Ok(())
            });
        let total = bytes.len() as u64;
        let length = match end? {
            End::Clean => total,
            End::Torn { offset } => offset as u64,
            End::Damaged { offset, why } => {
                let place = last.path.display();
                return Err(StoreError::Damaged(format!("{place} at octet {offset}: {why}")));
            }
        };
        let torn = total - length;
        let last = Some(last);
        Ok(Self { folder, segments, last, offsets, leaves, length, torn, frontier, unreadable })
    }

    /// The segments, oldest first.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values().chain(&self.last)
    }

    /// Hands the records from `first` on to `group`, a whole group at a time but for the first one.
    pub(super) fn replay(
        &self,
        first: u64,
        mut group: impl FnMut(&[(usize, RecordRef<'_>)], Salt) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let from = self.segments().filter(|s| s.first() <= first).map(Segment::first).last();
        for segment in self.segments().filter(|s| Some(s.first()) >= from) {
            let mut bytes = segment.read()?;
            if self.last.as_ref().is_some_and(|l| l.first() == segment.first()) {
                bytes.truncate(self.length as usize);
            }
            let mut frontier = segment.header.frontier.clone();
            let salt = segment.header.salt;
            let end = walk(&bytes, segment.header_len, salt, &mut frontier, |records| {
                let from = records.partition_point(|(_, r)| r.sequence < first);
                if from < records.len() { group(&records[from..], salt) } else { Ok(()) }
            })?;
            let expected = self.segments().find(|s| s.first() > segment.first());
            let expected = expected.map_or(&self.frontier, |s| &s.header.frontier);
            let why = match end {
                End::Clean if frontier == *expected => continue,
                End::Clean => "its entries are not those that the next segment continues".into(),
                End::Torn { offset } => format!("octet {offset} begins no record"),
                End::Damaged { offset, why } => format!("octet {offset}: {why}"),
            };
            return Err(StoreError::Damaged(format!("{}: {why}", segment.path.display())));
        }
        Ok(())
    }

    /// Checks every record from the segment on that has entry `first`. The last segment's were checked when it
    /// was found.
    pub(super) fn check_from(&self, first: u64) -> Result<(), StoreError> {
        match self.last.as_ref().is_some_and(|last| first < last.first()) {
            true => self.replay(first, |_, _| Ok(())),
            false => Ok(()),
        }
    }

    /// The tree over the first `size` entries, which must be no more than there are.
    pub(super) fn frontier_at(&self, size: u64) -> Result<Frontier, StoreError> {
        if size == self.frontier.size() {
            return Ok(self.frontier.clone());
        }
        Ok(self.cut_at(size)?.0)
    }

    /// The same, and how many octets of the last segment that has any of them.
    pub(super) fn cut_at(&self, size: u64) -> Result<(Frontier, u64), StoreError> {
        let segment = self.segments().filter(|s| s.first() < size.max(1)).last();
        let mut frontier = segment.map_or_else(Frontier::new, |s| s.header.frontier.clone());
        let Some(segment) = segment else { return Ok((frontier, 0)) };
        let bytes = segment.read()?;
        let mut offset = segment.header_len;
        while frontier.size() < size {
            let record =
                bytes.get(offset..).and_then(|rest| record::read(rest, segment.header.salt));
            let Some(record) = record.filter(|r| r.sequence == frontier.size()) else {
                let path = segment.path.display();
                let why = format!("{path}: the record of entry {} is damaged", frontier.size());
                return Err(StoreError::Damaged(why));
            };
            frontier.push(record.leaf);
            offset += record.len();
        }
        Ok((frontier, offset as u64))
    }

    /// Cuts off what a crash left and opens the journal for appending.
    pub(super) fn open(
        self,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        random: &dyn Random,
    ) -> Result<Journal, StoreError> {
        let hashes = Arc::new(self.open_hashes()?);
        let Self { folder, segments, last, offsets, length, frontier, .. } = self;
        let (last, offsets, length) = match last {
            Some(last) => (last, offsets, length),
            None => {
                let first = new_segment(&*disk, &folder, &frontier, 0, random)?;
                let (start, length) = (first.header_len as u32, first.length);
                (first, vec![start], length)
            }
        };
        let tail = disk
            .append_to(&last.path, length)
            .map_err(|e| io_error("open for appending", &last.path, &e))?;
        let archive = Arc::new(Archive::default());
        let nexts = segments.keys().skip(1).copied().chain([last.first()]);
        for (segment, next) in segments.values().zip(nexts) {
            archive.add_full(segment, next)?;
        }
        archive.set_last(&last, offsets);
        let buffer = Vec::new();
        Ok(Journal {
            folder,
            disk,
            segment_bytes,
            last,
            tail,
            length,
            frontier,
            buffer,
            archive,
            hashes,
        })
    }

    /// The tree's hashes, brought up to the journal's end.
    fn open_hashes(&self) -> Result<HashFiles, StoreError> {
        let start = self.last.as_ref().map_or_else(Frontier::new, |s| s.header.frontier.clone());
        let folder = self.folder.with_file_name("tree");
        let (hashes, kept) = HashFiles::open(&folder, &start)?;
        if kept {
            hashes.append(&self.leaves)?;
        } else {
            self.replay(0, |records, _| {
                let leaves: Vec<Hash> = records.iter().map(|(_, r)| r.leaf).collect();
                hashes.append(&leaves)
            })?;
        }
        Ok(hashes)
    }
}

impl Journal {
    /// The tree over all records.
    pub(super) const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The salt of the last append.
    pub(super) const fn salt(&self) -> Salt {
        self.last.header.salt
    }

    /// The journal's readers.
    pub(super) const fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// The tree's hashes.
    pub(super) const fn hashes(&self) -> &Arc<HashFiles> {
        &self.hashes
    }

    /// Appends the records of one commit and brings them to the disk.
    pub(super) fn append(
        &mut self,
        records: &[Record],
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        if self.length > self.segment_bytes {
            self.roll(random)?;
        }
        let mut frontier = self.frontier.clone();
        let commit = frontier.size();
        let salt = self.last.header.salt;
        self.buffer.clear();
        for record in records {
            debug_assert_eq!(record.sequence, frontier.size());
            record::write(&mut self.buffer, record, commit, salt);
            frontier.push(record.leaf);
        }
        let path = &self.last.path;
        self.tail.write(&self.buffer, self.length).map_err(|e| io_error("append to", path, &e))?;
        if Safeguard::Fsync.holds() {
            self.tail.sync().map_err(|e| io_error("fsync", path, &e))?;
        }
        self.frontier = frontier;
        self.length += self.buffer.len() as u64;
        self.archive.grow(records.iter().map(|r| HEADER_LEN + r.entry.len()));
        let leaves: Vec<Hash> = records.iter().map(|r| r.leaf).collect();
        self.hashes.append(&leaves)
    }

    fn roll(&mut self, random: &dyn Random) -> Result<(), StoreError> {
        // A start writes the hashes of the last segment anew, and only these.
        self.hashes.sync()?;
        let next = new_segment(&*self.disk, &self.folder, &self.frontier, self.length, random)?;
        self.tail = self
            .disk
            .append_to(&next.path, next.length)
            .map_err(|e| io_error("open for appending", &next.path, &e))?;
        self.archive.roll(&next)?;
        self.length = next.length;
        self.last = next;
        Ok(())
    }
}

fn version_problem((_, record): &(usize, RecordRef<'_>)) -> Option<StoreError> {
    let problem = Entry::check_version(record.entry).err()?;
    Some(StoreError::unreadable(record.sequence, &problem))
}

/// The segments' files in `folder`, oldest first.
fn segment_paths(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    for item in std::fs::read_dir(folder).map_err(|e| io_error("list", folder, &e))? {
        paths.push(item.map_err(|e| io_error("list", folder, &e))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "journal"));
    paths.sort();
    Ok(paths)
}

fn new_segment(
    disk: &dyn Disk,
    folder: &Path,
    frontier: &Frontier,
    previous_length: u64,
    random: &dyn Random,
) -> Result<Segment, StoreError> {
    let path = folder.join(Segment::file_name(frontier.size()));
    let salt = random::bytes(random).map_err(|e| StoreError::Io {
        what: "salt",
        path: path.display().to_string(),
        cause: e.to_string(),
    })?;
    let header = Header { frontier: frontier.clone(), previous_length, salt };
    let bytes = header.encode();
    disk.create(&path, &bytes).map_err(|e| io_error("create", &path, &e))?;
    let length = bytes.len() as u64;
    Ok(Segment { path, header, header_len: bytes.len(), length })
}

/// Brings what the cache holds of the file to the disk, then drops it, so that what is read next is
/// what the disk has: after a failed fsync the cache may hold what the disk never got.
fn forget_cache(path: &Path) -> Result<(), StoreError> {
    let file = File::options().write(true).open(path).map_err(|e| io_error("open", path, &e))?;
    file.sync_all().map_err(|e| io_error("fsync", path, &e))?;
    // Advice: where the file system ignores it, nothing is lost but the extra care.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).or(Ok(()))
}
