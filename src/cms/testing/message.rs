//! SignedData put together piece by piece, so that each piece can be wrong.

use const_oid::ObjectIdentifier;

use super::super::asn1::{set_of, tag, tlv};
use super::super::seal::issuer_and_serial;
use super::super::sign::Attribute;
use super::Identity;
use crate::pki::{Certificate, Digest, SignatureAlgorithm};

/// The pieces of a message and how it is signed.
pub(crate) struct Message {
    pub(crate) signer: Identity,
    pub(crate) content_type: ObjectIdentifier,
    pub(crate) content: Option<Vec<u8>>,
    /// contentType and messageDigest are added in front of these unless `bare`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) bare: bool,
    /// DER of the digest's and the signature's AlgorithmIdentifier.
    pub(crate) digest: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// How it is really signed.
    pub(crate) algorithm: SignatureAlgorithm,
    /// Whether the signature is made over the sorted attributes.
    pub(crate) sorted: bool,
    /// Whether the attributes are written in reverse order.
    pub(crate) reversed: bool,
    pub(crate) sid: Vec<u8>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) signer_infos: usize,
}

impl Message {
    pub(crate) fn new(signer: &Identity, content: Vec<u8>) -> Self {
        let algorithm = signer.kind().default_signature();
        let digest = tlv(tag::OID, &[Digest::Sha256.oid().as_bytes()]);
        Self {
            signer: signer.clone(),
            content_type: super::super::ID_DATA,
            content: Some(content),
            attributes: vec![],
            bare: false,
            digest: tlv(tag::SEQUENCE, &[&digest]),
            signature: algorithm.identifier_der(),
            algorithm,
            sorted: true,
            reversed: false,
            sid: issuer_and_serial(&signer.certificate),
            certificates: vec![signer.certificate.der().to_vec()],
            signer_infos: 1,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Signs with another digest, and says so.
    pub(crate) fn with_digest(self, digest: Digest) -> Self {
        self.with(|m| {
            m.algorithm = SignatureAlgorithm::RsaPkcs1(digest);
            m.signature = m.algorithm.identifier_der();
            let oid = tlv(tag::OID, &[digest.oid().as_bytes()]);
            m.digest = tlv(tag::SEQUENCE, &[&oid, &[5, 0]]);
        })
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let der = |oid: &str, value: Vec<u8>| {
            Attribute::new(ObjectIdentifier::new_unwrap(oid), value).der()
        };
        let digest = self.algorithm.digest().unwrap();
        let hash = digest.hash(self.content.as_deref().unwrap_or_default()).unwrap();
        let mut attributes = vec![];
        if !self.bare {
            let content_type = tlv(tag::OID, &[self.content_type.as_bytes()]);
            attributes.push(der("1.2.840.113549.1.9.3", content_type));
            attributes.push(der("1.2.840.113549.1.9.4", tlv(tag::OCTET_STRING, &[&hash])));
        }
        attributes.extend(self.attributes.iter().map(Attribute::der));
        attributes.sort();
        if self.reversed {
            attributes.reverse();
        }
        let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
        let written = tlv(tag::SET, &attributes);
        let signed = if self.sorted { set_of(tag::SET, attributes.clone()) } else { written };
        let signature = self.signer.sign(self.algorithm, &signed);
        let info = tlv(
            tag::SEQUENCE,
            &[
                &[tag::INTEGER, 1, 1],
                &self.sid,
                &self.digest,
                &tlv(tag::CONTEXT_0, &attributes),
                &self.signature,
                &tlv(tag::OCTET_STRING, &[&signature]),
            ],
        );
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let explicit = |c: &Vec<u8>| tlv(tag::CONTEXT_0, &[&tlv(tag::OCTET_STRING, &[c])]);
        let content = self.content.as_ref().map(explicit).unwrap_or_default();
        let body = tlv(
            tag::SEQUENCE,
            &[
                &[tag::INTEGER, 1, 1],
                &tlv(tag::SET, &[&self.digest]),
                &tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[self.content_type.as_bytes()]), &content]),
                &tlv(tag::CONTEXT_0, &certificates),
                &tlv(tag::SET, &vec![info.as_slice(); self.signer_infos]),
            ],
        );
        let oid = tlv(tag::OID, &[super::super::signed_data::ID_SIGNED_DATA.as_bytes()]);
        tlv(tag::SEQUENCE, &[&oid, &tlv(tag::CONTEXT_0, &[&body])])
    }
}

/// `sid` or `rid` by the subject key identifier.
pub(crate) fn by_key_identifier(certificate: &Certificate) -> Vec<u8> {
    tlv(tag::CONTEXT_0_PRIMITIVE, &[&certificate.public_key().key_identifier()])
}
