//! Lists of public keys that must never be certified: keys of broken generators (Debian's OpenSSL
//! of 2006 to 2008), keys that leaked. A list is a text file: one key a line, the first 8 to 32
//! bytes of the SHA-256 of its SubjectPublicKeyInfo in hexadecimal, all lines of one length; empty
//! lines and lines that begin with `#` do not count.

use crate::pki::PublicKey;

/// The hashes of a list, sorted.
#[derive(Clone, PartialEq, Eq)]
pub struct Blocklist {
    width: usize,
    hashes: Vec<u8>,
}

/// Why a list could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocklistError {
    /// A line is no hash.
    #[error(
        "line {0} is not 16 to 64 hexadecimal digits; a line is the beginning of the SHA-256 of a SubjectPublicKeyInfo"
    )]
    Line(usize),
    /// A line has another length than the first.
    #[error(
        "line {line} has {found} hexadecimal digits, but the first has {expected}; use one length for the whole list"
    )]
    Width {
        /// The line, from 1.
        line: usize,
        /// Its digits.
        found: usize,
        /// The digits of the first hash.
        expected: usize,
    },
}

impl Blocklist {
    /// Reads the text of a list; the caller reads the file.
    pub fn parse(text: &str) -> Result<Self, BlocklistError> {
        let mut width = 0;
        let mut hashes: Vec<Vec<u8>> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let hash = hex::decode(line).map_err(|_| BlocklistError::Line(i + 1))?;
            if !(8..=32).contains(&hash.len()) {
                return Err(BlocklistError::Line(i + 1));
            }
            if width == 0 {
                width = hash.len();
            } else if width != hash.len() {
                return Err(BlocklistError::Width {
                    line: i + 1,
                    found: line.len(),
                    expected: 2 * width,
                });
            }
            hashes.push(hash);
        }
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Self { width: width.max(1), hashes: hashes.concat() })
    }

    /// How many keys are listed.
    pub fn len(&self) -> usize {
        self.hashes.len() / self.width
    }

    /// Whether no key is listed.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether `key` is listed.
    pub fn contains(&self, key: &PublicKey) -> bool {
        let fingerprint = key.fingerprint();
        let wanted = &fingerprint[..self.width];
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let start = middle * self.width;
            match self.hashes[start..start + self.width].cmp(wanted) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }
}

impl std::fmt::Debug for Blocklist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocklist({} keys)", self.len())
    }
}
