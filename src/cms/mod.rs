//! CMS (RFC 5652): SignedData, EnvelopedData, certs-only. Tolerant in, strict out.
//!
//! Owns: the structures and the software cryptography on them: BER made DER ([`ber`]), readers that
//! accept what real devices send (serials of 33 octets, SKI identifiers, X.509 v1), writers that
//! produce one form only, content ciphers, the padding of RSA key transport ([`unpad`]), keys from
//! passwords ([`PasswordRecipient`]).
//! Never: a private key, a clock, randomness that it was not handed, a decision about which
//! algorithm is good enough.
//!
//! Invariants: I7, whatever goes wrong once a content key is used is one error ([`OpenError`]);
//! every bound ([`Limits`]) is checked before any cryptography.

mod agreement;
mod algorithm;
mod asn1;
pub mod ber;
mod certs_only;
mod cipher;
mod enveloped_data;
mod error;
mod open;
mod password;
#[cfg(test)]
mod properties;
mod seal;
mod sign;
mod signed_data;
mod signer_info;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
pub mod unpad;

pub use algorithm::AlgorithmIdentifier;
pub use certs_only::{certs_only, crl_only};
pub use cipher::Cipher;
pub use enveloped_data::{ContentCipher, EnvelopedData, KeyTransRecipient, Recipient};
pub use error::{CmsError, Limits};
pub use open::{OpenError, Opened};
pub use password::{MAX_ITERATIONS, OWN_ITERATIONS, PasswordKey, PasswordRecipient};
pub use seal::{Receiver, seal};
pub use sign::{Attribute, UnsignedData};
pub use signed_data::{EntityIdentifier, SignedData};
pub use signer_info::SignerInfo;
pub use transport::KeyTransport;

pub(crate) use asn1::{Fields, read, tag, tlv};
pub(crate) use signed_data::ID_DATA;
