//! Certificates as the client needs them: the raw pieces of a received one, and self-signed ones
//! in every shape that clients send.

use std::fmt;

use openssl::sign::Signer;

use super::algorithms::{Digest, identifier};
use super::der::{self, Reader, tag};
use super::keys::Key;
use crate::error::Result;

/// Common name.
pub const CN: &str = "2.5.4.3";
/// Organisation.
pub const O: &str = "2.5.4.10";
/// Organisational unit.
pub const OU: &str = "2.5.4.11";

/// The pieces of a certificate that CMS names it by, as their DER stands in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Parts {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// serialNumber, an INTEGER.
    pub serial: Vec<u8>,
    /// issuer, a Name.
    pub issuer: Vec<u8>,
    /// subject, a Name.
    pub subject: Vec<u8>,
    /// subjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The extensions as (extnID content, critical, extnValue content).
    pub extensions: Vec<(Vec<u8>, bool, Vec<u8>)>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| -> String { bytes.escape_ascii().to_string() };
        write!(f, "Parts({}, subject {})", text(&self.serial), text(&self.subject))
    }
}

impl Parts {
    /// Takes a certificate apart.
    pub fn from_der(certificate: &[u8]) -> Result<Self> {
        let mut outer = Reader(certificate);
        let mut inside = outer.expect(tag::SEQUENCE, "Certificate")?.inside();
        outer.end("Certificate")?;
        let mut tbs = inside.expect(tag::SEQUENCE, "TBSCertificate")?.inside();
        tbs.optional(0xa0)?;
        let serial = tbs.expect(tag::INTEGER, "serialNumber")?.raw.to_vec();
        tbs.expect(tag::SEQUENCE, "signature")?;
        let issuer = tbs.expect(tag::SEQUENCE, "issuer")?.raw.to_vec();
        tbs.expect(tag::SEQUENCE, "validity")?;
        let subject = tbs.expect(tag::SEQUENCE, "subject")?.raw.to_vec();
        let spki = tbs.expect(tag::SEQUENCE, "subjectPublicKeyInfo")?.raw.to_vec();
        let mut extensions = Vec::new();
        if let Some(wrapped) = tbs.optional(0xa3)? {
            let list = wrapped.inside().expect(tag::SEQUENCE, "extensions")?;
            for extension in list.inside().rest()? {
                let mut e = extension.inside();
                let id = e.expect(tag::OID, "extnID")?.content.to_vec();
                let critical = e.optional(tag::BOOLEAN)?.is_some_and(|b| b.content == [0xff]);
                let value = e.expect(tag::OCTET_STRING, "extnValue")?.content.to_vec();
                extensions.push((id, critical, value));
            }
        }
        Ok(Self { der: certificate.to_vec(), serial, issuer, subject, spki, extensions })
    }

    /// The extension with the dotted `oid`.
    pub fn extension(&self, oid: &str) -> Option<&[u8]> {
        let wanted = der::oid(oid);
        self.extensions.iter().find(|(id, ..)| *id == wanted[2..]).map(|(.., v)| v.as_slice())
    }

    /// The subject key identifier's octets.
    pub fn key_identifier(&self) -> Option<Vec<u8>> {
        let value = self.extension("2.5.29.14")?;
        Some(Reader(value).expect(tag::OCTET_STRING, "subjectKeyIdentifier").ok()?.content.to_vec())
    }

    /// Whether key usage bit `n` (0 is digitalSignature) is set.
    pub fn key_usage(&self, n: usize) -> bool {
        let bits = self.extension("2.5.29.15").and_then(|v| Reader(v).any().ok());
        bits.and_then(|b| b.content.get(1 + n / 8))
            .is_some_and(|byte| byte & (0x80 >> (n % 8)) != 0)
    }

    /// Whether basicConstraints says CA.
    pub fn is_ca(&self) -> bool {
        let Some(value) = self.extension("2.5.29.19") else { return false };
        let ca = Reader(value).any().and_then(|s| s.inside().optional(tag::BOOLEAN));
        matches!(ca, Ok(Some(b)) if b.content == [0xff])
    }
}

/// The shape of a self-signed certificate that signs a request.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The subject, a Name in DER, and the issuer where that is not given.
    pub name: Vec<u8>,
    /// Another issuer: the certificate is self-signed no more, or only says so.
    pub issuer: Option<Vec<u8>>,
    /// The serial number's content octets, as they are (33 of them, negative, whatever).
    pub serial: Vec<u8>,
    /// Version 1: no extensions at all.
    pub version_1: bool,
    /// The digest of the signature.
    pub digest: Digest,
    /// An authorityKeyIdentifier that is marked critical, as Windows writes.
    pub critical_aki: bool,
    /// A subjectKeyIdentifier.
    pub key_identifier: bool,
    /// notBefore and notAfter as UTCTime.
    pub validity: (&'static str, &'static str),
    /// More extensions, each a whole Extension in DER.
    pub extensions: Vec<Vec<u8>>,
}

