//! `chancery signer`: the key-holding role.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::role::{self, Arguments};
use super::{environment, ready, secrets};
use crate::clock::SystemClock;
use crate::config::{Config, Role, load_for};
use crate::hsm::HsmError;
use crate::ledger::{LedgerError, StoreError};
use crate::random::SystemRandom;
use crate::signer::{Secrets, SignerError, Told, World};
use crate::telemetry::event;

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let config = load_for(&common.config, Role::Signer);
    let config = config.map_err(|errors| Failure::configuration(&errors))?;
    environment::settle(&config)?;
    environment::harden()?;
    arguments.follow()?;
    role::log("signer", &config, common)?;
    for warning in config.warnings() {
        log::warn!(event = event::CONFIGURATION; "{warning}");
    }
    let secrets = read(&config)?;
    role::watched(|pulse| async move {
        let shutdown = role::stopped().await?;
        let told = common.clone();
        let world = World {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            configuration: common.config.clone(),
            hangup: role::hangups()?,
            tell: Arc::new(move |what| match what {
                Told::Configuration(config) => role::relog(config, &told),
                Told::State(how) => ready::status(how),
            }),
            pulse: pulse.clone(),
        };
        let ready = |maintenance: Option<String>| match maintenance {
            None => {
                log::info!(event = event::READY; "the signer serves");
                ready::announce("serving", &[]);
            }
            Some(why) => {
                log::warn!(event = event::READY; "the signer serves status and CRLs and signs nothing");
                ready::announce(&format!("maintenance mode, signs nothing: {why}"), &[]);
            }
        };
        let served = crate::signer::run(&config, secrets, world, ready, async {
            shutdown.await;
            ready::announce_stopping();
        });
        served.await.map_err(failure)
    })
}

fn read(config: &Config) -> Result<Secrets, Failure> {
    let mut pins = BTreeMap::new();
    for (name, token) in &config.token {
        pins.insert(name.clone(), secrets::pin(name.as_str(), token)?);
    }
    let path = config.signer.challenge_key();
    // Under a new key no challenge in the configuration would hold any more.
    let challenge_key = if config.endpoint.values().any(|e| e.challenge_mac.is_some()) {
        secrets::kept_key(&path)?
    } else {
        secrets::key(&path, &SystemRandom)?
    };
    Ok(Secrets {
        pins,
        challenge_key,
        request_seal: match (&config.signer.seal_key, &config.signer.seal_credential) {
            (Some(_), _) => None,
            (None, Some(credential)) => Some(secrets::credential_key(credential)?),
            (None, None) => Some(secrets::key(&config.signer.request_seal_key(), &SystemRandom)?),
        },
        implicit_rejection: secrets::key(&config.signer.implicit_rejection_key(), &SystemRandom)?,
    })
}

fn failure(e: SignerError) -> Failure {
    let (exit, next) = match &e {
        // A status of its own: systemd must not try a wrong PIN again and again.
        SignerError::Hsm(HsmError::PinRefused { .. }) => {
            (Exit::NotAuthorised, "correct the PIN before the token locks itself")
        }
        SignerError::Hsm(_) | SignerError::RestartNeeded(_) => {
            (Exit::HsmUnavailable, "bring the HSM and its keys into the state that the cause names")
        }
        SignerError::Ledger(e) => ledger_failure(e),
        SignerError::CertificateFile { .. }
        | SignerError::Unfit { .. }
        | SignerError::Issuer { .. }
        | SignerError::SharedKey(..)
        | SignerError::Profile(_)
        | SignerError::KeyBlocklist { .. }
        | SignerError::Challenge(_)
        | SignerError::Seal(_)
        | SignerError::NoSuchUser { .. } => {
            (Exit::Configuration, "correct the configuration or the files that it names")
        }
        SignerError::ModuleHangs => {
            // An orderly exit runs the module's own clean-up, which would wait for ever.
            log::error!(event = event::STOP; "{e}");
            std::process::abort();
        }
        SignerError::Socket { .. }
        | SignerError::Crl { .. }
        | SignerError::Serve(_)
        | SignerError::Metrics(_)
        | SignerError::NoPin(_)
        | SignerError::NoSeal => (Exit::Failed, "mend the cause and start it again"),
    };
    // The journal should have it too, not the terminal alone.
    log::error!(event = event::STOP; "the signer ends: {e}");
    Failure::new(exit, "the signer does not run", e, next)
}

/// A damaged ledger is for a person to look at; a full disk or a wrong clock is mended and forgotten.
pub(super) const fn ledger_failure(e: &LedgerError) -> (Exit, &'static str) {
    match e {
        LedgerError::Store(
            StoreError::Damaged(_)
            | StoreError::RolledBack { .. }
            | StoreError::UnknownFormat(_)
            | StoreError::Unavailable(_)
            | StoreError::NoBarrier(_),
        )
        | LedgerError::Entry(_)
        | LedgerError::Distrusted(_) => {
            (Exit::Integrity, "do as the cause says; nothing was signed")
        }
        LedgerError::Store(StoreError::Locked(_)) => {
            (Exit::Conflict, "see whether another signer runs with this state_dir")
        }
        LedgerError::ClockWentBack { .. } => (Exit::Failed, "set the clock right, then start it"),
        LedgerError::Store(
            StoreError::Full { .. } | StoreError::Io { .. } | StoreError::Database(_),
        )
        | LedgerError::Poisoned(_)
        | LedgerError::Maintenance(_)
        | LedgerError::NoWriter(_)
        | LedgerError::Closed
        | LedgerError::Refused(_) => (Exit::Failed, "mend the cause and start it again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ledger_that_changed_is_a_matter_of_integrity() {
        let status = |e: StoreError| failure(SignerError::from(e)).exit();
        assert_eq!(status(StoreError::Damaged("x".into())), Exit::Integrity);
        assert_eq!(status(StoreError::UnknownFormat("x".into())), Exit::Integrity);
        assert_eq!(status(StoreError::NoBarrier("x".into())), Exit::Integrity);
        assert_eq!(status(StoreError::Locked("x".into())), Exit::Conflict);
        let full = StoreError::Full { path: "x".into(), free: 0, reserve: 1 };
        assert_eq!(status(full), Exit::Failed);
        let io = StoreError::Io { what: "open", path: "x".into(), cause: "no".into() };
        assert_eq!(status(io), Exit::Failed);
        let clock = SignerError::Ledger(LedgerError::ClockWentBack { seconds: 9 });
        assert_eq!(failure(clock).exit(), Exit::Failed);
    }
}
