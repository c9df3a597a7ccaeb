//! Key transport undone: raw RSA in the token, padding undone here in constant time, and a
//! substitute for whatever is wrong (I7). A ciphertext that cannot be one (of another length than
//! the modulus, or not below it) costs the same operation on a ciphertext of our own, so that it
//! takes the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openssl::bn::{BigNum, BigNumRef};
use openssl::encrypt::Encrypter;
use openssl::error::ErrorStack;
use openssl::rsa::Padding;
use zeroize::Zeroizing;

use super::job::{JobError, Operation, Output};
use super::keys::Key;
use super::mechanism::{DecryptMechanism, decryption};
use super::shared::Shared;
use crate::cms::{KeyTransport, unpad};
use crate::control::Safeguard;
use crate::pki::PublicKey;
use crate::secret::Secret;
use crate::signing::{BoxFuture, KeyUnwrapper, KeyUseError};

/// After how many milliseconds a raw decryption that failed is tried again, each time after one of ours
/// worked: an HSM that fails now and then must not cost a device its transaction. What fails each time
/// is taken for the ciphertext's doing, and gets a substitute.
const AGAIN_AFTER_MS: [u64; 5] = [0, 50, 100, 200, 400];

/// A key of the token that undoes key transport.
pub struct HsmUnwrapper {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Arc<Key>,
    implicit_rejection: Secret,
    modulus: BigNum,
    /// A good ciphertext of ours, its content known to nobody.
    canary: Vec<u8>,
}

impl HsmUnwrapper {
    /// The key must be RSA.
    pub(super) fn new(
        shared: Arc<Shared>,
        key: Arc<Key>,
        implicit_rejection: Secret,
        canary: Vec<u8>,
    ) -> Option<Self> {
        let modulus = key.reference.public_key.rsa()?.n().to_owned().ok()?;
        Some(Self { shared, key, implicit_rejection, modulus, canary })
    }

    /// The decryption of the canary, for the keeper.
    pub(super) fn canary_operation(&self) -> Operation {
        // v1.5 is there with every profile, so there is a mechanism.
        let mechanism = decryption(&self.shared.profile.mechanisms, KeyTransport::RsaPkcs1v15)
            .unwrap_or(DecryptMechanism::Raw);
        Operation::Decrypt(mechanism, self.canary.clone())
    }

