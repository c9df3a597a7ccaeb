//! `chancery config check`, `chancery config show` and `chancery config explain`.

use clap::{Subcommand, ValueEnum};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::config::{self, Role};
use crate::hsm::Profile;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with it, with line and remedy
    Check {
        /// Whose files to look at; each role runs as its own user
        #[arg(long, value_enum, default_value_t = Who::All)]
        role: Who,
    },
    /// Show the keys that the file sets, with their values; no secret is among them
    Show {
        /// The defaults of the other keys as well, marked: all that is in force
        #[arg(long)]
        effective: bool,
    },
    /// Say what a key is for, its default and range; without a key, all of them
    Explain {
        /// The key, such as endpoint.NAME.retry_window
        key: Option<String>,
    },
}

/// A role whose files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Every role's
    All,
    /// The signer's
    Signer,
    /// The frontend's
    Frontend,
    /// No files at all, only the text
    None,
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Check { role } => check(role, common),
        Command::Show { effective } => {
            let shown = config::show(&common.config);
            let shown = shown.map_err(|errors| Failure::configuration(&errors))?;
            match common.json {
                true => output::json(&shown.json(effective)),
                false => output::write(&shown.toml(effective)),
            }
        }
        Command::Explain { key } if common.json => {
            output::json(&config::reference_json(key.as_deref()).map_err(|e| unknown_key(&e))?)
        }
        Command::Explain { key: None } => output::write(&config::reference()),
        Command::Explain { key: Some(key) } => {
            output::write(&config::explain(&key).map_err(|e| unknown_key(&e))?)
        }
    }
}

fn unknown_key(cause: &str) -> Failure {
    let next = "run `chancery config explain` for all keys";
    Failure::new(Exit::Failed, "there is no such key", cause, next)
}

fn check(role: Who, common: &Common) -> Result<(), Failure> {
    let path = &common.config;
    let checked = match role {
        Who::All => config::load_for(path, Role::Both),
        Who::Signer => config::load_for(path, Role::Signer),
        Who::Frontend => config::load_for(path, Role::Frontend),
        Who::None => config::load(path),
    };
    match checked {
        Ok(found) => {
            if matches!(role, Who::All | Who::Signer) {
                profiles(&found)?;
            }
            let digest = hex::encode(found.digest());
            let warnings = found.warnings();
            if common.json {
                return output::json(&serde_json::json!({
                    "good": true, "digest": digest, "warnings": warnings, "errors": [],
                }));
            }
            for warning in warnings {
                output::note(&format!("warning: {warning}"));
            }
            output::write(&format!("{}: good\ndigest: sha256:{digest}\n", path.display()))
        }
        Err(errors) => {
            if common.json {
                output::json(&serde_json::json!({ "good": false, "errors": errors }))?;
            }
            Err(Failure::configuration(&errors))
        }
    }
}

/// Reads the HSM profiles that are files of the operator's own; the built-in ones are good.
fn profiles(found: &config::Config) -> Result<(), Failure> {
    for (name, token) in &found.token {
        let config::VendorProfile::Path(path) = &token.profile else { continue };
        Profile::load(&path.to_string_lossy()).map_err(|cause| {
            let what = format!("token.{name}.profile is not good");
            let next = "correct the file; the README of pkcs11-profiles (/usr/share/chancery) explains each field";
            Failure::new(Exit::Configuration, what, cause, next)
        })?;
    }
    Ok(())
}
