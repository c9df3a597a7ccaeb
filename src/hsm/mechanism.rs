//! What is asked of the token for each algorithm, as the vendor's profile says.

use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;

use super::profile::{Hashing, Mechanisms, RsaDecryption, RsaSigning};
use crate::cms::KeyTransport;
use crate::pki::{Digest, KeyKind, SignatureAlgorithm};
use crate::signing::KeyUseError;

/// How the token signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignMechanism {
    RsaPkcs,
    ShaRsaPkcs(Digest),
    RsaPss(Digest),
    ShaRsaPss(Digest),
    Ecdsa,
    ShaEcdsa(Digest),
    Eddsa,
    MlDsa,
}

/// How the token decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecryptMechanism {
    Raw,
    Pkcs1,
    Oaep(Digest),
}

fn refused<T>(what: impl std::fmt::Display) -> Result<T, KeyUseError> {
    Err(KeyUseError::Refused(what.to_string()))
}

/// The mechanism and its input for a signature by `algorithm` with a key of `kind`.
pub(super) fn signature(
    mechanisms: &Mechanisms,
    algorithm: SignatureAlgorithm,
    kind: KeyKind,
    message: &[u8],
) -> Result<(SignMechanism, Vec<u8>), KeyUseError> {
    use SignatureAlgorithm as S;
    let hash = |digest: Digest| {
        digest.hash(message).or_else(|_| refused(format!("{digest} cannot be computed here")))
    };
    match (algorithm, kind) {
        (S::RsaPkcs1(digest), KeyKind::Rsa(_)) => match mechanisms.sign_rsa {
            RsaSigning::RawDigestinfo => {
                let mut info = digest.digest_info_prefix().to_vec();
                info.extend(hash(digest)?);
                Ok((SignMechanism::RsaPkcs, info))
            }
            RsaSigning::ShaInModule => Ok((SignMechanism::ShaRsaPkcs(digest), message.to_vec())),
        },
        (S::RsaPss(digest), KeyKind::Rsa(_)) => match mechanisms.sign_pss {
            Hashing::Raw => Ok((SignMechanism::RsaPss(digest), hash(digest)?)),
            Hashing::ShaInModule => Ok((SignMechanism::ShaRsaPss(digest), message.to_vec())),
            Hashing::None => refused("the HSM's profile has no RSASSA-PSS"),
        },
        (S::Ecdsa(digest), KeyKind::P256 | KeyKind::P384 | KeyKind::P521) => {
            match mechanisms.sign_ecdsa {
                Hashing::Raw => {
                    let mut value = hash(digest)?;
                    // A longer digest counts with its leftmost bits (FIPS 186-5 section 6.4.1); not
                    // every module cuts by itself.
                    value.truncate(field_len(kind));
                    Ok((SignMechanism::Ecdsa, value))
                }
                Hashing::ShaInModule => Ok((SignMechanism::ShaEcdsa(digest), message.to_vec())),
                Hashing::None => refused("the HSM's profile has no ECDSA"),
            }
        }
        (S::Ed25519, KeyKind::Ed25519) if mechanisms.sign_eddsa => {
            Ok((SignMechanism::Eddsa, message.to_vec()))
        }
        (S::Ed25519, KeyKind::Ed25519) => refused("the HSM's profile has no EdDSA"),
        (S::MlDsa(wanted), KeyKind::MlDsa(set)) if wanted == set => match mechanisms.sign_ml_dsa {
            true => Ok((SignMechanism::MlDsa, message.to_vec())),
            false => refused("the HSM's profile has no ML-DSA"),
        },
        (algorithm, kind) => refused(format!("{algorithm:?} does not fit a key of kind {kind}")),
    }
}

/// The signature in the form of X.509 and CMS: what the token returned, but DER for ECDSA.
pub(super) fn encoded(algorithm: SignatureAlgorithm, raw: &[u8]) -> Result<Vec<u8>, KeyUseError> {
    if !matches!(algorithm, SignatureAlgorithm::Ecdsa(_)) {
        return Ok(raw.to_vec());
    }
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return Err(KeyUseError::BadSignature);
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    let der = BigNum::from_slice(r)
        .and_then(|r| EcdsaSig::from_private_components(r, BigNum::from_slice(s)?)?.to_der());
    der.map_err(|_| KeyUseError::BadSignature)
}

/// The mechanism for key transport; none where the profile's module cannot.
pub(super) fn decryption(
    mechanisms: &Mechanisms,
    transport: KeyTransport,
) -> Option<DecryptMechanism> {
    match (mechanisms.rsa_decrypt, transport) {
        (RsaDecryption::Raw, _) => Some(DecryptMechanism::Raw),
        (RsaDecryption::Pkcs1, KeyTransport::RsaPkcs1v15) => Some(DecryptMechanism::Pkcs1),
        (RsaDecryption::Pkcs1, KeyTransport::RsaOaep(digest)) => mechanisms
            .oaep_hashes
            .iter()
            .any(|h| h.digest() == digest)
            .then_some(DecryptMechanism::Oaep(digest)),
    }
}

