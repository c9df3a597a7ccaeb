//! What the role is told, and how it fails.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::telemetry::metrics::MetricsError;
use crate::telemetry::pulse::Pulse;
use crate::{http, wire};

/// What `chancery frontend` needs to know.
#[derive(Debug, Default)]
pub struct FrontendOptions {
    /// Addresses to listen on; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Sockets that listen already, handed over by the service manager.
    pub inherited: Vec<TcpListener>,
    /// Where metrics and health are served; nowhere without.
    pub metrics: Option<SocketAddr>,
    /// The signer's frontend socket.
    pub signer_socket: PathBuf,
    /// Whether checkpoints are to be carried to witnesses.
    pub has_witnesses: bool,
    /// The bounds.
    pub limits: FrontendLimits,
    /// Other bounds of connections and requests, as they come; [`FrontendLimits::http`] until then.
    pub changes: Option<watch::Receiver<http::Limits>>,
    /// Notified by the role when the signer has another configuration.
    pub reconfigured: Arc<Notify>,
    /// What the role's loops are added to, for the watchdog.
    pub pulse: Arc<Pulse>,
    /// Notified by others to have the role ask the signer at once what it serves.
    pub look_again: Arc<Notify>,
}

/// The bounds of the role.
#[derive(Clone, Copy, Debug)]
pub struct FrontendLimits {
    /// Of connections and requests.
    pub http: http::Limits,
    /// Of the connection to the signer.
    pub signer: wire::ClientLimits,
    /// How often the description is asked for again while the signer is there.
    pub refresh: Duration,
    /// How long the first description may keep back the word that the role is ready.
    pub first_description: Duration,
    /// What Retry-After says at the least where the signer is away; the answers are spread up to
    /// twice as much, so that refused devices do not come back together.
    pub retry_after: Duration,
}

impl Default for FrontendLimits {
    fn default() -> Self {
        Self {
            http: http::Limits::default(),
            signer: wire::ClientLimits::default(),
            refresh: Duration::from_secs(10),
            first_description: Duration::from_secs(3),
            retry_after: Duration::from_secs(5),
        }
    }
}

/// Why the role could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// There is nothing to listen on.
    #[error("there is no address to listen on; set frontend.listen in the configuration")]
    NoAddress,
    /// The metrics cannot be made.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A listening socket cannot be had.
    #[error(transparent)]
    Bind(#[from] http::BindError),
    /// Requests were still in flight at the end of the patience.
    #[error("{0} connections did not end in time and were cut; their devices will retry")]
    Undrained(usize),
}
