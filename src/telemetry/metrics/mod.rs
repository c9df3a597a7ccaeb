//! Metrics in Prometheus' text format, version 0.0.4: what `chancery metrics` prints and the frontend's
//! metrics port serves. Owns: names, units, labels. Never: a label that a device can choose, such as
//! a subject or a transaction ID, and never a secret (I11).
//!
//! Names follow Prometheus' conventions: the base unit at the end, `_total` for counters,
//! `_timestamp_seconds` for points in time, so that an alert computes `time() - x`.

mod frontend;
mod signer;
mod snapshot;

pub use frontend::FrontendMetrics;
pub use signer::{Request, SignerMetrics};
pub use snapshot::{
    AuthoritySnapshot, CheckpointSnapshot, CrlSnapshot, SignerSnapshot, TokenSnapshot,
};

use prometheus::core::Collector;
use prometheus::{Encoder as _, Registry, TextEncoder};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of durations, in seconds: from one PKCS#11 call on a fast token to a
/// device's patience.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// A metric cannot be made or written: a defect of the program, not of its surroundings.
#[derive(Debug, thiserror::Error)]
#[error("the metrics are not consistent: {0}; please report this defect")]
pub struct MetricsError(#[from] prometheus::Error);

/// Makes `metric` part of `registry`.
fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> Result<C, MetricsError> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// What `registry` holds, as text.
fn text(registry: &Registry) -> Result<String, MetricsError> {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
