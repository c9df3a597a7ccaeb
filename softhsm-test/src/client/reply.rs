//! CertRep read strictly (RFC 8894 section 3.3.2, rows 73 to 83): whatever a careful client could
//! complain about is an error here.

use openssl::hash::hash;
use openssl::pkey::PKey;
use openssl::sign::Verifier;

use super::algorithms::{Cipher, Digest, Transport, identifier};
use super::certificate::Parts;
use super::der::{self, Reader, Value, tag};
use super::envelope::ID_DATA;
use super::keys::Key;
use super::message::{ID_SIGNED_DATA, Text, attribute};
use super::open;
use crate::error::{Context, Error, Result, fail};

/// What a reply is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's transactionID.
    pub transaction_id: &'a Text,
    /// The request's senderNonce.
    pub sender_nonce: &'a [u8],
    /// The certificates of GetCACert; one of them must have signed.
    pub authorities: &'a [Parts],
    /// The key and certificate that signed the request: the reply is enveloped to them.
    pub key: &'a Key,
    /// See `key`.
    pub signer: &'a Parts,
    /// The password under which the reply comes instead.
    pub password: Option<&'a str>,
}

/// What the server decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// pkiStatus 0.
    Success(Box<Granted>),
    /// pkiStatus 2.
    Failure {
        /// failInfo, 0 to 4.
        fail_info: u8,
        /// failInfoText.
        text: Option<String>,
    },
    /// pkiStatus 3.
    Pending,
}

/// What a successful reply carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The certificates in their order; the issued one is the first.
    pub certificates: Vec<Parts>,
    /// CRLs in their order (GetCRL).
    pub crls: Vec<Vec<u8>>,
    /// The content cipher of the envelope.
    pub cipher: Cipher,
    /// The key transport of the envelope; none where it came under a password or by key agreement.
    pub transport: Option<Transport>,
}

/// A CertRep that kept every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRep {
    /// What was decided.
    pub outcome: Outcome,
    /// The digest that signed it.
    pub digest: Digest,
    /// senderNonce.
    pub sender_nonce: Vec<u8>,
    /// The certificate that signed it.
    pub signer: Parts,
    /// All certificates of the outer SignedData.
    pub certificates: Vec<Parts>,
}

impl CertRep {
    /// Reads a reply and checks it against the request that it answers.
    pub fn parse(body: &[u8], expected: &Expected<'_>) -> Result<Self> {
        let outer = Outer::parse(body)?;
        let attributes = Attributes::parse(outer.attributes.content)?;
        let signer = outer.signer(expected.authorities)?;
        outer.verify(&signer, &attributes)?;

        if attributes.one(attribute::CONTENT_TYPE)?.raw != der::oid(ID_DATA) {
            return fail("the contentType attribute is not id-data");
        }
        if attributes.text(attribute::MESSAGE_TYPE)? != "3" {
            return fail("messageType is not 3");
        }
        if attributes.one(attribute::TRANSACTION_ID)?.raw != expected.transaction_id.der() {
            return fail("transactionID is not the request's, byte for byte and type for type");
        }
        let echoed = attributes.octets(attribute::RECIPIENT_NONCE)?;
        if echoed != expected.sender_nonce {
            return fail("recipientNonce is not the request's senderNonce");
        }
        let sender_nonce = attributes.octets(attribute::SENDER_NONCE)?.to_vec();
        if sender_nonce.len() != 16 || sender_nonce == expected.sender_nonce {
            return fail("senderNonce is not 16 fresh octets");
        }
        let outcome = match (attributes.text(attribute::PKI_STATUS)?, outer.content) {
            ("0", Some(content)) => {
                attributes.none(attribute::FAIL_INFO)?;
                Outcome::Success(Box::new(open::granted(content, expected)?))
            }
            ("2", None) => attributes.failure()?,
            ("3", None) => {
                attributes.none(attribute::FAIL_INFO)?;
                Outcome::Pending
            }
            (status, content) => {
                let content = if content.is_some() { "an" } else { "no" };
                return fail(format!("pkiStatus {status:?} with {content} eContent"));
            }
        };
        let certificates = outer.certificates;
        Ok(Self { outcome, digest: outer.digest, sender_nonce, signer, certificates })
    }

