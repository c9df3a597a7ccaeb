//! RFC 8894 messages: attributes, capabilities, request, response, and how they hide in HTTP.
//!
//! Owns: reading pkiMessages tolerantly (section 3), saying precisely what is wrong with one that
//! is refused, writing CertReps that every known client accepts, and the algorithms that an
//! endpoint allows ([`AlgorithmPolicy`], which also makes the text of GetCACaps, I12).
//! Never: a decision about a certificate, a private key, a clock, a socket.
//!
//! The way of a request: [`transport`] gives the bytes, [`SignedRequest::parse`] verifies them,
//! [`AlgorithmPolicy::check`] and [`SignedRequest::recipient`] say whether and with which of our
//! keys it can be opened; with the content key, [`SignedRequest::open`] and [`crate::cms::Opened`]
//! give the content, and [`CertRep`] the answer. Each refusal on the way is a [`RequestError`],
//! which carries what is needed for a signed FAILURE.

mod attributes;
mod capabilities;
mod certrep;
mod content;
mod policy;
#[cfg(test)]
mod properties;
mod reply_context;
mod request;
mod status;
#[cfg(test)]
pub(crate) mod testing;
mod transaction_id;
pub mod transport;

pub use capabilities::Capabilities;
pub use certrep::{CertRep, CertRepError, UnsignedCertRep};
pub use content::{IssuerAndSerialNumber, IssuerAndSubject};
pub use policy::{AlgorithmPolicy, Legacy, ReplyAlgorithms};
pub use reply_context::ReplyContext;
pub use request::{Limits, OurRecipient, RequestError, SignedRequest};
pub use status::{FailInfo, MessageType, PkiStatus};
pub use transaction_id::{Nonce, TransactionId};
