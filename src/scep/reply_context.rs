//! What a reply needs to know of its request.

use super::{Nonce, TransactionId};
use crate::cms::{Cipher, KeyTransport};
use crate::pki::{Certificate, Digest};

/// As much of a request as its reply repeats or mirrors. Where a request is refused early it may be
/// incomplete, and is enough for a FAILURE only.
#[derive(Clone, Debug)]
pub struct ReplyContext {
    pub(super) transaction_id: TransactionId,
    pub(super) sender_nonce: Option<Nonce>,
    pub(super) digest: Option<Digest>,
    pub(super) cipher: Option<Cipher>,
    pub(super) transport: Option<KeyTransport>,
    pub(super) requester: Option<Certificate>,
    pub(super) under_password: bool,
}

impl ReplyContext {
    /// The transaction ID, copied into the reply.
    pub const fn transaction_id(&self) -> &TransactionId {
        &self.transaction_id
    }

    /// The request's senderNonce, the reply's recipientNonce; none where the request had none.
    pub const fn sender_nonce(&self) -> Option<&Nonce> {
        self.sender_nonce.as_ref()
    }

    /// The digest of the request's signature, where it is known.
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The content cipher of the request's envelope, where it is known.
    pub const fn cipher(&self) -> Option<Cipher> {
        self.cipher
    }

    /// The key transport of the request's envelope, where it is known.
    pub const fn transport(&self) -> Option<KeyTransport> {
        self.transport
    }

    /// Whether the request's signer cannot decrypt and the request is encrypted under a password, as
    /// its reply then has to be (RFC 8894 section 3.1).
    pub const fn is_under_password(&self) -> bool {
        self.under_password
    }

    /// The certificate that signed the request, once its signature has been verified; a SUCCESS is
    /// enveloped to it.
    pub const fn requester(&self) -> Option<&Certificate> {
        self.requester.as_ref()
    }
}
