//! `chancery init`: a laboratory in one step. A SoftHSM token with a root, an issuing CA and the RA's
//! two keys, their certificates, the signer's secrets and a configuration with `lab = true`.
//!
//! Everything is made in a folder beside the wanted one and moved there as a whole at the end: what
//! carries the wanted name is complete. Without a folder, as root, it is this host's first instance
//! (`system`).

mod certificates;
mod command;
mod keys;
mod layout;
mod system;
mod text;

pub use command::{Arguments, run};
