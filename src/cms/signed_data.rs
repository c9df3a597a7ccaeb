//! SignedData, read tolerantly (RFC 5652 section 5).
//!
//! By hand, because the `cms` crate's types refuse what devices send: serials beyond 20 octets,
//! X.509 v1, certificates that are not well formed. Nothing is trusted because it could be read.

use const_oid::ObjectIdentifier;

use super::asn1::{Element, read, tag};
use super::{CmsError, Limits, SignerInfo, ber};
use crate::pki::{Certificate, name};

/// id-signedData (RFC 5652 section 5.1).
pub(super) const ID_SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-data (RFC 5652 section 4).
pub(crate) const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

/// A SignedData message. Its signature has not been verified: see [`SignerInfo::verify`].
#[derive(Clone, Debug)]
pub struct SignedData {
    content_type: ObjectIdentifier,
    content: Option<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    signers: Vec<SignerInfo>,
}

/// How CMS points to a certificate (RFC 5652 sections 5.3 and 6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityIdentifier {
    /// By the issuer's Name in DER and the content octets of the serial number.
    IssuerAndSerialNumber {
        /// The DER of the Name, as it came.
        issuer: Vec<u8>,
        /// The content octets of the INTEGER, as they came.
        serial: Vec<u8>,
    },
    /// By the subject key identifier.
    SubjectKeyIdentifier(Vec<u8>),
}

impl SignedData {
    /// Reads a ContentInfo that holds SignedData, in BER. At most one SignerInfo is taken.
    pub fn from_ber(message: &[u8], limits: &Limits) -> Result<Self, CmsError> {
        let der = ber::to_der(message, limits.bytes)?;
        let content = content_info(&der, ID_SIGNED_DATA, "SignedData")?;
        let mut fields = content.expect(tag::SEQUENCE, "SignedData")?.fields("SignedData")?;
        fields.expect(tag::INTEGER, "version of the SignedData")?;
        fields.expect(tag::SET, "digestAlgorithms")?; // the SignerInfo's own is what counts
        let encapsulated = fields.expect(tag::SEQUENCE, "encapContentInfo")?;
        let certificates = fields.optional(tag::CONTEXT_0, "certificates")?;
        let crls = fields.optional(tag::CONTEXT_1, "crls")?;
        let signers = fields.expect(tag::SET, "signerInfos")?;
        fields.finish("SignedData")?;

        let mut fields = encapsulated.fields("encapContentInfo")?;
        let content_type = fields.next("eContentType")?.oid("eContentType")?;
        let content = match fields.optional(tag::CONTEXT_0, "eContent")? {
            Some(explicit) => {
                let string = read(explicit.content, "eContent")?;
                Some(string.expect(tag::OCTET_STRING, "eContent")?.content.to_vec())
            }
            None => None,
        };
        fields.finish("encapContentInfo")?;

        let bag = |set: Option<Element<'_>>, what| -> Result<Vec<Vec<u8>>, CmsError> {
            let Some(set) = set else { return Ok(Vec::new()) };
            let all = set.fields(what)?.all(limits.certificates, what)?;
            // Other choices than a plain certificate or CRL (attribute certificates) do not concern us.
            let plain = all.iter().filter(|e| e.tag == tag::SEQUENCE);
            Ok(plain.map(|e| e.der.to_vec()).collect())
        };
        let signers = signers.fields("signerInfos")?.all(1, "SignerInfo")?;
        let signers =
            signers.into_iter().map(|s| SignerInfo::read(s, limits)).collect::<Result<_, _>>()?;
        Ok(Self {
            content_type,
            content,
            certificates: bag(certificates, "certificates")?,
            crls: bag(crls, "CRLs")?,
            signers,
        })
    }

    /// The type of the content.
    pub fn content_type(&self) -> ObjectIdentifier {
        self.content_type
    }

    /// The content octets of eContent; none where it is left out.
    pub fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// The certificates beside the signature, in DER and in order.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The CRLs beside the signature, in DER and in order.
    pub fn crls(&self) -> &[Vec<u8>] {
        &self.crls
    }

    /// The SignerInfo; none in a degenerate message.
    pub fn signer(&self) -> Option<&SignerInfo> {
        self.signers.first()
    }

    /// The certificate beside the signature that the SignerInfo names: exactly one, except that the
    /// same certificate may be there twice.
    pub fn signer_certificate(&self) -> Result<Certificate, CmsError> {
        let signer =
            self.signer().ok_or_else(|| CmsError::malformed("the message is not signed"))?;
        let mut found: Option<Certificate> = None;
        let mut unreadable = None;
        for der in &self.certificates {
            match Certificate::from_der(der) {
                Ok(certificate) if signer.identifier().matches(&certificate) => match &found {
                    Some(other) if *other != certificate => {
                        return Err(CmsError::Integrity(
                            "two different certificates fit the signer's identifier".into(),
                        ));
                    }
                    _ => found = Some(certificate),
                },
                Ok(_) => {}
                Err(e) => unreadable = Some(e),
            }
        }
        found.ok_or_else(|| {
            CmsError::Integrity(match unreadable {
                Some(e) => format!("the signer's certificate is missing or unreadable: {e}"),
                None => "the signer's certificate is not in the message".into(),
            })
        })
    }
}

