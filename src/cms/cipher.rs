//! Content ciphers: block ciphers in CBC mode with the padding of RFC 5652 section 6.3.

use const_oid::ObjectIdentifier;
use openssl::error::ErrorStack;
use openssl::symm::{self, Crypter, Mode};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A content cipher that is read. Which of them is good enough is the caller's policy; the order
/// is from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cipher {
    /// Single DES, legacy switch only, never in a reply.
    DesCbc,
    /// Triple DES with three keys, legacy switch only.
    DesEde3Cbc,
    /// AES-128.
    Aes128Cbc,
    /// AES-192.
    Aes192Cbc,
    /// AES-256.
    Aes256Cbc,
}

impl Cipher {
    /// All of them, weakest first.
    pub const ALL: [Self; 5] =
        [Self::DesCbc, Self::DesEde3Cbc, Self::Aes128Cbc, Self::Aes192Cbc, Self::Aes256Cbc];

    /// The object identifier (RFC 3370 section 5, RFC 3565 section 4.1).
    pub fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::DesCbc => "1.3.14.3.2.7",
            Self::DesEde3Cbc => "1.2.840.113549.3.7",
            Self::Aes128Cbc => "2.16.840.1.101.3.4.1.2",
            Self::Aes192Cbc => "2.16.840.1.101.3.4.1.22",
            Self::Aes256Cbc => "2.16.840.1.101.3.4.1.42",
        })
    }

    /// The cipher that `oid` names, if it is one of ours.
    pub fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.oid() == oid)
    }

    /// The name as in configuration and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DesCbc => "DES-CBC",
            Self::DesEde3Cbc => "DES-EDE3-CBC",
            Self::Aes128Cbc => "AES-128-CBC",
            Self::Aes192Cbc => "AES-192-CBC",
            Self::Aes256Cbc => "AES-256-CBC",
        }
    }

    /// Length of the key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::DesCbc => 8,
            Self::DesEde3Cbc | Self::Aes192Cbc => 24,
            Self::Aes128Cbc => 16,
            Self::Aes256Cbc => 32,
        }
    }

    /// Length of a block, and of the IV, in bytes.
    pub const fn block_len(self) -> usize {
        match self {
            Self::DesCbc | Self::DesEde3Cbc => 8,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => 16,
        }
    }

    /// `plaintext` padded and encrypted. `key` and `iv` have the cipher's lengths.
    pub fn encrypt(self, key: &Secret, iv: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let pad = self.block_len() - plaintext.len() % self.block_len();
        let padded = Zeroizing::new([plaintext, &vec![pad as u8; pad]].concat());
        self.run(Mode::Encrypt, key, iv, &padded).map(|out| out.to_vec())
    }

    /// Encrypts whole blocks, with no padding.
    pub(super) fn encrypt_blocks(
        self,
        key: &Secret,
        iv: &[u8],
        blocks: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        self.run(Mode::Encrypt, key, iv, blocks)
    }

    /// Decrypts `ciphertext`, whose length is a positive multiple of the block's, and leaves the
    /// padding where it is.
    pub(super) fn decrypt(
        self,
        key: &Secret,
        iv: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        self.run(Mode::Decrypt, key, iv, ciphertext)
    }

    fn run(
        self,
        mode: Mode,
        key: &Secret,
        iv: &[u8],
        input: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let (cipher, key) = match self {
            // DES is triple DES with the same key three times; OpenSSL 3 keeps the single form in a
            // provider that is not loaded.
            Self::DesCbc => (symm::Cipher::des_ede3_cbc(), Zeroizing::new(key.expose().repeat(3))),
            Self::DesEde3Cbc => {
                (symm::Cipher::des_ede3_cbc(), Zeroizing::new(key.expose().to_vec()))
            }
            Self::Aes128Cbc => (symm::Cipher::aes_128_cbc(), Zeroizing::new(key.expose().to_vec())),
            Self::Aes192Cbc => (symm::Cipher::aes_192_cbc(), Zeroizing::new(key.expose().to_vec())),
            Self::Aes256Cbc => (symm::Cipher::aes_256_cbc(), Zeroizing::new(key.expose().to_vec())),
        };
        if key.len() != cipher.key_len() || iv.len() != self.block_len() {
            return Err(ErrorStack::get());
        }
        let mut crypter = Crypter::new(cipher, mode, &key, Some(iv))?;
        crypter.pad(false);
        let mut out = Zeroizing::new(vec![0; input.len() + self.block_len()]);
        let mut len = crypter.update(input, &mut out)?;
        len += crypter.finalize(&mut out[len..])?;
        out.truncate(len);
        Ok(out)
    }
}

impl std::fmt::Display for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How many octets of padding end `plaintext`, and whether they are what RFC 5652 section 6.3
/// says, in a time that depends on the lengths alone. The count of bad padding is zero.
pub(super) fn padding(plaintext: &[u8], block_len: usize) -> (Choice, u8) {
    let Some(block) = plaintext.len().checked_sub(block_len).map(|at| &plaintext[at..]) else {
        return (Choice::from(0), 0);
    };
    let pad = block.last().copied().unwrap_or_default();
    let mut good = !pad.ct_eq(&0) & !pad.ct_gt(&(block_len as u8));
    for (distance, octet) in (0u8..).zip(block.iter().rev()) {
        let counts = pad.ct_gt(&distance);
        good &= !counts | octet.ct_eq(&pad);
    }
    (good, u8::conditional_select(&0, &pad, good))
}

#[cfg(test)]
mod tests;
