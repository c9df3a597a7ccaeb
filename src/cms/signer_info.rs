//! SignerInfo: signed attributes and their signature (RFC 5652 sections 5.3 to 5.6).

use const_oid::ObjectIdentifier;

use super::algorithm::AlgorithmIdentifier;
use super::asn1::{Element, read, set_of, tag, tlv};
use super::{CmsError, EntityIdentifier, Limits};
use crate::pki::{Digest, PublicKey, SignatureAlgorithm};

/// id-contentType (RFC 5652 section 11.1).
pub(super) const CONTENT_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652 section 11.2).
pub(super) const MESSAGE_DIGEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// id-aa-CMSAlgorithmProtect (RFC 6211 section 2).
const ALGORITHM_PROTECTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");
/// rsaEncryption: a signature that says no more than "RSA" (RFC 3370 section 3.2).
pub(super) const RSA_ENCRYPTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey, which some write where an ECDSA signature algorithm belongs.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Who signed what, and how. Nothing in it is trustworthy before [`SignerInfo::verify`].
#[derive(Clone, Debug)]
pub struct SignerInfo {
    identifier: EntityIdentifier,
    digest_algorithm: AlgorithmIdentifier,
    signature_algorithm: AlgorithmIdentifier,
    attributes: Vec<SignedAttribute>,
    signature: Vec<u8>,
}

#[derive(Clone, Debug)]
struct SignedAttribute {
    oid: ObjectIdentifier,
    values: Vec<Vec<u8>>,
    der: Vec<u8>,
}

impl SignerInfo {
    pub(super) fn read(element: Element<'_>, limits: &Limits) -> Result<Self, CmsError> {
        let what = "SignerInfo";
        let mut fields = element.expect(tag::SEQUENCE, what)?.fields(what)?;
        fields.expect(tag::INTEGER, "version of the SignerInfo")?;
        let identifier = EntityIdentifier::read(fields.next("sid")?, "sid")?;
        let digest_algorithm = AlgorithmIdentifier::read(fields.next(what)?, "digestAlgorithm")?;
        let signed = fields.expect(tag::CONTEXT_0, "set of signed attributes")?;
        let signature_algorithm =
            AlgorithmIdentifier::read(fields.next(what)?, "signatureAlgorithm")?;
        let signature = fields.expect(tag::OCTET_STRING, "signature")?.content.to_vec();
        fields.optional(tag::CONTEXT_1, "set of unsigned attributes")?; // never looked at
        fields.finish(what)?;
        let signed =
            signed.fields("signed attributes")?.all(limits.attributes, "signed attributes")?;
        let attributes = signed.into_iter().map(SignedAttribute::read).collect::<Result<_, _>>()?;
        Ok(Self { identifier, digest_algorithm, signature_algorithm, attributes, signature })
    }

    /// Which certificate belongs to the signature.
    pub fn identifier(&self) -> &EntityIdentifier {
        &self.identifier
    }

    /// The digest that was used, or the algorithm that is not known.
    pub fn digest(&self) -> Result<Digest, CmsError> {
        self.digest_algorithm.digest().ok_or_else(|| CmsError::UnknownAlgorithm {
            purpose: "digest algorithm",
            oid: self.digest_algorithm.oid.to_string(),
        })
    }

    /// The DER of the one value of the signed attribute `oid`; none where the attribute is absent.
    /// An attribute that is there twice or has not exactly one value is an error (docs/threats.md T02).
    pub fn attribute(&self, oid: ObjectIdentifier, name: &str) -> Result<Option<&[u8]>, CmsError> {
        let mut all = self.attributes.iter().filter(|a| a.oid == oid);
        let Some(first) = all.next() else { return Ok(None) };
        match (first.values.as_slice(), all.next()) {
            ([one], None) => Ok(Some(one)),
            (_, Some(_)) => {
                Err(CmsError::Malformed(format!("the attribute {name} is there twice")))
            }
            (values, None) => Err(CmsError::Malformed(format!(
                "the attribute {name} has {} values instead of one",
                values.len()
            ))),
        }
    }

