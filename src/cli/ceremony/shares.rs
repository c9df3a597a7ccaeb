//! `chancery ceremony shares`: on a terminal only, for a share belongs to people.

use clap::{Args, Subcommand};

use super::command::run_failure;
use crate::ceremony::custody::{self, Collected};
use crate::ceremony::run::Desk as _;
use crate::ceremony::shares;
use crate::ceremony::terminal::TerminalDesk;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{environment, output};
use crate::random::SystemRandom;

/// Put secrets together from shares, and practise it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Split a secret that is typed; each share is shown on a screen of its own and typed back
    Split(Split),
    /// Put a secret together and show it once
    Combine,
    /// Check that shares give a secret, without showing it
    Drill,
}

/// Split a secret.
#[derive(Debug, Args)]
pub struct Split {
    /// How many shares are needed
    #[arg(long, value_name = "M")]
    threshold: u8,
    /// How many shares are made
    #[arg(long, value_name = "N")]
    of: u8,
}

pub fn run(command: &Command) -> Result<(), Failure> {
    environment::harden()?;
    let mut desk = TerminalDesk::open().map_err(|e| run_failure(&e))?;
    match command {
        Command::Split(split) => self::split(split, &mut desk),
        Command::Combine => {
            let secret = collected(&mut desk)?.secret;
            let text = String::from_utf8_lossy(secret.expose()).into_owned();
            desk.show_secret("The secret. It is shown once.", &[text]).map_err(|e| run_failure(&e))
        }
        Command::Drill => {
            let collected = collected(&mut desk)?;
            let numbers: Vec<String> = collected.numbers.iter().map(ToString::to_string).collect();
            output::write(&format!("The shares {} give a secret.\n", numbers.join(", ")))
        }
    }
}

fn collected(desk: &mut TerminalDesk) -> Result<Collected, Failure> {
    custody::collect(desk, "the secret").map_err(|e| run_failure(&e))
}

fn split(split: &Split, desk: &mut TerminalDesk) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the secret was not split", e, "try again")
    };
    let first = desk.ask_secret("The secret (unseen):", None).map_err(|e| run_failure(&e))?;
    let second = desk.ask_secret("Once more:", None).map_err(|e| run_failure(&e))?;
    if !first.ct_eq(second.expose()) {
        return Err(failed(&"the two lines differ"));
    }
    let made =
        shares::split(&first, split.threshold, split.of, &SystemRandom).map_err(|e| failed(&e))?;
    for share in &made {
        let rows = shares::rows(share);
        loop {
            let title =
                format!("Share {} of {}, set {:04x}", share.number(), split.of, share.set());
            desk.show_secret(&title, &rows).map_err(|e| run_failure(&e))?;
            desk.show("Type it from paper.");
            match custody::type_share(desk, rows.len(), None).map_err(|e| run_failure(&e))? {
                Ok((typed, _)) if typed.is(share) => break,
                Ok(_) => desk.show("That is another share; it is shown again."),
                Err(e) => desk.show(&format!("{e}. It is shown again.")),
            }
        }
    }
    output::write("Every share was written down right.\n")
}
