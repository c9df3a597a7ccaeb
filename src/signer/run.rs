//! The signer's life: open everything, serve two sockets, end in order.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::admin;
use super::error::SignerError;
use super::instance::{Instance, Secrets};
use super::reload::{self, Tell};
use super::{maintenance, state, token_events, verification};
use crate::clock::Clock;
use crate::config::{Config, uid_of};
use crate::random::Random;
use crate::telemetry::event;
use crate::telemetry::pulse::Pulse;
use crate::wire::{self, BoxFuture, Peer, ServerLimits};

/// How often counted refusals are looked at.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// How often is looked whether a list or an announcement is due.
const CRLS_EVERY: Duration = Duration::from_secs(30);

/// How often is looked whether a checkpoint is due.
const CHECKPOINTS_EVERY: Duration = Duration::from_millis(500);

/// Within what time each part has to have answered what is asked of its memory.
const MEMORY_WITHIN: Duration = Duration::from_secs(30);

/// What the signer gets from the world.
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// The configuration's file, which goes into backups.
    pub configuration: PathBuf,
    /// Notified to have the configuration read again.
    pub hangup: Arc<Notify>,
    /// Who hears of what the signer does by itself.
    pub tell: Tell,
    /// What its loops and threads are added to, for the watchdog.
    pub pulse: Arc<Pulse>,
}

/// Runs the signer until `shutdown` ends; calls `ready` once both sockets are served, with the
/// reason where nothing is signed (maintenance mode). The user of
/// the process and, where the configuration names one, the frontend's user may use the frontend's
/// socket; root, the process's user and whoever has a role may use the admin socket.
pub async fn run(
    config: &Config,
    secrets: Secrets,
    world: World,
    ready: impl FnOnce(Option<String>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), SignerError> {
    let frontend_uids = frontend_uids(config)?;
    let (hangup, pulse) = (world.hangup.clone(), world.pulse.clone());
    let instance = Instance::open(config, secrets, world).await?;
    // Another user can only connect to a socket that it may write to; who it is says the kernel.
    let mode = if frontend_uids.len() > 1 { 0o666 } else { 0o600 };
    let listener = bind(&config.signer.socket, mode).await?;
    let admin_mode = instance.reloads.roles().socket_mode();
    let admin_listener = bind(&config.signer.admin_socket, admin_mode).await?;
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the sender is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let frontend = {
        let instance = instance.clone();
        let counted = instance.clone();
        let handler = move |_: Peer, request| -> BoxFuture<_> {
            let instance = instance.clone();
            Box::pin(async move { instance.answer(request).await })
        };
        let (until, handler) = (until(stopped.clone()), Arc::new(handler));
        let allowed = move |uid| {
            frontend_uids.contains(&uid)
                || counted.turned_away(uid, "wrong user at the frontend's socket")
        };
        wire::serve(listener, allowed, ServerLimits::default(), handler, until)
    };
    let operators = {
        let instance = instance.clone();
        let users = instance.clone();
        let allowed = move |uid| {
            users.reloads.roles().knows(uid)
                || users.turned_away(uid, "wrong user at the admin socket")
        };
        let handler = move |peer: Peer, request| -> BoxFuture<_> {
            let instance = instance.clone();
            Box::pin(async move { admin::allowed(&instance, peer, request).await })
        };
        let (until, handler) = (until(stopped.clone()), Arc::new(handler));
        wire::serve(admin_listener, allowed, ServerLimits::default(), handler, until)
    };
    let loops = start_loops(&instance, &pulse, hangup);
    let end = async {
        ready(maintenance::reason(&instance));
        let lost = tokio::select! {
            () = shutdown => None,
            token = restart_needed(&instance) => Some(token),
        };
        log::info!(event = event::STOP; "stopping: what is queued is finished first");
        stop.send_replace(true);
        lost
    };
    let (lost, frontend, operators) = tokio::join!(end, frontend, operators);
    pulse.end();
    loops.iter().for_each(JoinHandle::abort);
    let closed = instance.close().await;
    remove(&config.signer.socket);
    remove(&config.signer.admin_socket);
    frontend?;
    operators?;
    closed?;
    lost.map_or(Ok(()), |token| Err(SignerError::RestartNeeded(token)))
}

/// Starts what the signer does by itself.
fn start_loops(
    instance: &Arc<Instance>,
    pulse: &Pulse,
    hangup: Arc<Notify>,
) -> Vec<JoinHandle<()>> {
    let (ledger, tokens) = (instance.clone(), instance.clone());
    pulse.part("the ledger's threads", move || ledger.ledger().lives());
    pulse.part("the HSM's threads", move || tokens.tokens.live());
    let beat = pulse.beat("the signer's memory", MEMORY_WITHIN);
    let start = |name, task| pulse.task(name, task);
    vec![
        start("the counted refusals", {
            let instance = instance.clone();
            repeat(REFUSALS_EVERY, move || {
                let instance = instance.clone();
                async move { instance.record_refusals(false).await }
            })
        }),
        start("the CRLs", {
            let instance = instance.clone();
            repeat(CRLS_EVERY, move || {
                let instance = instance.clone();
                async move { instance.publish_due().await }
            })
        }),
        start("the checkpoints", {
            let instance = instance.clone();
            repeat(CHECKPOINTS_EVERY, move || {
                let instance = instance.clone();
                async move { instance.sign_due().await }
            })
        }),
        start("the hang-up signals", {
            let instance = instance.clone();
            tokio::spawn(async move {
                loop {
                    hangup.notified().await;
                    // What is wrong is in the log, in the ledger and in the status.
                    let _ = reload::reload(&instance, None).await;
                }
            })
        }),
        // These end where the ledger takes no more, and the signer lives on in maintenance mode.
        tokio::spawn(verification::run(instance.clone())),
        tokio::spawn(token_events::run(instance.clone())),
        start("the state", tokio::spawn(state::run(instance.clone()))),
        start("the signer's memory", tokio::spawn(state::ask(instance.clone(), beat))),
    ]
}

/// Does `work` every so often, until it is aborted.
fn repeat<F: Future<Output = ()> + Send>(
    every: Duration,
    mut work: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(every);
        loop {
            every.tick().await;
            work().await;
        }
    })
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
        let missing =
            || SignerError::NoSuchUser { key: "signer.frontend_user".into(), user: name.clone() };
        uids.push(uid_of(name).ok_or_else(missing)?);
    }
    Ok(uids)
}
