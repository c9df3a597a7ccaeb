//! Opening an envelope with a content key, so that every way to fail looks the same (I7).

use subtle::Choice;
use zeroize::Zeroizing;

use super::asn1::Fields;
use super::cipher::padding;
use super::{ContentCipher, EnvelopedData};
use crate::secret::Secret;

/// The envelope could not be opened: a wrong key, bad padding, or content that is not what it
/// should be. From outside these are one: no reply may carry more than this error's own text.
#[derive(Debug)]
pub struct OpenError {
    diagnosis: String,
}

impl OpenError {
    /// What was wrong, for the local log alone: in a reply it would be a decryption oracle.
    pub fn diagnosis(&self) -> &str {
        &self.diagnosis
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the envelope could not be opened")
    }
}

impl std::error::Error for OpenError {}

/// A decrypted envelope whose padding is known to be right or wrong, and does not tell. The only
/// way to the content is [`Opened::read`], which does the reader's whole work before it says no.
pub struct Opened {
    plaintext: Zeroizing<Vec<u8>>,
    padding_is_good: Choice,
    padding_len: u8,
}

impl EnvelopedData {
    /// Decrypts the content with `key`. Whether that worked only [`Opened::read`] tells.
    pub fn open(&self, key: &Secret) -> Opened {
        let decrypted = match &self.cipher {
            ContentCipher::Known(cipher, iv) => {
                let block_len = cipher.block_len();
                cipher.decrypt(key, iv, &self.ciphertext).ok().map(|p| (p, block_len))
            }
            ContentCipher::Unknown(_) => None,
        };
        // The lengths of key, IV and content were checked before; what is left (a cipher that this
        // OpenSSL lacks) has nothing to do with the content, and still answers like everything else.
        let (plaintext, block_len) = decrypted.unwrap_or_else(|| (Zeroizing::new(vec![]), 1));
        let (padding_is_good, padding_len) = padding(&plaintext, block_len);
        Opened { plaintext, padding_is_good, padding_len }
    }
}

impl Opened {
    /// Gives the DER element at the beginning of the content to `reader`, and its result to the
    /// caller if the padding is right and nothing stands between the two. `reader` runs either way:
    /// let it do everything whose failure must look like bad padding, such as verifying the
    /// PKCS#10's own signature (docs/scep.md row 45).
    pub fn read<T, E: std::fmt::Display>(
        &self,
        reader: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, OpenError> {
        // Where the element ends is found in the bytes themselves, not by the padding's length, so
        // that bad padding after an intact element costs the same work.
        let first = Fields::new(&self.plaintext, "content").and_then(|mut f| f.next("content"));
        let element = first.map_or(self.plaintext.as_slice(), |e| e.der);
        let result = reader(element);
        let padding_fits = element.len() + usize::from(self.padding_len) == self.plaintext.len();
        let sound = bool::from(self.padding_is_good) & padding_fits;
        match result {
            Ok(value) if sound => Ok(value),
            Ok(_) => Err(OpenError { diagnosis: "the padding of the content is wrong".into() }),
            Err(e) => Err(OpenError { diagnosis: e.to_string() }),
        }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(..)")
    }
}
