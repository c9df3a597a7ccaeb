//! pkiMessages of a client (RFC 8894 section 3): SignedData around an envelope, with a knob for
//! every way in which a client may be odd or hostile.

use openssl::hash::hash;

use super::algorithms::{Digest, identifier};
use super::certificate::{self, Parts};
use super::der::{self, tag};
use super::envelope::{ID_DATA, Identifier};
use super::keys::Key;
use super::padding::Padding;
use crate::error::Result;

/// The content type id-signedData.
pub const ID_SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// The signed attributes' types.
pub mod attribute {
    #![allow(missing_docs, reason = "the names are those of RFC 8894 and RFC 5652")]
    pub const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
    pub const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
    pub const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
    pub const MESSAGE_TYPE: &str = "2.16.840.1.113733.1.9.2";
    pub const PKI_STATUS: &str = "2.16.840.1.113733.1.9.3";
    pub const FAIL_INFO: &str = "2.16.840.1.113733.1.9.4";
    pub const SENDER_NONCE: &str = "2.16.840.1.113733.1.9.5";
    pub const RECIPIENT_NONCE: &str = "2.16.840.1.113733.1.9.6";
    pub const TRANSACTION_ID: &str = "2.16.840.1.113733.1.9.7";
    pub const FAIL_INFO_TEXT: &str = "1.3.6.1.5.5.7.24.1";
    pub const ALGORITHM_PROTECTION: &str = "1.2.840.113549.1.9.52";
}

/// A string with its ASN.1 type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The universal tag.
    pub tag: u8,
    /// The content octets.
    pub bytes: Vec<u8>,
}

impl Text {
    /// A PrintableString.
    pub fn printable(text: &str) -> Self {
        Self { tag: tag::PRINTABLE, bytes: text.as_bytes().to_vec() }
    }

    /// Its DER.
    pub fn der(&self) -> Vec<u8> {
        der::tlv(self.tag, &self.bytes)
    }
}

