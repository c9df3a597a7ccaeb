//! The command line as a whole.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use softhsm_test::Result;

use super::{ca, ceremony, enrol, new, run};

/// Disposable SoftHSM tokens, certificate authorities and SCEP servers for tests and CI.
///
/// Everything that it makes is a laboratory's: the PINs and challenges stand in files beside it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Ca(ca::Ca),
    Ceremony(ceremony::Ceremony),
    Enrol(enrol::Enrol),
    Run(run::Run),
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::New(command) => command.run(),
            Command::Ca(command) => command.run(),
            Command::Ceremony(command) => command.run(),
            Command::Enrol(command) => command.run(),
            Command::Run(command) => command.run(),
        }
    }
}
