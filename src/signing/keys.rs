//! What the domain wants of a private key, wherever it lives.

use std::future::Future;
use std::pin::Pin;

use crate::cms::KeyTransport;
use crate::pki::{PublicKey, SignatureAlgorithm};
use crate::secret::Secret;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a private key could not be used. Says nothing about the data (I7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyUseError {
    /// The HSM is away, busy beyond its queue, or did not answer in time: try again later.
    #[error("the HSM cannot be used now: {0}")]
    Unavailable(String),
    /// The HSM refuses this operation for good.
    #[error("the HSM refuses: {0}")]
    Refused(String),
    /// The HSM returned a signature that does not verify; it was discarded (I8).
    #[error("the HSM returned a signature that does not verify; it was discarded")]
    BadSignature,
}

/// A private key that signs.
pub trait Signer: Send + Sync {
    /// Its public half.
    fn public_key(&self) -> &PublicKey;

    /// The algorithm of its signatures.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs `message` (the whole message, not a digest) and verifies the signature in software
    /// before it returns it (I8). The signature has the form that X.509 and CMS want: DER for ECDSA.
    fn sign(&self, message: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>>;

    /// The same with another digest, where the key's algorithm has one (the reply to a request
    /// mirrors the request's digest, RFC 8894 section 3.2.1). `algorithm` must fit the key.
    fn sign_with(
        &self,
        algorithm: SignatureAlgorithm,
        message: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>>;
}

/// A private RSA key that undoes key transport.
pub trait KeyUnwrapper: Send + Sync {
    /// Its public half.
    fn public_key(&self) -> &PublicKey;

    /// Opens `encrypted_key` to a content-encryption key of `key_len` bytes. For v1.5 any defect
    /// gives a substitute that is derived from the ciphertext (implicit rejection, I7): success is
    /// no proof of anything. Errors are about the HSM, never about the ciphertext.
    fn unwrap(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> BoxFuture<'_, Result<Secret, KeyUseError>>;
}
