//! The Merkle tree's hashes in files, `tree/0`, `tree/1`, ..: hash `i` of level `l` is that of the
//! 256^l leaves from `i · 256^l` on. They are made from the journal: what a crash may have left of
//! the last segment's is written again at each start, and where they do not fit the journal's
//! frontier all of them are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use super::disk::{create_folder, io_error};
use crate::ledger::StoreError;
use crate::ledger::merkle::{Frontier, Hash};
use crate::ledger::proof::{self, HashSource};

/// Levels for 2^64 leaves.
const LEVELS: usize = 8;

const HASH: u64 = 32;

/// The hashes of one ledger.
#[derive(Debug)]
pub(super) struct HashFiles {
    levels: Vec<Level>,
    /// The hashes of each level that no hash of the next one covers yet.
    open: Mutex<Vec<Frontier>>,
}

#[derive(Debug)]
struct Level {
    path: PathBuf,
    file: File,
    /// Number of hashes that readers may read.
    count: RwLock<u64>,
}

impl HashFiles {
    /// Opens the files in `folder` for a tree that begins with `start`; later hashes are cut off.
    /// False where the files do not hold that tree, and are empty now.
    pub(super) fn open(folder: &Path, start: &Frontier) -> Result<(Self, bool), StoreError> {
        create_folder(folder)?;
        let mut levels = Vec::with_capacity(LEVELS);
        for number in 0..LEVELS {
            let path = folder.join(number.to_string());
            let io = |e: std::io::Error| io_error("open", &path, &e);
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(io)?;
            let count = file.metadata().map_err(io)?.len() / HASH;
            levels.push(Level { file, count: RwLock::new(count), path });
        }
        let files = Self { levels, open: Mutex::new(vec![Frontier::new(); LEVELS]) };
        let fits = files.fits(start);
        files.cut(if fits { start.size() } else { 0 })?;
        Ok((files, fits))
    }

    /// The files in `folder` for a reader who changes nothing; none where there is no such folder.
    pub(super) fn look(folder: &Path) -> Result<Option<Self>, StoreError> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut levels = Vec::with_capacity(LEVELS);
        for path in (0..LEVELS).map(|number| folder.join(number.to_string())) {
            let file = match File::open(&path) {
                // What is missing is missed where it is read.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
                opened => opened.map_err(|e| io_error("open", &path, &e))?,
            };
            let length = file.metadata().map_err(|e| io_error("open", &path, &e))?.len();
            levels.push(Level { file, count: RwLock::new(length / HASH), path });
        }
        Ok(Some(Self { levels, open: Mutex::default() }))
    }

    /// Whether the files hold the tree of `start`, by the roots of its complete subtrees.
    fn fits(&self, start: &Frontier) -> bool {
        let mut first = 0;
        start.subtrees().iter().zip(bits(start.size())).all(|(expected, size)| {
            let found = proof::subtree(self, first, first + size);
            first += size;
            found.as_ref() == Ok(expected)
        })
    }

    /// Cuts the files to the hashes of the first `size` leaves.
    fn cut(&self, size: u64) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, level) in self.levels.iter().enumerate() {
            let count = size >> (8 * number as u32);
            let io = |e: std::io::Error| io_error("cut", &level.path, &e);
            level.file.set_len(count * HASH).map_err(io)?;
            level.set_count(count);
            let mut tile = Frontier::new();
            for hash in level.read(count / 256 * 256, count % 256)? {
                tile.push(hash);
            }
            open[number] = tile;
        }
        Ok(())
    }

    /// Appends leaf hashes.
    pub(super) fn append(&self, leaves: &[Hash]) -> Result<(), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = leaves.to_vec();
        for (level, tile) in self.levels.iter().zip(open.iter_mut()) {
            level.append(&new)?;
            let mut complete = Vec::new();
            for hash in new {
                tile.push(hash);
                if tile.size() == 256 {
                    complete.push(tile.root());
                    *tile = Frontier::new();
                }
            }
            new = complete;
        }
        Ok(())
    }

    /// Brings the files to the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let sync = |l: &Level| l.file.sync_data().map_err(|e| io_error("fsync", &l.path, &e));
        self.levels.iter().try_for_each(sync)
    }
}

impl HashSource for HashFiles {
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        let found = self.levels.get(usize::from(level));
        let found = found.filter(|l| first.checked_add(count).is_some_and(|end| end <= l.count()));
        let missing = || StoreError::Damaged(format!("hash {first} of level {level} is missing"));
        found.ok_or_else(missing)?.read(first, count)
    }
}

impl Level {
    fn count(&self) -> u64 {
        *self.count.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_count(&self, count: u64) {
        *self.count.write().unwrap_or_else(PoisonError::into_inner) = count;
    }

    fn append(&self, hashes: &[Hash]) -> Result<(), StoreError> {
        if hashes.is_empty() {
            return Ok(());
        }
        let count = self.count();
        let written = self.file.write_all_at(hashes.as_flattened(), count * HASH);
        written.map_err(|e| io_error("append to", &self.path, &e))?;
        self.set_count(count + hashes.len() as u64);
        Ok(())
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        let mut hashes = vec![[0; 32]; count as usize];
        let read = self.file.read_exact_at(hashes.as_flattened_mut(), first * HASH);
        read.map_err(|e| io_error("read", &self.path, &e))?;
        Ok(hashes)
    }
}

/// The powers of two that make up `size`, largest first.
fn bits(size: u64) -> impl Iterator<Item = u64> {
    (0..u64::BITS).rev().map(|bit| 1 << bit).filter(move |power| size & power != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::proof::Leaves;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|i| openssl::sha::sha256(&i.to_be_bytes())).collect()
    }

    fn frontier(leaves: &[Hash]) -> Frontier {
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier
    }

    #[test]
    fn holds_every_level_and_comes_back_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let all = leaves(70_000);
        let (files, _) = HashFiles::open(folder.path(), &Frontier::new()).unwrap();
        for part in all.chunks(999) {
            files.append(part).unwrap();
        }
        let memory = Leaves(all.clone());
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000] {
            assert_eq!(proof::root(&files, size), proof::root(&memory, size));
        }
        for (old, new) in [(1, 70_000), (256, 66_000), (65_536, 70_000), (69_999, 70_000)] {
            assert_eq!(proof::consistency(&files, old, new), proof::consistency(&memory, old, new));
        }
        assert!(files.hashes(0, 69_999, 2).is_err() && files.hashes(9, 0, 1).is_err());
        drop(files);

        // The last hashes are lost or wrong; what came before is kept.
        let level = File::options().write(true).open(folder.path().join("0")).unwrap();
        level.write_all_at(&[0; 32], 69_000 * HASH).unwrap();
        let start = frontier(&all[..66_000]);
        let (files, kept) = HashFiles::open(folder.path(), &start).unwrap();
        assert!(kept);
        files.append(&all[66_000..]).unwrap();
        assert_eq!(proof::root(&files, 70_000), proof::root(&memory, 70_000));
        drop(files);

        // What came before is wrong at a place that a root shows.
        let level = File::options().write(true).open(folder.path().join("1")).unwrap();
        level.write_all_at(&[0; 32], 256 * HASH).unwrap();
        let (files, kept) = HashFiles::open(folder.path(), &start).unwrap();
        assert!(!kept);
        files.append(&all).unwrap();
        assert_eq!(proof::root(&files, 70_000), proof::root(&memory, 70_000));
    }
}
