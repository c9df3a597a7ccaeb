//! The tree and the entries as tiles (C2SP tlog-tiles): what a static file server could serve.

use super::merkle::{Frontier, Hash, leaf_hash};
use super::proof::TILE_WIDTH;
use super::proof_file::hashes_damaged;
use super::{Ledger, LedgerError, Sequence, StoreError};

/// Hashes or entries of a full tile.
const WIDTH: u64 = TILE_WIDTH;

/// A tile of the log, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// Hashes of a level.
    Hashes {
        /// The level; 0 has the leaves' hashes.
        level: u8,
        /// The tile's index in its level.
        index: u64,
        /// How many hashes: 1 to 256.
        width: u16,
    },
    /// Entries, each with its length before it.
    Entries {
        /// The bundle's index.
        index: u64,
        /// How many entries: 1 to 256.
        width: u16,
    },
}

impl Tile {
    /// Reads the path behind `<prefix>/tile/`: `<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`. Nothing
    /// where it is not canonical.
    pub fn from_path(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => {
                (index, decimal(width).filter(|w| (1..WIDTH).contains(w))? as u16)
            }
            None => (rest, WIDTH as u16),
        };
        let index = index_from_path(index)?;
        if level == "entries" {
            return Some(Self::Entries { index, width });
        }
        let level = decimal(level).filter(|l| *l < 64)? as u8;
        Some(Self::Hashes { level, index, width })
    }

    /// The path behind `<prefix>/tile/`.
    pub fn path(&self) -> String {
        let (level, index, width) = match *self {
            Self::Hashes { level, index, width } => (level.to_string(), index, width),
            Self::Entries { index, width } => ("entries".into(), index, width),
        };
        let mut digits = format!("{:03}", index % 1000);
        let mut rest = index / 1000;
        while rest > 0 {
            digits = format!("x{:03}/{digits}", rest % 1000);
            rest /= 1000;
        }
        match u64::from(width) {
            WIDTH => format!("{level}/{digits}"),
            _ => format!("{level}/{digits}.p/{width}"),
        }
    }
}

impl Ledger {
    /// The content of `tile` in the tree of the first `size` entries. Nothing where that tree has no such
    /// tile: a partial one is there while nothing makes it larger, and at any earlier width.
    ///
    /// Hashes that do not lead to the head, and entries that are not those of the hashes, are an error.
    pub fn tile(&self, tile: &Tile, size: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        let size = size.min(self.head().size());
        let (level, index, width) = match *tile {
            Tile::Hashes { level, index, width } => (level, index, width),
            Tile::Entries { index, width } => (0, index, width),
        };
        let there = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        let Some(first) = start(index, width, there) else { return Ok(None) };
        let mut hashes = self.proven_hashes(level, index, size)?;
        hashes.truncate(usize::from(width));
        if let Tile::Hashes { .. } = tile {
            return Ok(Some(hashes.concat()));
        }
        let mut out = Vec::new();
        let mut next = first;
        while next < first + u64::from(width) {
            let left = first + u64::from(width) - next;
            let entries = self.store.read(next, left as usize)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")).into());
            }
            for (entry, hash) in entries.iter().zip(hashes.iter().skip((next - first) as usize)) {
                if leaf_hash(entry) != *hash {
                    return Err(hashes_damaged());
                }
                // Entries that do not fit were refused when they were encoded.
                out.extend_from_slice(&(entry.len() as u16).to_be_bytes());
                out.extend_from_slice(entry);
            }
            next += entries.len() as u64;
        }
        Ok(Some(out))
    }

    /// All hashes of a tile that the tree of `size` entries has, after a look that they lead to the head: a
    /// complete tile to its hash in the level above, and so on up to the tree's right edge, which makes the
    /// root.
    fn proven_hashes(&self, level: u8, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        let read = |level: u8, index: u64| {
            let first = index * WIDTH;
            let there = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            self.store.hashes(level, first, WIDTH.min(there - first))
        };
        let hashes = read(level, index)?;
        let (mut below, mut level, mut index) = (hashes.clone(), level, index);
        while below.len() as u64 == WIDTH {
            let mut tree = Frontier::new();
            below.iter().for_each(|hash| tree.push(*hash));
            let place = (index % WIDTH) as usize;
            (level, index) = (level + 1, index / WIDTH);
            below = read(level, index)?;
            if below.get(place) != Some(&tree.root()) {
                return Err(hashes_damaged());
            }
        }
        // It reads the right edge and holds its root against the head.
        self.root_at(size)?;
        Ok(hashes)
    }

    /// The entries from `first` on as they are stored, at most `limit` and possibly fewer; none only at
    /// the end.
    pub fn stored(&self, first: Sequence, limit: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        Ok(self.store.read(first.0, limit)?)
    }
}

/// The first hash or entry of a tile, where all of its `width` are among the first `there`.
fn start(index: u64, width: u16, there: u64) -> Option<u64> {
    let first = index.checked_mul(WIDTH)?;
    (first.checked_add(u64::from(width))? <= there).then_some(first)
}

/// A decimal number without leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = canonical && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `x001/x234/067` is 1234067.
fn index_from_path(path: &str) -> Option<u64> {
    let mut groups = path.split('/').peekable();
    let mut index: u64 = 0;
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        let plain = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
        // A leading group of zeros would be another path of the same tile.
        if !plain || first && digits == "000" && groups.peek().is_some() {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_the_specifications_paths() {
        let tile = Tile::Hashes { level: 0, index: 1_234_067, width: 256 };
        assert_eq!(tile.path(), "0/x001/x234/067");
        let partial = Tile::Entries { index: 273, width: 112 };
        assert_eq!(partial.path(), "entries/273.p/112");
        for odd in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "0/x001",
            "00/001",
            "64/001",
            "-1/001",
            "+1/001",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/01",
            "0/001.p/",
            "0/x000/001",
            "0/001/002",
            "entries/x01/002",
            "Entries/001",
            "0/001 ",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::from_path(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(
            level in 0u8..64, index in 0u64..u64::MAX / 512, width in 1u16..=256, entries: bool,
        ) {
            let tile = match entries {
                true => Tile::Entries { index, width },
                false => Tile::Hashes { level, index, width },
            };
            prop_assert_eq!(Tile::from_path(&tile.path()), Some(tile));
        }

        #[test]
        fn no_text_is_read_as_another_tiles_path(text in "[0-9ex./pntris]{0,20}") {
            if let Some(tile) = Tile::from_path(&text) {
                prop_assert_eq!(tile.path(), text);
            }
        }
    }
}
