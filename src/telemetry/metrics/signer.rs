//! What the signer counts while it works.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::snapshot::SignerSnapshot;
use super::{MetricsError, SECONDS, registered, text};

/// A SCEP message and what came of it, in words of closed sets.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The endpoint's name in the configuration.
    pub endpoint: &'a str,
    /// The name of its messageType (RFC 8894 section 3.2.1.2), `-` where it is not readable.
    pub message_type: &'a str,
    /// `issued`, `repeated`, `answered`, `pending`, `refused`, `failed`, `unanswered`.
    pub outcome: &'a str,
    /// The kind of refusal, else empty.
    pub reason: &'a str,
    /// How long the signer took.
    pub took: Duration,
}

/// The signer's counters.
#[derive(Debug)]
pub struct SignerMetrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    issued: IntCounterVec,
    revoked: IntCounterVec,
    key_uses: HistogramVec,
    key_failures: IntCounterVec,
    crl_failures: IntCounterVec,
}

impl SignerMetrics {
    /// All of them at nought.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            registered(&registry, HistogramVec::new(options, labels))
        };
        let requests = counter(
            "chancery_requests_total",
            "SCEP messages that reached the signer, by what came of them",
            &["endpoint", "message_type", "outcome", "reason"],
        )?;
        let durations = histogram(
            "chancery_request_duration_seconds",
            "Time from a SCEP message to its answer, in the signer",
            &["message_type"],
        )?;
        let issued = counter(
            "chancery_certificates_issued_total",
            "Certificates issued since the start",
            &["ca", "profile"],
        )?;
        let revoked = counter(
            "chancery_certificates_revoked_total",
            "Changes of a certificate's status since the start",
            &["ca", "reason"],
        )?;
        let key_uses = histogram(
            "chancery_hsm_operation_duration_seconds",
            "Time that a private-key operation took, its wait for a session and its check included",
            &["ca", "operation"],
        )?;
        let key_failures = counter(
            "chancery_hsm_operation_failures_total",
            "Private-key operations that gave no result",
            &["ca", "operation", "cause"],
        )?;
        let crl_failures = counter(
            "chancery_crl_generation_failures_total",
            "Tries to make a CRL that failed",
            &["ca"],
        )?;
        Ok(Self {
            registry,
            requests,
            durations,
            issued,
            revoked,
            key_uses,
            key_failures,
            crl_failures,
        })
    }

    /// Counts a SCEP message.
    pub fn request(&self, request: &Request<'_>) {
        let Request { endpoint, message_type, outcome, reason, took } = *request;
        self.requests.with_label_values(&[endpoint, message_type, outcome, reason]).inc();
        self.durations.with_label_values(&[message_type]).observe(took.as_secs_f64());
    }

    /// Counts a certificate.
    pub fn issued(&self, ca: &str, profile: &str) {
        self.issued.with_label_values(&[ca, profile]).inc();
    }

    /// Counts a change of a certificate's status; `reason` is a CRLReason (RFC 5280 section 5.3.1).
    pub fn revoked(&self, ca: &str, reason: &str) {
        self.revoked.with_label_values(&[ca, reason]).inc();
    }

    /// Counts a private-key operation that gave its result.
    pub fn key_used(&self, ca: &str, operation: &str, took: Duration) {
        self.key_uses.with_label_values(&[ca, operation]).observe(took.as_secs_f64());
    }

    /// Counts a private-key operation without a result.
    pub fn key_failed(&self, ca: &str, operation: &str, cause: &str) {
        self.key_failures.with_label_values(&[ca, operation, cause]).inc();
    }

    /// Counts a CRL that could not be made.
    pub fn crl_failed(&self, ca: &str) {
        self.crl_failures.with_label_values(&[ca]).inc();
    }

    /// The text of everything: what was counted, and how the signer is as `now` says.
    pub fn text(&self, now: &SignerSnapshot) -> Result<String, MetricsError> {
        Ok(text(&self.registry)? + &text(&now.registry()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = SignerMetrics::new().unwrap();
        let request = Request {
            endpoint: "device",
            message_type: "PKCSReq",
            outcome: "issued",
            reason: "",
            took: Duration::from_millis(3),
        };
        metrics.request(&request);
        metrics.request(&Request { outcome: "refused", reason: "names", ..request });
        metrics.issued("issuing", "device");
        metrics.key_used("issuing", "ca-sign", Duration::from_micros(700));
        let text = metrics.text(&SignerSnapshot::default()).unwrap();
        for line in [
            "chancery_requests_total{endpoint=\"device\",message_type=\"PKCSReq\",outcome=\"issued\",\
             reason=\"\"} 1",
            "chancery_request_duration_seconds_count{message_type=\"PKCSReq\"} 2",
            "chancery_certificates_issued_total{ca=\"issuing\",profile=\"device\"} 1",
            "chancery_hsm_operation_duration_seconds_bucket{ca=\"issuing\",operation=\"ca-sign\",\
             le=\"0.001\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
