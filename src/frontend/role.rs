//! The role: wires listeners, routes and the connection to the signer together.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};

use super::description;
use super::log_tiles::LogTiles;
use super::observe::Observed;
use super::options::{FrontendError, FrontendOptions};
use super::service::{Frontend, serve};
use super::witnesses;
use crate::http;
use crate::telemetry::metrics::FrontendMetrics;
use crate::wire::Client;

/// What the role tells of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// It listens on these addresses. Until the signer's first description comes, every request is
    /// answered 503.
    Bound(&'a [SocketAddr]),
    /// Metrics and health are served on this address.
    Watched(SocketAddr),
    /// It answers on these addresses: the first description is there, or it did not come within
    /// [`FrontendLimits::first_description`](super::FrontendLimits::first_description). A frontend
    /// without its signer is up all the same: it says 503 and reconnects by itself.
    Ready(&'a [SocketAddr]),
}

/// Runs the role until `shutdown` ends: `chancery frontend`.
///
/// `tell` hears of the start, each [`Progress`] once and in their order. At the end, requests that
/// are complete are answered.
pub async fn run(
    options: FrontendOptions,
    mut tell: impl FnMut(Progress<'_>),
    shutdown: impl Future<Output = ()>,
) -> Result<(), FrontendError> {
    let limits = options.limits;
    let http_limits = options.changes.unwrap_or_else(|| watch::channel(limits.http).1);
    let mut listeners = http::bind(&options.listen)?;
    listeners.extend(http::adopt(options.inherited)?);
    if listeners.is_empty() {
        return Err(FrontendError::NoAddress);
    }
    let watchers = http::bind(&options.metrics.into_iter().collect::<Vec<_>>())?.pop();
    if let Some(address) = watchers.as_ref().and_then(|w| w.local_addr().ok()) {
        tell(Progress::Watched(address));
    }
    let addresses: Vec<_> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    tell(Progress::Bound(&addresses));

    let signer = Client::start(options.signer_socket, limits.signer);
    let (sender, directory) = watch::channel(None);
    let described = directory.clone();
    let description_wanted = options.look_again;
    let pulse = options.pulse;
    let describing = pulse.task(
        "the endpoints' description",
        tokio::spawn(description::keep_current(
            signer.clone(),
            sender,
            Arc::clone(&description_wanted),
            limits.refresh,
            options.reconfigured,
        )),
    );
    let carry = || tokio::spawn(witnesses::carry(signer.clone()));
    let carrying = options.has_witnesses.then(|| pulse.task("the way to the witnesses", carry()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let retry_after = u32::try_from(limits.retry_after.as_secs()).unwrap_or(u32::MAX);
    let metrics = Arc::new(FrontendMetrics::new()?);
    let observed = Observed { signer: signer.clone(), metrics: metrics.clone() };
    let frontend = Frontend {
        signer,
        directory,
        description_wanted,
        readers: Arc::new(Semaphore::new(processors)),
        retry_after: NonZeroU32::new(retry_after).unwrap_or(NonZeroU32::MIN),
        refusals: AtomicU32::new(0),
        metrics,
        http: http_limits.clone(),
        log_tiles: LogTiles::default(),
    };
    let router = Router::new().fallback(serve).with_state(Arc::new(frontend));
    let serving = http::serve(listeners, router, http_limits.clone(), shutdown);
    let announcing = async {
        described_within(described, limits.first_description).await;
        tell(Progress::Ready(&addresses));
        std::future::pending().await
    };
    let observing = async {
        if let Some(watchers) = watchers {
            observed.serve(watchers, http_limits).await;
        }
        std::future::pending().await
    };
    let cut = tokio::select! {
        cut = serving => cut,
        never = announcing => never,
        never = observing => never,
    };
    pulse.end();
    describing.abort();
    if let Some(carrying) = carrying {
        carrying.abort();
    }
    if cut > 0 { Err(FrontendError::Undrained(cut)) } else { Ok(()) }
}

/// Waits for the first description, no longer than `limit`.
async fn described_within<T>(mut directory: watch::Receiver<Option<T>>, limit: Duration) {
    // Whether it came, came not or never will: the frontend serves.
    if !matches!(tokio::time::timeout(limit, directory.wait_for(Option::is_some)).await, Ok(Ok(_)))
    {
        log::warn!("the signer has not described its endpoints yet; until then the answer is 503");
    }
}
