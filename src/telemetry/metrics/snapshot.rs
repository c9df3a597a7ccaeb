//! How the signer is at the moment of a scrape. It is made into metrics then and there, so that
//! nothing is shown that is not so any more.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{MetricsError, registered};

/// How the signer is. Times are in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct SignerSnapshot {
    /// The release of the program.
    pub version: String,
    /// When the process started.
    pub started: f64,
    /// Whether nothing is signed (I10).
    pub maintenance: bool,
    /// When the configuration in force was loaded.
    pub configured: f64,
    /// Configurations that were refused since the start.
    pub reload_failures: u64,
    /// Requests in the signing queue.
    pub queued: u64,
    /// Entries in the ledger.
    pub entries: u64,
    /// When the last backup was made; nought before the first.
    pub last_backup: f64,
    /// The ledger's checkpoints; none where they are not signed.
    pub checkpoint: Option<CheckpointSnapshot>,
    /// When the ledger was last verified without a finding; none before the first time.
    pub verified: Option<f64>,
    /// Whether a verification found damage.
    pub verification_failed: bool,
    /// Free bytes on the ledger's file system; none where it does not say.
    pub disk_free: Option<u64>,
    /// The tokens.
    pub tokens: Vec<TokenSnapshot>,
    /// The CAs.
    pub authorities: Vec<AuthoritySnapshot>,
    /// The newest CRLs.
    pub crls: Vec<CrlSnapshot>,
}

/// How far the ledger is signed.
#[derive(Clone, Debug, Default)]
pub struct CheckpointSnapshot {
    /// When the newest checkpoint was signed; none before the first of this start.
    pub signed: Option<f64>,
    /// Number of entries under it.
    pub size: u64,
    /// Attempts that failed since the start.
    pub failures: u64,
}

/// A token.
#[derive(Clone, Debug, Default)]
pub struct TokenSnapshot {
    /// The name in the configuration.
    pub name: String,
    /// Whether it works.
    pub up: bool,
    /// Operations under way.
    pub busy: u64,
    /// Operations that wait for a session.
    pub queued: u64,
    /// Worker threads in a call that does not come back.
    pub hung: u64,
    /// Operations since the start.
    pub operations: u64,
    /// Those that failed.
    pub errors: u64,
    /// Signatures that did not verify and were discarded (I8).
    pub bad_signatures: u64,
}

