//! A content key for an EC key by key agreement: KeyAgreeRecipientInfo (RFC 5652 section 6.2.2,
//! RFC 5753 section 3.1.1) with an ephemeral key, X9.63's derivation and AES key wrap. By hand for
//! the same reasons as the rest of what is sealed.

use const_oid::ObjectIdentifier;
use openssl::aes::{AesKey, wrap_key};
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroupRef, EcKey, EcPoint, PointConversionForm};
use openssl::pkey::{PKey, Private};
use zeroize::Zeroizing;

use super::algorithm::identifier;
use super::asn1::{tag, tlv};
use super::seal::issuer_and_serial;
use super::{Cipher, CmsError};
use crate::pki::{Certificate, Digest};
use crate::random::Random;
use crate::secret::Secret;

/// dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 section 7.1.4).
const STD_DH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.1");
/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The KeyAgreeRecipientInfo for a content key of `cipher`, `[1]` in DER.
pub(super) fn recipient_info(
    content_key: &Secret,
    recipient: &Certificate,
    cipher: Cipher,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let theirs = recipient.public_key();
    let no_ec = || {
        let kind = theirs.kind();
        CmsError::Malformed(format!("the recipient's key is {kind}, and key agreement needs EC"))
    };
    let key = theirs.openssl().ok_or_else(no_ec)?;
    let ec = key.ec_key().map_err(|_| no_ec())?;
    let ephemeral = ephemeral(ec.group(), random)?;
    let mut context = BigNumContext::new()?;
    let form = PointConversionForm::UNCOMPRESSED;
    let point = ephemeral.public_key().to_bytes(ec.group(), form, &mut context)?;
    let ephemeral = PKey::from_ec_key(ephemeral)?;
    let mut deriver = Deriver::new(&ephemeral)?;
    deriver.set_peer(key)?;
    let shared = Zeroizing::new(deriver.derive_to_vec()?);

    let (wrap, kek_len) = key_wrap(cipher);
    let wrap = identifier(wrap, &[]);
    let kek = key_encryption_key(&shared, &wrap, kek_len)?;
    let kek = AesKey::new_encrypt(&kek).map_err(|_| CmsError::malformed("an AES key's length"))?;
    let mut encrypted_key = vec![0; content_key.len() + 8];
    wrap_key(&kek, None, &mut encrypted_key, content_key.expose())
        .map_err(|_| CmsError::malformed("a content key that AES cannot wrap"))?;

    // The curve is the recipient's own: RFC 5753 section 3.1.1 lets the parameters be left out.
    let key = tlv(tag::BIT_STRING, &[&[0], &point]);
    let originator = tlv(tag::CONTEXT_1, &[&identifier(EC_PUBLIC_KEY, &[]), &key]);
    let encrypted = tlv(
        tag::SEQUENCE,
        &[&issuer_and_serial(recipient), &tlv(tag::OCTET_STRING, &[&encrypted_key])],
    );
    Ok(tlv(
        tag::CONTEXT_1,
        &[
            &[tag::INTEGER, 1, 3],
            &tlv(tag::CONTEXT_0, &[&originator]),
            &identifier(STD_DH_SHA256, &wrap),
            &tlv(tag::SEQUENCE, &[&encrypted]),
        ],
    ))
}

/// A fresh key of `group` from `random`, by 64 extra bits (FIPS 186-5 appendix A.2.1).
fn ephemeral(group: &EcGroupRef, random: &dyn Random) -> Result<EcKey<Private>, CmsError> {
    let mut context = BigNumContext::new_secure()?;
    let (mut order, mut scalar, mut one_less) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    group.order(&mut order, &mut context)?;
    one_less.checked_sub(&order, &*BigNum::from_u32(1)?)?;
    let mut bytes = Zeroizing::new(vec![0; order.num_bytes() as usize + 8]);
    random.fill(&mut bytes)?;
    let mut drawn = BigNum::from_slice(&bytes)?;
    scalar.nnmod(&drawn, &one_less, &mut context)?;
    scalar.add_word(1)?;
    let mut point = EcPoint::new(group)?;
    point.mul_generator2(group, &scalar, &mut context)?;
    let key = EcKey::from_private_components(group, &scalar, &point)?;
    drawn.clear();
    scalar.clear();
    Ok(key)
}

