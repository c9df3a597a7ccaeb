//! EnvelopedData, read tolerantly (RFC 5652 section 6). By hand for the same reasons as SignedData.

use const_oid::ObjectIdentifier;

use super::algorithm::AlgorithmIdentifier;
use super::asn1::{Element, read, tag};
use super::signed_data::content_info;
use super::{Cipher, CmsError, EntityIdentifier, KeyTransport, Limits, ber};

/// id-envelopedData (RFC 5652 section 6.1).
pub(super) const ID_ENVELOPED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");

/// An envelope, still closed. [`EnvelopedData::open`] opens it once the content key is known.
#[derive(Clone, Debug)]
pub struct EnvelopedData {
    recipients: Vec<Recipient>,
    pub(super) content_type: ObjectIdentifier,
    pub(super) cipher: ContentCipher,
    pub(super) ciphertext: Vec<u8>,
}

/// One of those to whom an envelope is addressed.
#[derive(Clone, Debug)]
pub enum Recipient {
    /// A key pair by key transport (KeyTransRecipientInfo).
    KeyTransport(KeyTransRecipient),
    /// Key agreement (KeyAgreeRecipientInfo), in DER with its tag `[1]`.
    KeyAgreement(Vec<u8>),
    /// A password (PasswordRecipientInfo), in DER with its tag `[3]`.
    Password(Vec<u8>),
    /// Anything else: a shared key-encryption key, or a private type.
    Other,
}

/// A content key encrypted to an RSA key (RFC 5652 section 6.2.1).
#[derive(Clone, Debug)]
pub struct KeyTransRecipient {
    identifier: EntityIdentifier,
    algorithm: AlgorithmIdentifier,
    encrypted_key: Vec<u8>,
}

/// The cipher of the content, as the envelope names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentCipher {
    /// A cipher that can be used, and its IV of one block.
    Known(Cipher, Vec<u8>),
    /// A cipher that is not supported, by its OID.
    Unknown(String),
}

impl EnvelopedData {
    /// Reads a ContentInfo that holds EnvelopedData, in BER.
    pub fn from_ber(message: &[u8], limits: &Limits) -> Result<Self, CmsError> {
        let der = ber::to_der(message, limits.bytes)?;
        let content = content_info(&der, ID_ENVELOPED_DATA, "EnvelopedData")?;
        let mut fields = content.expect(tag::SEQUENCE, "EnvelopedData")?.fields("EnvelopedData")?;
        fields.expect(tag::INTEGER, "version of the EnvelopedData")?;
        fields.optional(tag::CONTEXT_0, "originatorInfo")?;
        let recipients = fields.expect(tag::SET, "recipientInfos")?;
        let recipients =
            recipients.fields("recipientInfos")?.all(limits.recipients, "recipients")?;
        let recipients = recipients.into_iter().map(Recipient::read).collect::<Result<_, _>>()?;
        let encrypted = fields.expect(tag::SEQUENCE, "encryptedContentInfo")?;
        fields.optional(tag::CONTEXT_1, "set of unprotected attributes")?;
        fields.finish("EnvelopedData")?;

        let mut fields = encrypted.fields("encryptedContentInfo")?;
        let content_type = fields.next("content type")?.oid("content type")?;
        let algorithm = fields.next("content cipher")?;
        let cipher = ContentCipher::read(AlgorithmIdentifier::read(algorithm, "content cipher")?)?;
        let ciphertext = encrypted_content(fields.next("encryptedContent")?)?;
        fields.finish("encryptedContentInfo")?;
        if let ContentCipher::Known(cipher, _) = &cipher
            && (ciphertext.is_empty() || ciphertext.len() % cipher.block_len() != 0)
        {
            return Err(CmsError::malformed("the encrypted content is no whole number of blocks"));
        }
        Ok(Self { recipients, content_type, cipher, ciphertext })
    }

    /// To whom it is addressed.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The type of the content.
    pub fn content_type(&self) -> ObjectIdentifier {
        self.content_type
    }

    /// The cipher of the content.
    pub fn cipher(&self) -> &ContentCipher {
        &self.cipher
    }
}

impl Recipient {
    fn read(element: Element<'_>) -> Result<Self, CmsError> {
        match element.tag {
            tag::SEQUENCE => KeyTransRecipient::read(element).map(Self::KeyTransport),
            tag::CONTEXT_1 => Ok(Self::KeyAgreement(element.der.to_vec())),
            tag::CONTEXT_3 => Ok(Self::Password(element.der.to_vec())),
            tag::CONTEXT_2 | tag::CONTEXT_4 => Ok(Self::Other),
            _ => Err(CmsError::malformed("a RecipientInfo has an unknown type")),
        }
    }
}

impl KeyTransRecipient {
    fn read(element: Element<'_>) -> Result<Self, CmsError> {
        let what = "KeyTransRecipientInfo";
        let mut fields = element.fields(what)?;
        fields.expect(tag::INTEGER, "version of the KeyTransRecipientInfo")?;
        let identifier = EntityIdentifier::read(fields.next("rid")?, "rid")?;
        let algorithm = AlgorithmIdentifier::read(fields.next(what)?, "keyEncryptionAlgorithm")?;
        let encrypted_key = fields.expect(tag::OCTET_STRING, "encryptedKey")?.content.to_vec();
        fields.finish(what)?;
        Ok(Self { identifier, algorithm, encrypted_key })
    }

    /// Which certificate's key it is.
    pub fn identifier(&self) -> &EntityIdentifier {
        &self.identifier
    }

    /// How the key was encrypted, or the algorithm that is not supported.
    pub fn transport(&self) -> Result<KeyTransport, CmsError> {
        KeyTransport::from_identifier(&self.algorithm).ok_or_else(|| CmsError::UnknownAlgorithm {
            purpose: "key transport algorithm (or its parameters)",
            oid: self.algorithm.oid.to_string(),
        })
    }

    /// The encrypted content key.
    pub fn encrypted_key(&self) -> &[u8] {
        &self.encrypted_key
    }
}

impl ContentCipher {
    fn read(algorithm: AlgorithmIdentifier) -> Result<Self, CmsError> {
        let Some(cipher) = Cipher::from_oid(algorithm.oid) else {
            return Ok(Self::Unknown(algorithm.oid.to_string()));
        };
        let what = "IV of the content cipher";
        let parameters = algorithm.parameters.unwrap_or_default();
        let iv = read(&parameters, what)?.expect(tag::OCTET_STRING, what)?.content;
        if iv.len() == cipher.block_len() {
            Ok(Self::Known(cipher, iv.to_vec()))
        } else {
            Err(CmsError::Malformed(format!("the {what} has {} bytes", iv.len())))
        }
    }
}

/// The octets of `encryptedContent [0] IMPLICIT OCTET STRING`, whole or in segments. Segments carry
/// a context tag, so that the BER reader could not know them for what they are.
fn encrypted_content(element: Element<'_>) -> Result<Vec<u8>, CmsError> {
    let what = "encryptedContent";
    match element.tag {
        tag::CONTEXT_0_PRIMITIVE => Ok(element.content.to_vec()),
        tag::CONTEXT_0 => {
            let segments = element.fields(what)?.all(usize::MAX, what)?;
            let segments = segments.into_iter().map(|s| s.expect(tag::OCTET_STRING, what));
            let segments: Vec<&[u8]> =
                segments.map(|s| s.map(|s| s.content)).collect::<Result<_, _>>()?;
            Ok(segments.concat())
        }
        _ => Err(CmsError::malformed("the encryptedContent cannot be read: another type")),
    }
}

#[cfg(test)]
mod tests;
