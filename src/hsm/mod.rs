//! The HSM: the only user of cryptoki. Owns: the module, vendor profiles, worker threads with one session
//! each, keys and their checked attributes (I3, I4), mechanisms, unwrapping with implicit rejection (I7),
//! verification of every signature (I8), making tokens and keys, data objects. Never: what is
//! signed or why.
//!
//! A caller's operation becomes a [`job`] in a bounded [`queue`]; a [`worker`] thread takes it, does it in its own
//! session with a cached handle, repeats it once where [`retry`] says that may help, and answers. Nothing is
//! looked up for a signature but the first of each key on each thread. Where repeating does not help, [`health`]
//! lets callers wait for a moment while the [`keeper`] brings the HSM back; a call that hangs loses its [`lane`]
//! to a new thread.

mod audit;
mod ceremony_module;
mod ceremony_token;
pub mod ceremony_words;
mod connection;
mod data_object;
mod error;
mod event;
mod health;
mod job;
mod keeper;
mod keys;
mod lane;
mod login;
mod mechanism;
mod module;
mod objects;
mod offer;
mod probe;
mod profile;
mod provision;
mod queue;
pub mod replicas;
mod retry;
mod secret_key;
mod self_test;
mod shared;
mod sign;
mod token;
mod unwrap;
mod worker;

pub use audit::{Deviation, Rule};
pub use ceremony_module::{CallRecord, CeremonyModule, TokenFacts};
pub use ceremony_token::{CeremonyToken, ObjectFacts, ReadBack};
pub use connection::{Hsm, HsmOptions, HsmStatus};
pub use error::{HsmError, KeyProblem};
pub use event::EVENT;
pub use health::HsmState;
pub use keys::{KeyPurpose, KeyReference};
pub use offer::{MechanismOffer, needed_mechanism};
pub use probe::{Probed, probe};
pub use profile::{AuditedAttribute, LABORATORY, Profile};
pub use provision::{GeneratedKey, init_token, softhsm_conf};
pub use retry::{Class, Failure};
pub use self_test::KeyTest;
pub use sign::HsmSigner;
pub use token::{TokenDescription, TokenSelector};
