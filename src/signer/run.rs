//! The signer's life: open everything, serve two sockets, end in order.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;

use super::admin;
use super::error::SignerError;
use super::instance::{Instance, Secrets};
use super::roles::RoleMap;
use crate::clock::Clock;
use crate::config::Config;
use crate::random::Random;
use crate::telemetry::event;
use crate::wire::{self, BoxFuture, Peer, ServerLimits};

/// How often counted refusals are looked at.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// How often is looked whether a list or an announcement is due.
const CRLS_EVERY: Duration = Duration::from_secs(30);

/// What the signer gets from the world.
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
}

/// Runs the signer until `shutdown` ends; calls `ready` once both sockets are served. The user of
/// the process and, where the configuration names one, the frontend's user may use the frontend's
/// socket; root, the process's user and whoever has a role may use the admin socket.
pub async fn run(
    config: &Config,
    secrets: Secrets,
    world: World,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), SignerError> {
    if config.lab {
        log::warn!(
            event = event::CONFIGURATION;
            "lab = true: this instance trusts software keys and is for laboratories only"
        );
    }
    let frontend_uids = frontend_uids(config)?;
    let roles = Arc::new(RoleMap::new(config)?);
    let operator_uids = roles.uids();
    let instance = Instance::open(config, secrets, world.clock, world.random).await?;
    // Another user can only connect to a socket that it may write to; who it is says the kernel.
    let mode = if frontend_uids.len() > 1 { 0o666 } else { 0o600 };
    let listener = bind(&config.signer.socket, mode).await?;
    let admin_mode = if roles.has_others() { 0o666 } else { 0o600 };
    let admin_listener = bind(&config.signer.admin_socket, admin_mode).await?;
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the sender is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let frontend = {
        let instance = instance.clone();
        let handler = move |_: Peer, request| -> BoxFuture<_> {
            let instance = instance.clone();
            Box::pin(async move { instance.answer(request).await })
        };
        let (until, handler) = (until(stopped.clone()), Arc::new(handler));
        wire::serve(listener, &frontend_uids, ServerLimits::default(), handler, until)
    };
    let operators = {
        let instance = instance.clone();
        let handler = move |peer: Peer, request| -> BoxFuture<_> {
            let (instance, roles) = (instance.clone(), roles.clone());
            Box::pin(async move { admin::allowed(&instance, &roles, peer, request).await })
        };
        let (until, handler) = (until(stopped.clone()), Arc::new(handler));
        wire::serve(admin_listener, &operator_uids, ServerLimits::default(), handler, until)
    };
    let refusals = {
        let instance = instance.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(REFUSALS_EVERY);
            loop {
                every.tick().await;
                instance.record_refusals(false).await;
            }
        })
    };
    let lists = {
        let instance = instance.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(CRLS_EVERY);
            loop {
                every.tick().await;
                instance.publish_due().await;
            }
        })
    };
    let end = async {
        ready();
        let lost = tokio::select! {
            () = shutdown => None,
            token = restart_needed(&instance) => Some(token),
        };
        log::info!(event = event::STOP; "stopping: what is queued is finished first");
        stop.send_replace(true);
        lost
    };
    let (lost, frontend, operators) = tokio::join!(end, frontend, operators);
    refusals.abort();
    lists.abort();
    let closed = instance.close().await;
    remove(&config.signer.socket);
    remove(&config.signer.admin_socket);
    frontend?;
    operators?;
    closed?;
    lost.map_or(Ok(()), |token| Err(SignerError::RestartNeeded(token)))
}

/// Ends when only a new process can reach a token again, with the token's name.
async fn restart_needed(instance: &Instance) -> String {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        if let Some(token) = instance.tokens.needs_restart() {
            return token;
        }
    }
}

async fn bind(path: &Path, mode: u32) -> Result<UnixListener, SignerError> {
    wire::bind(path, mode)
        .await
        .map_err(|e| SignerError::Socket { path: path.into(), cause: e.to_string() })
}

/// A socket that is left behind does no harm; the next start replaces it.
fn remove(path: &Path) {
    if let Err(e) = std::fs::remove_file(path) {
        log::debug!("{}: {e}", path.display());
    }
}

/// The users that may use the frontend's socket.
fn frontend_uids(config: &Config) -> Result<Vec<u32>, SignerError> {
    let mut uids = vec![rustix::process::geteuid().as_raw()];
    if let Some(name) = &config.signer.frontend_user {
        uids.push(uid_of(name).ok_or_else(|| SignerError::NoSuchUser(name.clone()))?);
    }
    Ok(uids)
}

/// The uid of a user in /etc/passwd, where the packages' sysusers put the service's users.
pub(super) fn uid_of(name: &str) -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
