//! What the role commands share: logging, the runtime, and the signals that end them.

use std::future::Future;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::command::Common;
use super::environment;
use super::exit::Exit;
use super::failure::Failure;
use crate::config::Config;
use crate::telemetry;
use crate::telemetry::pulse::Pulse;

/// The arguments of a role.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Stop when the process of this number, the parent, ends
    #[arg(long, hide = true, value_name = "PID")]
    follow: Option<u32>,
}

impl Arguments {
    /// Ends this process with its parent, where it was asked to.
    pub fn follow(&self) -> Result<(), Failure> {
        self.follow.map_or(Ok(()), environment::follow)
    }
}

/// Sets up the log of the role and says what deserves attention in its configuration.
pub fn log(role: &'static str, config: &Config, common: &Common) -> Result<(), Failure> {
    let level = common.log_level(config);
    telemetry::init(telemetry::Options { level, role }).map_err(|e| not_started(&e))?;
    log::info!(
        event = telemetry::event::START, version = env!("CARGO_PKG_VERSION"),
        configuration = hex::encode(config.digest()).as_str();
        "{role} starts"
    );
    Ok(())
}

/// Runs `work` on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| not_started(&e))?.block_on(work)
}

/// Runs a role, and feeds the watchdog while all that it adds to the pulse answers.
pub fn watched<T, F: Future<Output = Result<T, Failure>>>(
    role: impl FnOnce(Arc<Pulse>) -> F,
) -> Result<T, Failure> {
    block_on(async {
        let pulse = Arc::new(Pulse::default());
        tokio::spawn(super::ready::feed_watchdog(pulse.clone()));
        role(pulse).await
    })
}

/// Ends with SIGTERM or SIGINT.
pub async fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| not_started(&e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| not_started(&e))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Notified at each SIGHUP.
pub fn hangups() -> Result<Arc<Notify>, Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|e| not_started(&e))?;
    let heard = Arc::new(Notify::new());
    let told = heard.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            told.notify_one();
        }
    });
    Ok(heard)
}

/// Puts the level of another configuration into force, and says what deserves attention in it.
pub fn relog(config: &Config, common: &Common) {
    log::set_max_level(common.log_level(config));
    for warning in config.warnings() {
        log::warn!(event = telemetry::event::CONFIGURATION; "{warning}");
    }
}

/// The failure of a role that did not start.
pub fn not_started(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, "nothing was started", cause, "mend the cause and start it again")
}
