//! The files: digests, signatures over the recorded bytes, lints anew, paths.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::keys::{public, records};
use super::{Checks, Folder};
use crate::ceremony::artefact::{LintContext, PreviousCrl, lint_certificate};
use crate::ceremony::plan::{Action, CertificateProfile, Plan};
use crate::ceremony::transcript::{Artefact, Fact};
use crate::pki::{Certificate, CertificateRequest, signed};

/// The list of a bundle's files, as sha256sum writes it.
const SUMS: &str = "SHA256SUMS";

pub(super) fn check(folder: &Folder, checks: &mut Checks) {
    let files = digests(folder, checks);
    sums(folder, checks);
    signatures(folder, &files, checks);
    certificates(folder, &files, checks);
}

/// The files by name, as far as they are there and right.
fn digests(folder: &Folder, checks: &mut Checks) -> BTreeMap<String, Vec<u8>> {
    let (mut bad, mut good) = (Vec::new(), BTreeMap::new());
    let recorded: Vec<&Artefact> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::Artefact { artefact, .. } => Some(artefact),
            _ => None,
        })
        .collect();
    let (mut names, mut withheld) = (BTreeSet::new(), 0);
    for artefact in &recorded {
        names.insert(artefact.file.clone());
        let path = folder.path.join("artefacts").join(&artefact.file);
        if artefact.file.contains('/') {
            bad.push(format!("{} is no plain name", artefact.file));
            continue;
        }
        match std::fs::read(&path) {
            Err(_) if is_withheld(folder, artefact) => withheld += 1,
            Err(e) => bad.push(format!("{}: {e}", artefact.file)),
            Ok(bytes) => {
                let sha256 = hex::encode(openssl::sha::sha256(&bytes));
                if sha256 != artefact.sha256 || bytes.len() as u64 != artefact.bytes {
                    bad.push(format!("{} was changed", artefact.file));
                } else {
                    good.insert(artefact.file.clone(), bytes);
                }
            }
        }
    }
    for entry in std::fs::read_dir(folder.path.join("artefacts")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A file may be on disk just before its line, when a crash comes.
        let crashed = !folder.transcript.is_complete();
        if !names.contains(&name) && !name.starts_with('.') && !crashed {
            bad.push(format!("{name} is in no line of the transcript"));
        }
    }
    let detail = match withheld {
        0 => format!("{} files as they were written", good.len()),
        n => format!("{} files as they were written, {n} not disclosed", good.len()),
    };
    checks.none("CER-050", "the files", &detail, bad);
    good
}

/// A bundle lists every file of its own, reports included.
fn sums(folder: &Folder, checks: &mut Checks) {
    let Ok(text) = std::fs::read_to_string(folder.path.join(SUMS)) else { return };
    let mut bad = Vec::new();
    let mut listed = BTreeSet::from([SUMS.to_owned()]);
    for line in text.lines() {
        let Some((sum, name)) = line.split_once("  ") else {
            bad.push(format!("«{line}» is no line of it"));
            continue;
        };
        let plain = name.strip_prefix("artefacts/").unwrap_or(name);
        let found = (!plain.contains('/')).then(|| std::fs::read(folder.path.join(name)).ok());
        match found.flatten().map(|bytes| hex::encode(openssl::sha::sha256(&bytes))) {
            Some(found) if found == sum => {}
            Some(_) => bad.push(format!("{name} was changed")),
            None => bad.push(format!("{name} is missing")),
        }
        listed.insert(name.to_owned());
    }
    for (folder, prefix) in
        [(folder.path.clone(), ""), (folder.path.join("artefacts"), "artefacts/")]
    {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|e| e.path().is_file()) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if !listed.contains(&name) {
                bad.push(format!("{name} is not listed"));
            }
        }
    }
    checks.none("CER-052", "SHA256SUMS", &format!("{} files", listed.len() - 1), bad);
}

/// A disclosure leaves out what only auditors may have.
fn is_withheld(folder: &Folder, artefact: &Artefact) -> bool {
    folder.transcript.redacted() > 0 && !crate::ceremony::bundle::is_public(&artefact.form)
}

fn signatures(folder: &Folder, files: &BTreeMap<String, Vec<u8>>, checks: &mut Checks) {
    let records = records(folder);
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut whole: Vec<Vec<u8>> = Vec::new();
    let (mut bad, mut count) = (Vec::new(), 0);
    for fact in folder.facts() {
        match fact {
            Fact::ToBeSigned { step, form, tbs, sha256, .. } => {
                let tbs = BASE64.decode(tbs).unwrap_or_default();
                if hex::encode(openssl::sha::sha256(&tbs)) != *sha256 {
                    bad.push(format!("{step}: the bytes to be signed do not have their digest"));
                }
                if found.insert(format!("{step} {form}"), tbs).is_some() {
                    bad.push(format!("{step}: {form} was to be signed twice"));
                }
            }
            Fact::Signature { step, key, signature, .. } => {
                count += 1;
                let signature = BASE64.decode(signature).unwrap_or_default();
                let key = records.get(key.as_str()).copied().and_then(public);
                let good = key.zip(found.get(step)).and_then(|(key, tbs)| {
                    let algorithm = key.kind().default_signature();
                    key.verify(algorithm, tbs, &signature).ok()?;
                    signed(tbs, algorithm, &signature).ok()
                });
                match good {
                    Some(der) => whole.push(der),
                    None => {
                        bad.push(format!("{step}: the signature is not over what was announced"));
                    }
                }
            }
            _ => {}
        }
    }
    for (name, bytes) in files {
        let der = match der::pem::decode_vec(bytes) {
            Ok((_, der)) => der,
            Err(_) => bytes.clone(),
        };
        let form = folder.facts().find_map(|f| match f {
            Fact::Artefact { artefact, .. } if artefact.file == *name => {
                Some(artefact.form.as_str())
            }
            _ => None,
        });
        if matches!(form, Some("certificate" | "crl" | "csr")) && !whole.contains(&der) {
            bad.push(format!("{name} is not what was signed"));
        }
    }
    checks.none(
        "CER-051",
        "signatures",
        &format!("{count} signatures, each over the bytes announced before it"),
        bad,
    );
}

