//! Keys as read back, their self-tests, and the seal.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Checks, Folder};
use crate::ceremony::artefact::{attestation, key_policy};
use crate::ceremony::run::seal_message;
use crate::ceremony::transcript::{Fact, KeyRecord};
use crate::pki::PublicKey;

/// Every key of the transcript by its name in the plan.
pub(super) fn records(folder: &Folder) -> BTreeMap<&str, &KeyRecord> {
    folder
        .facts()
        .filter_map(|f| match f {
            Fact::Key { key, .. } | Fact::KeyFound { key } => Some((key.key.as_str(), key)),
            _ => None,
        })
        .collect()
}

/// The public half of a record, if its digest is right.
pub(super) fn public(record: &KeyRecord) -> Option<PublicKey> {
    let key = PublicKey::from_spki(&BASE64.decode(&record.spki).ok()?).ok()?;
    (hex::encode(key.fingerprint()) == record.spki_sha256).then_some(key)
}

pub(super) fn check(folder: &Folder, checks: &mut Checks) {
    attributes(folder, checks);
    attestations(folder, checks);
    seal(folder, checks);
}

fn attributes(folder: &Folder, checks: &mut Checks) {
    let policy = key_policy();
    let (mut bad, mut count) = (Vec::new(), 0);
    for fact in folder.facts() {
        let Fact::Key { step, key, attributes, differences } = fact else { continue };
        count += 1;
        match public(key) {
            None => bad.push(format!("{step}: the public key and its digest do not agree")),
            Some(public) => {
                if let Err(e) = policy.check(&public) {
                    bad.push(format!("{step}: {e}"));
                }
            }
        }
        let signs = if key.purpose == "ra-decrypt" { "false" } else { "true" };
        let decrypts = if key.purpose == "ra-decrypt" { "true" } else { "false" };
        for (name, wanted) in [
            ("CKA_SENSITIVE", "true"),
            ("CKA_EXTRACTABLE", "false"),
            ("CKA_ALWAYS_SENSITIVE", "true"),
            ("CKA_NEVER_EXTRACTABLE", "true"),
            ("CKA_LOCAL", "true"),
            ("CKA_SIGN", signs),
            ("CKA_DECRYPT", decrypts),
            ("CKA_UNWRAP", "false"),
            ("CKA_DERIVE", "false"),
        ] {
            let found = attributes.get(name).map(String::as_str);
            let explained = differences.iter().any(|d| d.starts_with(name));
            if found != Some(wanted) && !explained {
                bad.push(format!("{step}: {name} is {}", found.unwrap_or("not reported")));
            }
        }
        let ended = folder.facts().any(|f| matches!(f, Fact::StepEnd { step: s, .. } if s == step));
        let tested = folder.facts().any(|f| matches!(f, Fact::SelfTest { key, .. } if key == step));
        if ended && !tested {
            bad.push(format!("{step}: there is no self-test"));
        }
    }
    checks.none(
        "CER-040",
        "keys as read back",
        &format!("{count} keys made in their tokens, with one purpose each"),
        bad,
    );
}

/// Each attestation that was taken in is about the key that the transcript says.
fn attestations(folder: &Folder, checks: &mut Checks) {
    let records = records(folder);
    let (mut bad, mut count) = (Vec::new(), 0);
    for fact in folder.facts() {
        let Fact::Attestation { step, key, state } = fact else { continue };
        if state.starts_with("unavailable") {
            continue;
        }
        count += 1;
        let file = folder.facts().find_map(|f| match f {
            Fact::Input { step: at, form, content, .. } if at == step && form == "attestation" => {
                BASE64.decode(content).ok()
            }
            _ => None,
        });
        match (file, records.get(key.as_str()).and_then(|record| public(record))) {
            (Some(file), Some(public)) => match attestation(&file, &public) {
                Ok(found) if found == *state => {}
                Ok(found) => {
                    bad.push(format!("{step}: the transcript says «{state}», and {found}"));
                }
                Err(e) => bad.push(format!("{step}: {e}")),
            },
            (None, _) => bad.push(format!("{step}: the attestation is not in the transcript")),
            (_, None) => bad.push(format!("{step}: its key is not in the transcript")),
        }
    }
    if count > 0 || !bad.is_empty() {
        let good = format!("{count} keys are named by their modules' attestations");
        checks.none("CER-042", "attestations", &good, bad);
    }
}

fn seal(folder: &Folder, checks: &mut Checks) {
    const TITLE: &str = "the seal";
    let wanted = folder.plan.as_ref().is_some_and(|p| p.seal.is_some());
    let lines = folder.transcript.lines();
    let (mut bad, mut sealed_by) = (Vec::new(), None);
    // An interruption just after the seal makes a second one; each must hold.
    for (index, line) in lines.iter().enumerate() {
        let Some(Fact::Seal { key, head, signature, spki_sha256, .. }) = line.fact() else {
            continue;
        };
        sealed_by = Some(key);
        let before = index.checked_sub(1).and_then(|i| lines.get(i));
        if before.is_none_or(|l| l.chain != *head) {
            bad.push("it is over another head of the chain".to_owned());
        }
        let records = records(folder);
        let record = records.get(key.as_str()).filter(|r| r.spki_sha256 == *spki_sha256);
        let good = record.and_then(|r| public(r)).zip(hex::decode(head).ok());
        let good = good.is_some_and(|(public, head)| {
            let signature = BASE64.decode(signature).unwrap_or_default();
            <[u8; 32]>::try_from(head).is_ok_and(|head| {
                let algorithm = public.kind().default_signature();
                public.verify(algorithm, &seal_message(&head), &signature).is_ok()
            })
        });
        if !good {
            bad.push("its signature does not verify".to_owned());
        }
    }
    match sealed_by {
        Some(key) => checks.none("CER-041", TITLE, &format!("signed by the key {key}"), bad),
        None if wanted && folder.transcript.is_complete() => {
            checks.none(
                "CER-041",
                TITLE,
                "",
                vec!["the plan wants a seal, and there is none".into()],
            );
        }
        None => checks.open(
            "CER-041",
            TITLE,
            "there is none: the fingerprint on paper is the only proof against a re-made chain",
        ),
    }
}
