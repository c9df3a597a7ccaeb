//! `chancery credential seal`: a PIN from people to systemd's encrypted credentials, never in clear on
//! disk, in an argument or in the environment.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use clap::{Args, Subcommand};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{environment, output};
use crate::ceremony::custody;
use crate::ceremony::run::{Desk as _, RunError};
use crate::ceremony::terminal::TerminalDesk;
use crate::secret::Secret;

/// Seal a token's PIN for systemd.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the PIN from a prompt or from shares and seal it with systemd-creds
    Seal(Seal),
}

/// Seal a PIN.
#[derive(Debug, Args)]
pub struct Seal {
    /// The credential's name, as `pin_credential` of the token says
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The new file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put the PIN together from shares
    #[arg(long)]
    shares: bool,
}

/// Runs the subcommand.
pub fn run(command: Command, _: &Common) -> Result<(), Failure> {
    let Command::Seal(arguments) = command;
    environment::harden()?;
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the PIN was not sealed", e, "see the cause and try again")
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if arguments.name.is_empty() || !arguments.name.chars().all(plain) {
        return Err(failed(&"the name has letters, digits, -, _ and . only"));
    }
    if arguments.out.exists() {
        let what = format!("{} is there already", arguments.out.display());
        return Err(Failure::new(
            Exit::Conflict,
            what,
            "nothing is overwritten",
            "remove it first",
        ));
    }
    let pin = pin(arguments.shares).map_err(|e| failed(&e))?;
    let mut child = std::process::Command::new("systemd-creds")
        .args(["encrypt", "--name", &arguments.name, "-"])
        .arg(&arguments.out)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&format!("systemd-creds cannot be started: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(pin.expose()).map_err(|e| failed(&e))?;
    }
    let status = child.wait().map_err(|e| failed(&e))?;
    if !status.success() {
        return Err(failed(&format!("systemd-creds says {status}")));
    }
    output::write(&format!(
        "{}\nIn the configuration: pin_credential = \"{}\"\nIn the unit: LoadCredentialEncrypted={}:{}\n",
        arguments.out.display(),
        arguments.name,
        arguments.name,
        arguments.out.display()
    ))
}

fn pin(from_shares: bool) -> Result<Secret, RunError> {
    let mut desk = TerminalDesk::open()?;
    if from_shares {
        return custody::collect(&mut desk, "the PIN").map(|collected| collected.secret);
    }
    desk.show(
        "Type the PIN as the token takes it: without the spaces that a ceremony's paper shows.",
    );
    let first = desk.ask_secret("The PIN (unseen):", None)?;
    let second = desk.ask_secret("Once more:", None)?;
    if first.is_empty() || !first.ct_eq(second.expose()) {
        return Err(RunError::Refused("the two lines differ, or are empty".into()));
    }
    Ok(first)
}
