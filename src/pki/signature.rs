//! Signature algorithms: their AlgorithmIdentifiers, byte for byte, and verification in software.

use const_oid::ObjectIdentifier;
use openssl::pkey::{Id, PKeyRef, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};

use super::{Digest, MlDsa};

/// A signature algorithm of X.509 and CMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2).
    RsaPkcs1(Digest),
    /// RSASSA-PSS with MGF1 of the same digest and a salt of the digest's length (RFC 4055).
    RsaPss(Digest),
    /// ECDSA; signatures are DER `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3).
    Ecdsa(Digest),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// ML-DSA, pure, with an empty context (RFC 9881).
    MlDsa(MlDsa),
}

/// Why a signature was not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The AlgorithmIdentifier names something that is not supported; the text is its OID.
    #[error("signature algorithm {0} is not supported")]
    UnknownAlgorithm(String),
    /// The key is of another kind than the algorithm.
    #[error("the signature algorithm does not fit the key")]
    WrongKey,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Mismatch,
}

impl SignatureAlgorithm {
    /// The object identifier (RFC 4055, RFC 5758, RFC 8410, RFC 9881).
    pub fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::RsaPkcs1(Digest::Md5) => "1.2.840.113549.1.1.4",
            Self::RsaPkcs1(Digest::Sha1) => "1.2.840.113549.1.1.5",
            Self::RsaPkcs1(Digest::Sha256) => "1.2.840.113549.1.1.11",
            Self::RsaPkcs1(Digest::Sha384) => "1.2.840.113549.1.1.12",
            Self::RsaPkcs1(Digest::Sha512) => "1.2.840.113549.1.1.13",
            Self::RsaPss(_) => "1.2.840.113549.1.1.10",
            Self::Ecdsa(Digest::Md5 | Digest::Sha1) => "1.2.840.10045.4.1",
            Self::Ecdsa(Digest::Sha256) => "1.2.840.10045.4.3.2",
            Self::Ecdsa(Digest::Sha384) => "1.2.840.10045.4.3.3",
            Self::Ecdsa(Digest::Sha512) => "1.2.840.10045.4.3.4",
            Self::Ed25519 => "1.3.101.112",
            Self::MlDsa(set) => set.oid(),
        })
    }

    /// The AlgorithmIdentifier in DER, as RFC 4055, 5758 and 8410 (and the CA/Browser Forum's
    /// 7.1.3.2) fix its bytes.
    pub fn identifier_der(self) -> Vec<u8> {
        let oid = self.oid();
        let mut body = vec![0x06, oid.as_bytes().len() as u8];
        body.extend_from_slice(oid.as_bytes());
        match self {
            Self::RsaPkcs1(_) => body.extend_from_slice(&[0x05, 0x00]),
            Self::RsaPss(digest) => body.extend_from_slice(&pss_parameters(digest)),
            Self::Ecdsa(_) | Self::Ed25519 | Self::MlDsa(_) => {}
        }
        wrap(0x30, &body)
    }

    /// Reads an AlgorithmIdentifier: `oid` and the DER of its parameters, where there are any.
    /// For RSASSA-PSS only the same digest in MGF1 and a salt of its length is accepted.
    pub fn from_identifier(
        oid: ObjectIdentifier,
        parameters: Option<&[u8]>,
    ) -> Result<Self, SignatureError> {
        let all = Digest::ALL.into_iter();
        let simple = all.flat_map(|d| [Self::RsaPkcs1(d), Self::Ecdsa(d)]).chain([Self::Ed25519]);
        let simple = simple.chain(MlDsa::ALL.map(Self::MlDsa));
        if let Some(found) =
            simple.into_iter().find(|a| a.oid() == oid && *a != Self::Ecdsa(Digest::Md5))
        {
            return Ok(found);
        }
        let pss = [Digest::Sha256, Digest::Sha384, Digest::Sha512].map(Self::RsaPss);
        pss.into_iter()
            .find(|a| match a {
                Self::RsaPss(d) => a.oid() == oid && parameters == Some(&pss_parameters(*d)),
                _ => false,
            })
            .ok_or_else(|| SignatureError::UnknownAlgorithm(oid.to_string()))
    }

    /// The digest that the algorithm applies to the message; none for Ed25519 and ML-DSA.
    pub const fn digest(self) -> Option<Digest> {
        match self {
            Self::RsaPkcs1(d) | Self::RsaPss(d) | Self::Ecdsa(d) => Some(d),
            Self::Ed25519 | Self::MlDsa(_) => None,
        }
    }

    /// Verifies `signature` over `message` with `key`, in software. Never by ML-DSA, which OpenSSL has
    /// only from 3.5 on: see [`PublicKey::verify`](super::PublicKey::verify).
    pub(super) fn verify(
        self,
        key: &PKeyRef<Public>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let fits = match self {
            Self::RsaPkcs1(_) | Self::RsaPss(_) => key.id() == Id::RSA,
            Self::Ecdsa(_) => key.id() == Id::EC,
            Self::Ed25519 => key.id() == Id::ED25519,
            Self::MlDsa(_) => false,
        };
        if !fits {
            return Err(SignatureError::WrongKey);
        }
        // Whatever OpenSSL says but yes means no.
        match self.verified(key, message, signature) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(SignatureError::Mismatch),
        }
    }

    fn verified(
        self,
        key: &PKeyRef<Public>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, openssl::error::ErrorStack> {
        let mut verifier = match self.digest() {
            Some(digest) => Verifier::new(digest.openssl(), key)?,
            None => Verifier::new_without_digest(key)?,
        };
        if let Self::RsaPss(digest) = self {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_mgf1_md(digest.openssl())?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        verifier.verify_oneshot(signature, message)
    }
}

impl std::fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RsaPkcs1(d) => write!(f, "RSA with {d}"),
            Self::RsaPss(d) => write!(f, "RSA-PSS with {d}"),
            Self::Ecdsa(d) => write!(f, "ECDSA with {d}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa(set) => set.fmt(f),
        }
    }
}

