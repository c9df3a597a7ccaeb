//! The seal over PKCS#10 requests that the ledger keeps. A request can hold the endpoint's challenge
//! password, which must stand nowhere in clear (RFC 8894 section 7.3), and neither can it be cut out:
//! the request's own signature covers it.

use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};

use crate::random::{self, Random, RandomError};
use crate::secret::Secret;

/// The version of the sealed form, its first byte.
const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const CONTEXT: &[u8] = b"chancery request v1";

/// The key of the seal; it lives in the signer's state and is in no backup of the ledger.
#[derive(Clone, Debug)]
pub struct RequestSeal(Secret);

/// Why a request could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key's file has the wrong length.
    #[error(
        "the key of the seal has {0} bytes where 32 are needed; restore secrets/request-seal.key from where it was kept"
    )]
    KeyLength(usize),
    /// No random nonce could be had.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// OpenSSL refused the cipher.
    #[error("a request could not be sealed: {0}")]
    Cipher(String),
    /// The sealed bytes are damaged, or another key sealed them.
    #[error(
        "the sealed request cannot be opened: secrets/request-seal.key is not the key that sealed it, or the entry is damaged"
    )]
    Sealed,
}

impl RequestSeal {
    /// Takes over a key of 32 bytes.
    pub fn new(key: Secret) -> Result<Self, SealError> {
        if key.len() == 32 { Ok(Self(key)) } else { Err(SealError::KeyLength(key.len())) }
    }

    /// AES-256-GCM: version, nonce, ciphertext, tag.
    pub fn seal(&self, request: &[u8], random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let mut tag = [0; TAG_LEN];
        let key = self.0.expose();
        let sealed =
            encrypt_aead(Cipher::aes_256_gcm(), key, Some(&nonce), CONTEXT, request, &mut tag)
                .map_err(|e| SealError::Cipher(e.to_string()))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed, &tag].concat())
    }

    /// The request in DER.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let body = sealed.strip_prefix(&[VERSION]).ok_or(SealError::Sealed)?;
        let (nonce, body) = body.split_at_checked(NONCE_LEN).ok_or(SealError::Sealed)?;
        let at = body.len().checked_sub(TAG_LEN).ok_or(SealError::Sealed)?;
        let (content, tag) = body.split_at(at);
        let key = self.0.expose();
        decrypt_aead(Cipher::aes_256_gcm(), key, Some(nonce), CONTEXT, content, tag)
            .map_err(|_| SealError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn seal(byte: u8) -> RequestSeal {
        RequestSeal::new(Secret::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let request = b"a request with a challenge";
        let sealed = seal(1).seal(request, &SystemRandom).unwrap();
        assert_eq!(seal(1).open(&sealed).unwrap(), request);
        assert!(!sealed.windows(9).any(|w| w == b"challenge"));
        assert!(seal(2).open(&sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(seal(1).open(&sealed[..cut]).is_err());
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal(1).open(&changed).is_err());
        }
        assert_ne!(seal(1).seal(request, &SystemRandom).unwrap(), sealed);
        assert!(RequestSeal::new(Secret::new(vec![0; 16])).is_err());
    }
}