fn certificates(folder: &Folder, files: &BTreeMap<String, Vec<u8>>, checks: &mut Checks) {
    const TITLE: &str = "certificates and CRLs, anew";
    let Some(plan) = &folder.plan else { return };
    let mut all: Vec<Certificate> =
        files.values().filter_map(|b| Certificate::from_pem(b).ok()).collect();
    for fact in folder.facts() {
        if let Fact::Input { form, content, .. } = fact
            && form == "certificate"
        {
            let bytes = BASE64.decode(content).unwrap_or_default();
            all.extend(
                Certificate::from_pem(&bytes).or_else(|_| Certificate::from_der(&bytes)).ok(),
            );
        }
    }
    let (mut bad, mut open, mut count) = (Vec::new(), Vec::new(), 0);
    for fact in folder.facts() {
        let Fact::Artefact { step, artefact } = fact else { continue };
        let Some(bytes) = files.get(&artefact.file) else { continue };
        match artefact.form.as_str() {
            "certificate" => {
                let Ok(certificate) = Certificate::from_pem(bytes) else {
                    bad.push(format!("{} cannot be read", artefact.file));
                    continue;
                };
                count += 1;
                match judge(folder, plan, step, &certificate, &all) {
                    Ok(true) => {}
                    Ok(false) => open.push(artefact.file.clone()),
                    Err(e) => bad.push(format!("{}: {e}", artefact.file)),
                }
            }
            "crl" => {
                count += 1;
                if !all.iter().any(|issuer| PreviousCrl::read(bytes, issuer).is_ok()) {
                    bad.push(format!(
                        "{} verifies with no certificate that is here",
                        artefact.file
                    ));
                }
            }
            "csr" => {
                count += 1;
                let der = der::pem::decode_vec(bytes).map(|(_, der)| der).unwrap_or_default();
                let good =
                    CertificateRequest::from_der(&der).is_ok_and(|r| r.verify_possession().is_ok());
                if !good {
                    bad.push(format!("{}: the requester's signature is wrong", artefact.file));
                }
            }
            _ => {}
        }
    }
    checks.none("CER-060", TITLE, &format!("{count} read, verified and linted again"), bad);
    if !open.is_empty() {
        checks.open(
            "CER-061",
            "issuers that are not here",
            format!("not verified: {}", open.join(", ")),
        );
    }
}

/// Whether a certificate verifies and passes its lints; false where its issuer is not here. One key may
/// have several certificates (links, renewals): one issuer under which everything holds is enough.
fn judge(
    folder: &Folder,
    plan: &Plan,
    step: &str,
    certificate: &Certificate,
    all: &[Certificate],
) -> Result<bool, String> {
    if certificate.verify_signature(certificate.public_key()).is_ok() {
        return lint(folder, plan, step, certificate, None).map(|()| true);
    }
    let issuers = all.iter().filter(|c| {
        c.subject() == certificate.issuer() && certificate.verify_signature(c.public_key()).is_ok()
    });
    let mut results = issuers.map(|i| lint(folder, plan, step, certificate, Some(i)));
    match results.next() {
        None => Ok(false),
        Some(first) => results.fold(first, Result::or).map(|()| true),
    }
}

fn lint(
    folder: &Folder,
    plan: &Plan,
    step: &str,
    certificate: &Certificate,
    issuer: Option<&Certificate>,
) -> Result<(), String> {
    let action = plan.steps.iter().find(|s| s.id == step).map(|s| &s.action);
    let Some((profile, skip)) = action.and_then(|a| profile(plan, a)) else {
        return Err("the plan has no profile for it".into());
    };
    let signer = issuer.unwrap_or(certificate).public_key();
    let identifier = certificate.subject_key_identifier().unwrap_or_default();
    let context = LintContext {
        profile,
        issuer,
        algorithm: signer.kind().default_signature(),
        key_identifier: &identifier,
    };
    let recorded: Vec<&String> = folder
        .facts()
        .filter_map(|f| match f {
            Fact::Lint { step: s, skipped, .. } if s == step => Some(skipped.iter()),
            _ => None,
        })
        .flatten()
        .collect();
    let findings = lint_certificate(certificate, &context).findings.into_iter().filter(|f| {
        let known = recorded.iter().any(|r| r.starts_with(&format!("{}: ", f.lint)));
        let planned =
            skip.iter().any(|s| s == f.lint) || matches!(action, Some(Action::CaRekey(_)));
        !(known && planned)
    });
    let findings: Vec<String> = findings.map(|f| format!("{}: {}", f.lint, f.problem)).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.join("; ")) }
}

fn profile<'p>(
    plan: &'p Plan,
    action: &'p Action,
) -> Option<(&'p CertificateProfile, &'p [String])> {
    let (name, skip) = match action {
        Action::CertSelfSigned(s) => (&s.profile, &s.skip_lints),
        Action::CertIssue(s) => (&s.profile, &s.skip_lints),
        Action::CertCrossSign(s) => (&s.profile, &s.skip_lints),
        Action::CertRenew(s) => (&s.profile, &s.skip_lints),
        Action::CaRekey(s) => (&s.profile, &s.skip_lints),
        _ => return None,
    };
    Some((plan.profiles.get(name)?, skip))
}
