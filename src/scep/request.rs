//! A pkiMessage from a client, read and verified (RFC 8894 section 3.2).

use openssl::pkey::PKeyRef;

use super::attributes::{MESSAGE_TYPE, SENDER_NONCE, TRANSACTION_ID};
use super::{AlgorithmPolicy, FailInfo, MessageType, Nonce, ReplyContext, TransactionId};
use crate::cms::{
    self, CmsError, ContentCipher, EnvelopedData, ID_DATA, KeyTransRecipient, KeyTransport, Opened,
    PasswordRecipient, Recipient, SignedData, read, tag,
};
use crate::pki::{Certificate, Digest};
use crate::secret::Secret;

/// Bounds and leniency of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds of the CMS structures.
    pub cms: cms::Limits,
    /// Whether a request without senderNonce is refused, as the RFC has it (docs/scep.md Q62).
    pub sender_nonce_required: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cms: cms::Limits::default(), sender_nonce_required: true }
    }
}

/// Why a request is refused. None of it depends on decrypted content.
#[derive(Debug, thiserror::Error)]
#[error("{fail_info}: {text}")]
pub struct RequestError {
    /// What a signed FAILURE needs; where it is missing the answer is HTTP 400 with the text.
    pub reply: Option<Box<ReplyContext>>,
    /// The reason in the RFC's words.
    pub fail_info: FailInfo,
    /// The reason for people; fit for failInfoText.
    pub text: String,
}

/// A request whose signature holds. Who made it is another question: the certificate of the signer
/// came with it and may be self-signed.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    message_type: MessageType,
    digest: Digest,
    signer: Certificate,
    envelope: EnvelopedData,
    reply: ReplyContext,
}

/// The recipient of an envelope that is one of our certificates.
#[derive(Clone, Copy, Debug)]
pub struct OurRecipient<'a> {
    /// Which of our certificates it is.
    pub index: usize,
    /// How the content key travels.
    pub transport: KeyTransport,
    /// The encrypted content key; it has the length of our key's modulus.
    pub encrypted_key: &'a [u8],
    /// How many bytes the content key must have.
    pub key_len: usize,
}

impl SignedRequest {
    /// Reads and verifies a message in BER. Bounds are checked first, then the signature; the
    /// algorithms are a matter of [`AlgorithmPolicy::check`].
    pub fn parse(message: &[u8], limits: &Limits) -> Result<Self, RequestError> {
        let unreadable = |e: CmsError| RequestError {
            reply: None,
            fail_info: FailInfo::BadMessageCheck,
            text: e.to_string(),
        };
        let signed = SignedData::from_ber(message, &limits.cms).map_err(unreadable)?;
        let mut reply = ReplyContext::early(&signed).map_err(unreadable)?;
        match Self::verified(&signed, &mut reply, limits) {
            Ok((message_type, digest, signer, envelope)) => {
                Ok(Self { message_type, digest, signer, envelope, reply })
            }
            Err((fail_info, text)) => {
                Err(RequestError { reply: Some(Box::new(reply)), fail_info, text })
            }
        }
    }

