//! Keys that live elsewhere, as rcgen takes them.

use rcgen::PublicKeyData;

use super::BootstrapError;
use crate::pki::{Digest, KeyKind, PublicKey, SignatureAlgorithm};

/// A private key that signs at once: a token during a ceremony or at `chancery init`.
pub trait BootstrapSigner {
    /// Its public half.
    fn public_key(&self) -> &PublicKey;

    /// The algorithm of its signatures.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs `message` (the whole message) as X.509 wants it: DER for ECDSA.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

/// A key elsewhere, as rcgen wants it. rcgen's errors carry no text, so the cause is kept here.
pub(super) struct RemoteKey<'a> {
    signer: &'a dyn BootstrapSigner,
    bits: Vec<u8>,
    algorithm: &'static rcgen::SignatureAlgorithm,
    pub(super) failure: std::cell::Cell<Option<String>>,
}

impl<'a> RemoteKey<'a> {
    pub(super) fn of(signer: &'a dyn BootstrapSigner) -> Result<Self, BootstrapError> {
        let key = signer.public_key();
        let algorithm = match (key.kind(), signer.algorithm()) {
            (KeyKind::Rsa(_), SignatureAlgorithm::RsaPkcs1(Digest::Sha256)) => {
                &rcgen::PKCS_RSA_SHA256
            }
            (KeyKind::Rsa(_), SignatureAlgorithm::RsaPkcs1(Digest::Sha384)) => {
                &rcgen::PKCS_RSA_SHA384
            }
            (KeyKind::Rsa(_), SignatureAlgorithm::RsaPkcs1(Digest::Sha512)) => {
                &rcgen::PKCS_RSA_SHA512
            }
            (KeyKind::P256, SignatureAlgorithm::Ecdsa(Digest::Sha256)) => {
                &rcgen::PKCS_ECDSA_P256_SHA256
            }
            (KeyKind::P384, SignatureAlgorithm::Ecdsa(Digest::Sha384)) => {
                &rcgen::PKCS_ECDSA_P384_SHA384
            }
            (kind, algorithm) => return Err(BootstrapError::Algorithm(kind, algorithm)),
        };
        Ok(Self { signer, bits: key.key_bits(), algorithm, failure: std::cell::Cell::default() })
    }
}

impl PublicKeyData for RemoteKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for RemoteKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|e| {
            self.failure.set(Some(e.to_string()));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// A key to be certified.
pub(super) struct SubjectKey {
    bits: Vec<u8>,
    algorithm: &'static rcgen::SignatureAlgorithm,
}

impl SubjectKey {
    pub(super) fn of(key: &PublicKey) -> Result<Self, BootstrapError> {
        // It gives the SubjectPublicKeyInfo its identifier; the digest does not matter.
        let algorithm = match key.kind() {
            KeyKind::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            other => return Err(BootstrapError::Key(other, "use RSA, P-256 or P-384")),
        };
        Ok(Self { bits: key.key_bits(), algorithm })
    }
}

impl PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}
