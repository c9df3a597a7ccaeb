//! What the ledger says of a start: how the last run ended, whether the configuration is another one, and who
//! has which role since.

use super::instance::software;
use super::roles;
use crate::config::Config;
use crate::ledger::{Configuration, Draft, Event, Fingerprint, Ledger, LedgerError, Lifecycle};

/// The entries of a start.
pub(super) fn entries(config: &Config, ledger: &Ledger) -> Result<Vec<Draft>, LedgerError> {
    let (started, stopped) = (ledger.of_event("start")?.pop(), ledger.of_event("stop")?.pop());
    let reason = match started > stopped {
        true => "the last run did not end in order".to_owned(),
        false => String::new(),
    };
    let lifecycle = Lifecycle { software: software(), reason };
    let digest = Fingerprint(config.digest());
    let configuration = Configuration {
        digest,
        replaces: last_configuration(ledger)?.filter(|before| *before != digest),
        summary: summary(config),
    };
    let mut entries = vec![
        Draft::of_system("signer", Event::Start(lifecycle)),
        Draft::of_system("configuration", Event::ConfigLoaded(configuration)),
    ];
    entries.extend(roles::changes(config, ledger)?);
    Ok(entries)
}

/// A configuration in a few words.
pub(super) fn summary(config: &Config) -> String {
    format!(
        "{} endpoints, {} CAs{}",
        config.endpoint.len(),
        config.ca.len(),
        if config.lab { ", lab = true" } else { "" }
    )
}

/// The digest of the configuration that was in force last.
fn last_configuration(ledger: &Ledger) -> Result<Option<Fingerprint>, LedgerError> {
    let last = ledger.of_event("config-loaded")?.pop();
    let entry = last.map(|sequence| ledger.entry(sequence)).transpose()?.flatten();
    Ok(entry.and_then(|entry| match entry.event {
        Event::ConfigLoaded(loaded) => Some(loaded.digest),
        _ => None,
    }))
}
