//! `chancery backup`: make one while the signer runs, verify one anywhere, restore one into an empty
//! ledger.

mod command;
mod create;
mod form;
mod known;
mod restore;
mod verify;
mod witness;

pub use command::{Command, run};
