//! Secrets that redact themselves in every output and are wiped after use (invariant I11).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that must not be seen: a PIN, a challenge password, a content-encryption key.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over `bytes`; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one call that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the lengths alone.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

/// Whether a file of these permission bits is fit for a secret: its owner alone reads and writes it.
pub const fn closed_to_others(mode: u32) -> bool {
    mode & 0o7777 & !0o600 == 0
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"1234".to_vec())), "Secret(..)");
    }

    #[test]
    fn compares() {
        let s = Secret::new(b"1234".to_vec());
        assert!(s.ct_eq(b"1234") && !s.ct_eq(b"1235") && !s.ct_eq(b"123"));
    }
}
