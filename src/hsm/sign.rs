//! Signing: hashed on the host where the profile says so, signed by some thread's session, and
//! verified in software here, on the caller's thread, before anybody gets to see it (I8).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::EVENT;
use super::job::{Answer, Operation, Output};
use super::keys::Key;
use super::mechanism::{encoded, signature};
use super::shared::Shared;
use crate::issuance::bootstrap::BootstrapSigner;
use crate::pki::{PublicKey, SignatureAlgorithm};
use crate::signing::{BoxFuture, KeyUseError, Signer};

/// A key of the token that signs.
#[derive(Clone)]
pub struct HsmSigner {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Arc<Key>,
    pub(super) algorithm: SignatureAlgorithm,
}

impl HsmSigner {
    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.key.reference.public_key
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Signs `message` and waits, for what happens before the daemon runs (bootstrap, ceremony).
    /// Must not be called on a thread of tokio.
    pub fn sign_blocking(&self, message: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        let operation = self.operation(self.algorithm, message)?;
        let first = self.shared.call_blocking(&self.key, operation.clone(), None)?;
        let avoid = Some(first.worker);
        match self.checked(self.algorithm, message, first) {
            Err(KeyUseError::BadSignature) => {
                let second = self.shared.call_blocking(&self.key, operation, avoid)?;
                self.checked(self.algorithm, message, second)
            }
            other => other,
        }
    }

    async fn signed(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyUseError> {
        let operation = self.operation(algorithm, message)?;
        let first = self.shared.call(&self.key, operation.clone(), None).await?;
        let avoid = Some(first.worker);
        match self.checked(algorithm, message, first) {
            Err(KeyUseError::BadSignature) => {
                let second = self.shared.call(&self.key, operation, avoid).await?;
                self.checked(algorithm, message, second)
            }
            other => other,
        }
    }

    pub(super) fn operation(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Operation, KeyUseError> {
        let kind = self.public_key().kind();
        let (mechanism, input) =
            signature(&self.shared.profile.mechanisms, algorithm, kind, message)?;
        Ok(Operation::Sign(mechanism, input))
    }

    /// The signature in its final form, if it verifies with the configured public key.
    fn checked(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        answer: Answer,
    ) -> Result<Vec<u8>, KeyUseError> {
        let verified = match answer.output {
            Output::Bytes(raw) => encoded(algorithm, &raw).ok().filter(|signature| {
                self.public_key().verify(algorithm, message, signature).is_ok()
            }),
            Output::Attributes(_) => None,
        };
        verified.ok_or_else(|| {
            self.shared.bad_signatures.fetch_add(1, Ordering::Relaxed);
            log::error!(
                event = EVENT; "HSM {}: thread {} returned a signature of key {} that does not verify; it was discarded. \
                 A faulty signature can give a key away: have the HSM checked.",
                self.shared.token.label,
                answer.worker,
                self.key.reference
            );
            KeyUseError::BadSignature
        })
    }
}

impl BootstrapSigner for HsmSigner {
    fn public_key(&self) -> &PublicKey {
        Self::public_key(self)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.sign_blocking(message)?)
    }
}

impl Signer for HsmSigner {
    fn public_key(&self) -> &PublicKey {
        Self::public_key(self)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        self.sign_with(self.algorithm, message)
    }

    fn sign_with(
        &self,
        algorithm: SignatureAlgorithm,
        message: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        Box::pin(async move { self.signed(algorithm, &message).await })
    }
}
