//! The reply, in two steps around the HSM's signature (RFC 8894 section 3.3.2).

use super::attributes::{
    FAIL_INFO, FAIL_INFO_TEXT, MESSAGE_TYPE, PKI_STATUS, RECIPIENT_NONCE, SENDER_NONCE,
    TRANSACTION_ID,
};
use super::{AlgorithmPolicy, FailInfo, MessageType, PkiStatus, ReplyContext};
use crate::cms::{self, Attribute, CmsError, PasswordKey, Receiver, UnsignedData, tag, tlv};
use crate::pki::{Certificate, Digest, KeyKind, SignatureAlgorithm};
use crate::random::{self, Random, RandomError};

/// Makes CertReps.
#[derive(Clone, Copy, Debug)]
pub struct CertRep;

/// A CertRep that lacks its signature.
#[derive(Clone, Debug)]
pub struct UnsignedCertRep {
    data: UnsignedData,
    status: PkiStatus,
}

/// Why a reply could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertRepError {
    /// The request was refused before its signer was verified: it can only be answered by FAILURE.
    #[error("the request's signer has not been verified; only a FAILURE can be sent")]
    NoRequester,
    /// The key of the request's signer cannot receive an envelope.
    #[error("the reply cannot be enveloped to the requester's {0} key")]
    RequesterKey(KeyKind),
    /// Building the message failed.
    #[error("the reply cannot be built: {0}")]
    Cms(#[from] CmsError),
    /// The source of randomness failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl CertRep {
    /// SUCCESS with certificates, the issued one first, enveloped to the request's signer, or under
    /// `password` where the request was.
    pub fn success(
        request: &ReplyContext,
        certificates: &[&Certificate],
        password: Option<&PasswordKey>,
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        Self::enveloped(request, &cms::certs_only(certificates), password, policy, random)
    }

    /// SUCCESS with the newest CRL in DER and no certificate: the answer to GetCRL.
    pub fn crl(
        request: &ReplyContext,
        crl: &[u8],
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        Self::enveloped(request, &cms::crl_only(crl), None, policy, random)
    }

    /// FAILURE. `text` is for people and must hold no secret. Where an envelope could not be opened
    /// it must be `FailInfo::BadRequest` and no text, so that all such replies are alike (I7).
    pub fn failure(
        request: &ReplyContext,
        fail_info: FailInfo,
        text: Option<&str>,
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        let mut more = vec![Attribute::new(FAIL_INFO, printable(fail_info.as_str()))];
        if let Some(text) = text {
            more.push(Attribute::new(FAIL_INFO_TEXT, tlv(tag::UTF8_STRING, &[text.as_bytes()])));
        }
        Self::build(request, PkiStatus::Failure, None, more, policy, random)
    }

    /// PENDING: the request waits for a decision.
    pub fn pending(
        request: &ReplyContext,
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        Self::build(request, PkiStatus::Pending, None, vec![], policy, random)
    }

    fn enveloped(
        request: &ReplyContext,
        content: &[u8],
        password: Option<&PasswordKey>,
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        let requester = request.requester().ok_or(CertRepError::NoRequester)?;
        let kind = requester.public_key().kind();
        let algorithms = policy.reply(request);
        let to = match password {
            Some(key) => Receiver::Password(key),
            None if kind.is_rsa() => Receiver::Rsa(requester, algorithms.transport),
            None if policy.can_envelope_to(kind) => Receiver::Agreement(requester),
            None => return Err(CertRepError::RequesterKey(kind)),
        };
        let envelope = cms::seal(content, to, algorithms.cipher, random)?;
        Self::build(request, PkiStatus::Success, Some(envelope), vec![], policy, random)
    }

    fn build(
        request: &ReplyContext,
        status: PkiStatus,
        content: Option<Vec<u8>>,
        more: Vec<Attribute>,
        policy: &AlgorithmPolicy,
        random: &dyn Random,
    ) -> Result<UnsignedCertRep, CertRepError> {
        let nonce: [u8; 16] = random::bytes(random)?;
        let mut attributes = vec![
            Attribute::new(TRANSACTION_ID, request.transaction_id.to_der()),
            Attribute::new(MESSAGE_TYPE, printable(MessageType::CertRep.as_str())),
            Attribute::new(PKI_STATUS, printable(status.as_str())),
            Attribute::new(SENDER_NONCE, tlv(tag::OCTET_STRING, &[&nonce])),
        ];
        let echo = request.sender_nonce.as_ref();
        attributes.extend(echo.map(|n| Attribute::new(RECIPIENT_NONCE, n.to_der())));
        attributes.extend(more);
        let data = UnsignedData::new(content, attributes, policy.reply(request).digest)?;
        Ok(UnsignedCertRep { data, status })
    }
}

impl UnsignedCertRep {
    /// What the RA's signing key signs: the DER SET OF the signed attributes.
    pub fn to_be_signed(&self) -> &[u8] {
        self.data.to_be_signed()
    }

    /// The digest of the signature.
    pub const fn digest(&self) -> Digest {
        self.data.digest()
    }

    /// The algorithm by which an RA key of this kind signs.
    pub const fn signature_algorithm(&self, key: KeyKind) -> SignatureAlgorithm {
        self.data.signature_algorithm(key)
    }

    /// How the request went.
    pub const fn status(&self) -> PkiStatus {
        self.status
    }

    /// The finished message with the RA's signature and the certificate that belongs to it.
    pub fn assemble(&self, signature: &[u8], signer: &Certificate) -> Vec<u8> {
        self.data.assemble(signature, signer, &[])
    }
}

fn printable(text: &str) -> Vec<u8> {
    tlv(tag::PRINTABLE_STRING, &[text.as_bytes()])
}

#[cfg(test)]
mod tests;