impl EntityIdentifier {
    /// Reads `sid` or `rid`.
    pub(super) fn read(element: Element<'_>, what: &str) -> Result<Self, CmsError> {
        match element.tag {
            tag::SEQUENCE => {
                let mut fields = element.fields(what)?;
                let issuer = fields.expect(tag::SEQUENCE, what)?.der.to_vec();
                let serial = fields.expect(tag::INTEGER, what)?.content.to_vec();
                fields.finish(what)?;
                Ok(Self::IssuerAndSerialNumber { issuer, serial })
            }
            tag::CONTEXT_0_PRIMITIVE => Ok(Self::SubjectKeyIdentifier(element.content.to_vec())),
            // Explicit tagging, or an OCTET STRING in segments: one octet string inside.
            tag::CONTEXT_0 => {
                let string = read(element.content, what)?.expect(tag::OCTET_STRING, what)?;
                Ok(Self::SubjectKeyIdentifier(string.content.to_vec()))
            }
            _ => Err(CmsError::Malformed(format!("the {what} names no certificate"))),
        }
    }

    /// Whether it points to `certificate`. The issuer's Name may have been written anew with other
    /// string types. Without an SKI extension the usual hash of the key counts (RFC 5280 section
    /// 4.2.1.2, method 1).
    pub fn matches(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerialNumber { issuer, serial } => {
                certificate.serial().content() == serial
                    && (certificate.issuer() == issuer
                        || name::normalised(certificate.issuer()) == name::normalised(issuer))
            }
            Self::SubjectKeyIdentifier(id) => match certificate.subject_key_identifier() {
                Some(own) => own == *id,
                None => certificate.public_key().key_identifier() == id.as_slice(),
            },
        }
    }
}

/// What a ContentInfo of this type holds.
pub(super) fn content_info<'a>(
    der: &'a [u8],
    content_type: ObjectIdentifier,
    name: &str,
) -> Result<Element<'a>, CmsError> {
    let mut fields =
        read(der, "ContentInfo")?.expect(tag::SEQUENCE, "ContentInfo")?.fields("ContentInfo")?;
    let found = fields.next("contentType")?.oid("contentType")?;
    if found != content_type {
        return Err(CmsError::Malformed(format!("the message is not {name} but {found}")));
    }
    let explicit = fields.expect(tag::CONTEXT_0, "content of the ContentInfo")?;
    fields.finish("ContentInfo")?;
    read(explicit.content, name)
}

#[cfg(test)]
mod tests;
