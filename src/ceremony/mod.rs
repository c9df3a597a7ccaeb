//! The offline key ceremony: a role without any network. Owns: plans, rehearsal, the run with its prompts and
//! confirmations, the transcript, shares of secrets, verification and reports. Never: a secret in a file, an
//! argument, the environment or the transcript; a step that is not in the plan.
//!
//! `docs/ceremony.md` describes the formats. What stands by itself comes first: [`words`],
//! [`canonical`], [`shares`].

pub mod artefact;
pub mod bundle;
pub mod canonical;
pub mod custody;
pub mod document;
pub mod exchange;
pub mod hold;
pub mod plan;
pub mod report;
pub mod run;
pub mod script;
pub mod shares;
pub mod terminal;
pub mod transcript;
pub mod verify;
pub mod words;
