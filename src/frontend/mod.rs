//! The network role: HTTP in, the signer behind a Unix socket. Owns: limits, base64, the first reading
//! of every message, what is cached. Never: an HSM session, a PIN, a challenge secret, a ledger file (I6).
//!
//! GetCACaps and GetCACert (RFC 8894 sections 3.5 and 4.2) are answered from the signer's last
//! description, also while the signer is away. A PKIOperation (section 4.3) is read here first, so
//! that rubbish ends here; what a signed reply can be made to goes to the signer, whose decision alone
//! counts. Nothing is answered 500: what fails on our side is 503 with Retry-After, which devices
//! repeat.

mod access;
mod description;
mod directory;
mod document;
mod log_tiles;
mod observe;
mod operation;
mod options;
mod precheck;
mod query;
mod reply;
mod role;
mod service;
#[cfg(test)]
mod tests;
mod witnesses;

pub use options::{FrontendError, FrontendLimits, FrontendOptions};
pub use role::{Progress, run};
