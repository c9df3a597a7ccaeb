//! The arguments of `chancery backup`.

use clap::Subcommand;

use super::{create, restore, verify};
use crate::cli::command::Common;
use crate::cli::failure::Failure;

/// What to do with a backup.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Back up the ledger, the configuration and the certificates of a running signer; no secret
    Create(create::Arguments),
    /// Verify a backup: signature, files, every entry. Needs neither signer nor HSM
    Verify(verify::Arguments),
    /// Make the ledger from a backup, where there is none
    ///
    /// The signer must not run. The ledger goes on where the backup ends, in a new epoch; one-time
    /// challenges that were good then are void. What was done after the backup is lost: a certificate
    /// that was issued then is in no ledger and cannot be revoked by its serial number. So this refuses
    /// unless an anchor, the token's among them, a witness or --head shows that nothing is missing, or
    /// --accept-loss says what is.
    Restore(restore::Arguments),
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(&arguments, common),
        Command::Verify(arguments) => verify::run(&arguments, common),
        Command::Restore(arguments) => restore::run(&arguments, common),
    }
}
