//! `chancery maintenance`: let the signer issue nothing for a while.

use clap::Subcommand;

use super::command::Common;
use super::failure::Failure;
use super::{admin, output};
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Issue nothing from now on: devices are told to come back; status and CRLs go on
    On {
        /// Why: it stands in the status, in the log and in the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Issue again
    Off {
        /// Why, for the ledger
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Say whether it is on
    Status,
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    let (enter, reason) = match command {
        Command::On { reason } => (Some(true), reason),
        Command::Off { reason } => (Some(false), reason),
        Command::Status => (None, String::new()),
    };
    let Response::Maintenance(on) = admin::ask(common, Request::Maintenance { enter, reason })?
    else {
        return Err(admin::unexpected());
    };
    if common.json {
        return output::json(&serde_json::json!({ "maintenance": on.is_some(), "reason": on }));
    }
    output::write(&match on {
        Some(reason) => format!("maintenance mode is on: {}\n", escaped(&reason, 300)),
        None => "maintenance mode is off\n".to_owned(),
    })
}
