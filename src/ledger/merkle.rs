//! The Merkle tree of RFC 6962 section 2.1 over the entries, appended to leaf by leaf.

use std::fmt;

use super::Fingerprint;

/// A hash of the tree: SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = openssl::sha::Sha256::new();
    hasher.update(&[0]);
    hasher.update(entry);
    hasher.finish()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [1; 65];
    block[1..33].copy_from_slice(left);
    block[33..].copy_from_slice(right);
    openssl::sha::sha256(&block)
}

/// The right edge of a tree: the roots of its complete subtrees, largest first. All that is needed
/// to append and to tell the root; 40 hashes for 10¹² entries.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The edge of an empty tree.
    pub const fn new() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// The edge of a tree of `size` leaves; nothing if the number of hashes does not fit the size.
    pub fn from_parts(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a complete subtree that the new leaf completes to a
        // larger one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root (Merkle Tree Hash); that of an empty tree is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut right_to_left = self.subtrees.iter().rev();
        match right_to_left.next() {
            None => openssl::sha::sha256(&[]),
            Some(last) => right_to_left.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

impl fmt::Debug for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frontier({}, {})", self.size, Fingerprint(self.root()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 section 2.1, word by word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => openssl::sha::sha256(&[]),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node_hash(&mth(&many[..k]), &mth(&many[k..]))
            }
        }
    }

    #[test]
    fn grows_as_rfc_6962_defines() {
        let leaves: Vec<Hash> = (0..300u16).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut tree = Frontier::new();
        for (i, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), mth(&leaves[..i]));
            assert_eq!(tree.subtrees().len(), tree.size().count_ones() as usize);
            tree.push(*leaf);
        }
        assert_eq!(Frontier::from_parts(tree.size(), tree.subtrees().to_vec()), Some(tree));
        assert_eq!(Frontier::from_parts(3, vec![[0; 32]]), None);
    }

    /// The vectors of the Certificate Transparency test data (also RFC 9162's reference tests).
    #[test]
    fn agrees_with_published_vectors() {
        let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ];
        let mut tree = Frontier::new();
        for (input, root) in inputs.iter().zip(roots) {
            tree.push(leaf_hash(&hex::decode(input).unwrap()));
            assert_eq!(hex::encode(tree.root()), root);
        }
    }
}
