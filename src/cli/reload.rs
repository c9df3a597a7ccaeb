//! `chancery reload`: has the signer read its configuration again.

use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::admin::{self, Session};
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::config::{self, ConfigError, Role};
use crate::wire::admin::{ConfigurationError, Request, Response};

/// How long the signer may take: it reads certificates, lists of keys and the configuration.
const PATIENCE: Duration = Duration::from_secs(60);

/// The arguments of `chancery reload`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Check the configuration as the frontend's user and tell the frontend with this process ID alone
    #[arg(long, value_name = "PID")]
    frontend: Option<i32>,
}

/// Waits for the new configuration to be in force, or says what is wrong with it.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    if let Some(pid) = arguments.frontend {
        return frontend(pid, common);
    }
    let session = Session::at(config::admin_socket(&common.config), PATIENCE)?;
    match session.ask(Request::Reload)? {
        Response::Reloaded(reloaded) => {
            let digest = hex::encode(reloaded.digest);
            if common.json {
                return output::json(&serde_json::json!({
                    "good": true, "digest": digest, "changed": reloaded.changed, "errors": [],
                }));
            }
            let mut text = match reloaded.changed.len() {
                0 => "no setting changed; the files that it names were read again\n".to_owned(),
                _ => "in force now:\n".to_owned(),
            };
            for key in &reloaded.changed {
                text.push_str(&format!("  {}\n", crate::telemetry::escaped(key, 200)));
            }
            output::write(&format!("{text}digest: sha256:{digest}\n"))
        }
        Response::Misconfigured(errors) => {
            let errors: Vec<ConfigError> = errors.into_iter().map(read).collect();
            if common.json {
                output::json(&serde_json::json!({ "good": false, "errors": errors }))?;
            }
            Err(Failure::reload(&errors))
        }
        _ => Err(admin::unexpected()),
    }
}

/// The unit's reload of the frontend, which has no socket to be asked at.
fn frontend(pid: i32, common: &Common) -> Result<(), Failure> {
    let checked = config::load_for(&common.config, Role::Frontend);
    checked.map_err(|errors| Failure::reload(&errors))?;
    let failed = |cause: &dyn std::fmt::Display| {
        let next = "name the process ID of `chancery frontend`, as its user or as root";
        Failure::new(Exit::Failed, "the frontend was not told", cause, next)
    };
    // 1 is nobody's frontend, 0 and less are groups.
    let pid = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 1);
    let pid = pid.ok_or_else(|| failed(&"this is not a process ID"))?;
    kill_process(pid, Signal::HUP).map_err(|e| failed(&e))
}

fn read(e: ConfigurationError) -> ConfigError {
    let number = |n: u64| usize::try_from(n).unwrap_or_default();
    ConfigError {
        file: e.file.into(),
        line: number(e.line),
        column: number(e.column),
        key: e.key,
        problem: e.problem,
        remedy: e.remedy,
    }
}