/// X9.63's derivation with SHA-256 (RFC 5753 section 7.2), of one block at most.
fn key_encryption_key(
    shared: &[u8],
    wrap: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, CmsError> {
    let bits = (8 * len as u32).to_be_bytes();
    let length = tlv(tag::CONTEXT_2, &[&tlv(tag::OCTET_STRING, &[&bits])]);
    let info = tlv(tag::SEQUENCE, &[wrap, &length]);
    let input = Zeroizing::new([shared, &1u32.to_be_bytes(), &info].concat());
    let mut key = Zeroizing::new(Digest::Sha256.hash(&input)?);
    key.truncate(len);
    Ok(key)
}

/// The key wrap that is as strong as `cipher`, and the length of its key (RFC 3565 section 2.3.2).
fn key_wrap(cipher: Cipher) -> (ObjectIdentifier, usize) {
    let (oid, len) = match cipher {
        Cipher::DesCbc | Cipher::DesEde3Cbc | Cipher::Aes128Cbc => ("2.16.840.1.101.3.4.1.5", 16),
        Cipher::Aes192Cbc => ("2.16.840.1.101.3.4.1.25", 24),
        Cipher::Aes256Cbc => ("2.16.840.1.101.3.4.1.45", 32),
    };
    (ObjectIdentifier::new_unwrap(oid), len)
}

#[cfg(test)]
mod tests {
    use openssl::ec::EcGroup;
    use openssl::nid::Nid;

    use super::super::testing::{Counting, Identity, Shape, ec_device, openssl_in, ra};
    use super::super::{EnvelopedData, Limits, Receiver, Recipient, seal};
    use super::*;

    fn content() -> Vec<u8> {
        tlv(tag::SEQUENCE, &[&tlv(tag::OCTET_STRING, &[&[0x5a; 300]])])
    }

    fn on(curve: Nid) -> Identity {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        Identity::new(key, &Shape { name: "ec", serial: vec![0xfe; 20], v1: false, ski: true })
    }

    #[test]
    fn row_046_openssl_decrypts_what_we_seal_to_ec_keys() {
        let dir = tempfile::tempdir().unwrap();
        for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1] {
            let device = on(curve);
            device.write(dir.path(), "device");
            for cipher in Cipher::ALL.into_iter().filter(|c| *c != Cipher::DesCbc) {
                let random = Counting::new();
                let to = Receiver::Agreement(&device.certificate);
                let sealed = seal(&content(), to, cipher, &random).unwrap();
                std::fs::write(dir.path().join("sealed"), &sealed).unwrap();
                let decrypt = "cms -decrypt -binary -inform DER -in sealed -recip device.pem -inkey device.key";
                assert_eq!(openssl_in(dir.path(), decrypt), content(), "{cipher}");
                let der = openssl_in(dir.path(), "cms -cmsout -inform DER -in sealed -outform DER");
                assert_eq!(der, sealed);
                let envelope = EnvelopedData::from_ber(&sealed, &Limits::default()).unwrap();
                assert!(matches!(envelope.recipients(), [Recipient::KeyAgreement(_)]));
                // The randomness is what was handed in, and all of it is fresh.
                assert_eq!(seal(&content(), to, cipher, &Counting::new()).unwrap(), sealed);
                assert_ne!(seal(&content(), to, cipher, &random).unwrap(), sealed);
            }
        }
    }

    #[test]
    fn only_ec_keys_agree_on_a_key() {
        let to = Receiver::Agreement(&ra().certificate);
        let refused = seal(&content(), to, Cipher::Aes128Cbc, &Counting::new()).unwrap_err();
        assert!(refused.to_string().contains("RSA-2048"), "{refused}");
        let to = Receiver::Agreement(&ec_device().certificate);
        assert!(seal(&content(), to, Cipher::Aes128Cbc, &Counting::new()).is_ok());
    }
}