/// A change to the list of signed attributes before they are signed.
#[derive(Clone, Debug)]
pub enum Edit {
    /// The attribute is left out.
    Remove(&'static str),
    /// The attribute's values become these (several, none, of the wrong type).
    Values(&'static str, Vec<Vec<u8>>),
    /// One more attribute, also where its type is there already.
    Add(&'static str, Vec<Vec<u8>>),
}

/// A pkiMessage before it is signed.
#[derive(Clone, Debug)]
pub struct Message {
    /// messageType, as text.
    pub message_type: Text,
    /// transactionID.
    pub transaction_id: Text,
    /// senderNonce.
    pub sender_nonce: Vec<u8>,
    /// The digest of the message and its signature.
    pub digest: Digest,
    /// The SignerInfo says sha256WithRSAEncryption (and so on) instead of rsaEncryption.
    pub signature_with_digest: bool,
    /// How the signer's certificate is named.
    pub signer: Identifier,
    /// The certificates in the message, the signer's normally among them.
    pub certificates: Vec<Vec<u8>>,
    /// The outer content type.
    pub content_type: &'static str,
    /// eContentType.
    pub inner_content_type: &'static str,
    /// The envelope, or whatever else is signed; `None` is no eContent.
    pub content: Option<Vec<u8>>,
    /// Changes to the signed attributes.
    pub edits: Vec<Edit>,
    /// The attributes are sent in the reverse of DER's order (and signed in DER's).
    pub unsorted: bool,
    /// The attributes are also signed in the order in which they are sent.
    pub signed_as_sent: bool,
    /// No signed attributes at all: the signature is over the content.
    pub no_attributes: bool,
    /// Unsigned attributes, each a whole Attribute in DER.
    pub unsigned: Vec<Vec<u8>>,
    /// Indefinite lengths and strings in pieces.
    pub ber: bool,
    /// Algorithm identifiers lack their parameters.
    pub bare_algorithms: bool,
    /// The signature's padding, made octet by octet.
    pub padding: Option<Padding>,
    /// Whether the signature is spoilt after it was made.
    pub bad_signature: bool,
    /// How often the SignerInfo is there.
    pub signer_infos: usize,
}

impl Message {
    /// An ordinary message of `message_type` with `content` signed, SHA-256, as strongSwan sends.
    pub fn new(message_type: &str, transaction_id: &str, nonce: &[u8], content: Vec<u8>) -> Self {
        Self {
            message_type: Text::printable(message_type),
            transaction_id: Text::printable(transaction_id),
            sender_nonce: nonce.to_vec(),
            digest: Digest::Sha256,
            signature_with_digest: false,
            signer: Identifier::IssuerAndSerial,
            certificates: Vec::new(),
            content_type: ID_SIGNED_DATA,
            inner_content_type: ID_DATA,
            content: Some(content),
            edits: Vec::new(),
            unsorted: false,
            signed_as_sent: false,
            no_attributes: false,
            unsigned: Vec::new(),
            ber: false,
            bare_algorithms: false,
            padding: None,
            bad_signature: false,
            signer_infos: 1,
        }
    }

    /// The message signed by `key`, whose certificate is `signer`; the certificate goes in where
    /// [`Message::certificates`] is empty.
    pub fn sign(&self, key: &Key, signer: &Parts) -> Result<Vec<u8>> {
        let certificates = match self.certificates.as_slice() {
            [] => signer.der.clone(),
            some => some.concat(),
        };
        let signer_info = self.signer_info(key, signer)?;
        let digest = identifier(self.digest.oid(), self.bare_algorithms);
        let signed_data = [
            der::int(if self.signer == Identifier::KeyIdentifier { 3 } else { 1 }),
            der::set_of(vec![digest]),
            self.encapsulated(),
            der::constructed(0xa0, &certificates, self.ber),
            der::tlv(tag::SET, &signer_info.repeat(self.signer_infos)),
        ]
        .concat();
        let signed_data = der::constructed(tag::SEQUENCE, &signed_data, self.ber);
        let wrapped = der::constructed(0xa0, &signed_data, self.ber);
        let info = [der::oid(self.content_type), wrapped].concat();
        Ok(der::constructed(tag::SEQUENCE, &info, self.ber))
    }

    fn encapsulated(&self) -> Vec<u8> {
        let mut inside = der::oid(self.inner_content_type);
        if let Some(content) = &self.content {
            let octets = der::string(tag::OCTET_STRING, content, self.ber);
            inside.extend(der::constructed(0xa0, &octets, self.ber));
        }
        der::constructed(tag::SEQUENCE, &inside, self.ber)
    }

    fn signer_info(&self, key: &Key, signer: &Parts) -> Result<Vec<u8>> {
        let content = self.content.as_deref().unwrap_or_default();
        let attributes = self.attributes(content)?;
        let mut sent = attributes.clone();
        sent.sort();
        if self.unsorted {
            sent.reverse();
        }
        let signed = match (self.no_attributes, self.signed_as_sent) {
            (true, _) => content.to_vec(),
            (false, true) => der::tlv(tag::SET, &sent.concat()),
            (false, false) => der::set_of(attributes),
        };
        let mut signature = match self.padding {
            Some(padding) => padding.sign(key, self.digest, &signed)?,
            None => certificate::sign(key, self.digest, &signed)?,
        };
        if self.bad_signature
            && let Some(last) = signature.last_mut()
        {
            *last ^= 1;
        }
        let sent = if self.no_attributes { Vec::new() } else { der::ctx(0, &sent.concat()) };
        let unsigned = match self.unsigned.as_slice() {
            [] => Vec::new(),
            some => der::ctx(1, &some.concat()),
        };
        let algorithm = match (key.rsa().is_ok(), self.signature_with_digest) {
            (true, true) => identifier(self.digest.with_rsa(), self.bare_algorithms),
            (true, false) => identifier("1.2.840.113549.1.1.1", self.bare_algorithms),
            (false, _) => certificate::signature_identifier(key, self.digest),
        };
        Ok(der::seq(&[
            &der::int(if self.signer == Identifier::KeyIdentifier { 3 } else { 1 }),
            &self.signer.of(signer),
            &identifier(self.digest.oid(), self.bare_algorithms),
            &sent,
            &algorithm,
            &der::octets(&signature),
            &unsigned,
        ]))
    }

    fn attributes(&self, content: &[u8]) -> Result<Vec<Vec<u8>>> {
        let digest = hash(self.digest.openssl(), content)?;
        let mut list: Vec<(&str, Vec<Vec<u8>>)> = vec![
            (attribute::CONTENT_TYPE, vec![der::oid(self.inner_content_type)]),
            (attribute::MESSAGE_DIGEST, vec![der::octets(&digest)]),
            (attribute::MESSAGE_TYPE, vec![self.message_type.der()]),
            (attribute::TRANSACTION_ID, vec![self.transaction_id.der()]),
            (attribute::SENDER_NONCE, vec![der::octets(&self.sender_nonce)]),
        ];
        for edit in &self.edits {
            match edit {
                Edit::Remove(kind) => list.retain(|(k, _)| k != kind),
                Edit::Values(kind, values) => {
                    let all = list.iter_mut().filter(|(k, _)| k == kind);
                    all.for_each(|(_, v)| v.clone_from(values));
                }
                Edit::Add(kind, values) => list.push((kind, values.clone())),
            }
        }
        Ok(list.iter().map(|(kind, values)| der::attribute(kind, values)).collect())
    }
}

/// The value of a CMSAlgorithmProtection attribute (RFC 6211), as BouncyCastle adds it.
pub fn algorithm_protection(digest: Digest) -> Vec<u8> {
    let signature = identifier(digest.with_rsa(), false);
    let inside = &signature[2..];
    der::seq(&[&identifier(digest.oid(), false), &der::tlv(0xa1, inside)])
}

/// The content of a CertPoll message: IssuerAndSubject (RFC 8894 section 3.3.3).
pub fn issuer_and_subject(issuer: &[u8], subject: &[u8]) -> Vec<u8> {
    der::seq(&[issuer, subject])
}

/// The content of GetCert and GetCRL: IssuerAndSerialNumber (RFC 8894 sections 3.3.4, 3.3.5).
pub fn issuer_and_serial(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    der::seq(&[issuer, serial])
}
