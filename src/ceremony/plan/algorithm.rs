//! Key algorithms and purposes as plans name them.

use serde::{Deserialize, Serialize};

use crate::pki::{KeyKind, MlDsa};

/// An algorithm that a plan can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits, for RA keys of old devices only.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// ECDSA on P-256.
    #[serde(rename = "ec-p256")]
    P256,
    /// ECDSA on P-384.
    #[serde(rename = "ec-p384")]
    P384,
    /// ECDSA on P-521.
    #[serde(rename = "ec-p521")]
    P521,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ML-DSA-44.
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
    /// ML-DSA-65.
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
    /// ML-DSA-87.
    #[serde(rename = "ml-dsa-87")]
    MlDsa87,
}

impl KeyAlgorithm {
    /// The kind of key.
    pub const fn kind(self) -> KeyKind {
        match self {
            Self::Rsa2048 => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
            Self::P256 => KeyKind::P256,
            Self::P384 => KeyKind::P384,
            Self::P521 => KeyKind::P521,
            Self::Ed25519 => KeyKind::Ed25519,
            Self::MlDsa44 => KeyKind::MlDsa(MlDsa::MlDsa44),
            Self::MlDsa65 => KeyKind::MlDsa(MlDsa::MlDsa65),
            Self::MlDsa87 => KeyKind::MlDsa(MlDsa::MlDsa87),
        }
    }

    /// The name as in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::P256 => "ec-p256",
            Self::P384 => "ec-p384",
            Self::P521 => "ec-p521",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }
}

/// What a key is for; one key has one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Signs certificates and CRLs.
    CaSign,
    /// Signs SCEP replies.
    RaSign,
    /// Opens SCEP envelopes.
    RaDecrypt,
    /// Signs OCSP responses.
    OcspSign,
    /// Signs logs, transcripts and exchanges.
    LogSign,
    /// Signs TLS handshakes.
    TlsSign,
}

impl Purpose {
    /// The name as in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaSign => "ca-sign",
            Self::RaSign => "ra-sign",
            Self::RaDecrypt => "ra-decrypt",
            Self::OcspSign => "ocsp-sign",
            Self::LogSign => "log-sign",
            Self::TlsSign => "tls-sign",
        }
    }

    /// Whether keys of this purpose sign; the others decrypt.
    pub const fn signs(self) -> bool {
        !matches!(self, Self::RaDecrypt)
    }
}