    /// Everything that can be refused with a signed FAILURE.
    fn verified(
        signed: &SignedData,
        reply: &mut ReplyContext,
        limits: &Limits,
    ) -> Result<(MessageType, Digest, Certificate, EnvelopedData), (FailInfo, String)> {
        let bad = |fail_info| move |e: CmsError| (refined(&e, fail_info), e.to_string());
        let bad_request = |text: &str| (FailInfo::BadRequest, text.to_owned());
        let Some(info) = signed.signer() else {
            return Err((FailInfo::BadMessageCheck, "the message is not signed".into()));
        };
        let signer = signed.signer_certificate().map_err(bad(FailInfo::BadMessageCheck))?;
        let digest = info.digest().map_err(bad(FailInfo::BadAlg))?;
        let content = signed.content().unwrap_or_default();
        info.verify(signed.content_type(), content, signer.public_key())
            .map_err(bad(FailInfo::BadMessageCheck))?;
        reply.requester = Some(signer.clone());
        if signed.content_type() != ID_DATA {
            return Err(bad_request("the signed content is not of type data"));
        }
        let message_type = message_type(info)?;
        if reply.sender_nonce.is_none() {
            // Present but unreadable is refused even where absence is forgiven.
            let value = info.attribute(SENDER_NONCE, "senderNonce");
            if limits.sender_nonce_required || !matches!(value, Ok(None)) {
                return Err(bad_request(
                    "the attribute senderNonce is missing or not 1 to 64 bytes",
                ));
            }
        }
        if content.is_empty() {
            return Err(bad_request("the message has no content"));
        }
        let envelope =
            EnvelopedData::from_ber(content, &limits.cms).map_err(bad(FailInfo::BadRequest))?;
        if envelope.content_type() != ID_DATA {
            return Err(bad_request("the enveloped content is not of type data"));
        }
        if let ContentCipher::Known(cipher, _) = envelope.cipher() {
            reply.cipher = Some(*cipher);
        }
        reply.transport = key_transports(&envelope).next().and_then(|r| r.transport().ok());
        reply.under_password = !signer.public_key().kind().is_rsa()
            && envelope.recipients().iter().any(|r| matches!(r, Recipient::Password(_)));
        Ok((message_type, digest, signer, envelope))
    }

    /// What is asked for; never CertRep.
    pub const fn message_type(&self) -> MessageType {
        self.message_type
    }

    /// The transaction ID.
    pub const fn transaction_id(&self) -> &TransactionId {
        &self.reply.transaction_id
    }

    /// The senderNonce; none only where [`Limits`] forgives its absence.
    pub const fn sender_nonce(&self) -> Option<&Nonce> {
        self.reply.sender_nonce.as_ref()
    }

    /// The certificate whose key made the signature. It proves nothing else.
    pub const fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// The digest of the signature.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The envelope with the request's content.
    pub const fn envelope(&self) -> &EnvelopedData {
        &self.envelope
    }

    /// See [`ReplyContext::is_under_password`].
    pub const fn is_under_password(&self) -> bool {
        self.reply.under_password
    }

    /// What the reply needs.
    pub const fn reply_context(&self) -> &ReplyContext {
        &self.reply
    }

    /// A refusal of this request that can be answered with a signed FAILURE.
    pub fn refusal(&self, fail_info: FailInfo, text: impl Into<String>) -> RequestError {
        RequestError { reply: Some(Box::new(self.reply.clone())), fail_info, text: text.into() }
    }

    /// Whether `certificate` is among the recipients of the envelope.
    pub fn is_addressed_to(&self, certificate: &Certificate) -> bool {
        key_transports(&self.envelope).any(|r| r.identifier().matches(certificate))
    }

