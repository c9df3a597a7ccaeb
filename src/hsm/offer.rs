//! What a token offers, and what of it a key needs.

use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::slot::Slot;

use super::keys::KeyPurpose;
use super::mechanism::{decryption, signature};
use super::profile::Profile;
use super::retry::Failure;
use crate::cms::KeyTransport;
use crate::pki::KeyKind;

/// A mechanism that a token offers (C_GetMechanismInfo).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MechanismOffer {
    /// Its name: `CKM_RSA_PKCS`.
    pub name: String,
    /// The smallest key, in bits for RSA.
    pub min_bits: u64,
    /// The largest key, in bits for RSA; 0 where the module does not say.
    pub max_bits: u64,
}

/// The mechanism that a key of `kind` needs for its purpose, as the profile does it; or why it cannot.
pub fn needed_mechanism(
    profile: &Profile,
    purpose: KeyPurpose,
    kind: KeyKind,
) -> Result<String, String> {
    let ways = &profile.mechanisms;
    let mechanism = if purpose.signs() {
        let (mechanism, _) =
            signature(ways, kind.default_signature(), kind, b"").map_err(|e| e.to_string())?;
        mechanism.pkcs11()
    } else {
        decryption(ways, KeyTransport::RsaPkcs1v15).and_then(|m| m.pkcs11())
    };
    let mechanism = mechanism.ok_or("the profile has no mechanism for it")?;
    Ok(mechanism.mechanism_type().to_string())
}

/// Everything that the token in `slot` offers.
pub(super) fn list(context: &Pkcs11, slot: Slot) -> Result<Vec<MechanismOffer>, Error> {
    let types = context.get_mechanism_list(slot)?;
    let offers = types.into_iter().map(|kind| {
        let info = context.get_mechanism_info(slot, kind).ok();
        let bits = |size: Option<usize>| size.map_or(0, |size| size as u64);
        MechanismOffer {
            name: kind.to_string(),
            min_bits: bits(info.map(|i| i.min_key_size())),
            max_bits: bits(info.map(|i| i.max_key_size())),
        }
    });
    Ok(offers.collect())
}

/// The same, or why the token does not say: it may be good all the same.
pub(super) fn read(context: &Pkcs11, slot: Slot) -> Result<Vec<MechanismOffer>, String> {
    list(context, slot).map_err(|e| Failure::from(e).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_has_its_mechanism() {
        let profile = Profile::load("softhsm2").unwrap();
        let needed = |purpose, kind| needed_mechanism(&profile, purpose, kind);
        let rsa = KeyKind::Rsa(3072);
        assert_eq!(needed(KeyPurpose::CaSign, rsa).unwrap(), "CKM_RSA_PKCS");
        assert_eq!(needed(KeyPurpose::CaSign, KeyKind::P384).unwrap(), "CKM_ECDSA");
        assert_eq!(needed(KeyPurpose::RaDecrypt, rsa).unwrap(), "CKM_RSA_X_509");
    }
}
