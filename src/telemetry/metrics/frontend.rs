//! What the frontend counts.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use super::{MetricsError, SECONDS, registered, text};

/// The frontend's counters.
#[derive(Debug)]
pub struct FrontendMetrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    signer_up: IntGauge,
}

impl FrontendMetrics {
    /// All of them at nought.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let requests = Opts::new("chancery_http_requests_total", "HTTP requests, by their answer");
        let labels = ["endpoint", "operation", "outcome", "status"];
        let requests = registered(&registry, IntCounterVec::new(requests, &labels))?;
        let durations = HistogramOpts::new(
            "chancery_http_request_duration_seconds",
            "Time from a complete request to its answer",
        );
        let durations = HistogramVec::new(durations.buckets(SECONDS.to_vec()), &["operation"]);
        let durations = registered(&registry, durations)?;
        let signer_up =
            IntGauge::new("chancery_signer_up", "Whether the frontend reaches the signer");
        let signer_up = registered(&registry, signer_up)?;
        Ok(Self { registry, requests, durations, signer_up })
    }

    /// Counts an HTTP request. `endpoint` is a name of the configuration or `-`, `operation` and
    /// `outcome` are words of closed sets.
    pub fn request(
        &self,
        (endpoint, operation): (&str, &str),
        (outcome, status): (&str, u16),
        took: Duration,
    ) {
        let status = status.to_string();
        self.requests.with_label_values(&[endpoint, operation, outcome, status.as_str()]).inc();
        self.durations.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// The text of all of them. `signer_up` says whether the signer answers now.
    pub fn text(&self, signer_up: bool) -> Result<String, MetricsError> {
        self.signer_up.set(i64::from(signer_up));
        text(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_their_answer() {
        let metrics = FrontendMetrics::new().unwrap();
        let took = Duration::from_millis(2);
        metrics.request(("device", "GetCACaps"), ("ok", 200), took);
        metrics.request(("device", "GetCACaps"), ("ok", 200), took);
        let text = metrics.text(false).unwrap();
        let line = "chancery_http_requests_total{endpoint=\"device\",operation=\"GetCACaps\",\
                    outcome=\"ok\",status=\"200\"} 2";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("chancery_signer_up 0"), "{text}");
    }
}
