//! The snapshot of a rehearsal: every step with its calls, lints and decoded structures, and without what is
//! new each time (keys, serial numbers, times). Two rehearsals of one plan have the same snapshot, so that
//! reviewers read the difference that a change of the plan makes.

use std::fmt::Write as _;

use openssl::x509::{X509, X509Req};

use crate::ceremony::transcript::{Artefact, Fact};
use crate::ceremony::verify::Folder;
use crate::ceremony::words;

/// So many hexadecimal digits in a row are an identifier or a digest that is new each time.
const RANDOM: usize = 16;

/// The snapshot as Markdown.
pub fn snapshot(folder: &Folder) -> String {
    let mut out = String::new();
    for fact in folder.facts() {
        tell(folder, fact, &mut out);
    }
    out
}

fn tell(folder: &Folder, fact: &Fact, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match fact {
        Fact::Begin { title, plan_sha256, steps, .. } => {
            let digest = hex::decode(plan_sha256).unwrap_or_default();
            writeln!(
                out,
                "# Rehearsal snapshot: {title}\n\nPlan of {} steps, SHA-256 {plan_sha256}\n({})\n\n\
                 What is new each time is shown as an ellipsis or left out, and so is the reading of attributes.\n\n## Opening\n",
                steps.len(),
                words::words(&digest)
            )
        }
        Fact::StepBegin { step, number, action } => {
            writeln!(out, "\n## {number}. {step} ({action})\n")
        }
        Fact::Confirmation { role, typed, .. } => {
            writeln!(out, "- confirmed by the role {role}: {typed}")
        }
        // The order in which a token lists its objects is its own.
        Fact::Call { function, .. } if function == "C_GetAttributeValue" => Ok(()),
        Fact::Call { function, detail, result } => {
            let space = if detail.is_empty() { "" } else { " " };
            writeln!(out, "- {function}{space}{}: {result}", stable(detail))
        }
        Fact::Secret { secret, how, .. } => writeln!(out, "- secret {secret}: {how}"),
        Fact::ShareHandedOut { secret, number, .. } => {
            writeln!(out, "- share {number} of {secret} handed out and typed back")
        }
        Fact::Inventory { token, moment, objects, unexpected } => {
            let labels = objects.iter().map(|o| format!("{} «{}»", o.class, o.label));
            let mut labels: Vec<String> = labels.collect();
            labels.sort();
            let odd =
                if unexpected.is_empty() { String::new() } else { "; NOT AS EXPECTED".into() };
            writeln!(out, "- inventory of {token} {moment}: [{}]{odd}", labels.join(", "))
        }
        Fact::Key { key, attributes, differences, .. } => {
            let all: Vec<String> = attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
            writeln!(
                out,
                "- key «{}», {}, {}: {}{}",
                key.label,
                key.algorithm,
                key.purpose,
                all.join(" "),
                differences.iter().map(|d| format!("; differs: {d}")).collect::<String>()
            )
        }
        Fact::SelfTest { algorithm, result, .. } => {
            writeln!(out, "- self-test, {algorithm}: {result}")
        }
        Fact::Lint { moment, passed, findings, skipped, .. } => writeln!(
            out,
            "- lints of the {moment}: {passed} passed{}{}",
            findings.iter().map(|f| format!("; BROKEN {f}")).collect::<String>(),
            skipped.iter().map(|f| format!("; skipped {f}")).collect::<String>()
        ),
        Fact::ToBeSigned { form, key, .. } => writeln!(out, "- to be signed by {key}: {form}"),
        Fact::Signature { algorithm, .. } => writeln!(out, "- signed: {algorithm}"),
        Fact::Artefact { artefact, .. } => {
            writeln!(out, "- written: {} ({})", artefact.file, artefact.form)
                .and_then(|()| out.write_str(&decoded(folder, artefact)))
        }
        Fact::Statement { role, about, text, .. } => {
            writeln!(out, "- the role {role} on {about}: {text}")
        }
        Fact::KeyDestroyed { key, evidence, copies, .. } => {
            let all: Vec<String> = evidence.iter().chain(copies).map(|e| stable(e)).collect();
            writeln!(out, "- key {key} destroyed: {}", all.join("; "))
        }
        Fact::EqualityDrill { key, result, .. } => writeln!(out, "- copy of key {key}: {result}"),
        Fact::StepEnd { outcome, reason, .. } => {
            let outcome = format!("{outcome:?}").to_lowercase();
            writeln!(out, "- {outcome}{}{reason}", if reason.is_empty() { "" } else { ": " })
        }
        Fact::Seal { algorithm, key, .. } => {
            writeln!(out, "\n## Closing\n\n- sealed by {key}, {algorithm}")
        }
        _ => Ok(()),
    };
}

/// Text without identifiers that are new each time.
fn stable(text: &str) -> String {
    let (mut out, mut run) = (String::new(), String::new());
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= RANDOM { "…" } else { &run });
        run.clear();
        out.push(c);
    }
    out.truncate(out.len() - 1);
    out
}

/// A certificate or request as OpenSSL prints it, without keys, numbers and times.
fn decoded(folder: &Folder, artefact: &Artefact) -> String {
    let bytes = std::fs::read(folder.path.join("artefacts").join(&artefact.file));
    let bytes = bytes.unwrap_or_default();
    let (text, days) = match artefact.form.as_str() {
        "certificate" => {
            let Ok(certificate) = X509::from_pem(&bytes) else { return String::new() };
            let days = certificate.not_before().diff(certificate.not_after()).map(|d| d.days);
            (certificate.to_text(), days.ok())
        }
        "csr" => {
            let Ok(request) = X509Req::from_pem(&bytes) else { return String::new() };
            (request.to_text(), None)
        }
        _ => return String::new(),
    };
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let mut out = String::from("\n");
    for line in text.lines().filter(|l| !is_new_each_time(l)) {
        let _ = writeln!(out, "    {}", line.trim_end());
    }
    if let Some(days) = days {
        let _ = writeln!(out, "    Valid for {days} days");
    }
    out.push('\n');
    out
}

/// Lines of OpenSSL's text that hold only bytes, or times.
fn is_new_each_time(line: &str) -> bool {
    let line = line.trim();
    let bytes = line.split(':').all(|b| b.len() <= 2 && b.chars().all(|c| c.is_ascii_hexdigit()));
    let key = line.len() >= 40 && line.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    bytes || key || line.starts_with("Not Before") || line.starts_with("Not After")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_each_time_is_left_out() {
        assert_eq!(stable("key 2fc0b5651c322f78bcb7751e2ca6c66f, CKM_ECDSA"), "key …, CKM_ECDSA");
        assert_eq!(stable("16 bytes, label \"R1-2026\""), "16 bytes, label \"R1-2026\"");
        assert!(is_new_each_time("  04:a1:ff:") && is_new_each_time("Not Before: Jan 1"));
        assert!(!is_new_each_time("X509v3 Key Usage: critical") && !is_new_each_time("CA:TRUE"));
    }
}
