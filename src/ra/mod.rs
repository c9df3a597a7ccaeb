//! The registration authority: who may have a certificate. Owns: challenges and the bound on guessing
//! them, key policy, the decision as a
//! type that issuance demands. Never: what the certificate says.

mod authorize;
mod blocklist;
mod challenge;
mod guesses;
mod key_policy;
mod one_time;
mod renewal;
mod request_seal;
mod rsa;

pub use authorize::{AuthorizedRequest, Authorizer, Evidence, ProvenRequest, Refusal, authorize};
pub use blocklist::{Blocklist, BlocklistError};
pub use challenge::{ChallengeError, ChallengeKey, ChallengeMac, generate};
pub use guesses::{GuessLimits, Guesses, TooManyGuesses};
pub use key_policy::{Exponents, KeyPolicy, KeyPolicyError, OwnKeys};
pub use one_time::{
    ChallengeBook, KeptChallenge, OneTimeError, Restriction, RestrictionError, Standing, slot,
};
pub use renewal::{Held, NameRule, RenewalError, RenewalPolicy, authorize_renewal};
pub use request_seal::{RequestSeal, SealError};

#[cfg(test)]
mod tests;
