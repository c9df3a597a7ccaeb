//! How a command says that it failed: what, cause, next step.

use std::fmt;

use super::exit::Exit;
use crate::config::ConfigError;

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    cause: String,
    next: String,
    /// Lines that stand before, such as the errors of a configuration.
    details: Vec<String>,
}

impl Failure {
    /// What could not be done, why, and what to do about it.
    pub fn new(
        exit: Exit,
        what: impl Into<String>,
        cause: impl fmt::Display,
        next: impl Into<String>,
    ) -> Self {
        let cause = cause.to_string();
        Self { exit, what: what.into(), cause, next: next.into(), details: Vec::new() }
    }

    /// A configuration with errors (I9).
    pub fn configuration(errors: &[ConfigError]) -> Self {
        Self::misconfigured(
            errors,
            "nothing was started",
            "mend it as said above; `chancery config explain KEY` says what a key is for",
        )
    }

    /// A configuration that is not put into force (I9).
    pub fn reload(errors: &[ConfigError]) -> Self {
        Self::misconfigured(
            errors,
            "the configuration before stays in force",
            "mend it as said above and reload again; `chancery config explain KEY` says what a key is \
             for and whether a reload can change it",
        )
    }

    fn misconfigured(errors: &[ConfigError], what: &str, next: &str) -> Self {
        let count = match errors.len() {
            1 => "one error".to_owned(),
            n => format!("{n} errors"),
        };
        Self {
            details: errors.iter().map(ToString::to_string).collect(),
            ..Self::new(Exit::Configuration, what, format!("the configuration has {count}"), next)
        }
    }

    /// Why.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it.
    pub fn next(&self) -> &str {
        &self.next
    }

    /// The exit status.
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for detail in &self.details {
            writeln!(f, "{detail}")?;
        }
        writeln!(f, "chancery: {}", self.what)?;
        writeln!(f, "  cause: {}", self.cause)?;
        write!(f, "  next:  {}", self.next)
    }
}

impl std::error::Error for Failure {}
