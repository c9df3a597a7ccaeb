//! The mechanisms of the HSM: whether the token offers what the keys in use need.

use super::finding::Report;
use crate::cli::exit::Exit;
use crate::config::{Ca, Config, KeyPlace, Name, Token};
use crate::hsm::{CeremonyModule, KeyPurpose, MechanismOffer, Profile, needed_mechanism};
use crate::pki::KeyKind;
use crate::signer::{load_certificate, token_of};

const CHECK: &str = "mechanisms";

/// Compares what the token `name` offers with what the configuration's keys on it need.
pub(super) fn mechanisms(
    report: &mut Report,
    config: &Config,
    (name, token): (&Name, &Token),
    offered: &[MechanismOffer],
) {
    let thing = format!("token.{name}");
    let profile = match token_of(token) {
        Ok((profile, _)) => profile,
        Err(e) => {
            let next = "correct `profile`; pkcs11-profiles/README.md explains the files";
            return report.error(Exit::Configuration, CHECK, thing, e.to_string(), next);
        }
    };
    let mut good = Vec::new();
    let of_cas = config.ca.iter().flat_map(|(ca, settings)| {
        let named =
            move |(key, place, purpose, kind)| (format!("ca.{ca}.{key}"), place, purpose, kind);
        keys(settings).into_iter().map(named)
    });
    let log = config.ledger.log_key.as_ref().zip(config.ledger.note_key()).map(|(place, key)| {
        let kind = key.public_key().kind();
        ("ledger.log_key".to_owned(), place, KeyPurpose::LogSign, kind)
    });
    for (key, place, purpose, kind) in of_cas.chain(log) {
        if place.token == *name || place.replicas.contains(name) {
            match judge(&profile, purpose, kind, offered) {
                Ok(text) => good.push(text),
                Err((cause, next)) => {
                    let cause = format!("{key}: {cause}");
                    report.error(Exit::HsmUnavailable, CHECK, thing.as_str(), cause, next);
                }
            }
        }
    }
    good.sort();
    good.dedup();
    if !good.is_empty() && !report.has_problem(CHECK, &thing) {
        report.good(CHECK, thing, good.join("; "));
    }
}

/// The keys of a CA with their kinds; those whose certificate cannot be read are told of elsewhere.
fn keys(ca: &Ca) -> Vec<(&'static str, &KeyPlace, KeyPurpose, KeyKind)> {
    let all = [
        ("key", &ca.key, KeyPurpose::CaSign, &ca.certificate),
        (
            "ra_decryption.key",
            &ca.ra_decryption.key,
            KeyPurpose::RaDecrypt,
            &ca.ra_decryption.certificate,
        ),
        ("ra_signing.key", &ca.ra_signing.key, KeyPurpose::RaSign, &ca.ra_signing.certificate),
    ];
    let known = all.into_iter().filter_map(|(key, place, purpose, path)| {
        let kind = load_certificate(path).ok()?.public_key().kind();
        Some((key, place, purpose, kind))
    });
    known.collect()
}

fn judge(
    profile: &Profile,
    purpose: KeyPurpose,
    kind: KeyKind,
    offered: &[MechanismOffer],
) -> Result<String, (String, String)> {
    let needed = needed_mechanism(profile, purpose, kind).map_err(|cause| {
        (cause, "use another kind of key, or a profile that fits the HSM".to_owned())
    })?;
    let Some(offer) = offered.iter().find(|o| o.name == needed) else {
        let next = format!(
            "allow {needed} in the HSM's policy, or choose another way in `[mechanisms]` of its profile"
        );
        return Err((format!("{purpose} needs {needed}, which the token does not offer"), next));
    };
    if let KeyKind::Rsa(bits) = kind {
        let bits = u64::from(bits);
        if bits < offer.min_bits || (offer.max_bits > 0 && bits > offer.max_bits) {
            let cause = format!(
                "{needed} takes keys of {} to {} bits, and this one has {bits}",
                offer.min_bits, offer.max_bits
            );
            return Err((cause, "make a key of a size that the HSM takes".to_owned()));
        }
    }
    Ok(format!("{needed} for {purpose}"))
}

/// Looks at the token without a signer: the module is loaded here, and nobody logs in.
pub(super) fn look(report: &mut Report, config: &Config, (name, token): (&Name, &Token)) {
    let thing = format!("token.{name}");
    let offered = token_of(token).and_then(|(profile, selector)| {
        let module = CeremonyModule::open(profile, token.module.as_deref())?;
        let facts = module.describe(&selector)?;
        Ok((facts, module.mechanisms(&selector)?))
    });
    match offered {
        Ok((facts, offered)) => {
            let serial = &facts.serial;
            report.good(
                "token",
                thing,
                format!("«{}» (serial number {serial}) is there", facts.label),
            );
            mechanisms(report, config, (name, token), &offered);
        }
        Err(e) => {
            let next = "do as the cause says; the module is loaded here as this user, without the signer's sandbox";
            report.error(Exit::HsmUnavailable, "token", thing, e.to_string(), next);
        }
    }
}
