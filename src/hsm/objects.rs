//! Public keys read from the token's objects.

use cryptoki::error::Error;
use cryptoki::object::{
    Attribute, AttributeType, KeyType, MlDsaParameterSetType, ObjectClass, ObjectHandle,
    ParameterSetType,
};
use cryptoki::session::Session;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

use crate::pki::{MlDsa, PublicKey};

/// DER of CKA_EC_PARAMS: the named curves.
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// Ed25519 by its object identifier and by its name.
pub(super) const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
pub(super) const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// The modulus of an RSA key, private or public, without leading zeros; none of another key.
pub(super) fn modulus(session: &Session, key: ObjectHandle) -> Result<Option<Vec<u8>>, Error> {
    let attributes = session.get_attributes(key, &[AttributeType::Modulus])?;
    Ok(attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::Modulus(bytes) if !bytes.is_empty() => {
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            Some(bytes[zeros..].to_vec())
        }
        _ => None,
    }))
}

/// The public keys beside `private_key`: those with the same CKA_ID.
pub(super) fn public_keys_with_id(
    session: &Session,
    private_key: ObjectHandle,
) -> Result<Vec<PublicKey>, Error> {
    let attributes = session.get_attributes(private_key, &[AttributeType::Id])?;
    let Some(Attribute::Id(id)) = attributes.into_iter().next() else { return Ok(Vec::new()) };
    if id.is_empty() {
        return Ok(Vec::new());
    }
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id)];
    let mut found = Vec::new();
    for handle in session.find_objects(&template)? {
        found.extend(read_public(session, handle)?);
    }
    Ok(found)
}

/// The public key object `key`; none if it is of no kind that we know or cannot be read.
pub(super) fn read_public(
    session: &Session,
    key: ObjectHandle,
) -> Result<Option<PublicKey>, Error> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    if let Some(key) = read_ml_dsa(session, key)? {
        return Ok(Some(key));
    }
    let mut parts = Parts::default();
    for attribute in session.get_attributes(key, &wanted)? {
        match attribute {
            Attribute::KeyType(kind) => parts.kind = Some(kind),
            Attribute::Modulus(bytes) => parts.modulus = bytes,
            Attribute::PublicExponent(bytes) => parts.exponent = bytes,
            Attribute::EcParams(bytes) => parts.params = bytes,
            Attribute::EcPoint(bytes) => parts.point = bytes,
            _ => {}
        }
    }
    Ok(parts.key().ok().flatten().and_then(|key| PublicKey::from_openssl(&key).ok()))
}

/// How CKA_PARAMETER_SET names a parameter set of ML-DSA (PKCS#11 3.2).
pub(super) const fn ml_dsa_parameters(set: MlDsa) -> MlDsaParameterSetType {
    match set {
        MlDsa::MlDsa44 => MlDsaParameterSetType::ML_DSA_44,
        MlDsa::MlDsa65 => MlDsaParameterSetType::ML_DSA_65,
        MlDsa::MlDsa87 => MlDsaParameterSetType::ML_DSA_87,
    }
}

/// A public key of ML-DSA; none of another kind. Modules before PKCS#11 3.2 do not know its attributes and
/// are not asked for them.
fn read_ml_dsa(session: &Session, key: ObjectHandle) -> Result<Option<PublicKey>, Error> {
    let kind = session.get_attributes(key, &[AttributeType::KeyType])?;
    if kind.first() != Some(&Attribute::KeyType(KeyType::ML_DSA)) {
        return Ok(None);
    }
    let (mut set, mut bytes) = (None, Vec::new());
    for attribute in
        session.get_attributes(key, &[AttributeType::ParameterSet, AttributeType::Value])?
    {
        match attribute {
            Attribute::ParameterSet(found) => {
                let named = |set: &MlDsa| ParameterSetType::from(ml_dsa_parameters(*set)) == found;
                set = MlDsa::ALL.into_iter().find(named);
            }
            Attribute::Value(found) => bytes = found,
            _ => {}
        }
    }
    Ok(set.and_then(|set| set.public_key(&bytes).ok()))
}

#[derive(Default)]
struct Parts {
    kind: Option<KeyType>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    params: Vec<u8>,
    point: Vec<u8>,
}

impl Parts {
    fn key(&self) -> Result<Option<PKey<Public>>, ErrorStack> {
        let curve = match self.params.as_slice() {
            P256 => Some((Nid::X9_62_PRIME256V1, 65)),
            P384 => Some((Nid::SECP384R1, 97)),
            P521 => Some((Nid::SECP521R1, 133)),
            _ => None,
        };
        match (self.kind, curve) {
            (Some(KeyType::RSA), _) => {
                let n = BigNum::from_slice(&self.modulus)?;
                let e = BigNum::from_slice(&self.exponent)?;
                PKey::from_rsa(Rsa::from_public_components(n, e)?).map(Some)
            }
            (Some(KeyType::EC), Some((curve, len))) => {
                let group = EcGroup::from_curve_name(curve)?;
                let point = unwrapped(&self.point, len);
                let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
                PKey::from_ec_key(EcKey::from_public_key(&group, &point)?).map(Some)
            }
            (Some(KeyType::EC_EDWARDS), _) => {
                PKey::public_key_from_raw_bytes(unwrapped(&self.point, 32), Id::ED25519).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// CKA_EC_POINT is a DER OCTET STRING by the standard and bare bytes in some modules; `bare_len`
/// tells which, for both start with 04.
fn unwrapped(point: &[u8], bare_len: usize) -> &[u8] {
    match point {
        bare if bare.len() == bare_len => bare,
        [0x04, len, rest @ ..] if usize::from(*len) == rest.len() => rest,
        [0x04, 0x81, len, rest @ ..] if usize::from(*len) == rest.len() => rest,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_wrapped_or_bare() {
        let bare: Vec<u8> = std::iter::once(4).chain(1..=64).collect();
        let wrapped: Vec<u8> = [0x04, 65].into_iter().chain(bare.iter().copied()).collect();
        assert_eq!(unwrapped(&bare, 65), bare);
        assert_eq!(unwrapped(&wrapped, 65), bare);
        let long: Vec<u8> = std::iter::once(4).chain((0..132).map(|i| i as u8)).collect();
        let wrapped: Vec<u8> = [0x04, 0x81, 133].into_iter().chain(long.iter().copied()).collect();
        assert_eq!(unwrapped(&wrapped, 133), long);
        // The first coordinate byte of this bare point is the length of what follows it.
        let tricky: Vec<u8> = [4, 63].into_iter().chain(0..63).collect();
        assert_eq!(unwrapped(&tricky, 65), tricky);
    }
}