/// The certificates of a CA and its RA.
#[derive(Clone, Debug, Default)]
pub struct AuthoritySnapshot {
    /// The name in the configuration.
    pub ca: String,
    /// The end of the CA's certificate.
    pub not_after: f64,
    /// The end of the RA's certificates, by their use: `decryption`, `signing`.
    pub ra_not_after: Vec<(&'static str, f64)>,
}

/// The CRL of a CA.
#[derive(Clone, Debug, Default)]
pub struct CrlSnapshot {
    /// The CA's name in the configuration.
    pub ca: String,
    /// thisUpdate.
    pub this_update: f64,
    /// nextUpdate.
    pub next_update: f64,
    /// The CRL number (RFC 5280 section 5.2.3).
    pub number: u64,
    /// How many certificates are on it.
    pub entries: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl SignerSnapshot {
    /// A registry that holds this and nothing else.
    pub(super) fn registry(&self) -> Result<Registry, MetricsError> {
        let registry = Registry::new();
        self.instance(&registry)?;
        self.tokens(&registry)?;
        self.certificates(&registry)?;
        self.lists(&registry)?;
        Ok(registry)
    }

    fn instance(&self, registry: &Registry) -> Result<(), MetricsError> {
        gauge(registry, "chancery_build_info", "The release that runs", &["version"])?
            .with_label_values(&[&self.version])
            .set(1.0);
        let set = |name: &str, help: &str, value: f64| {
            gauge(registry, name, help, &[]).map(|g| g.with_label_values::<&str>(&[]).set(value))
        };
        set("chancery_start_timestamp_seconds", "When the signer started", self.started)?;
        let help = "When the configuration in force was loaded";
        set("chancery_config_reload_success_timestamp_seconds", help, self.configured)?;
        let help = "Configurations that a reload refused";
        let opts = Opts::new("chancery_config_reload_failures_total", help);
        registered(registry, IntCounterVec::new(opts, &[]))?
            .with_label_values::<&str>(&[])
            .inc_by(self.reload_failures);
        let maintenance = f64::from(u8::from(self.maintenance));
        set("chancery_maintenance_mode", "Whether nothing is signed", maintenance)?;
        set(
            "chancery_signing_queue_requests",
            "Requests that wait to be signed",
            float(self.queued),
        )?;
        set("chancery_log_tree_size", "Entries in the ledger", float(self.entries))?;
        let help = "When the last backup was made, 0 before the first";
        set("chancery_backup_last_success_timestamp_seconds", help, self.last_backup)?;
        if let Some(checkpoint) = &self.checkpoint {
            let help = "Entries under the newest signed checkpoint";
            set("chancery_log_checkpoint_tree_size", help, float(checkpoint.size))?;
            if let Some(signed) = checkpoint.signed {
                let help = "When the newest checkpoint was signed";
                set("chancery_log_checkpoint_timestamp_seconds", help, signed)?;
            }
            let help = "Attempts to sign a checkpoint that failed";
            let opts = Opts::new("chancery_log_checkpoint_failures_total", help);
            registered(registry, IntCounterVec::new(opts, &[]))?
                .with_label_values::<&str>(&[])
                .inc_by(checkpoint.failures);
        }
        if let Some(verified) = self.verified {
            let help = "When the ledger was last verified without a finding";
            set("chancery_log_verify_last_success_timestamp_seconds", help, verified)?;
        }
        let help = "Verifications of the ledger that found damage";
        let opts = Opts::new("chancery_log_verify_failures_total", help);
        registered(registry, IntCounterVec::new(opts, &[]))?
            .with_label_values::<&str>(&[])
            .inc_by(self.verification_failed.into());
        if let Some(free) = self.disk_free {
            let help = "Free bytes on the ledger's file system";
            set("chancery_log_disk_free_bytes", help, float(free))?;
        }
        Ok(())
    }

    fn tokens(&self, registry: &Registry) -> Result<(), MetricsError> {
        let gauges = |name, help| integers(registry, name, help, "token");
        let counters = |name: &str, help: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &["token"]))
        };
        let up = gauges("chancery_hsm_up", "Whether the token works")?;
        let busy = gauges("chancery_hsm_busy_sessions", "Private-key operations under way")?;
        let queued =
            gauges("chancery_hsm_queued_operations", "Operations that wait for a session")?;
        let hung = gauges("chancery_hsm_hung_calls", "Calls that do not come back")?;
        let operations = counters("chancery_hsm_operations_total", "Private-key operations")?;
        let errors = counters("chancery_hsm_errors_total", "Private-key operations that failed")?;
        let bad = counters(
            "chancery_hsm_bad_signatures_total",
            "Signatures of the token that did not verify and were discarded",
        )?;
        for token in &self.tokens {
            let label = [token.name.as_str()];
            up.with_label_values(&label).set(i64::from(token.up));
            busy.with_label_values(&label).set(whole(token.busy));
            queued.with_label_values(&label).set(whole(token.queued));
            hung.with_label_values(&label).set(whole(token.hung));
            operations.with_label_values(&label).inc_by(token.operations);
            errors.with_label_values(&label).inc_by(token.errors);
            bad.with_label_values(&label).inc_by(token.bad_signatures);
        }
        Ok(())
    }

    fn certificates(&self, registry: &Registry) -> Result<(), MetricsError> {
        let authorities = gauge(
            registry,
            "chancery_ca_certificate_not_after_timestamp_seconds",
            "The end of a CA's certificate",
            &["ca"],
        )?;
        let ras = gauge(
            registry,
            "chancery_ra_certificate_not_after_timestamp_seconds",
            "The end of an RA's certificate",
            &["ca", "use"],
        )?;
        for authority in &self.authorities {
            authorities.with_label_values(&[&authority.ca]).set(authority.not_after);
            for (purpose, end) in &authority.ra_not_after {
                ras.with_label_values(&[authority.ca.as_str(), purpose]).set(*end);
            }
        }
        Ok(())
    }

    fn lists(&self, registry: &Registry) -> Result<(), MetricsError> {
        let gauges = |name, help| gauge(registry, name, help, &["ca"]);
        let this =
            gauges("chancery_crl_this_update_timestamp_seconds", "When the newest CRL was made")?;
        let next =
            gauges("chancery_crl_next_update_timestamp_seconds", "When the newest CRL runs out")?;
        let number = gauges("chancery_crl_number", "The number of the newest CRL")?;
        let entries = gauges("chancery_crl_entries", "Certificates on the newest CRL")?;
        let bytes = gauges("chancery_crl_size_bytes", "The length of the newest CRL")?;
        for crl in &self.crls {
            let label = [crl.ca.as_str()];
            this.with_label_values(&label).set(crl.this_update);
            next.with_label_values(&label).set(crl.next_update);
            number.with_label_values(&label).set(float(crl.number));
            entries.with_label_values(&label).set(float(crl.entries));
            bytes.with_label_values(&label).set(float(crl.bytes));
        }
        Ok(())
    }
}

fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, MetricsError> {
    registered(registry, GaugeVec::new(Opts::new(name, help), labels))
}

fn integers(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, MetricsError> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
}

/// Metrics are floating-point numbers; what is counted here stays far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts and bytes below 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    #[test]
    fn a_snapshot_is_shown_as_it_is() {
        let snapshot = SignerSnapshot {
            version: "1.2.3".into(),
            maintenance: true,
            disk_free: Some(1 << 30),
            tokens: vec![TokenSnapshot {
                name: "main".into(),
                operations: 7,
                ..Default::default()
            }],
            crls: vec![CrlSnapshot { ca: "issuing".into(), number: 3, ..Default::default() }],
            ..Default::default()
        };
        let text = text(&snapshot.registry().unwrap()).unwrap();
        for line in [
            "chancery_build_info{version=\"1.2.3\"} 1",
            "chancery_maintenance_mode 1",
            "chancery_hsm_up{token=\"main\"} 0",
            "chancery_hsm_operations_total{token=\"main\"} 7",
            "chancery_crl_number{ca=\"issuing\"} 3",
            "chancery_log_disk_free_bytes 1073741824",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
