//! Which algorithms an endpoint accepts and answers with (RFC 8894 sections 2.9, 3.5.2 and 7.5).

use super::{FailInfo, MessageType, ReplyContext, RequestError, SignedRequest};
use crate::cms::{Cipher, ContentCipher, KeyTransport};
use crate::pki::{Digest, KeyKind};

/// The shortest RSA key that a reply is enveloped to.
const MIN_RSA_BITS: u32 = 2048;

/// The algorithms of an endpoint. AES, SHA-2 and both forms of RSA key transport are always in;
/// what is older is a switch, off by default. What it accepts is what GetCACaps lists (I12), and it
/// is enforced whatever a client believes to have negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlgorithmPolicy {
    /// The switches for old clients.
    pub legacy: Legacy,
    /// Whether replies are encrypted to EC keys by key agreement. No keyword of GetCACaps is about it.
    pub ec_key_agreement: bool,
}

/// Algorithms that only old clients need. Each is off unless the endpoint says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Triple DES, in requests and replies.
    pub des3: bool,
    /// SHA-1, in requests and replies, but never for a RenewalReq (RFC 8894 section 7.9).
    pub sha1: bool,
    /// Single DES and MD5, in requests only. RFC 8894 section 2.9 forbids them.
    pub des_and_md5: bool,
}

/// The algorithms of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyAlgorithms {
    /// Digest of the signature.
    pub digest: Digest,
    /// Cipher of the envelope.
    pub cipher: Cipher,
    /// Key transport of the envelope.
    pub transport: KeyTransport,
}

impl AlgorithmPolicy {
    /// Whether requests may use this content cipher.
    pub const fn allows_cipher(&self, cipher: Cipher) -> bool {
        match cipher {
            Cipher::DesCbc => self.legacy.des_and_md5,
            Cipher::DesEde3Cbc => self.legacy.des3,
            Cipher::Aes128Cbc | Cipher::Aes192Cbc | Cipher::Aes256Cbc => true,
        }
    }

    /// Whether requests may be signed with this digest.
    pub const fn allows_digest(&self, digest: Digest) -> bool {
        match digest {
            Digest::Md5 => self.legacy.des_and_md5,
            Digest::Sha1 => self.legacy.sha1,
            Digest::Sha256 | Digest::Sha384 | Digest::Sha512 => true,
        }
    }

    /// Whether content keys may travel like this. The SHA-1 inside OAEP is no signature's: it is
    /// what Windows uses, and needs no switch.
    pub const fn allows_transport(&self, transport: KeyTransport) -> bool {
        !matches!(transport, KeyTransport::RsaOaep(Digest::Md5))
    }

    /// Whether a reply can be encrypted to keys of this kind.
    pub const fn can_envelope_to(&self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::Rsa(_) => true,
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => self.ec_key_agreement,
            KeyKind::Ed25519 | KeyKind::MlDsa(_) => false,
        }
    }

    /// Refuses a request with an algorithm that this endpoint does not accept, or whose signer's
    /// RSA key is too short for a reply to be enveloped to it: badAlg, with a text that names what
    /// is wrong and the remedy.
    pub fn check(&self, request: &SignedRequest) -> Result<(), RequestError> {
        let refuse = |text: String| Err(request.refusal(FailInfo::BadAlg, text));
        let digest = request.digest();
        if !self.allows_digest(digest) {
            return refuse(format!(
                "signatures with {digest} are not accepted here; configure the device for SHA-256"
            ));
        }
        let weak = digest < Digest::Sha256;
        if weak && request.message_type() == MessageType::RenewalReq {
            return refuse(format!(
                "a renewal cannot be signed with {digest}; configure the device for SHA-256"
            ));
        }
        if let KeyKind::Rsa(bits) = request.signer().public_key().kind()
            && bits < MIN_RSA_BITS
        {
            return refuse(format!(
                "the device's RSA key has {bits} bits; configure it for {MIN_RSA_BITS} or more"
            ));
        }
        match request.envelope().cipher() {
            ContentCipher::Known(cipher, _) if self.allows_cipher(*cipher) => Ok(()),
            ContentCipher::Known(cipher, _) => refuse(format!(
                "encryption with {cipher} is not accepted here; configure the device for AES"
            )),
            ContentCipher::Unknown(oid) => refuse(format!(
                "encryption with {oid} is not supported; configure the device for AES"
            )),
        }
    }

    /// The algorithms of a reply: the request's own where the endpoint accepts them, otherwise the
    /// weakest that is accepted and stronger than the request's. DES and MD5 are never answered.
    pub fn reply(&self, request: &ReplyContext) -> ReplyAlgorithms {
        let digest = request.digest.unwrap_or(Digest::Sha256);
        let digests = Digest::ALL.into_iter().filter(|d| *d != Digest::Md5 && *d >= digest);
        let cipher = request.cipher.unwrap_or(Cipher::Aes128Cbc);
        let ciphers = Cipher::ALL.into_iter().filter(|c| *c != Cipher::DesCbc && *c >= cipher);
        let transport = request.transport.filter(|t| self.allows_transport(*t));
        ReplyAlgorithms {
            digest: digests.into_iter().find(|d| self.allows_digest(*d)).unwrap_or(Digest::Sha256),
            cipher: ciphers
                .into_iter()
                .find(|c| self.allows_cipher(*c))
                .unwrap_or(Cipher::Aes128Cbc),
            transport: transport.unwrap_or(KeyTransport::RsaPkcs1v15),
        }
    }
}
