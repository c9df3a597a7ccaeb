//! ML-DSA (FIPS 204) as X.509 has it (RFC 9881): pure, with an empty context. By the `ml-dsa` crate, because
//! OpenSSL has it only from 3.5 on.

use ml_dsa::{
    EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, VerifyingKey,
};

use super::{KeyError, PublicKey};

/// A parameter set of ML-DSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MlDsa {
    /// ML-DSA-44, category 2.
    MlDsa44,
    /// ML-DSA-65, category 3.
    MlDsa65,
    /// ML-DSA-87, category 5.
    MlDsa87,
}

impl MlDsa {
    /// Every parameter set.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The object identifier of keys and of signatures alike (RFC 9881 section 2).
    pub const fn oid(self) -> &'static str {
        match self {
            Self::MlDsa44 => "2.16.840.1.101.3.4.3.17",
            Self::MlDsa65 => "2.16.840.1.101.3.4.3.18",
            Self::MlDsa87 => "2.16.840.1.101.3.4.3.19",
        }
    }

    /// The length of a public key in bytes (FIPS 204 section 4, table 2).
    pub const fn key_len(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// The AlgorithmIdentifier in DER, without parameters.
    pub(super) const fn identifier_hex(self) -> &'static str {
        match self {
            Self::MlDsa44 => "300b0609608648016503040311",
            Self::MlDsa65 => "300b0609608648016503040312",
            Self::MlDsa87 => "300b0609608648016503040313",
        }
    }

    /// The public key with these bytes, which every string of the right length is.
    pub fn public_key(self, bytes: &[u8]) -> Result<PublicKey, KeyError> {
        if bytes.len() != self.key_len() {
            return Err(KeyError::Malformed(format!(
                "a key of {self} has {} bytes",
                self.key_len()
            )));
        }
        let malformed = |e: &dyn std::fmt::Display| KeyError::Malformed(e.to_string());
        let mut body = hex::decode(self.identifier_hex()).map_err(|e| malformed(&e))?;
        let bits = [&[0], bytes].concat(); // no unused bits
        let length = u16::try_from(bits.len()).map_err(|e| malformed(&e))?.to_be_bytes();
        body.extend([0x03, 0x82, length[0], length[1]]);
        body.extend(bits);
        let length = u16::try_from(body.len()).map_err(|e| malformed(&e))?.to_be_bytes();
        PublicKey::from_spki(&[&[0x30, 0x82, length[0], length[1]], body.as_slice()].concat())
    }

    /// Whether `signature` is that of `key`, a public key's bytes, over `message`.
    pub(super) fn verifies(self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::MlDsa44 => verifies::<MlDsa44>(key, message, signature),
            Self::MlDsa65 => verifies::<MlDsa65>(key, message, signature),
            Self::MlDsa87 => verifies::<MlDsa87>(key, message, signature),
        }
    }
}

fn verifies<P: MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = EncodedVerifyingKey::<P>::try_from(key) else { return false };
    let Ok(signature) = Signature::<P>::try_from(signature) else { return false };
    VerifyingKey::<P>::decode(&key).verify_with_context(message, &[], &signature)
}

impl std::fmt::Display for MlDsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        })
    }
}

#[cfg(test)]
mod tests {
    use ml_dsa::{B32, Keypair as _, SigningKey};

    use super::*;
    use crate::pki::{KeyKind, SignatureAlgorithm, SignatureError};

    fn signed<P: MlDsaParams>(text: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let key = SigningKey::<P>::from_seed(&B32::from([7; 32]));
        let signature = key.expanded_key().sign_deterministic(text, &[]).unwrap();
        (key.verifying_key().encode().to_vec(), signature.encode().to_vec())
    }

    #[test]
    fn keys_and_signatures_are_read_and_checked() {
        for set in MlDsa::ALL {
            let (bytes, mut signature) = match set {
                MlDsa::MlDsa44 => signed::<MlDsa44>(b"text"),
                MlDsa::MlDsa65 => signed::<MlDsa65>(b"text"),
                MlDsa::MlDsa87 => signed::<MlDsa87>(b"text"),
            };
            let key = set.public_key(&bytes).unwrap();
            assert_eq!((key.kind(), key.key_bits()), (KeyKind::MlDsa(set), bytes));
            assert!(key.has_canonical_algorithm() && key.openssl().is_none());
            assert_eq!(PublicKey::from_spki(key.spki()).as_ref(), Ok(&key));
            let algorithm = SignatureAlgorithm::MlDsa(set);
            assert_eq!(key.verify(algorithm, b"text", &signature), Ok(()));
            let mismatch = Err(SignatureError::Mismatch);
            assert_eq!(key.verify(algorithm, b"test", &signature), mismatch);
            signature[9] ^= 1;
            assert_eq!(key.verify(algorithm, b"text", &signature), mismatch);
            assert_eq!(key.verify(algorithm, b"text", &[]), mismatch);
            let other = MlDsa::ALL.into_iter().find(|o| *o != set).unwrap();
            let wrong = key.verify(SignatureAlgorithm::MlDsa(other), b"text", &signature);
            assert_eq!(wrong, Err(SignatureError::WrongKey));
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let refused = MlDsa::MlDsa65.public_key(&[1; 1312]);
        assert!(matches!(refused, Err(KeyError::Malformed(_))), "{refused:?}");
        let mut spki = MlDsa::MlDsa44.public_key(&[1; 1312]).unwrap().spki().to_vec();
        // The key of one parameter set under the name of another.
        let oid = spki.windows(2).position(|w| w == [0x03, 0x11]).unwrap();
        spki[oid + 1] = 0x12;
        let refused = PublicKey::from_spki(&spki);
        assert!(matches!(refused, Err(KeyError::Malformed(_))), "{refused:?}");
    }
}
