//! The tokens of the configuration, opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::SignerError;
use crate::config::{self, Config, Name, VendorProfile};
use crate::hsm::{Hsm, HsmError, HsmOptions, HsmState, MechanismOffer, Profile, TokenSelector};
use crate::hsm::{KeyReference, KeyTest, replicas};
use crate::ra::RequestSeal;
use crate::secret::Secret;
use crate::signing::{KeyUnwrapper, Signer};
use crate::telemetry::metrics::TokenSnapshot;
use crate::wire::admin::{self, HsmTest, MechanismExamination, Token, TokenExamination};

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
            let (profile, selector) = token_of(token)?;
            let hsm = Hsm::open(HsmOptions {
                profile,
                module: token.module.clone(),
                token: selector,
                pin,
                workers: token.workers.map(|n| n as usize),
                lab: config.lab,
            })?;
            tokens.insert(name.clone(), hsm);
        }
        Ok(Self(tokens))
    }

    /// The token of this name.
    pub(super) fn named(&self, name: &Name) -> Result<&Arc<Hsm>, SignerError> {
        // The configuration's cross-checks have seen that the token is there.
        self.0.get(name).ok_or_else(|| SignerError::NoPin(name.to_string()))
    }

    /// The signing key at `place`, on every token that holds it.
    pub(super) fn signer(
        &self,
        place: &config::KeyPlace,
        reference: &KeyReference,
    ) -> Result<Arc<dyn Signer>, SignerError> {
        Ok(replicas::signer(&self.holders(place)?, reference)?)
    }

    /// The decryption key at `place`, on every token that holds it.
    pub(super) fn unwrapper(
        &self,
        place: &config::KeyPlace,
        reference: &KeyReference,
        implicit_rejection: &Secret,
    ) -> Result<Arc<dyn KeyUnwrapper>, SignerError> {
        Ok(replicas::unwrapper(&self.holders(place)?, reference, implicit_rejection)?)
    }

    /// The seal over requests, under `handed` or under what a token derives.
    pub(super) fn seal(
        &self,
        config: &Config,
        handed: Option<Secret>,
    ) -> Result<RequestSeal, SignerError> {
        let key = match (&config.signer.seal_key, handed) {
            (Some(key), _) => {
                self.named(&key.token)?.derived_secret(&key.label, RequestSeal::CONTEXT)?
            }
            (None, Some(key)) => key,
            (None, None) => return Err(SignerError::NoSeal),
        };
        Ok(RequestSeal::new(key)?)
    }

    /// The tokens that hold a key.
    fn holders(&self, place: &config::KeyPlace) -> Result<Vec<&Arc<Hsm>>, SignerError> {
        // The configuration's cross-checks have seen that the tokens are there.
        let holder =
            |name: &Name| self.0.get(name).ok_or_else(|| SignerError::NoPin(name.to_string()));
        std::iter::once(&place.token).chain(&place.replicas).map(holder).collect()
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

    /// The tokens as they can be examined.
    pub(super) fn examination(&self) -> Vec<TokenExamination> {
        let examine = |(name, hsm): (&Name, &Arc<Hsm>)| {
            let status = hsm.status();
            let offered = |m: &MechanismOffer| MechanismExamination {
                name: m.name.clone(),
                min_bits: m.min_bits,
                max_bits: m.max_bits,
            };
            TokenExamination {
                name: name.to_string(),
                profile: status.profile,
                workers: u32::try_from(status.workers).unwrap_or(u32::MAX),
                problem: problem(status.state),
                warnings: hsm.warnings(),
                mechanisms: hsm
                    .mechanisms()
                    .map(|all| all.iter().map(offered).collect())
                    .map_err(str::to_owned),
            }
        };
        self.0.iter().map(examine).collect()
    }

    /// The tokens as `chancery hsm status` shows them.
    pub(super) fn hsms(&self) -> Vec<admin::HsmState> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let describe = |(name, hsm): (&Name, &Arc<Hsm>)| {
            let status = hsm.status();
            admin::HsmState {
                name: name.to_string(),
                model: format!("{} {}", status.token.manufacturer, status.token.model),
                label: status.token.label,
                serial: status.token.serial,
                profile: status.profile,
                problem: problem(status.state),
                threads: count(status.workers),
                without_session: count(status.resting),
                hung: count(status.hung),
                needs_restart: status.needs_restart,
                busy: count(status.busy),
                queued: count(status.queued),
                operations: status.operations,
                errors: status.errors,
                bad_signatures: status.bad_signatures,
            }
        };
        self.0.iter().map(describe).collect()
    }

    /// One operation with each key on each token, and what came of it. It waits for the tokens.
    pub(super) fn self_test(&self) -> Vec<HsmTest> {
        let of_token = |(name, hsm): (&Name, &Arc<Hsm>)| {
            let name = name.to_string();
            let test = move |test: KeyTest| HsmTest {
                token: name.clone(),
                key: test.key,
                purpose: test.purpose,
                outcome: test.outcome.map(|t| u64::try_from(t.as_micros()).unwrap_or(u64::MAX)),
            };
            hsm.self_test().into_iter().map(test).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_token).collect()
    }

    /// Each token's name and whether it works.
    pub(super) fn states(&self) -> impl Iterator<Item = (&Name, HsmState)> {
        self.0.iter().map(|(name, hsm)| (name, hsm.status().state))
    }

    /// The serial number of the token of this name.
    pub(super) fn serial(&self, name: &Name) -> Option<String> {
        self.0.get(name).map(|hsm| hsm.status().token.serial)
    }

    /// Whether the threads of every token live.
    pub(super) fn live(&self) -> bool {
        self.0.values().all(|hsm| hsm.lives())
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

/// Why a token does not work.
fn problem(state: HsmState) -> Option<String> {
    match state {
        HsmState::Up => None,
        HsmState::Down { reason } => Some(format!("it is away: {reason}")),
        HsmState::PinRefused { reason } => Some(format!("it refuses its PIN: {reason}")),
    }
}

/// The vendor's particulars and the token that a configuration names.
pub fn token_of(token: &config::Token) -> Result<(Profile, TokenSelector), HsmError> {
    let profile = match &token.profile {
        VendorProfile::Name(name) => Profile::load(name)?,
        VendorProfile::Path(path) => Profile::load(&path.to_string_lossy())?,
    };
    // The cross-checks demand exactly one of the two.
    let selector = match (&token.serial, &token.label) {
        (Some(serial), _) => TokenSelector::Serial(serial.clone()),
        (None, label) => TokenSelector::Label(label.clone().unwrap_or_default()),
    };
    Ok((profile, selector))
}
