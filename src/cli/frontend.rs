//! `chancery frontend`: the network role.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::role::{self, Arguments};
use super::{environment, ready};
use crate::config::{self, Config, Role, load_for};
use crate::frontend::{FrontendLimits, FrontendOptions, Progress};
use crate::telemetry::event;
use crate::{http, wire};

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = load_for(&common.config, Role::Frontend);
    let config = config.map_err(|errors| Failure::configuration(&errors))?;
    environment::harden()?;
    arguments.follow()?;
    role::log("frontend", &config, common)?;
    let inherited = ready::handed_over().map_err(|e| handed_over(&e))?;
    let (options, changes) = options(&config, inherited);
    role::watched(|pulse| async move {
        let shutdown = role::stopped().await?;
        let following = follow(Followed {
            config,
            common: common.clone(),
            changes,
            hangup: role::hangups()?,
            reconfigured: options.reconfigured.clone(),
            look_again: options.look_again.clone(),
        });
        pulse.task("hang-up signals", tokio::spawn(following));
        let options = FrontendOptions { pulse: pulse.clone(), ..options };
        let tell = |progress: Progress<'_>| {
            let addresses = match progress {
                Progress::Ready(addresses) => addresses,
                Progress::Watched(address) => {
                    let address = address.to_string();
                    log::info!(
                        event = event::READY, address = address.as_str();
                        "metrics and health are at http://{address}/metrics, /healthz and /readyz"
                    );
                    return;
                }
                Progress::Bound(_) => return,
            };
            let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let listed = listed.join(" ");
            log::info!(event = event::READY, addresses = listed.as_str(); "the frontend serves");
            ready::announce(&format!("serving {listed}"), addresses);
        };
        let served = crate::frontend::run(options, tell, async {
            shutdown.await;
            ready::announce_stopping();
        });
        served.await.map_err(|e| {
            log::error!(event = event::STOP; "the frontend ends: {e}");
            Failure::new(
                Exit::Failed,
                "the frontend does not run",
                e,
                "mend the cause and start it again",
            )
        })
    })
}

fn handed_over(e: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "the frontend does not run",
        format!("a socket that was handed over cannot be used: {e}"),
        "see that chancery-frontend.socket has TCP sockets alone (ListenStream=)",
    )
}

/// Sockets that are handed over take the place of the configuration's addresses.
fn options(
    config: &Config,
    inherited: Vec<TcpListener>,
) -> (FrontendOptions, watch::Sender<http::Limits>) {
    let settings = &config.frontend;
    let http = limits(settings);
    let (changes, changed) = watch::channel(http);
    let signer =
        wire::ClientLimits { call: settings.request_timeout, ..wire::ClientLimits::default() };
    let options = FrontendOptions {
        listen: if inherited.is_empty() { settings.listen.clone() } else { Vec::new() },
        inherited,
        metrics: config.metrics.listen,
        has_witnesses: !config.ledger.witness.is_empty(),
        signer_socket: config.signer.socket.clone(),
        limits: FrontendLimits { http, signer, ..FrontendLimits::default() },
        changes: Some(changed),
        ..FrontendOptions::default()
    };
    (options, changes)
}

fn limits(settings: &config::Frontend) -> http::Limits {
    http::Limits {
        connections: settings.max_connections as usize,
        connections_per_source: settings.max_connections_per_source as usize,
        head_timeout: settings.header_timeout,
        body: settings.max_message as usize,
        body_timeout: settings.body_timeout,
        write_timeout: settings.write_timeout,
        drain: settings.drain,
        ..http::Limits::default()
    }
}

/// What is needed to follow a change of the configuration.
struct Followed {
    config: Config,
    common: Common,
    changes: watch::Sender<http::Limits>,
    hangup: Arc<Notify>,
    reconfigured: Arc<Notify>,
    look_again: Arc<Notify>,
}

/// Reads the configuration again at SIGHUP and when the signer has another one. What is wrong is in the
/// log and in the status, and the one before stays in force (I9).
async fn follow(mut followed: Followed) {
    loop {
        tokio::select! {
            () = followed.hangup.notified() => followed.look_again.notify_one(),
            () = followed.reconfigured.notified() => {}
        }
        let path = followed.common.config.clone();
        let in_force = followed.config.clone();
        let read = move || config::reload(&path, Some(Role::Frontend), &in_force);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(config)) => {
                role::relog(&config, &followed.common);
                followed.changes.send_replace(limits(&config.frontend));
                followed.config = config;
                log::info!(event = event::CONFIGURATION; "the configuration was read again");
                ready::status("serving");
            }
            Ok(Err(errors)) => {
                for e in &errors {
                    log::error!(event = event::CONFIGURATION; "the configuration before stays in force: {e}");
                }
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                let first = first.lines().next().unwrap_or_default();
                ready::status(&format!("serving by the configuration before; refused: {first}"));
            }
            Err(e) => {
                log::error!(event = event::CONFIGURATION; "the configuration was not read: {e}");
            }
        }
    }
}
