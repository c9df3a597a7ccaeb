//! Merkle proofs (RFC 6962 sections 2.1.1 and 2.1.2): made from stored hashes, checked without any.

use super::StoreError;
use super::merkle::{Frontier, Hash, node_hash};

/// Leaves below a hash of each level are 256 times those of the level before: the tiles' levels.
const LEVEL_BITS: u32 = 8;

/// Hashes of one level below a hash of the next.
pub const TILE_WIDTH: u64 = 1 << LEVEL_BITS;

/// Hashes of complete subtrees.
pub trait HashSource {
    /// The hashes `first..first + count` of `level`: hash `i` is that of the subtree of the 256^level
    /// leaves from `i · 256^level` on. All of these leaves are there, or it is an error.
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, StoreError>;
}

/// The hash of the leaves `start..end`, a subtree as RFC 6962 cuts them.
pub fn subtree(source: &dyn HashSource, start: u64, end: u64) -> Result<Hash, StoreError> {
    let size = end - start;
    if size == 0 {
        return Ok(Frontier::new().root());
    }
    if !size.is_power_of_two() {
        let middle = start + split(size);
        let left = subtree(source, start, middle)?;
        return Ok(node_hash(&left, &subtree(source, middle, end)?));
    }
    let level = size.ilog2() / LEVEL_BITS;
    let span = LEVEL_BITS * level;
    let hashes = source.hashes(level as u8, start >> span, size >> span)?;
    let mut tree = Frontier::new();
    hashes.into_iter().for_each(|hash| tree.push(hash));
    Ok(tree.root())
}

/// The largest power of two below `size`: where RFC 6962 splits a tree of two leaves or more.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root of the first `size` leaves.
pub fn root(source: &dyn HashSource, size: u64) -> Result<Hash, StoreError> {
    subtree(source, 0, size)
}

