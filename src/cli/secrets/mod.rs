//! Secrets: where they come in and where the signer keeps its own. Files that only their owner may
//! read, systemd credentials, standard input, the terminal; never arguments, never the environment
//! (I11).

mod keep;
mod prompt;
mod read;

pub use keep::{create, kept_key, key};
pub use prompt::ask;
pub use read::{credential_key, from_file, from_stdin, pin};