    async fn opened(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> Result<Secret, KeyUseError> {
        let floor = self.shared.profile.mechanisms.rsa_decrypt_floor_ms.map(Duration::from_millis);
        let not_before = floor.map(|floor| Instant::now() + floor);
        let mechanism = self.mechanism(transport)?;
        let substitute = self.substitute(&encrypted_key, key_len)?;
        let plausible = is_plausible(&encrypted_key, &self.modulus);
        let ciphertext = if plausible { encrypted_key } else { self.canary.clone() };
        let operation = Operation::Decrypt(mechanism, ciphertext);
        let mut decrypted = self.shared.call(&self.key, operation.clone(), None).await;
        if mechanism == DecryptMechanism::Raw {
            for pause in AGAIN_AFTER_MS {
                if !matches!(decrypted, Err(JobError::CiphertextRefused)) {
                    break;
                }
                // No ciphertext should be able to do this. Where ours fails too it is the HSM.
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let canary = Operation::Decrypt(mechanism, self.canary.clone());
                self.shared.call(&self.key, canary, None).await?;
                decrypted = self.shared.call(&self.key, operation.clone(), None).await;
            }
        }
        if let Some(moment) = not_before {
            tokio::time::sleep_until(moment.into()).await;
        }
        match decrypted {
            Ok(answer) => {
                Ok(self.decoded(transport, mechanism, answer.output, substitute, plausible))
            }
            // Of no length that a key has, so that nothing is decrypted: the caller can tell.
            Err(JobError::CiphertextRefused) if !Safeguard::ImplicitRejection.holds() => {
                Ok(Secret::new(Vec::new()))
            }
            Err(JobError::CiphertextRefused) => Ok(substitute),
            Err(other) => Err(other.into()),
        }
    }

    /// The same with waiting, for the self-test; a ciphertext of ours is always plausible.
    pub(super) fn opened_blocking(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> Result<Secret, KeyUseError> {
        let mechanism = self.mechanism(transport)?;
        let substitute = self.substitute(&encrypted_key, key_len)?;
        let operation = Operation::Decrypt(mechanism, encrypted_key);
        let answer = self.shared.call_blocking(&self.key, operation, None)?;
        Ok(self.decoded(transport, mechanism, answer.output, substitute, true))
    }

    fn mechanism(&self, transport: KeyTransport) -> Result<DecryptMechanism, KeyUseError> {
        if !Safeguard::ImplicitRejection.holds() {
            return Ok(DecryptMechanism::Pkcs1);
        }
        decryption(&self.shared.profile.mechanisms, transport).ok_or_else(|| {
            KeyUseError::Refused(format!("the HSM's profile does not undo {transport:?}"))
        })
    }

    fn substitute(&self, encrypted_key: &[u8], key_len: usize) -> Result<Secret, KeyUseError> {
        unpad::implicit_rejection(&self.implicit_rejection, encrypted_key, key_len)
            .map_err(|e| KeyUseError::Unavailable(format!("HMAC-SHA256 failed on the host: {e}")))
    }

    /// The content key in what the token returned.
    fn decoded(
        &self,
        transport: KeyTransport,
        mechanism: DecryptMechanism,
        output: Output,
        substitute: Secret,
        plausible: bool,
    ) -> Secret {
        let Output::Bytes(plaintext) = output else { return substitute };
        let found = match (mechanism, transport) {
            (DecryptMechanism::Raw, KeyTransport::RsaPkcs1v15) => {
                unpad::pkcs1_v15(&self.block(&plaintext), substitute.len(), &substitute)
            }
            (DecryptMechanism::Raw, KeyTransport::RsaOaep(digest)) => {
                let block = self.block(&plaintext);
                // It fails for a digest that this host does not have, whatever the block holds.
                unpad::oaep(&block, digest, substitute.len(), &substitute)
                    .unwrap_or_else(|_| substitute.clone())
            }
            _ if plaintext.len() == substitute.len() || !Safeguard::ImplicitRejection.holds() => {
                Secret::new(plaintext.to_vec())
            }
            _ => return substitute,
        };
        if plausible { found } else { substitute }
    }

    /// The whole block: some modules leave leading zeros out.
    fn block(&self, plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
        let len = usize::try_from(self.modulus.num_bytes()).unwrap_or_default();
        let mut block = Zeroizing::new(vec![0; len.saturating_sub(plaintext.len())]);
        block.extend_from_slice(plaintext);
        block
    }
}

impl KeyUnwrapper for HsmUnwrapper {
    fn public_key(&self) -> &PublicKey {
        &self.key.reference.public_key
    }

    fn unwrap(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> BoxFuture<'_, Result<Secret, KeyUseError>> {
        Box::pin(self.opened(transport, encrypted_key, key_len))
    }
}

/// Whether this can be a ciphertext: of the modulus' length, more than 1 and less than the
/// modulus less 1 (RSA maps 0, 1 and n - 1 to themselves, and some modules refuse them).
fn is_plausible(ciphertext: &[u8], modulus: &BigNumRef) -> bool {
    let fits = usize::try_from(modulus.num_bytes()).is_ok_and(|len| len == ciphertext.len());
    let between = || -> Result<bool, openssl::error::ErrorStack> {
        let value = BigNum::from_slice(ciphertext)?;
        let mut next = value.to_owned()?;
        next.add_word(1)?;
        Ok(value > BigNum::from_u32(1)? && next < *modulus)
    };
    fits && between().unwrap_or(false)
}

/// `content` under the public key in software, for canaries and self-tests.
pub(super) fn encrypted(
    key: &PublicKey,
    transport: KeyTransport,
    content: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let mut encrypter = Encrypter::new(key.openssl().ok_or_else(ErrorStack::get)?)?;
    match transport {
        KeyTransport::RsaPkcs1v15 => encrypter.set_rsa_padding(Padding::PKCS1)?,
        KeyTransport::RsaOaep(digest) => {
            encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
            encrypter.set_rsa_oaep_md(digest.openssl())?;
            encrypter.set_rsa_mgf1_md(digest.openssl())?;
        }
    }
    let mut out = vec![0; encrypter.encrypt_len(content)?];
    let len = encrypter.encrypt(content, &mut out)?;
    out.truncate(len);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_what_is_plausible() {
        let modulus = BigNum::from_slice(&[0xc0, 0x01]).unwrap();
        for (bytes, expected) in [
            (&[0x00, 0x00][..], false),
            (&[0x00, 0x01], false),
            (&[0x00, 0x02], true),
            (&[0xbf, 0xff], true),
            (&[0xc0, 0x00], false),
            (&[0xc0, 0x01], false),
            (&[0xff, 0xff], false),
            (&[0x02], false),
            (&[0x00, 0x00, 0x02], false),
            (&[], false),
        ] {
            assert_eq!(is_plausible(bytes, &modulus), expected, "{bytes:02x?}");
        }
    }
}
