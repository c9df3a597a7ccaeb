//! What is told to who watches the signer: metrics, and whether it can do its work.

use super::crl::ends;
use super::instance::Instance;
use crate::clock::Timestamp;
use crate::hsm::HsmState;
use crate::telemetry::metrics::{
    AuthoritySnapshot, CheckpointSnapshot, CrlSnapshot, SignerSnapshot,
};

/// The metrics as text, or why there are none.
pub(super) fn metrics(instance: &Instance) -> Result<String, String> {
    instance.pipeline.metrics.text(&snapshot(instance)).map_err(|e| e.to_string())
}

/// What keeps the signer from issuing, a line each; nothing when all is well.
pub(super) fn problems(instance: &Instance) -> Vec<String> {
    let mut problems: Vec<String> = instance
        .tokens
        .states()
        .filter_map(|(name, state)| match state {
            HsmState::Up => None,
            HsmState::Down { reason } => Some(format!("token {name} is away: {reason}")),
            HsmState::PinRefused { reason } => {
                Some(format!("token {name} refuses its PIN ({reason}); mend it and restart"))
            }
        })
        .collect();
    if let Some(why) = instance.ledger().obstacle() {
        problems.push(format!("the ledger takes no entries: {why}"));
    }
    if let Some(why) = instance.pipeline.maintenance.reason() {
        problems.push(format!("maintenance mode: {why}; `chancery maintenance off` ends it"));
    }
    problems
}

fn snapshot(instance: &Instance) -> SignerSnapshot {
    let head = instance.ledger().head();
    let reloads = instance.reloads.last();
    let authorities = instance.authorities.iter().map(|a| AuthoritySnapshot {
        ca: a.ca.to_string(),
        not_after: seconds(a.not_after),
        ra_not_after: a.ra_not_after.iter().map(|(what, end)| (*what, seconds(*end))).collect(),
    });
    let crls = instance.crls.iter().filter_map(|(ca, publisher)| {
        let crl = publisher.published()?;
        Some(CrlSnapshot {
            ca: ca.to_string(),
            this_update: seconds(crl.this_update()),
            next_update: seconds(ends(&crl)),
            number: crl.number().unwrap_or_default(),
            entries: crl.revoked().count() as u64,
            bytes: crl.der().len() as u64,
        })
    });
    SignerSnapshot {
        version: env!("CARGO_PKG_VERSION").into(),
        started: seconds(instance.started),
        configured: seconds(reloads.loaded),
        reload_failures: reloads.failures,
        maintenance: super::maintenance::reason(instance).is_some(),
        verified: instance.verification.state().succeeded.map(seconds),
        verification_failed: instance.verification.state().finding.is_some(),
        queued: instance.pipeline.queue.waiting() as u64,
        entries: head.size(),
        last_backup: instance
            .backups
            .last()
            .map_or(0.0, |b| seconds(Timestamp::from_unix_millis(b.time))),
        checkpoint: instance.log.as_ref().map(|log| CheckpointSnapshot {
            signed: log.latest().map(|l| seconds(l.time)).filter(|time| *time > 0.0),
            size: log.latest().map_or(0, |l| l.size),
            failures: log.failures(),
        }),
        disk_free: free(&instance.ledger_dir),
        tokens: instance.tokens.snapshots(),
        authorities: authorities.collect(),
        crls: crls.collect(),
    }
}

/// The ends of a CA's certificates, as they are watched.
pub(super) struct Ends {
    pub(super) ca: std::sync::Arc<str>,
    pub(super) not_after: Timestamp,
    pub(super) ra_not_after: [(&'static str, Timestamp); 2],
}

/// Free bytes for the signer's user on the file system of `folder`.
fn free(folder: &std::path::Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Seconds since 1970, as Prometheus counts.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of this age are below 2^53")]
fn seconds(time: Timestamp) -> f64 {
    time.unix_millis() as f64 / 1000.0
}