impl Default for SelfSigned {
    fn default() -> Self {
        Self {
            name: der::name(&[(CN, "device")]),
            issuer: None,
            serial: vec![1],
            version_1: false,
            digest: Digest::Sha256,
            critical_aki: false,
            key_identifier: true,
            validity: ("200101000000Z", "491231235959Z"),
            extensions: Vec::new(),
        }
    }
}

impl SelfSigned {
    /// As the Windows MDM client makes it.
    pub fn windows() -> Self {
        Self {
            name: der::name(&[(CN, "SCEP Protocol Certificate")]),
            digest: Digest::Sha1,
            critical_aki: true,
            ..Self::default()
        }
    }

    /// As sscep makes it: a serial of 33 octets.
    pub fn sscep() -> Self {
        let mut serial = b"0123456789ABCDEF0123456789ABCDEF".to_vec();
        serial.push(0);
        Self { serial, ..Self::default() }
    }

    /// As certmonger makes it: version 1, 33 octets of serial, a hundred years.
    pub fn certmonger() -> Self {
        let serial = [&[0][..], &[0xc3; 32]].concat();
        Self { serial, version_1: true, key_identifier: false, ..Self::default() }
    }

    /// The certificate over `key`, signed by it.
    pub fn build(&self, key: &Key) -> Result<Vec<u8>> {
        self.build_signed_by(key, key)
    }

    /// The certificate over `key`, signed by `issuer` (another key makes the signature wrong).
    pub fn build_signed_by(&self, key: &Key, issuer: &Key) -> Result<Vec<u8>> {
        let spki = key.public_key_to_der()?;
        let algorithm = signature_identifier(issuer, self.digest);
        let validity = der::seq(&[
            &der::tlv(tag::UTC_TIME, self.validity.0.as_bytes()),
            &der::tlv(tag::UTC_TIME, self.validity.1.as_bytes()),
        ]);
        let mut tbs = Vec::new();
        if !self.version_1 {
            tbs.extend(der::ctx(0, &der::int(2)));
        }
        tbs.extend(der::tlv(tag::INTEGER, &self.serial));
        let issuer_name = self.issuer.as_ref().unwrap_or(&self.name);
        for part in [&algorithm, issuer_name, &validity, &self.name, &spki] {
            tbs.extend(part);
        }
        if !self.version_1 {
            tbs.extend(der::ctx(3, &der::tlv(tag::SEQUENCE, &self.all_extensions(&spki).concat())));
        }
        let tbs = der::tlv(tag::SEQUENCE, &tbs);
        let signature = sign(issuer, self.digest, &tbs)?;
        Ok(der::seq(&[&tbs, &algorithm, &der::bits(&signature)]))
    }

    fn all_extensions(&self, spki: &[u8]) -> Vec<Vec<u8>> {
        let id = openssl::sha::sha1(spki);
        let mut all = self.extensions.clone();
        if self.key_identifier {
            all.push(extension("2.5.29.14", false, &der::octets(&id)));
        }
        if self.critical_aki {
            all.push(extension("2.5.29.35", true, &der::seq(&[&der::tlv(0x80, &id)])));
        }
        if all.is_empty() {
            all.push(extension("2.5.29.15", true, &[3, 2, 5, 0xa0]));
        }
        all
    }
}

/// An Extension in DER.
pub fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::tlv(tag::BOOLEAN, &[0xff]) } else { Vec::new() };
    der::seq(&[&der::oid(oid), &critical, &der::octets(value)])
}

/// The AlgorithmIdentifier of `key`'s signatures over `digest`.
pub fn signature_identifier(key: &Key, digest: Digest) -> Vec<u8> {
    match key.rsa() {
        Ok(_) => identifier(digest.with_rsa(), false),
        Err(_) => identifier(digest.with_ecdsa(), true),
    }
}

/// `key`'s signature over `message`.
pub fn sign(key: &Key, digest: Digest, message: &[u8]) -> Result<Vec<u8>> {
    let mut signer = Signer::new(digest.openssl(), key)?;
    signer.update(message)?;
    Ok(signer.sign_to_vec()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::keys;

    #[test]
    fn openssl_reads_every_shape_and_verifies_its_signature() {
        let key = keys::pooled(2048, 0).unwrap();
        let shapes = [
            SelfSigned::default(),
            SelfSigned::windows(),
            SelfSigned::sscep(),
            SelfSigned::certmonger(),
        ];
        for shape in shapes {
            let der = shape.build(&key).unwrap();
            let x509 = openssl::x509::X509::from_der(&der).unwrap();
            assert!(x509.verify(&key).unwrap(), "{shape:?}");
            let parts = Parts::from_der(&der).unwrap();
            assert_eq!(parts.subject, shape.name);
            assert_eq!(parts.serial[2..], shape.serial);
            assert_eq!(parts.key_identifier().is_some(), shape.key_identifier);
            assert_eq!(x509.version(), if shape.version_1 { 0 } else { 2 });
        }
    }
}
