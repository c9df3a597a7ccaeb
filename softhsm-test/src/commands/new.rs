//! `softhsm-test new`: a token.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use softhsm_test::token::{CONF_VARIABLE, Token};
use softhsm_test::{Context as _, Result, fail};

/// Make a SoftHSM token in a folder and print the environment that finds it.
///
/// The lines are NAME=VALUE: the configuration that SoftHSM reads, the module's path, the token's
/// label and the file with the user's PIN. The PIN of the security officer is in the file so-pin.
#[derive(Debug, clap::Args)]
pub struct New {
    /// The folder; it must not hold a token yet.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl New {
    pub fn run(self) -> Result<ExitCode> {
        let Some(token) = has_environment(Token::at(&self.dir).ok()) else {
            return again_with(&Token::create(&self.dir)?);
        };
        token.initialise()?;
        for (name, value) in token.environment()? {
            println!("{name}={}", quoted(&value));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A value as a shell takes it: in quotes where it has more than plain characters.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%".contains(c);
    match value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "'\\''")),
    }
}

/// The token, where SoftHSM's variable names its configuration already.
pub fn has_environment(token: Option<Token>) -> Option<Token> {
    let named = std::env::var_os(CONF_VARIABLE)?;
    token.filter(|t| t.conf() == Path::new(&named))
}

/// Starts this program once more with SoftHSM's variable set: the module reads it when it is
/// loaded, and a process cannot change its own environment safely.
pub fn again_with(token: &Token) -> Result<ExitCode> {
    let program = std::env::current_exe().context("this program's own path")?;
    let arguments = std::env::args_os().skip(1);
    let failure = Command::new(program).args(arguments).env(CONF_VARIABLE, token.conf()).exec();
    fail(format!("starting again with {CONF_VARIABLE}: {failure}"))
}
