//! Writing SignedData in two steps, since the key is in an HSM and signs in between: first the
//! attributes that are to be signed, then the message around their signature (RFC 5652 section 5).

use const_oid::ObjectIdentifier;

use super::CmsError;
use super::algorithm::identifier_with_null;
use super::asn1::{set_of, tag, tlv};
use super::seal::issuer_and_serial;
use super::signed_data::{ID_DATA, ID_SIGNED_DATA};
use super::signer_info::{CONTENT_TYPE, MESSAGE_DIGEST, RSA_ENCRYPTION};
use crate::pki::{Certificate, Digest, KeyKind, SignatureAlgorithm};

/// A signed attribute with one value.
#[derive(Clone, Debug)]
pub struct Attribute {
    oid: ObjectIdentifier,
    value: Vec<u8>,
}

impl Attribute {
    /// An attribute whose only value is `value`, in DER.
    pub fn new(oid: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self { oid, value }
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let oid = tlv(tag::OID, &[self.oid.as_bytes()]);
        tlv(tag::SEQUENCE, &[&oid, &tlv(tag::SET, &[&self.value])])
    }
}

/// A message of type id-data that lacks its signature.
#[derive(Clone, Debug)]
pub struct UnsignedData {
    content: Option<Vec<u8>>,
    digest: Digest,
    attributes: Vec<u8>,
}

impl UnsignedData {
    /// A message with this content (or none at all) and these attributes beside contentType and
    /// messageDigest.
    pub fn new(
        content: Option<Vec<u8>>,
        attributes: Vec<Attribute>,
        digest: Digest,
    ) -> Result<Self, CmsError> {
        let hash = digest.hash(content.as_deref().unwrap_or_default())?;
        let own = [
            Attribute::new(CONTENT_TYPE, tlv(tag::OID, &[ID_DATA.as_bytes()])),
            Attribute::new(MESSAGE_DIGEST, tlv(tag::OCTET_STRING, &[&hash])),
        ];
        let all: Vec<Vec<u8>> = own.iter().chain(&attributes).map(Attribute::der).collect();
        let attributes = set_of(tag::SET, all.iter().map(Vec::as_slice).collect());
        Ok(Self { content, digest, attributes })
    }

    /// What the signature is made over: the DER SET OF the signed attributes.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.attributes
    }

    /// The digest of the signature.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The algorithm by which a key of this kind signs.
    pub const fn signature_algorithm(&self, key: KeyKind) -> SignatureAlgorithm {
        match key {
            KeyKind::Rsa(_) => SignatureAlgorithm::RsaPkcs1(self.digest),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => SignatureAlgorithm::Ecdsa(self.digest),
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyKind::MlDsa(set) => SignatureAlgorithm::MlDsa(set), // RFC 9882
        }
    }

    /// The whole message: `signature` was made by the key of `signer`, whose certificate is
    /// included, with [`UnsignedData::signature_algorithm`]; `chain` stands beside it.
    pub fn assemble(
        &self,
        signature: &[u8],
        signer: &Certificate,
        chain: &[&Certificate],
    ) -> Vec<u8> {
        // For RSA the plain key algorithm: some clients refuse the combined one (docs/scep.md Q9).
        let algorithm = match signer.public_key().kind() {
            KeyKind::Rsa(_) => identifier_with_null(RSA_ENCRYPTION),
            other => self.signature_algorithm(other).identifier_der(),
        };
        let digest = identifier_with_null(self.digest.oid());
        // The same set under the tag `[0]` that it has in the message.
        let mut attributes = self.attributes.clone();
        if let Some(first) = attributes.first_mut() {
            *first = tag::CONTEXT_0;
        }
        let signer_info = tlv(
            tag::SEQUENCE,
            &[
                &[tag::INTEGER, 1, 1],
                &issuer_and_serial(signer),
                &digest,
                &attributes,
                &algorithm,
                &tlv(tag::OCTET_STRING, &[signature]),
            ],
        );
        let certificates: Vec<&[u8]> =
            std::iter::once(&signer).chain(chain).map(|c| c.der()).collect();
        signed_data(
            &tlv(tag::SET, &[&digest]),
            self.content.as_deref(),
            &tlv(tag::CONTEXT_0, &certificates),
            &tlv(tag::SET, &[&signer_info]),
        )
    }
}

/// A ContentInfo with SignedData of version 1 around these parts, `certificates_or_crls` with its tag.
pub(super) fn signed_data(
    digests: &[u8],
    content: Option<&[u8]>,
    certificates_or_crls: &[u8],
    signers: &[u8],
) -> Vec<u8> {
    let content =
        content.map(|c| tlv(tag::CONTEXT_0, &[&tlv(tag::OCTET_STRING, &[c])])).unwrap_or_default();
    let encapsulated = tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[ID_DATA.as_bytes()]), &content]);
    let body = tlv(
        tag::SEQUENCE,
        &[&[tag::INTEGER, 1, 1], digests, &encapsulated, certificates_or_crls, signers],
    );
    tlv(
        tag::SEQUENCE,
        &[&tlv(tag::OID, &[ID_SIGNED_DATA.as_bytes()]), &tlv(tag::CONTEXT_0, &[&body])],
    )
}