    /// The issued certificate, or an error that tells the failure.
    pub fn certificate(&self) -> Result<&Parts> {
        match &self.outcome {
            Outcome::Success(granted) => granted
                .certificates
                .first()
                .ok_or_else(|| Error::new("SUCCESS without a certificate")),
            Outcome::Failure { fail_info, text } => {
                fail(format!("FAILURE {fail_info}: {}", text.as_deref().unwrap_or("no text")))
            }
            Outcome::Pending => fail("PENDING"),
        }
    }

    /// failInfo and its text, or an error that tells what came instead.
    pub fn failure(&self) -> Result<(u8, Option<&str>)> {
        match &self.outcome {
            Outcome::Failure { fail_info, text } => Ok((*fail_info, text.as_deref())),
            other => fail(format!("not a FAILURE: {other:?}")),
        }
    }
}

struct Outer<'a> {
    content: Option<&'a [u8]>,
    certificates: Vec<Parts>,
    signer_id: Value<'a>,
    digest: Digest,
    attributes: Value<'a>,
    signature: &'a [u8],
}

impl<'a> Outer<'a> {
    fn parse(body: &'a [u8]) -> Result<Self> {
        let mut reader = Reader(body);
        let mut info = reader.expect(tag::SEQUENCE, "ContentInfo")?.inside();
        reader.end("ContentInfo")?;
        if info.any()?.raw != der::oid(ID_SIGNED_DATA) {
            return fail("not a SignedData");
        }
        let mut data =
            info.expect(0xa0, "content")?.inside().expect(tag::SEQUENCE, "SignedData")?.inside();
        if data.any()?.raw != der::int(1) {
            return fail("SignedData is not version 1");
        }
        let digests = data.expect(tag::SET, "digestAlgorithms")?.inside().rest()?;
        let mut encapsulated = data.expect(tag::SEQUENCE, "encapContentInfo")?.inside();
        if encapsulated.any()?.raw != der::oid(ID_DATA) {
            return fail("eContentType is not id-data");
        }
        let content = match encapsulated.optional(0xa0)? {
            Some(wrapped) => Some(wrapped.inside().expect(tag::OCTET_STRING, "eContent")?.content),
            None => None,
        };
        encapsulated.end("encapContentInfo")?;
        let certificates = data.expect(0xa0, "certificates")?.inside().rest()?;
        let certificates =
            certificates.iter().map(|c| Parts::from_der(c.raw)).collect::<Result<_>>()?;
        let infos = data.expect(tag::SET, "signerInfos")?.inside().rest()?;
        data.end("SignedData")?;
        let [info] = infos.as_slice() else { return fail("not exactly one SignerInfo") };

        let mut info = info.inside();
        if info.any()?.raw != der::int(1) {
            return fail("SignerInfo is not version 1");
        }
        let signer_id = info.expect(tag::SEQUENCE, "issuerAndSerialNumber")?;
        let algorithm = info.expect(tag::SEQUENCE, "digestAlgorithm")?;
        let digest = Digest::from_oid(algorithm.inside().any()?.raw)
            .ok_or_else(|| Error::new("an unknown digest"))?;
        if digests.len() != 1 || digests[0].raw != algorithm.raw {
            return fail("digestAlgorithms does not name the one digest of the SignerInfo");
        }
        let attributes = info.expect(0xa0, "signedAttrs")?;
        let signature_algorithm = info.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        if signature_algorithm.raw != identifier("1.2.840.113549.1.1.1", false) {
            return fail("signatureAlgorithm is not rsaEncryption with NULL");
        }
        let signature = info.expect(tag::OCTET_STRING, "signature")?.content;
        info.end("SignerInfo")?;
        Ok(Self { content, certificates, signer_id, digest, attributes, signature })
    }

