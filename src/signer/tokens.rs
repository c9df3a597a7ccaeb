//! The tokens of the configuration, opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::SignerError;
use crate::config::{self, Config, Name, VendorProfile};
use crate::hsm::{Hsm, HsmError, HsmOptions, HsmState, Profile, TokenSelector};
use crate::secret::Secret;
use crate::telemetry::metrics::TokenSnapshot;
use crate::wire::admin::Token;

/// Every token that the configuration names.
pub(super) struct Tokens(BTreeMap<Name, Arc<Hsm>>);

impl Tokens {
    /// Opens them all with the PINs in `pins`.
    pub(super) fn open(
        config: &Config,
        mut pins: BTreeMap<Name, Secret>,
    ) -> Result<Self, SignerError> {
        let mut tokens = BTreeMap::new();
        for (name, token) in &config.token {
            let pin = pins.remove(name).ok_or_else(|| SignerError::NoPin(name.to_string()))?;
            let hsm = Hsm::open(HsmOptions {
                profile: vendor_profile(token)?,
                module: token.module.clone(),
                token: selector(token),
                pin,
                workers: token.workers.map(|n| n as usize),
                lab: config.lab,
            })?;
            tokens.insert(name.clone(), hsm);
        }
        Ok(Self(tokens))
    }

    /// The token that holds a key.
    pub(super) fn hsm(&self, place: &config::KeyPlace) -> Result<&Arc<Hsm>, SignerError> {
        // The configuration's cross-checks have seen that the token is there.
        self.0.get(&place.token).ok_or_else(|| SignerError::NoPin(place.token.to_string()))
    }

    /// What fell short of I3 and was tolerated because this is a laboratory.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.0.values().flat_map(|hsm| hsm.warnings()).collect()
    }

    /// The number of operations that all tokens together can do at once.
    pub(super) fn lanes(&self) -> usize {
        self.0.values().map(|hsm| hsm.status().workers).sum()
    }

    pub(super) fn status(&self) -> Vec<Token> {
        let describe = |(name, hsm): (&Name, &Arc<Hsm>)| {
            let status = hsm.status();
            Token {
                name: name.to_string(),
                serial: status.token.serial,
                label: status.token.label,
                operations: status.operations,
                errors: status.errors,
            }
        };
        self.0.iter().map(describe).collect()
    }

    /// Each token's name and whether it works.
    pub(super) fn states(&self) -> impl Iterator<Item = (&Name, HsmState)> {
        self.0.iter().map(|(name, hsm)| (name, hsm.status().state))
    }

    /// The tokens as they are watched.
    pub(super) fn snapshots(&self) -> Vec<TokenSnapshot> {
        let snapshot = |(name, hsm): (&Name, &Arc<Hsm>)| {
            let status = hsm.status();
            TokenSnapshot {
                name: name.to_string(),
                up: status.state == HsmState::Up,
                busy: status.busy as u64,
                queued: status.queued as u64,
                hung: status.hung as u64,
                operations: status.operations,
                errors: status.errors,
                bad_signatures: status.bad_signatures,
            }
        };
        self.0.iter().map(snapshot).collect()
    }

    /// The token whose module only a new process can bring back, if there is one.
    pub(super) fn needs_restart(&self) -> Option<String> {
        let (name, _) = self.0.iter().find(|(_, hsm)| hsm.status().needs_restart)?;
        Some(name.to_string())
    }

    /// Ends the HSM's threads; false where one hangs in its module.
    pub(super) fn shutdown(&self) -> bool {
        // Each of them, also after one that hangs.
        self.0.values().filter(|hsm| !hsm.shutdown()).count() == 0
    }
}

fn vendor_profile(token: &config::Token) -> Result<Profile, HsmError> {
    match &token.profile {
        VendorProfile::Name(name) => Profile::load(name),
        VendorProfile::Path(path) => Profile::load(&path.to_string_lossy()),
    }
}

fn selector(token: &config::Token) -> TokenSelector {
    // The cross-checks demand exactly one of the two.
    match (&token.serial, &token.label) {
        (Some(serial), _) => TokenSelector::Serial(serial.clone()),
        (None, label) => TokenSelector::Label(label.clone().unwrap_or_default()),
    }
}
