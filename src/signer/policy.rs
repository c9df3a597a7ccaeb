//! What of the configuration decides on requests, made ready: at the start, and again at a reload.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::authority::Authority;
use super::error::SignerError;
use super::profile::profile;
use super::rollover::Blueprint;
use crate::config::{self, Config, Name};
use crate::issuance::Profile;
use crate::ra::{Blocklist, GuessLimits};
use crate::revocation::Schedule;
use crate::telemetry::event;

/// The endpoints as they are configured, with their profiles. The certificates of `authorities` are of
/// keys that nobody else may have certified.
pub(super) fn blueprints<'a>(
    config: &Config,
    authorities: impl Iterator<Item = (&'a str, &'a Authority)>,
) -> Result<Vec<Blueprint>, SignerError> {
    let authorities: Vec<_> = authorities.collect();
    let profiles = profiles(config, &authorities)?;
    // The configuration's cross-checks have seen that every profile is there.
    let all = config.endpoint.iter().filter_map(|(name, settings)| {
        let profile = profiles.get(&settings.profile)?.clone();
        Some(Blueprint { name: name.as_str().into(), settings: settings.clone(), profile })
    });
    Ok(all.collect())
}

fn profiles<'a>(
    config: &'a Config,
    authorities: &[(&str, &Authority)],
) -> Result<BTreeMap<&'a Name, Arc<Profile>>, SignerError> {
    let mut profiles = BTreeMap::new();
    for (name, settings) in &config.profile {
        let mut profile = profile(name.as_str(), settings);
        profile.keys.blocklists = blocklists(name, settings)?;
        profile.check().map_err(SignerError::Profile)?;
        for (ca, authority) in authorities {
            for (what, key) in authority.own_keys() {
                profile.keys.refuse_own(format!("{what} of {ca}"), key);
            }
        }
        profiles.insert(name, Arc::new(profile));
    }
    Ok(profiles)
}

/// The lists of keys that the profile refuses. A profile that takes RSA keys and has none is
/// shouted about: nothing else knows the keys of Debian's broken generator.
fn blocklists(name: &Name, settings: &config::Profile) -> Result<Vec<Arc<Blocklist>>, SignerError> {
    if settings.key_blocklists.is_empty() && settings.key_types.iter().any(|t| t.kind().is_rsa()) {
        let profile = name.as_str();
        log::warn!(
            event = event::CONFIGURATION, profile;
            "the profile takes RSA keys and has no key_blocklists: keys that are publicly known \
             (Debian's of 2006 to 2008, leaked ones) are not found; see docs/keys.md"
        );
    }
    let read = |path: &PathBuf| {
        let unusable = |cause: String| SignerError::KeyBlocklist { path: path.clone(), cause };
        let text = std::fs::read_to_string(path).map_err(|e| unusable(e.to_string()))?;
        let list = Blocklist::parse(&text).map_err(|e| unusable(e.to_string()))?;
        if list.is_empty() {
            return Err(unusable("it lists no key; take it out of key_blocklists".into()));
        }
        let (profile, keys) = (name.as_str(), list.len());
        let path = path.display().to_string();
        log::info!(
            event = event::CONFIGURATION, profile, path = path.as_str(), keys;
            "keys on the list are refused"
        );
        Ok(Arc::new(list))
    };
    settings.key_blocklists.iter().map(read).collect()
}

/// How many wrong challenges are borne.
pub(super) fn guess_limits(settings: &config::WrongChallenges) -> GuessLimits {
    let config::WrongChallenges { per_source, total, window } = settings;
    GuessLimits { per_source: *per_source, total: *total, window: *window }
}

/// How many queries for what is not there are borne.
pub(super) fn query_limits(settings: &config::UnknownQueries) -> GuessLimits {
    let config::UnknownQueries { per_source, total, window } = settings;
    GuessLimits { per_source: *per_source, total: *total, window: *window }
}

/// How many envelopes that cannot be opened are borne.
pub(super) fn unopened_limits(settings: &config::UnopenedEnvelopes) -> GuessLimits {
    let config::UnopenedEnvelopes { per_source, total, window } = settings;
    GuessLimits { per_source: *per_source, total: *total, window: *window }
}

/// When the lists of a CA are made.
pub(super) fn schedule(settings: &config::Crl) -> Schedule {
    Schedule { next_update: settings.next_update, refresh: settings.refresh }
}
