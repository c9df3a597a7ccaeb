//! The subcommands and what they share.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{evidence, hold, plan, shares};
use crate::ceremony::plan::PlanProblem;
use crate::ceremony::run::RunError;
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::hsm::HsmError;

/// Plan, rehearse, hold and verify a key ceremony.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a plan, print its digest or its script
    #[command(subcommand)]
    Plan(plan::Command),
    /// Rehearse a plan on software tokens that are made for it
    Rehearse(hold::Rehearse),
    /// Hold the ceremony
    Run(hold::Run),
    /// Verify a ceremony's folder or bundle, offline (0 good, 3 mismatch, 4 incomplete)
    Verify(evidence::Verify),
    /// Write the report of a ceremony
    Report(evidence::Report),
    /// Make a bundle of the evidence
    #[command(subcommand)]
    Bundle(evidence::Bundle),
    /// Print SHA-256 digests as hexadecimal and as words
    Words(plan::Words),
    /// Put secrets together from shares, and practise it
    #[command(subcommand)]
    Shares(shares::Command),
    /// Let a key of a restored token answer; the ceremony starts this by itself
    #[command(hide = true)]
    TokenDrill(hold::TokenDrill),
}

/// A plan's file.
#[derive(Clone, Debug, Args)]
pub struct PlanFile {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub path: PathBuf,
}

impl PlanFile {
    /// Its text.
    pub fn text(&self) -> Result<String, Failure> {
        std::fs::read_to_string(&self.path).map_err(|e| {
            let what = format!("the plan {} cannot be read", self.path.display());
            Failure::new(Exit::Failed, what, e, "see that it is there and is UTF-8 text")
        })
    }

    /// The folder that its relative paths start from.
    pub fn base(&self) -> PathBuf {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder.into(),
            _ => PathBuf::from("."),
        }
    }
}

/// Runs the subcommand.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Plan(command) => plan::run(&command, common),
        Command::Rehearse(arguments) => hold::rehearse(&arguments),
        Command::Run(arguments) => hold::run(&arguments),
        Command::Verify(arguments) => evidence::verify(&arguments, common),
        Command::Report(arguments) => evidence::report(&arguments),
        Command::Bundle(command) => evidence::bundle(&command),
        Command::Words(arguments) => plan::words(&arguments, common),
        Command::Shares(command) => shares::run(&command),
        Command::TokenDrill(arguments) => hold::token_drill(&arguments),
    }
}

/// A plan with errors.
pub fn plan_failure(problems: &[PlanProblem]) -> Failure {
    let all: Vec<String> = problems.iter().map(|p| format!("\n    {p}")).collect();
    Failure::new(
        Exit::Configuration,
        "the plan has errors",
        all.concat(),
        "mend the plan; docs/ceremony.md explains every key",
    )
}

/// A ceremony that stopped.
pub fn run_failure(e: &RunError) -> Failure {
    let (exit, next) = match e {
        RunError::Aborted { .. } => {
            (Exit::Incomplete, "the transcript says why; verify and keep it")
        }
        RunError::Hsm(HsmError::PinRefused { .. }) => {
            (Exit::NotAuthorised, "correct the PIN, then go on with --resume")
        }
        RunError::Hsm(_) => (Exit::HsmUnavailable, "mend the cause, then go on with --resume"),
        RunError::Transcript(_) | RunError::Read(_) => {
            (Exit::Integrity, "keep the folder as it is and find out what happened to it")
        }
        _ => (Exit::Failed, "mend the cause, then go on with --resume"),
    };
    Failure::new(exit, "the ceremony stops here", e, next)
}
