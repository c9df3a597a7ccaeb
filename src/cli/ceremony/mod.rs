//! `chancery ceremony`: plan, rehearse, hold and verify a key ceremony. No network, no configuration.

mod command;
mod evidence;
mod hold;
mod plan;
mod shares;

pub use command::{Command, run};
pub use evidence::fingerprint;