    /// The one recipient that is one of `ours` (the RA's decryption certificate, and during a
    /// rollover the next or the previous one). Everything that can be seen from outside is checked
    /// here, before the HSM is asked.
    pub fn recipient(
        &self,
        ours: &[&Certificate],
        policy: &AlgorithmPolicy,
    ) -> Result<OurRecipient<'_>, RequestError> {
        let mut found = key_transports(&self.envelope).filter_map(|recipient| {
            let index = ours.iter().position(|c| recipient.identifier().matches(c))?;
            Some((index, recipient))
        });
        let check = FailInfo::BadMessageCheck;
        let Some((index, recipient)) = found.next() else {
            return Err(self.refusal(
                check,
                "the envelope is not addressed to this RA; let the device fetch GetCACert again",
            ));
        };
        if found.next().is_some() {
            return Err(self.refusal(check, "the envelope is addressed to this RA twice"));
        }
        let transport = match recipient.transport() {
            Ok(transport) if policy.allows_transport(transport) => transport,
            Ok(transport) => {
                return Err(
                    self.refusal(FailInfo::BadAlg, format!("{transport} is not accepted here"))
                );
            }
            Err(e) => return Err(self.refusal(FailInfo::BadAlg, e.to_string())),
        };
        let ContentCipher::Known(cipher, _) = self.envelope.cipher() else {
            return Err(self.refusal(FailInfo::BadAlg, "the content cipher is not supported"));
        };
        let encrypted_key = recipient.encrypted_key();
        if Some(encrypted_key.len()) != ours[index].public_key().openssl().map(PKeyRef::size) {
            return Err(self.refusal(
                check,
                "the encrypted content key has not the length of the RA's modulus",
            ));
        }
        Ok(OurRecipient { index, transport, encrypted_key, key_len: cipher.key_len() })
    }

    /// The content key under a password, and how many bytes it must have, of a request whose signer
    /// cannot decrypt. The password must be the one recipient. Everything that can be seen from
    /// outside is checked here, before anything is derived.
    pub fn password(
        &self,
        policy: &AlgorithmPolicy,
    ) -> Result<(PasswordRecipient, usize), RequestError> {
        let [Recipient::Password(der)] = self.envelope.recipients() else {
            return Err(self.refusal(
                FailInfo::BadMessageCheck,
                "the envelope has more recipients than the password",
            ));
        };
        let recipient = PasswordRecipient::from_der(der)
            .map_err(|e| self.refusal(refined(&e, FailInfo::BadRequest), e.to_string()))?;
        let wrapping = recipient.cipher();
        if !policy.allows_cipher(wrapping) {
            return Err(self.refusal(
                FailInfo::BadAlg,
                format!("a content key under {wrapping} is not accepted here; use AES"),
            ));
        }
        match self.envelope.cipher() {
            ContentCipher::Known(cipher, _) => Ok((recipient, cipher.key_len())),
            ContentCipher::Unknown(_) => {
                Err(self.refusal(FailInfo::BadAlg, "the content cipher is not supported"))
            }
        }
    }

    /// Opens the envelope with its content key; never tells whether the key was right.
    pub fn open(&self, key: &Secret) -> Opened {
        self.envelope.open(key)
    }
}

impl ReplyContext {
    /// What can be known before anything is verified; an error where no reply is possible.
    fn early(signed: &SignedData) -> Result<Self, CmsError> {
        let missing =
            || CmsError::malformed("the attribute transactionID is missing or unreadable");
        let info =
            signed.signer().ok_or_else(|| CmsError::malformed("the message is not signed"))?;
        let id = info.attribute(TRANSACTION_ID, "transactionID")?.ok_or_else(missing)?;
        let nonce = info.attribute(SENDER_NONCE, "senderNonce").ok().flatten();
        Ok(Self {
            transaction_id: TransactionId::from_der(id).ok_or_else(missing)?,
            sender_nonce: nonce.and_then(Nonce::from_der),
            digest: info.digest().ok(),
            cipher: None,
            transport: None,
            requester: None,
            under_password: false,
        })
    }
}

/// The messageType of a request (RFC 8894 section 3.2.1.2).
fn message_type(info: &cms::SignerInfo) -> Result<MessageType, (FailInfo, String)> {
    let bad_request = |text: String| (FailInfo::BadRequest, text);
    let value =
        info.attribute(MESSAGE_TYPE, "messageType").map_err(|e| bad_request(e.to_string()))?;
    let value = value.ok_or_else(|| bad_request("the attribute messageType is missing".into()))?;
    let element = read(value, "messageType").map_err(|e| bad_request(e.to_string()))?;
    let is_text = matches!(element.tag, tag::PRINTABLE_STRING | tag::UTF8_STRING | tag::IA5_STRING);
    match MessageType::from_text(element.content) {
        Some(MessageType::CertRep) => Err(bad_request("a CertRep is not a request".into())),
        Some(known) if is_text => Ok(known),
        _ => Err(bad_request("the messageType is none of 17, 19, 20, 21 and 22".into())),
    }
}

fn key_transports(envelope: &EnvelopedData) -> impl Iterator<Item = &KeyTransRecipient> {
    envelope.recipients().iter().filter_map(|r| match r {
        Recipient::KeyTransport(recipient) => Some(recipient),
        _ => None,
    })
}

/// The failInfo of an error, `otherwise` where its kind does not decide it.
fn refined(error: &CmsError, otherwise: FailInfo) -> FailInfo {
    match error {
        CmsError::UnknownAlgorithm { .. } => FailInfo::BadAlg,
        CmsError::Integrity(_) => FailInfo::BadMessageCheck,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
