//! Writing EnvelopedData to one recipient (RFC 5652 section 6). By hand: the recipient's serial
//! number may have any length, and the randomness comes in as an argument.

use openssl::bn::{BigNum, BigNumContext};
use zeroize::Zeroizing;

use super::agreement;
use super::algorithm::identifier;
use super::asn1::{tag, tlv};
use super::enveloped_data::ID_ENVELOPED_DATA;
use super::signed_data::ID_DATA;
use super::unpad::{mgf1, xor};
use super::{Cipher, CmsError, KeyTransport, PasswordKey};
use crate::pki::{Certificate, Digest};
use crate::random::Random;
use crate::secret::Secret;

/// To whom an envelope goes.
#[derive(Clone, Copy, Debug)]
pub enum Receiver<'a> {
    /// The RSA key of a certificate, which is named by issuer and serial number.
    Rsa(&'a Certificate, KeyTransport),
    /// The EC key of a certificate, which is named by issuer and serial number (RFC 5753).
    Agreement(&'a Certificate),
    /// Whoever knows the password behind the key.
    Password(&'a PasswordKey),
}

/// A ContentInfo with `content` (of type id-data) enveloped to `receiver`.
pub fn seal(
    content: &[u8],
    receiver: Receiver<'_>,
    cipher: Cipher,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let mut key = Zeroizing::new(vec![0; cipher.key_len()]);
    random.fill(&mut key)?;
    let key = Secret::new(key.to_vec());
    let mut iv = vec![0; cipher.block_len()];
    random.fill(&mut iv)?;
    let ciphertext = cipher.encrypt(&key, &iv, content)?;
    // RFC 5652 section 6.1: 3 where there is a password, 2 for key agreement, 0 for key transport to
    // certificates that are named as they are here.
    let (version, recipient_info) = match receiver {
        Receiver::Rsa(to, transport) => (0, key_transport(&key, to, transport, random)?),
        Receiver::Agreement(to) => (2, agreement::recipient_info(&key, to, cipher, random)?),
        Receiver::Password(password) => (3, password.recipient_info(&key, random)?),
    };
    let content_info = tlv(
        tag::SEQUENCE,
        &[
            &tlv(tag::OID, &[ID_DATA.as_bytes()]),
            &identifier(cipher.oid(), &tlv(tag::OCTET_STRING, &[&iv])),
            &tlv(tag::CONTEXT_0_PRIMITIVE, &[&ciphertext]),
        ],
    );
    let recipients = tlv(tag::SET, &[&recipient_info]);
    let version = [tag::INTEGER, 1, version];
    let enveloped = tlv(tag::SEQUENCE, &[&version, &recipients, &content_info]);
    Ok(tlv(
        tag::SEQUENCE,
        &[&tlv(tag::OID, &[ID_ENVELOPED_DATA.as_bytes()]), &tlv(tag::CONTEXT_0, &[&enveloped])],
    ))
}

/// A KeyTransRecipientInfo (RFC 5652 section 6.2.1).
fn key_transport(
    key: &Secret,
    recipient: &Certificate,
    transport: KeyTransport,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let encrypted_key = transport_key(key, recipient, transport, random)?;
    Ok(tlv(
        tag::SEQUENCE,
        &[
            &[tag::INTEGER, 1, 0],
            &issuer_and_serial(recipient),
            &transport.identifier_der(),
            &tlv(tag::OCTET_STRING, &[&encrypted_key]),
        ],
    ))
}

/// IssuerAndSerialNumber of a certificate, both as they stand in it (RFC 5652 section 10.2.4).
pub(super) fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    let serial = tlv(tag::INTEGER, &[certificate.serial().content()]);
    tlv(tag::SEQUENCE, &[certificate.issuer(), &serial])
}

fn transport_key(
    key: &Secret,
    recipient: &Certificate,
    transport: KeyTransport,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let rsa = recipient.public_key().rsa().ok_or_else(|| {
        let kind = recipient.public_key().kind();
        CmsError::Malformed(format!("the recipient's key is {kind}, and key transport needs RSA"))
    })?;
    let len = rsa.size() as usize;
    let padded = match transport {
        KeyTransport::RsaPkcs1v15 => pad_pkcs1_v15(key, len, random)?,
        KeyTransport::RsaOaep(digest) => pad_oaep(key, len, digest, random)?,
    };
    let (block, mut out) = (BigNum::from_slice(&padded)?, BigNum::new()?);
    let mut context = BigNumContext::new()?;
    out.mod_exp(&block, rsa.e(), rsa.n(), &mut context)?;
    Ok(out.to_vec_padded(rsa.size() as i32)?)
}

/// EME-PKCS1-v1_5 (RFC 8017 section 7.2.1).
fn pad_pkcs1_v15(
    key: &Secret,
    len: usize,
    random: &dyn Random,
) -> Result<Zeroizing<Vec<u8>>, CmsError> {
    let filler = len.checked_sub(key.len() + 3).filter(|n| *n >= 8).ok_or_else(too_short)?;
    let mut block = Zeroizing::new(vec![0; len]);
    block[1] = 2;
    random.fill(&mut block[2..2 + filler])?;
    for octet in &mut block[2..2 + filler] {
        while *octet == 0 {
            random.fill(std::slice::from_mut(octet))?;
        }
    }
    block[3 + filler..].copy_from_slice(key.expose());
    Ok(block)
}

/// EME-OAEP with an empty label (RFC 8017 section 7.1.1).
fn pad_oaep(
    key: &Secret,
    len: usize,
    digest: Digest,
    random: &dyn Random,
) -> Result<Zeroizing<Vec<u8>>, CmsError> {
    let h = digest.len();
    let separator = len.checked_sub(key.len() + 1).filter(|s| *s > 2 * h).ok_or_else(too_short)?;
    let mut block = Zeroizing::new(vec![0; len]);
    let (seed, db) = block[1..].split_at_mut(h);
    random.fill(seed)?;
    db[..h].copy_from_slice(&digest.hash(b"")?);
    let separator = separator - 1 - h;
    db[separator] = 1;
    db[separator + 1..].copy_from_slice(key.expose());
    xor(db, &mgf1(seed, len - 1 - h, digest)?);
    xor(seed, &mgf1(db, h, digest)?);
    Ok(block)
}

fn too_short() -> CmsError {
    CmsError::malformed("the recipient's RSA key is too short for key transport")
}