    /// Verifies that `key` signed these attributes, and that they are about `content` of the type
    /// `content_type` (RFC 5652 section 5.4). The signature is made over the sorted attributes;
    /// one over the order in which they came, as old clients make it, is accepted too.
    pub fn verify(
        &self,
        content_type: ObjectIdentifier,
        content: &[u8],
        key: &PublicKey,
    ) -> Result<(), CmsError> {
        let digest = self.digest()?;
        let algorithm = self.algorithm(digest)?;
        let integrity = |text: &str| Err(CmsError::Integrity(text.into()));
        for (at, attribute) in self.attributes.iter().enumerate() {
            if self.attributes[..at].iter().any(|other| other.oid == attribute.oid) {
                return integrity(&format!(
                    "the signed attribute {} is there twice",
                    attribute.oid
                ));
            }
        }
        match self.attribute(CONTENT_TYPE, "contentType")? {
            Some(der) if der == tlv(tag::OID, &[content_type.as_bytes()]) => {}
            Some(_) => return integrity("the attribute contentType names another type of content"),
            None => return integrity("the attribute contentType is missing"),
        }
        match self.attribute(MESSAGE_DIGEST, "messageDigest")? {
            Some(der) if der == tlv(tag::OCTET_STRING, &[&digest.hash(content)?]) => {}
            Some(_) => return integrity("the content does not match the attribute messageDigest"),
            None => return integrity("the attribute messageDigest is missing"),
        }
        self.check_algorithm_protection()?;

        let received: Vec<&[u8]> = self.attributes.iter().map(|a| a.der.as_slice()).collect();
        let as_received = tlv(tag::SET, &received);
        let sorted = set_of(tag::SET, received);
        let verifies = |set: &[u8]| key.verify(algorithm, set, &self.signature);
        match verifies(&sorted) {
            Ok(()) => Ok(()),
            Err(_) if as_received != sorted && verifies(&as_received).is_ok() => Ok(()),
            Err(e) => Err(CmsError::Integrity(format!("{e} (algorithm {algorithm})"))),
        }
    }

    /// What signatureAlgorithm means together with digestAlgorithm: clients write the key's
    /// algorithm there, or the combination with the digest.
    fn algorithm(&self, digest: Digest) -> Result<SignatureAlgorithm, CmsError> {
        let AlgorithmIdentifier { oid, parameters } = &self.signature_algorithm;
        let algorithm = match *oid {
            RSA_ENCRYPTION => Ok(SignatureAlgorithm::RsaPkcs1(digest)),
            EC_PUBLIC_KEY => Ok(SignatureAlgorithm::Ecdsa(digest)),
            other => SignatureAlgorithm::from_identifier(other, parameters.as_deref()),
        };
        let algorithm = algorithm.map_err(|_| CmsError::UnknownAlgorithm {
            purpose: "signature algorithm",
            oid: oid.to_string(),
        })?;
        match algorithm.digest() {
            Some(other) if other != digest => Err(CmsError::Integrity(format!(
                "the digest algorithm {digest} contradicts the signature algorithm {algorithm}"
            ))),
            _ => Ok(algorithm),
        }
    }

    /// Where the signer protects the algorithms' identifiers (RFC 6211), they must agree.
    fn check_algorithm_protection(&self) -> Result<(), CmsError> {
        let what = "attribute CMSAlgorithmProtection";
        let Some(value) = self.attribute(ALGORITHM_PROTECTION, "CMSAlgorithmProtection")? else {
            return Ok(());
        };
        let mut fields = read(value, what)?.expect(tag::SEQUENCE, what)?.fields(what)?;
        let digest = AlgorithmIdentifier::read(fields.next(what)?, what)?;
        let mut signature = fields.expect(tag::CONTEXT_1, what)?.fields(what)?;
        let signature = AlgorithmIdentifier::read_fields(&mut signature, what)?;
        fields.finish(what)?;
        if digest.agrees_with(&self.digest_algorithm)
            && signature.agrees_with(&self.signature_algorithm)
        {
            Ok(())
        } else {
            Err(CmsError::Integrity(format!("the {what} contradicts the message's algorithms")))
        }
    }
}

impl SignedAttribute {
    fn read(element: Element<'_>) -> Result<Self, CmsError> {
        let what = "signed attribute";
        let mut fields = element.expect(tag::SEQUENCE, what)?.fields(what)?;
        let oid = fields.next(what)?.oid(what)?;
        let values =
            fields.expect(tag::SET, what)?.fields(what)?.all(16, "values of an attribute")?;
        fields.finish(what)?;
        let values = values.iter().map(|v| v.der.to_vec()).collect();
        Ok(Self { oid, values, der: element.der.to_vec() })
    }
}
