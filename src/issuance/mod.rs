//! What a certificate says: issuer, profile, preparation, lint (RFC 5280 section 4). Owns: every
//! extension of every certificate, and the certificates of the CA and the RA themselves. Never: a
//! private key, the decision who may have a certificate, a clock or randomness of its own.

pub mod bootstrap;
pub mod lint;

mod issuer;
mod names;
mod prepare;
mod profile;

#[cfg(test)]
mod tests;

pub use issuer::{Issuer, IssuerError};
pub use names::NamesError;
pub use prepare::{IssuanceError, PreparedCertificate, prepare};
pub use profile::{AlternativeNameRules, OtherNames, Profile, ProfileError, SubjectRules};
