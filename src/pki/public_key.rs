//! Public keys as they stand in certificates and requests.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use openssl::bn::BigNum;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Public};
use openssl::rsa::Rsa;

use super::{Digest, MlDsa, SignatureAlgorithm, SignatureError};

/// A public key with the very bytes of its SubjectPublicKeyInfo.
#[derive(Clone)]
pub struct PublicKey {
    spki: Vec<u8>,
    /// The one encoding of the key, where `spki` has another AlgorithmIdentifier: a key is the same one
    /// however a client writes it down.
    canonical: Option<Vec<u8>>,
    /// None for ML-DSA, which OpenSSL has only from 3.5 on.
    key: Option<PKey<Public>>,
    kind: KeyKind,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa(u32),
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// ML-DSA of a parameter set.
    MlDsa(MlDsa),
}

/// Why a key was not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The SubjectPublicKeyInfo cannot be read.
    #[error("the public key cannot be read: {0}")]
    Malformed(String),
    /// The key's algorithm, curve or encoding is none that is supported.
    #[error("the key's algorithm {0} is not supported")]
    Unsupported(String),
}

/// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
#[derive(Sequence)]
struct Spki<'a> {
    algorithm: Algorithm<'a>,
    key: BitStringRef<'a>,
}

#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

/// RSAPublicKey (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// An ordinary RSA key by its numbers: OpenSSL's decoder takes ten times as long, and each enrolment reads
/// several keys. None where anything is out of the ordinary; the decoder then has its say.
fn rsa(spki: &Spki<'_>) -> Option<PKey<Public>> {
    const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    let parameters = spki.algorithm.parameters?;
    if spki.algorithm.oid != RSA_ENCRYPTION || parameters != AnyRef::NULL {
        return None;
    }
    let numbers = RsaNumbers::from_der(spki.key.as_bytes()?).ok()?;
    let modulus = BigNum::from_slice(numbers.modulus.as_bytes()).ok()?;
    let exponent = BigNum::from_slice(numbers.exponent.as_bytes()).ok()?;
    PKey::from_rsa(Rsa::from_public_components(modulus, exponent).ok()?).ok()
}

impl PublicKey {
    /// Reads the DER of a SubjectPublicKeyInfo. An EC key must name its curve and be a valid point
    /// on it; RSA sizes are a matter of policy and only bounded here (512 to 16384 bits), so that
    /// a hostile key costs no time.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = |e: &dyn std::fmt::Display| KeyError::Malformed(e.to_string());
        let spki = Spki::from_der(der).map_err(|e| malformed(&e))?;
        if der.len() > 4096 {
            return Err(KeyError::Malformed(format!("it has {} bytes, more than 4096", der.len())));
        }
        let oid = spki.algorithm.oid;
        if let Some(set) = MlDsa::ALL.into_iter().find(|set| oid.to_string() == set.oid()) {
            let kind = KeyKind::MlDsa(set);
            let found = Self { spki: der.to_vec(), canonical: None, key: None, kind };
            // RFC 9881 section 2: parameters must be absent.
            if found.key_bits().len() != set.key_len() || !found.has_canonical_algorithm() {
                let wanted = set.key_len();
                return Err(KeyError::Malformed(format!(
                    "a key of {set} has {wanted} bytes and its algorithm no parameters"
                )));
            }
            return Ok(found);
        }
        let key = rsa(&spki).map_or_else(|| PKey::public_key_from_der(der), Ok);
        let key = key.map_err(|_| match oid.to_string().as_str() {
            known @ ("1.2.840.113549.1.1.1" | "1.2.840.10045.2.1") => {
                KeyError::Malformed(format!("OpenSSL refuses the encoding of this {known} key"))
            }
            other => KeyError::Unsupported(other.into()),
        })?;
        let kind = match key.id() {
            Id::RSA => match key.bits() {
                bits @ 512..=16384 => KeyKind::Rsa(bits),
                bits => return Err(KeyError::Unsupported(format!("RSA of {bits} bits"))),
            },
            Id::EC => {
                let ec = key.ec_key().map_err(|e| malformed(&e))?;
                ec.check_key()
                    .map_err(|_| KeyError::Malformed("the point is not on the curve".into()))?;
                match ec.group().curve_name() {
                    Some(Nid::X9_62_PRIME256V1) => KeyKind::P256,
                    Some(Nid::SECP384R1) => KeyKind::P384,
                    Some(Nid::SECP521R1) => KeyKind::P521,
                    other => {
                        let name = other
                            .and_then(|n| n.short_name().ok())
                            .unwrap_or("with explicit parameters");
                        return Err(KeyError::Unsupported(format!("EC {name}")));
                    }
                }
            }
            Id::ED25519 => KeyKind::Ed25519,
            _ => return Err(KeyError::Unsupported(oid.to_string())),
        };
        let mut found = Self { spki: der.to_vec(), canonical: None, key: None, kind };
        if !found.has_canonical_algorithm() {
            found.canonical = Some(key.public_key_to_der().map_err(|e| malformed(&e))?);
        }
        found.key = Some(key);
        Ok(found)
    }

    /// The key of an OpenSSL object.
    pub fn from_openssl(key: &PKey<Public>) -> Result<Self, KeyError> {
        Self::from_spki(&key.public_key_to_der().map_err(|e| KeyError::Malformed(e.to_string()))?)
    }

    /// The DER of the SubjectPublicKeyInfo, as it came.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What the key is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as OpenSSL has it; none for ML-DSA.
    pub fn openssl(&self) -> Option<&PKeyRef<Public>> {
        self.key.as_deref()
    }

    /// The key's numbers; none where it is not RSA.
    pub fn rsa(&self) -> Option<Rsa<Public>> {
        self.key.as_ref()?.rsa().ok()
    }

    /// SHA-256 of the SubjectPublicKeyInfo, with the AlgorithmIdentifier as it should be: the key's
    /// identity in the ledger and in ceremonies.
    pub fn fingerprint(&self) -> [u8; 32] {
        openssl::sha::sha256(self.identity())
    }

    fn identity(&self) -> &[u8] {
        self.canonical.as_deref().unwrap_or(&self.spki)
    }

    /// SHA-1 of the key's bit string: the subject key identifier (RFC 5280 section 4.2.1.2, method 1).
    pub fn key_identifier(&self) -> [u8; 20] {
        openssl::sha::sha1(&self.key_bits())
    }

    /// The content of the key's bit string: RSAPublicKey in DER, an EC point, or the bytes of an
    /// Ed25519 or ML-DSA key.
    pub fn key_bits(&self) -> Vec<u8> {
        let spki = Spki::from_der(&self.spki);
        // from_spki read the same bytes, so there always is something here.
        spki.ok().and_then(|s| s.key.as_bytes().map(<[u8]>::to_vec)).unwrap_or_default()
    }

    /// Whether the AlgorithmIdentifier has the one encoding that the CA/Browser Forum's 7.1.3.1
    /// allows for its kind (RSA with NULL, EC with the named curve).
    pub fn has_canonical_algorithm(&self) -> bool {
        let expected = match self.kind {
            KeyKind::Rsa(_) => "300d06092a864886f70d0101010500",
            KeyKind::P256 => "301306072a8648ce3d020106082a8648ce3d030107",
            KeyKind::P384 => "301006072a8648ce3d020106052b81040022",
            KeyKind::P521 => "301006072a8648ce3d020106052b81040023",
            KeyKind::Ed25519 => "300506032b6570",
            KeyKind::MlDsa(set) => set.identifier_hex(),
        };
        let found = Spki::from_der(&self.spki).and_then(|s| s.algorithm.to_der());
        found.is_ok_and(|der| hex::encode(der) == expected)
    }

    /// Verifies a signature of this key in software.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match (algorithm, self.kind, &self.key) {
            (SignatureAlgorithm::MlDsa(wanted), KeyKind::MlDsa(set), _) if wanted == set => {
                let verifies = set.verifies(&self.key_bits(), message, signature);
                if verifies { Ok(()) } else { Err(SignatureError::Mismatch) }
            }
            (_, _, Some(key)) => algorithm.verify(key, message, signature),
            (_, _, None) => Err(SignatureError::WrongKey),
        }
    }
}

