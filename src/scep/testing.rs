//! For the tests of `scep`: requests as devices make them.

use const_oid::ObjectIdentifier;
use openssl::x509::{X509Name, X509Req};

use super::attributes::{MESSAGE_TYPE, SENDER_NONCE, TRANSACTION_ID};
use crate::cms::testing::{Counting, Identity, Message, ra};
use crate::cms::{Attribute, Cipher, KeyTransport, Receiver, seal, tag, tlv};

pub(crate) const NONCE: [u8; 16] = *b"0123456789abcdef";

/// A PKCS#10 of the identity's key.
pub(crate) fn csr(identity: &Identity) -> Vec<u8> {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "device.example").unwrap();
    let mut b = X509Req::builder().unwrap();
    b.set_subject_name(&name.build()).unwrap();
    b.set_pubkey(&identity.key).unwrap();
    b.sign(&identity.key, openssl::hash::MessageDigest::sha256()).unwrap();
    b.build().to_der().unwrap()
}

/// The work that I7 wants done on every content: reading the PKCS#10 and checking its signature.
pub(crate) fn read_csr(der: &[u8]) -> Result<Vec<u8>, String> {
    let req = X509Req::from_der(der).map_err(|e| e.to_string())?;
    let key = req.public_key().map_err(|e| e.to_string())?;
    match req.verify(&key) {
        Ok(true) => Ok(der.to_vec()),
        _ => Err("the PKCS#10's signature does not verify".into()),
    }
}

pub(crate) fn envelope(content: &[u8], cipher: Cipher, transport: KeyTransport) -> Vec<u8> {
    seal(content, Receiver::Rsa(&ra().certificate, transport), cipher, &Counting::new()).unwrap()
}

pub(crate) fn text_attribute(oid: ObjectIdentifier, string_type: u8, text: &str) -> Attribute {
    Attribute::new(oid, tlv(string_type, &[text.as_bytes()]))
}

/// The three attributes of a PKCSReq.
pub(crate) fn attributes(message_type: &str) -> Vec<Attribute> {
    vec![
        text_attribute(MESSAGE_TYPE, tag::PRINTABLE_STRING, message_type),
        text_attribute(TRANSACTION_ID, tag::PRINTABLE_STRING, "TcdzCaaepcsM2gXCBqEypYdE4FI="),
        Attribute::new(SENDER_NONCE, tlv(tag::OCTET_STRING, &[&NONCE])),
    ]
}

/// A PKCSReq signed by `signer` around this envelope.
pub(crate) fn request_around(signer: &Identity, envelope: Vec<u8>) -> Message {
    Message::new(signer, envelope).with(|m| m.attributes = attributes("19"))
}

/// A PKCSReq as a modern client sends it.
pub(crate) fn request(signer: &Identity) -> Message {
    let envelope = envelope(&csr(signer), Cipher::Aes128Cbc, KeyTransport::RsaPkcs1v15);
    request_around(signer, envelope)
}
