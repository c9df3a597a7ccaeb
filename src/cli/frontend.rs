//! `chancery frontend`: the network role.

use std::net::TcpListener;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::role::{self, Arguments};
use super::{environment, ready};
use crate::config::{Config, Role, load_for};
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
    let options = options(&config, ready::handed_over().map_err(|e| handed_over(&e))?);
    role::block_on(async {
        let shutdown = role::stopped().await?;
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
fn options(config: &Config, inherited: Vec<TcpListener>) -> FrontendOptions {
    let settings = &config.frontend;
    let http = http::Limits {
        connections: settings.max_connections as usize,
        connections_per_source: settings.max_connections_per_source as usize,
        head_timeout: settings.header_timeout,
        body: settings.max_message as usize,
        body_timeout: settings.body_timeout,
        write_timeout: settings.write_timeout,
        drain: settings.drain,
        ..http::Limits::default()
    };
    let signer =
        wire::ClientLimits { call: settings.request_timeout, ..wire::ClientLimits::default() };
    FrontendOptions {
        listen: if inherited.is_empty() { settings.listen.clone() } else { Vec::new() },
        inherited,
        metrics: config.metrics.listen,
        signer_socket: config.signer.socket.clone(),
        limits: FrontendLimits { http, signer, ..FrontendLimits::default() },
    }
}