impl KeyKind {
    /// The algorithm by which a CA key of this kind signs, with the digest that fits its strength.
    pub const fn default_signature(self) -> SignatureAlgorithm {
        match self {
            Self::Rsa(_) => SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
            Self::P256 => SignatureAlgorithm::Ecdsa(Digest::Sha256),
            Self::P384 => SignatureAlgorithm::Ecdsa(Digest::Sha384),
            Self::P521 => SignatureAlgorithm::Ecdsa(Digest::Sha512),
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::MlDsa(set) => SignatureAlgorithm::MlDsa(set),
        }
    }

    /// Whether keys of this kind can take part in RSA key transport.
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa(_))
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::P521 => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa(set) => set.fmt(f),
        }
    }
}

impl PartialEq for PublicKey {
    /// Equal when it is the same key: the SubjectPublicKeyInfo, with the AlgorithmIdentifier as it should be.
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for PublicKey {}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, hex::encode(&self.fingerprint()[..8]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey};

    fn p256() -> PublicKey {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
    }

    #[test]
    fn knows_its_kind() {
        let key = p256();
        assert_eq!(key.kind(), KeyKind::P256);
        assert!(key.has_canonical_algorithm());
        assert_eq!(PublicKey::from_spki(key.spki()), Ok(key));
    }

    #[test]
    fn a_key_is_the_same_one_however_its_algorithm_is_written() {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let der = key.public_key_to_der().unwrap();
        let usual = PublicKey::from_spki(&der).unwrap();
        // rsaEncryption with a number of its own kind for its parameters, which OpenSSL reads over.
        let at = der.windows(2).position(|w| w == [5, 0]).unwrap();
        let mut odd = der;
        odd[at] = 0x45;
        let odd = PublicKey::from_spki(&odd).unwrap();
        assert!(!odd.has_canonical_algorithm() && odd.spki() != usual.spki());
        assert_eq!(odd.fingerprint(), usual.fingerprint());
        assert_eq!(odd, usual);
    }

    #[test]
    fn refuses_a_point_off_the_curve() {
        let mut spki = p256().spki().to_vec();
        let last = spki.len() - 1;
        spki[last] ^= 1;
        assert!(matches!(PublicKey::from_spki(&spki), Err(KeyError::Malformed(_))));
    }

    #[test]
    fn refuses_rubbish() {
        assert!(PublicKey::from_spki(&[]).is_err());
        assert!(PublicKey::from_spki(&[0x30, 0x80]).is_err());
    }
}
