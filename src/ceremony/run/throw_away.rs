//! Throw-away keys in memory, for what only looks like a key of a token.

use ml_dsa::{B32, Keypair as _, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
use zeroize::Zeroizing;

use super::RunError;
use crate::pki::{KeyError, KeyKind, MlDsa, PublicKey, SignatureAlgorithm};

/// A key pair that lives as long as the value.
pub struct ThrowAway(Pair);

enum Pair {
    OpenSsl(PKey<Private>),
    /// With the seed of the key pair (FIPS 204 section 6.1).
    MlDsa(MlDsa, Zeroizing<[u8; 32]>),
}

impl ThrowAway {
    /// Makes one.
    pub fn new(kind: KeyKind) -> Result<Self, RunError> {
        let curve = |nid| -> Result<PKey<Private>, ErrorStack> {
            PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(nid)?.as_ref())?)
        };
        Ok(Self(Pair::OpenSsl(match kind {
            KeyKind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits)?)?,
            KeyKind::P256 => curve(Nid::X9_62_PRIME256V1)?,
            KeyKind::P384 => curve(Nid::SECP384R1)?,
            KeyKind::P521 => curve(Nid::SECP521R1)?,
            KeyKind::Ed25519 => PKey::generate_ed25519()?,
            KeyKind::MlDsa(set) => {
                let mut seed = Zeroizing::new([0; 32]);
                openssl::rand::rand_priv_bytes(seed.as_mut_slice())?;
                return Ok(Self(Pair::MlDsa(set, seed)));
            }
        })))
    }

    /// Signs in software.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, RunError> {
        let key = match (&self.0, algorithm) {
            (Pair::OpenSsl(key), _) => key,
            (Pair::MlDsa(set, seed), SignatureAlgorithm::MlDsa(wanted)) if *set == wanted => {
                return match set {
                    MlDsa::MlDsa44 => signed::<MlDsa44>(seed, message),
                    MlDsa::MlDsa65 => signed::<MlDsa65>(seed, message),
                    MlDsa::MlDsa87 => signed::<MlDsa87>(seed, message),
                };
            }
            (Pair::MlDsa(set, _), other) => {
                return Err(RunError::Refused(format!("a key of {set} does not sign by {other}")));
            }
        };
        let mut signer = match algorithm.digest() {
            Some(digest) => Signer::new(digest.openssl(), key)?,
            None => Signer::new_without_digest(key)?,
        };
        if let SignatureAlgorithm::RsaPss(digest) = algorithm {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_mgf1_md(digest.openssl())?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        Ok(signer.sign_oneshot_to_vec(message)?)
    }

    /// The public half.
    pub fn public(&self) -> Result<PublicKey, RunError> {
        let key = match &self.0 {
            Pair::OpenSsl(key) => PublicKey::from_spki(&key.public_key_to_der()?),
            Pair::MlDsa(set, seed) => match set {
                MlDsa::MlDsa44 => public::<MlDsa44>(*set, seed),
                MlDsa::MlDsa65 => public::<MlDsa65>(*set, seed),
                MlDsa::MlDsa87 => public::<MlDsa87>(*set, seed),
            },
        };
        key.map_err(|e| RunError::Refused(e.to_string()))
    }
}

fn pair<P: MlDsaParams>(seed: &[u8; 32]) -> SigningKey<P> {
    SigningKey::from_seed(&Zeroizing::new(B32::from(*seed)))
}

fn public<P: MlDsaParams>(set: MlDsa, seed: &[u8; 32]) -> Result<PublicKey, KeyError> {
    set.public_key(&pair::<P>(seed).verifying_key().encode())
}

fn signed<P: MlDsaParams>(seed: &[u8; 32], message: &[u8]) -> Result<Vec<u8>, RunError> {
    let signature = pair::<P>(seed).expanded_key().sign_deterministic(message, &[]);
    let failed = |e: ml_dsa::Error| RunError::Refused(format!("signing by ML-DSA: {e}"));
    Ok(signature.map_err(failed)?.encode().to_vec())
}