/// The ways of key transport that a profile can undo by mechanisms of their own, for self-tests.
pub(super) fn transports(mechanisms: &Mechanisms) -> Vec<KeyTransport> {
    let oaep = mechanisms.oaep_hashes.iter().map(|h| KeyTransport::RsaOaep(h.digest()));
    let with_own = oaep.filter(|_| mechanisms.rsa_decrypt == RsaDecryption::Pkcs1);
    std::iter::once(KeyTransport::RsaPkcs1v15).chain(with_own).collect()
}

/// The length of the curve's order in bytes.
fn field_len(kind: KeyKind) -> usize {
    match kind {
        KeyKind::P384 => 48,
        KeyKind::P521 => 66,
        _ => 32,
    }
}

impl SignMechanism {
    /// In cryptoki's terms; none for a digest without such a mechanism.
    pub(super) fn pkcs11(self) -> Option<Mechanism<'static>> {
        Some(match self {
            Self::RsaPkcs => Mechanism::RsaPkcs,
            Self::ShaRsaPkcs(Digest::Sha1) => Mechanism::Sha1RsaPkcs,
            Self::ShaRsaPkcs(Digest::Sha256) => Mechanism::Sha256RsaPkcs,
            Self::ShaRsaPkcs(Digest::Sha384) => Mechanism::Sha384RsaPkcs,
            Self::ShaRsaPkcs(Digest::Sha512) => Mechanism::Sha512RsaPkcs,
            Self::RsaPss(digest) => Mechanism::RsaPkcsPss(pss(digest)?),
            Self::ShaRsaPss(Digest::Sha1) => Mechanism::Sha1RsaPkcsPss(pss(Digest::Sha1)?),
            Self::ShaRsaPss(Digest::Sha256) => Mechanism::Sha256RsaPkcsPss(pss(Digest::Sha256)?),
            Self::ShaRsaPss(Digest::Sha384) => Mechanism::Sha384RsaPkcsPss(pss(Digest::Sha384)?),
            Self::ShaRsaPss(Digest::Sha512) => Mechanism::Sha512RsaPkcsPss(pss(Digest::Sha512)?),
            Self::Ecdsa => Mechanism::Ecdsa,
            Self::ShaEcdsa(Digest::Sha1) => Mechanism::EcdsaSha1,
            Self::ShaEcdsa(Digest::Sha256) => Mechanism::EcdsaSha256,
            Self::ShaEcdsa(Digest::Sha384) => Mechanism::EcdsaSha384,
            Self::ShaEcdsa(Digest::Sha512) => Mechanism::EcdsaSha512,
            Self::Eddsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            Self::MlDsa => Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None)),
            Self::ShaRsaPkcs(Digest::Md5)
            | Self::ShaRsaPss(Digest::Md5)
            | Self::ShaEcdsa(Digest::Md5) => return None,
        })
    }
}

impl DecryptMechanism {
    /// In cryptoki's terms; none for a digest without such a mechanism.
    pub(super) fn pkcs11(self) -> Option<Mechanism<'static>> {
        Some(match self {
            Self::Raw => Mechanism::RsaX509,
            Self::Pkcs1 => Mechanism::RsaPkcs,
            Self::Oaep(digest) => {
                let (hash, mgf) = hash_and_mgf(digest)?;
                Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()))
            }
        })
    }
}

/// MGF1 of the same digest, a salt of the digest's length (RFC 4055).
fn pss(digest: Digest) -> Option<PkcsPssParams> {
    let (hash_alg, mgf) = hash_and_mgf(digest)?;
    let s_len = u64::try_from(digest.len()).ok()?.into();
    Some(PkcsPssParams { hash_alg, mgf, s_len })
}

fn hash_and_mgf(digest: Digest) -> Option<(MechanismType, PkcsMgfType)> {
    Some(match digest {
        Digest::Md5 => return None,
        Digest::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        Digest::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        Digest::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        Digest::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_becomes_der() {
        let mut raw = vec![0; 64];
        raw[31] = 1;
        raw[32] = 0x80;
        let algorithm = SignatureAlgorithm::Ecdsa(Digest::Sha256);
        let der = encoded(algorithm, &raw).unwrap();
        assert_eq!(der[..7], [0x30, 0x26, 0x02, 0x01, 0x01, 0x02, 0x21]);
        assert_eq!(der[7..9], [0x00, 0x80]);
        assert_eq!(encoded(algorithm, &[1, 2, 3]), Err(KeyUseError::BadSignature));
        assert_eq!(encoded(SignatureAlgorithm::Ed25519, &[1, 2, 3]), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn the_algorithm_must_fit_the_key() {
        let profile = super::super::Profile::load("softhsm2").unwrap();
        let wrong =
            signature(&profile.mechanisms, SignatureAlgorithm::Ed25519, KeyKind::Rsa(2048), b"");
        assert!(matches!(wrong, Err(KeyUseError::Refused(_))), "{wrong:?}");
    }
}