/// The proof that leaf `index` is among the first `size`, from the leaf's sibling upward. Nothing
/// where `index` is not below `size`.
pub fn inclusion(
    source: &dyn HashSource,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(subtree(source, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(source, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The proof that the first `old` leaves are the start of the first `new`. Nothing where `old` is
/// greater than `new`; empty where either is no question (`old` is zero or equal to `new`).
pub fn consistency(
    source: &dyn HashSource,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    let mut whole = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(subtree(source, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(source, start, middle)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(subtree(source, start, end)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// Whether `path` proves that `leaf` is leaf `index` of the tree of `size` leaves with this root
/// (RFC 9162 section 2.1.3.2).
pub fn proves_inclusion(leaf: Hash, index: u64, size: u64, root: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree of `old` leaves with the root `old_root` is the start of the
/// tree of `new` leaves with the root `new_root` (RFC 9162 section 2.1.4.2).
pub fn proves_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    path: &[Hash],
) -> bool {
    if old > new || (old == new || old == 0) && !path.is_empty() {
        return false;
    }
    if old == 0 {
        return *old_root == Frontier::new().root();
    }
    if old == new {
        return old_root == new_root;
    }
    // Where the old tree is complete, its root begins the path without being sent.
    let mut hashes = path.iter().copied();
    let first = if old.is_power_of_two() { Some(*old_root) } else { hashes.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (first, first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(&hash, &of_old);
            of_new = node_hash(&hash, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, &hash);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

/// Hashes that are all in memory, for trees that are read from elsewhere than a store.
#[derive(Clone, Debug, Default)]
pub struct Leaves(pub Vec<Hash>);

impl HashSource for Leaves {
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        let span = LEVEL_BITS * u32::from(level);
        let missing = || {
            StoreError::Damaged(format!("hash {first} of level {level} is beyond the last leaf"))
        };
        let leaves = usize::try_from(first << span).ok().zip(usize::try_from(count << span).ok());
        let leaves = leaves.and_then(|(from, count)| self.0.get(from..from + count));
        let each = leaves.ok_or_else(missing)?.chunks_exact(1 << span);
        let roots = each.map(|chunk| {
            let mut tree = Frontier::new();
            chunk.iter().for_each(|leaf| tree.push(*leaf));
            tree.root()
        });
        Ok(roots.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|i| openssl::sha::sha256(&i.to_be_bytes())).collect())
    }

    fn flipped(path: &[Hash], place: usize) -> Vec<Hash> {
        let mut path = path.to_vec();
        let hash = place % path.len();
        path[hash][place % 32] ^= 1;
        path
    }

    #[test]
    fn the_root_is_that_of_appending() {
        let all = leaves(700);
        let mut tree = Frontier::new();
        for size in 0..=700 {
            assert_eq!(root(&all, size).unwrap(), tree.root());
            if let Some(leaf) = all.0.get(size as usize) {
                tree.push(*leaf);
            }
        }
    }

    proptest! {
        #[test]
        fn inclusion_is_proven_for_the_leaf_and_for_no_other(
            size in 1u64..3000, index in any::<prop::sample::Index>(), place in any::<usize>(),
        ) {
            let all = leaves(size);
            let index = index.index(size as usize) as u64;
            let leaf = all.0[index as usize];
            let top = root(&all, size).unwrap();
            let path = inclusion(&all, index, size).unwrap().unwrap();
            prop_assert!(proves_inclusion(leaf, index, size, &top, &path));
            prop_assert!(!proves_inclusion([9; 32], index, size, &top, &path));
            prop_assert!(!proves_inclusion(leaf, index, size, &[9; 32], &path));
            prop_assert!(!proves_inclusion(leaf, size, size, &top, &path));
            if size > 1 {
                prop_assert!(!proves_inclusion(leaf, index ^ 1, size, &top, &path));
                prop_assert!(!proves_inclusion(leaf, index, size, &top, &flipped(&path, place)));
                prop_assert!(!proves_inclusion(leaf, index, size, &top, &path[1..]));
                let longer = [&path[..], &[[0; 32]]].concat();
                prop_assert!(!proves_inclusion(leaf, index, size, &top, &longer));
            }
            prop_assert_eq!(inclusion(&all, size, size), Ok(None));
        }

        #[test]
        fn consistency_is_proven_for_a_start_and_for_nothing_else(
            new in 2u64..3000, old in any::<prop::sample::Index>(), place in any::<usize>(),
        ) {
            let all = leaves(new);
            let old = 1 + old.index(new as usize - 1) as u64;
            let (old_root, new_root) = (root(&all, old).unwrap(), root(&all, new).unwrap());
            let path = consistency(&all, old, new).unwrap().unwrap();
            prop_assert!(proves_consistency(old, &old_root, new, &new_root, &path));
            prop_assert!(!proves_consistency(old, &[9; 32], new, &new_root, &path));
            prop_assert!(!proves_consistency(old, &old_root, new, &[9; 32], &path));
            let wrong = flipped(&path, place);
            prop_assert!(!proves_consistency(old, &old_root, new, &new_root, &wrong));
            prop_assert!(!proves_consistency(old, &old_root, new, &new_root, &path[1..]));
            prop_assert_eq!(consistency(&all, new + 1, new), Ok(None));
        }
    }

    #[test]
    fn consistency_at_the_edges() {
        let all = leaves(9);
        let (empty, top) = (root(&all, 0).unwrap(), root(&all, 9).unwrap());
        assert_eq!(consistency(&all, 0, 9), Ok(Some(vec![])));
        assert_eq!(consistency(&all, 9, 9), Ok(Some(vec![])));
        assert!(proves_consistency(0, &empty, 9, &top, &[]));
        assert!(proves_consistency(9, &top, 9, &top, &[]));
        assert!(!proves_consistency(9, &top, 9, &empty, &[]));
        assert!(!proves_consistency(0, &top, 9, &top, &[]));
        assert!(!proves_consistency(9, &top, 9, &top, &[top]));
        assert!(!proves_consistency(10, &top, 9, &top, &[]));
    }
}
