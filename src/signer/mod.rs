//! The key-holding role: the way of a request from decoding to CertRep, admin operations, the order of
//! shutdown. Owns: the wiring of HSM, ledger and policy; the table from refusals to failInfo. Never: a
//! TCP socket of its own, trust in what the frontend says of a message.

mod admin;
mod authority;
mod challenges;
mod crl;
mod duplicates;
mod endpoint;
mod error;
mod failure;
mod in_flight;
mod instance;
mod issue;
mod key_history;
mod log_line;
mod measured;
mod next_ca;
mod observe;
mod officer;
mod one_time;
mod pipeline;
mod profile;
mod publication;
mod query;
mod refusals;
mod reply;
mod revoke;
mod roles;
mod rollover;
mod run;
mod search;
mod status;
mod tokens;
mod waiting;

pub use authority::load_certificate;
pub use error::SignerError;
pub use instance::Secrets;
pub use run::{World, run};
