//! The subcommand: arguments, the refusal where it is no laboratory, what is printed when all is ready.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::child::Launch;
use super::supervise::{Plan, supervise};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::{Config, Role, load_for};
use crate::telemetry;

/// The arguments of `chancery serve`.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs until SIGTERM or SIGINT.
pub fn run(_: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = load_for(&common.config, Role::Both);
    let config = config.map_err(|errors| Failure::configuration(&errors))?;
    if !config.lab {
        return Err(Failure::new(
            Exit::Configuration,
            "nothing was started",
            "`chancery serve` runs the key-holding role and the network role as one user, and the \
             configuration does not say `lab = true`",
            "run `chancery signer` and `chancery frontend` as users of their own; for a laboratory \
             make a configuration by `chancery init`",
        ));
    }
    let level = common.log_level(&config);
    telemetry::init(telemetry::Options { level, role: "serve" }).map_err(|e| failed(&e))?;
    let plan = Plan {
        signer: launch("signer", common)?,
        frontend: launch("frontend", common)?,
        notify_dir: config.signer.socket.parent().unwrap_or(Path::new("/")).to_owned(),
        start_limit: Duration::from_secs(120),
        stop_limit: config.frontend.drain + Duration::from_secs(30),
        first_pause: Duration::from_millis(500),
    };
    // One thread: children end with the thread that started them (`--follow`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let json = common.json;
    runtime
        .map_err(|e| failed(&e))?
        .block_on(supervise(&plan, |listen| ready(&config, listen, json)))
}

/// How to start a role from this very binary.
fn launch(role: &'static str, common: &Common) -> Result<Launch, Failure> {
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let mut arguments: Vec<OsString> = vec![role.into(), "--config".into()];
    arguments.push(common.config.clone().into());
    arguments.push("--follow".into());
    arguments.push(std::process::id().to_string().into());
    if let Some(level) = common.log_level {
        arguments.extend(["--log-level".into(), level.word().into()]);
    }
    Ok(Launch { role, program, arguments })
}

/// Says where devices reach the endpoints.
fn ready(config: &Config, listen: &[SocketAddr], json: bool) -> Result<(), Failure> {
    let urls: Vec<(String, String)> = config
        .endpoint
        .iter()
        .flat_map(|(name, endpoint)| {
            let path = endpoint.path.as_str();
            listen.iter().map(move |address| (name.to_string(), format!("http://{address}{path}")))
        })
        .collect();
    if json {
        let list: Vec<serde_json::Value> = urls
            .iter()
            .map(|(name, url)| serde_json::json!({ "endpoint": name, "url": url }))
            .collect();
        return output::json(&serde_json::json!({ "ready": true, "endpoints": list }));
    }
    output::write("chancery is ready (a laboratory: never use it where certificates count)\n")?;
    for (name, url) in urls {
        output::write(&format!("  {name}: {url}\n"))?;
    }
    Ok(())
}

fn failed(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, "nothing was started", cause, "mend the cause and start it again")
}
