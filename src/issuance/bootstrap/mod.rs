//! The certificates of the CA itself, made from our own configuration with keys that live
//! elsewhere: root, issuing CA, and the RA's two. Serial, validity and key identifiers are always
//! set here, because rcgen's defaults are a serial that follows from the key, 1975 to 4096, and an
//! empty identifier.

mod authority;
mod error;
mod remote_key;
mod subject;

pub use authority::{Authority, CaTerms, RaRole, self_signed_ca};
pub use error::BootstrapError;
pub use remote_key::BootstrapSigner;
pub use subject::Subject;
