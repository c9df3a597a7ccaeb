//! The configuration that is in force: its digest for the ledger, and what deserves a warning.

use std::path::PathBuf;

use super::model::{Config, LogLevel, Signer};

impl Config {
    /// SHA-256 over the effective configuration, defaults filled in, as canonical JSON: two instances
    /// with one digest decide alike. Goes into the ledger at each start.
    pub fn digest(&self) -> [u8; 32] {
        openssl::sha::sha256(self.to_json().to_string().as_bytes())
    }

    /// The effective configuration as JSON. It holds no secret: there is none in a configuration.
    pub fn to_json(&self) -> serde_json::Value {
        // Maps are ordered, keys are texts and paths come from UTF-8: nothing here can fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What is allowed but should be seen by whoever answers for the instance.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.lab {
            found.push(
                "lab = true: this is a laboratory; its keys are not protected and its certificates \
                 mean nothing"
                    .to_owned(),
            );
            for address in self.frontend.listen.iter().filter(|a| !a.ip().is_loopback()) {
                found.push(format!(
                    "frontend.listen: this laboratory can be reached from the network at {address}"
                ));
            }
        }
        for (name, endpoint) in &self.endpoint {
            if endpoint.challenge_mac.is_none() && !endpoint.one_time_challenges {
                found.push(format!(
                    "endpoint.{name} has neither challenge_mac nor one_time_challenges: it refuses every enrolment"
                ));
            }
            let algorithms = &endpoint.algorithms;
            let weak = [
                (algorithms.des3, "3DES"),
                (algorithms.sha1, "SHA-1"),
                (algorithms.des_and_md5, "single DES and MD5 (against RFC 8894 section 2.9)"),
            ];
            for (_, word) in weak.into_iter().filter(|(on, _)| *on) {
                found.push(format!("endpoint.{name} accepts {word}, which is out of date"));
            }
        }
        found
    }
}

impl Signer {
    /// The folder of the ledger's files.
    pub fn ledger_dir(&self) -> PathBuf {
        self.state_dir.join("ledger")
    }

    /// The folder of the CAs' newest CRLs.
    pub fn crl_dir(&self) -> PathBuf {
        self.state_dir.join("crl")
    }

    /// The folder of what each witness cosigned last, a file each.
    pub fn witnesses_dir(&self) -> PathBuf {
        self.state_dir.join("witnesses")
    }

    /// The folder of the announcements of next CAs.
    pub fn next_ca_dir(&self) -> PathBuf {
        self.state_dir.join("next-ca")
    }

    /// The folder of the signer's own secrets.
    pub fn secrets_dir(&self) -> PathBuf {
        self.state_dir.join("secrets")
    }

    /// The key under which challenges are kept, 32 bytes.
    pub fn challenge_key(&self) -> PathBuf {
        self.secrets_dir().join("challenge-mac.key")
    }

    /// The key of the seal over the requests in the ledger, 32 bytes.
    pub fn request_seal_key(&self) -> PathBuf {
        self.secrets_dir().join("request-seal.key")
    }

    /// The key from which the substitutes of undecryptable content keys come (I7), 32 bytes.
    pub fn implicit_rejection_key(&self) -> PathBuf {
        self.secrets_dir().join("implicit-rejection.key")
    }
}

impl LogLevel {
    /// The level as the log facade has it.
    pub const fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
            Self::Trace => log::LevelFilter::Trace,
        }
    }
}