/// RSASSA-PSS-params with `digest` twice and its length as the salt's (RFC 4055 section 3.1).
fn pss_parameters(digest: Digest) -> Vec<u8> {
    let mut algorithm = wrap(0x06, digest.oid().as_bytes());
    algorithm.extend_from_slice(&[0x05, 0x00]);
    let algorithm = wrap(0x30, &algorithm);
    let mut mgf1 = wrap(0x06, ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8").as_bytes());
    mgf1.extend_from_slice(&algorithm);
    let mut body = wrap(0xa0, &algorithm);
    body.extend_from_slice(&wrap(0xa1, &wrap(0x30, &mgf1)));
    body.extend_from_slice(&wrap(0xa2, &[0x02, 0x01, digest.len() as u8]));
    wrap(0x30, &body)
}

/// A DER element shorter than 128 bytes.
fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
    debug_assert!(body.len() < 128, "short form only");
    let mut out = vec![tag, body.len() as u8];
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_byte_exact() {
        let hex = |a: SignatureAlgorithm| hex::encode(a.identifier_der());
        assert_eq!(
            hex(SignatureAlgorithm::RsaPkcs1(Digest::Sha256)),
            "300d06092a864886f70d01010b0500"
        );
        assert_eq!(
            hex(SignatureAlgorithm::RsaPkcs1(Digest::Sha384)),
            "300d06092a864886f70d01010c0500"
        );
        assert_eq!(hex(SignatureAlgorithm::Ecdsa(Digest::Sha256)), "300a06082a8648ce3d040302");
        assert_eq!(hex(SignatureAlgorithm::Ecdsa(Digest::Sha512)), "300a06082a8648ce3d040304");
        assert_eq!(hex(SignatureAlgorithm::Ed25519), "300506032b6570");
        assert_eq!(
            hex(SignatureAlgorithm::RsaPss(Digest::Sha256)),
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
        );
    }

    #[test]
    fn reads_what_it_writes() {
        let two = |d| [SignatureAlgorithm::RsaPkcs1(d), SignatureAlgorithm::RsaPss(d)];
        for algorithm in [Digest::Sha256, Digest::Sha384, Digest::Sha512].into_iter().flat_map(two)
        {
            let parameters = match algorithm {
                SignatureAlgorithm::RsaPss(d) => pss_parameters(d),
                _ => vec![5, 0],
            };
            let read = SignatureAlgorithm::from_identifier(algorithm.oid(), Some(&parameters));
            assert_eq!(read, Ok(algorithm));
        }
    }
}