    /// The signer's certificate: inside the message, and one of GetCACert's.
    fn signer(&self, authorities: &[Parts]) -> Result<Parts> {
        let named = |c: &&Parts| der::seq(&[&c.issuer, &c.serial]) == self.signer_id.raw;
        let Some(signer) = self.certificates.iter().find(named) else {
            return fail("the signer's certificate is not in the message");
        };
        if !authorities.contains(signer) {
            return fail("the signer's certificate was not in the answer to GetCACert");
        }
        if !signer.key_usage(0) {
            return fail("the signer's certificate lacks digitalSignature");
        }
        Ok(signer.clone())
    }

    fn verify(&self, signer: &Parts, attributes: &Attributes<'_>) -> Result<()> {
        let members: Vec<Vec<u8>> =
            Reader(self.attributes.content).rest()?.iter().map(|a| a.raw.to_vec()).collect();
        let mut sorted = members.clone();
        sorted.sort();
        if members != sorted {
            return fail("signedAttrs are not in DER's order");
        }
        let signed = der::tlv(tag::SET, self.attributes.content);
        let key = PKey::public_key_from_der(&signer.spki).context("the signer's key")?;
        let mut verifier = Verifier::new(self.digest.openssl(), &key)?;
        verifier.update(&signed)?;
        if !verifier.verify(self.signature)? {
            return fail("the signature does not verify");
        }
        let digest = hash(self.digest.openssl(), self.content.unwrap_or_default())?;
        if attributes.octets(attribute::MESSAGE_DIGEST)? != &*digest {
            return fail("messageDigest is not the content's digest");
        }
        Ok(())
    }
}

struct Attributes<'a>(Vec<(&'a [u8], Vec<Value<'a>>)>);

impl<'a> Attributes<'a> {
    fn parse(content: &'a [u8]) -> Result<Self> {
        let mut all = Vec::new();
        for attribute in Reader(content).rest()? {
            let mut inside = attribute.inside();
            let kind = inside.expect(tag::OID, "attrType")?.raw;
            let values = inside.expect(tag::SET, "attrValues")?.inside().rest()?;
            inside.end("Attribute")?;
            if all.iter().any(|(k, _)| *k == kind) {
                return fail(format!("attribute {kind:02x?} is there twice"));
            }
            all.push((kind, values));
        }
        Ok(Self(all))
    }

    fn one(&self, kind: &str) -> Result<Value<'a>> {
        let wanted = der::oid(kind);
        let found = self.0.iter().find(|(k, _)| *k == wanted);
        match found.map(|(_, v)| v.as_slice()) {
            Some([value]) => Ok(*value),
            Some(_) => fail(format!("attribute {kind} has not exactly one value")),
            None => fail(format!("attribute {kind} is missing")),
        }
    }

    fn none(&self, kind: &str) -> Result<()> {
        match self.one(kind) {
            Ok(_) => fail(format!("attribute {kind} does not belong here")),
            Err(_) => Ok(()),
        }
    }

    fn text(&self, kind: &str) -> Result<&'a str> {
        let value = self.one(kind)?;
        if value.tag != tag::PRINTABLE {
            return fail(format!("attribute {kind} is not a PrintableString"));
        }
        std::str::from_utf8(value.content).context(kind)
    }

    fn octets(&self, kind: &str) -> Result<&'a [u8]> {
        let value = self.one(kind)?;
        if value.tag != tag::OCTET_STRING {
            return fail(format!("attribute {kind} is not an OCTET STRING"));
        }
        Ok(value.content)
    }

    fn failure(&self) -> Result<Outcome> {
        let fail_info = match self.text(attribute::FAIL_INFO)?.as_bytes() {
            [digit @ b'0'..=b'4'] => digit - b'0',
            other => return fail(format!("failInfo {other:02x?}")),
        };
        let text = match self.one(attribute::FAIL_INFO_TEXT) {
            Err(_) => None,
            Ok(value) if value.tag == tag::UTF8 => {
                Some(String::from_utf8(value.content.to_vec()).context("failInfoText")?)
            }
            Ok(_) => return fail("failInfoText is not a UTF8String"),
        };
        Ok(Outcome::Failure { fail_info, text })
    }
}
