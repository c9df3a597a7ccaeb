//! The inside of a successful CertRep: the envelope opened with the requester's key, and the
//! certs-only SignedData in it (RFC 8894 section 3.4).

use openssl::cms::CmsContentInfo;
use openssl::encrypt::Decrypter;
use openssl::rsa::Padding;
use openssl::symm;
use openssl::x509::X509;

use super::algorithms::{Cipher, Digest, Transport, transport_identifier};
use super::certificate::Parts;
use super::der::{self, Reader, Value, tag};
use super::envelope::{ID_DATA, ID_ENVELOPED_DATA, Identifier};
use super::message::ID_SIGNED_DATA;
use super::password;
use super::reply::{Expected, Granted};
use crate::error::{Error, Result, fail};

/// Opens the envelope of a successful reply and reads the certificates in it.
pub(super) fn granted(content: &[u8], expected: &Expected<'_>) -> Result<Granted> {
    let (plain, cipher, transport) = envelope(content, expected)?;
    let (certificates, crls) = certs_only(&plain)?;
    Ok(Granted { certificates, crls, cipher, transport })
}

fn envelope(
    content: &[u8],
    expected: &Expected<'_>,
) -> Result<(Vec<u8>, Cipher, Option<Transport>)> {
    let mut reader = Reader(content);
    let mut info = reader.expect(tag::SEQUENCE, "inner ContentInfo")?.inside();
    reader.end("inner ContentInfo")?;
    if info.any()?.raw != der::oid(ID_ENVELOPED_DATA) {
        return fail("the content is not an EnvelopedData");
    }
    let mut data =
        info.expect(0xa0, "content")?.inside().expect(tag::SEQUENCE, "EnvelopedData")?.inside();
    let agreed = expected.password.is_none() && expected.key.rsa().is_err();
    let version = if agreed { 2 } else { u64::from(expected.password.is_some()) * 3 };
    if data.any()?.raw != der::int(version) {
        return fail("EnvelopedData has the wrong version");
    }
    let recipients = data.expect(tag::SET, "recipientInfos")?.inside().rest()?;
    let mut sealed = data.expect(tag::SEQUENCE, "encryptedContentInfo")?.inside();
    data.end("EnvelopedData")?;
    let [recipient] = recipients.as_slice() else { return fail("not exactly one recipient") };

    if agreed && recipient.tag != 0xa1 {
        return fail("the recipient of a reply to an EC key is not by key agreement");
    }
    let (key, transport) = match expected.password {
        None if agreed => (Vec::new(), None),
        Some(password) => (password::content_key(recipient.raw, password)?, None),
        None => transported_key(recipient, expected)?,
    };

    if sealed.any()?.raw != der::oid(ID_DATA) {
        return fail("the enveloped content is not id-data");
    }
    let mut algorithm = sealed.expect(tag::SEQUENCE, "contentEncryptionAlgorithm")?.inside();
    let cipher = Cipher::from_oid(algorithm.any()?.raw)
        .ok_or_else(|| Error::new("an unknown content cipher"))?;
    let iv = algorithm.expect(tag::OCTET_STRING, "iv")?.content;
    let ciphertext = sealed.expect(0x80, "encryptedContent")?.content;
    sealed.end("encryptedContentInfo")?;
    if agreed {
        let certificate = X509::from_der(&expected.signer.der)?;
        let plain = CmsContentInfo::from_der(content)?.decrypt(expected.key, &certificate)?;
        return Ok((plain, cipher, None));
    }
    Ok((symm::decrypt(cipher.openssl(), &key, Some(iv), ciphertext)?, cipher, transport))
}

fn transported_key(
    recipient: &Value<'_>,
    expected: &Expected<'_>,
) -> Result<(Vec<u8>, Option<Transport>)> {
    let mut ktri = recipient.inside();
    if ktri.any()?.raw != der::int(0) {
        return fail("KeyTransRecipientInfo is not version 0");
    }
    if ktri.any()?.raw != Identifier::IssuerAndSerial.of(expected.signer) {
        return fail("the reply is not enveloped to the certificate that signed the request");
    }
    let transport = transport(ktri.any()?.raw)?;
    let encrypted = ktri.expect(tag::OCTET_STRING, "encryptedKey")?.content;
    ktri.end("KeyTransRecipientInfo")?;
    Ok((content_key(expected, transport, encrypted)?, Some(transport)))
}

fn content_key(expected: &Expected<'_>, transport: Transport, encrypted: &[u8]) -> Result<Vec<u8>> {
    let mut decrypter = Decrypter::new(expected.key)?;
    match transport {
        Transport::Pkcs1 => decrypter.set_rsa_padding(Padding::PKCS1)?,
        Transport::Oaep(digest) => {
            decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
            decrypter.set_rsa_oaep_md(digest.openssl())?;
            decrypter.set_rsa_mgf1_md(digest.openssl())?;
        }
    }
    let mut key = vec![0; decrypter.decrypt_len(encrypted)?];
    let length = decrypter.decrypt(encrypted, &mut key)?;
    key.truncate(length);
    Ok(key)
}

/// The transport whose identifier is exactly `raw`; parameters are never left out (quirk 26).
fn transport(raw: &[u8]) -> Result<Transport> {
    let known = [Transport::Pkcs1, Transport::Oaep(Digest::Sha1), Transport::Oaep(Digest::Sha256)];
    known
        .into_iter()
        .find(|t| transport_identifier(*t, false) == raw)
        .ok_or_else(|| Error::new(format!("key transport {raw:02x?}")))
}

/// The certificates and CRLs of a degenerate SignedData (rows 31 and 80).
pub fn certs_only(der: &[u8]) -> Result<(Vec<Parts>, Vec<Vec<u8>>)> {
    let mut reader = Reader(der);
    let mut info = reader.expect(tag::SEQUENCE, "certs-only ContentInfo")?.inside();
    reader.end("certs-only ContentInfo")?;
    if info.any()?.raw != der::oid(ID_SIGNED_DATA) {
        return fail("certs-only: not a SignedData");
    }
    let mut data =
        info.expect(0xa0, "content")?.inside().expect(tag::SEQUENCE, "SignedData")?.inside();
    if data.any()?.raw != der::int(1) {
        return fail("certs-only: not version 1");
    }
    if !data.expect(tag::SET, "digestAlgorithms")?.content.is_empty() {
        return fail("certs-only: digestAlgorithms is not empty");
    }
    if data.any()?.raw != der::seq(&[&der::oid(ID_DATA)]) {
        return fail("certs-only: encapContentInfo is not id-data without content");
    }
    let certificates = match data.optional(0xa0)? {
        Some(set) => set.inside().rest()?,
        None => Vec::new(),
    };
    let certificates =
        certificates.iter().map(|c| Parts::from_der(c.raw)).collect::<Result<_>>()?;
    let crls = match data.optional(0xa1)? {
        Some(set) => set.inside().rest()?.iter().map(|c| c.raw.to_vec()).collect(),
        None => Vec::new(),
    };
    if !data.expect(tag::SET, "signerInfos")?.content.is_empty() {
        return fail("certs-only: signerInfos is not empty");
    }
    data.end("certs-only")?;
    Ok((certificates, crls))
}
