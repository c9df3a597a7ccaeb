//! The tables of the report.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::ceremony::document::Section;
use crate::ceremony::transcript::{Attributes, Fact, Outcome};
use crate::ceremony::verify::Folder;
use crate::ceremony::words;
use crate::pki::{Certificate, CertificateRequest};

/// Roles and names, or one line that says that they are redacted.
pub(super) fn roll(folder: &Folder) -> Vec<(String, String)> {
    let people = folder.facts().filter_map(|f| match f {
        Fact::Person { role, name } => Some((role.clone(), name.clone())),
        _ => None,
    });
    people.collect()
}

pub(super) fn people(folder: &Folder, section: &mut Section) {
    let rows: Vec<Vec<String>> = roll(folder).into_iter().map(|(r, n)| vec![r, n]).collect();
    if rows.is_empty() {
        section.text("Not disclosed.");
    }
    section.table(&["Role", "Name"], rows);
}

pub(super) fn machine(folder: &Folder, section: &mut Section) {
    let mut rows = Vec::new();
    for fact in folder.facts() {
        match fact {
            Fact::Begin { tool, .. } => {
                rows.push(vec![
                    "Program".into(),
                    format!("chancery {}", tool.version),
                    tool.sha256.clone(),
                ]);
                rows.push(vec!["System".into(), tool.system.clone(), tool.kernel.clone()]);
            }
            Fact::Module { path, sha256, library, .. } => {
                rows.push(vec![
                    "PKCS#11 module".into(),
                    format!("{path}\n{library}"),
                    sha256.clone(),
                ]);
            }
            Fact::Environment { check, found, outcome } => {
                rows.push(vec![check.clone(), found.clone(), outcome_text(*outcome).into()]);
            }
            Fact::Clock { system, wall, difference_s, by } => {
                rows.push(vec![
                    "Clock".into(),
                    format!("computer {}\nwall clock {}", moment(system), moment(wall)),
                    format!("{difference_s} s, compared by {by}"),
                ]);
            }
            _ => {}
        }
    }
    // Tokens of one make share their module.
    rows.dedup();
    section.table(&["What", "Found", "SHA-256 or result"], rows);
}

fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "as it should be",
        Outcome::Failed => "not as it should be; recorded only",
        Outcome::Waived => "not as it should be; waived, see below",
        Outcome::Aborted => "ended",
    }
}

pub(super) fn tokens(folder: &Folder, section: &mut Section) {
    let (mut found, mut inventories) = (Vec::new(), Vec::new());
    for fact in folder.facts() {
        match fact {
            Fact::Token { token, found: f } => found.push(vec![
                token.clone(),
                f.label.clone(),
                f.serial.clone(),
                format!("{}, {}", f.manufacturer, f.model),
                format!("firmware {}, hardware {}", f.firmware, f.hardware),
            ]),
            Fact::Inventory { token, moment, objects, unexpected } => {
                let list = objects.iter().map(|o| format!("{} «{}» {}", o.class, o.label, o.id));
                let list: Vec<String> = list.collect();
                inventories.push(vec![
                    format!("{token}, {moment}"),
                    if list.is_empty() { "empty".into() } else { list.join("\n") },
                    if unexpected.is_empty() {
                        "as expected".into()
                    } else {
                        unexpected.join("\n")
                    },
                ]);
            }
            _ => {}
        }
    }
    if found.is_empty() && inventories.is_empty() {
        section.text("Not disclosed.");
    }
    section.table(&["Token", "Label", "Serial number", "Make", "Versions"], found);
    section.table(&["Inventory", "Objects", "Result"], inventories);
}

pub(super) fn steps(folder: &Folder, section: &mut Section) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut begun: Option<(String, String)> = None;
    for (_, entry) in folder.transcript.entries() {
        match &entry.fact {
            Fact::StepBegin { step, number, action } => {
                begun = Some((format!("{number} {step}\n{action}"), entry.time.clone()));
            }
            Fact::StepEnd { step, outcome, reason } => {
                let (name, from) = begun.take().unwrap_or_else(|| (step.clone(), String::new()));
                let confirmed: Vec<String> = folder
                    .facts()
                    .filter_map(|f| match f {
                        Fact::Confirmation { step: s, by, role, .. } if s == step => {
                            Some(format!("{by} ({role})"))
                        }
                        _ => None,
                    })
                    .collect();
                let result = match outcome {
                    Outcome::Done => "done".to_owned(),
                    _ => format!("stopped: {reason}"),
                };
                rows.push(vec![
                    name,
                    moment(&from),
                    moment(&entry.time),
                    confirmed.join("\n"),
                    result,
                ]);
            }
            _ => {}
        }
    }
    if let Some((name, from)) = begun {
        rows.push(vec![name, moment(&from), String::new(), String::new(), "interrupted".into()]);
    }
    section.table(&["Step", "From (UTC)", "To (UTC)", "Confirmed by", "Result"], rows);
}

pub(super) fn keys(folder: &Folder, section: &mut Section) {
    let mut rows = Vec::new();
    for fact in folder.facts() {
        match fact {
            Fact::Key { key, attributes, differences, .. } => {
                let mut list = grouped(attributes);
                list.extend(differences.iter().map(|d| format!("differs: {d}")));
                let identity = hex::decode(&key.spki_sha256).unwrap_or_default();
                rows.push(vec![
                    format!("{}\n«{}»\n{}, {}", key.key, key.label, key.algorithm, key.purpose),
                    format!("{}\n{}", key.spki_sha256, words::words(&identity)),
                    list.join("\n"),
                ]);
            }
            Fact::KeyFound { key } => rows.push(vec![
                format!("{}\n«{}»\n{}, {}", key.key, key.label, key.algorithm, key.purpose),
                key.spki_sha256.clone(),
                "was there before".into(),
            ]),
            Fact::KeyDestroyed { key, spki_sha256, evidence, copies, .. } => rows.push(vec![
                format!("{key}\nDESTROYED"),
                spki_sha256.clone(),
                [evidence.join("\n"), copies.join("\n")].join("\n"),
            ]),
            Fact::EqualityDrill { key, spki_sha256, result, .. } => {
                rows.push(vec![format!("{key}\nrestored"), spki_sha256.clone(), result.clone()]);
            }
            Fact::SelfTest { key, algorithm, result, .. } => {
                rows.push(vec![format!("{key}\nself-test"), algorithm.clone(), result.clone()]);
            }
            _ => {}
        }
    }
    section.table(&["Key", "SHA-256 of the public key", "As read back, and what was done"], rows);
}

pub(super) fn certificates(folder: &Folder, section: &mut Section) {
    let mut rows = Vec::new();
    for fact in folder.facts() {
        let Fact::Artefact { artefact, .. } = fact else { continue };
        let bytes = std::fs::read(folder.path.join("artefacts").join(&artefact.file)).ok();
        let text = bytes
            .as_deref()
            .map_or_else(|| "not disclosed".into(), |b| described(&artefact.form, b));
        rows.push(vec![
            format!("{}\n{}", artefact.file, artefact.form),
            text,
            artefact.sha256.clone(),
        ]);
    }
    for fact in folder.facts() {
        if let Fact::Input { file, form, sha256, content, .. } = fact {
            let text = described(form, &BASE64.decode(content).unwrap_or_default());
            rows.push(vec![format!("{file}\n{form}, read"), text, sha256.clone()]);
        }
    }
    section.table(&["File", "What it says", "SHA-256"], rows);
}

/// The attributes that are true, those that are false, and the others, a line each.
fn grouped(attributes: &Attributes) -> Vec<String> {
    let with = |value: &str| {
        let all = attributes.iter().filter(|(_, v)| *v == value).map(|(n, _)| n.as_str());
        all.collect::<Vec<_>>().join(", ")
    };
    let others = attributes.iter().filter(|(_, v)| !matches!(v.as_str(), "true" | "false"));
    let mut lines = vec![format!("true: {}", with("true")), format!("false: {}", with("false"))];
    lines.extend(others.map(|(n, v)| format!("{n}: {v}")));
    lines
}

/// A time as a table has it: to the second, in UTC.
pub(super) fn moment(time: &str) -> String {
    time.get(..19).map_or_else(|| time.to_owned(), |t| t.replace('T', " "))
}

fn described(form: &str, bytes: &[u8]) -> String {
    match form {
        "certificate" => {
            match Certificate::from_pem(bytes).or_else(|_| Certificate::from_der(bytes)) {
                Ok(c) => format!(
                    "subject {}\nissuer {}\nserial number {}\nvalid {} to {}\n{}, key {}",
                    crate::pki::name::display(c.subject()),
                    crate::pki::name::display(c.issuer()),
                    c.serial(),
                    c.not_before(),
                    c.not_after(),
                    c.public_key().kind(),
                    hex::encode(c.public_key().fingerprint())
                ),
                Err(e) => format!("cannot be read: {e}"),
            }
        }
        "csr" => {
            let der = der::pem::decode_vec(bytes).map_or_else(|_| bytes.to_vec(), |(_, der)| der);
            CertificateRequest::from_der(&der).map_or_else(
                |e| format!("cannot be read: {e}"),
                |r| {
                    format!(
                        "for {}, {}",
                        crate::pki::name::display(r.subject()),
                        r.public_key().kind()
                    )
                },
            )
        }
        "crl" => openssl::x509::X509Crl::from_der(bytes).map_or_else(
            |_| "cannot be read".into(),
            |crl| {
                let count = crl.get_revoked().map_or(0, openssl::stack::StackRef::len);
                let next = crl.next_update().map(ToString::to_string).unwrap_or_default();
                format!("{count} entries, {} to {next}", crl.last_update())
            },
        ),
        _ => String::new(),
    }
}

pub(super) fn remarks(folder: &Folder, section: &mut Section) {
    let mut rows = Vec::new();
    for (_, entry) in folder.transcript.entries() {
        let time = moment(&entry.time);
        match &entry.fact {
            Fact::Deviation { at, by, text } => {
                rows.push(vec![time, format!("deviation at {at}"), by.clone(), text.clone()]);
            }
            Fact::Break { at, by, text, ended } => {
                let what = if *ended { "break ends" } else { "break begins" };
                rows.push(vec![time, format!("{what} at {at}"), by.clone(), text.clone()]);
            }
            Fact::Waiver { what, reason, by } => {
                rows.push(vec![time, format!("waiver: {what}"), by.clone(), reason.clone()]);
            }
            Fact::Statement { about, by, role, text, .. } => {
                rows.push(vec![time, about.clone(), format!("{by} ({role})"), text.clone()]);
            }
            Fact::Resume { torn_bytes, .. } => {
                rows.push(vec![
                    time,
                    "resumed after an interruption".into(),
                    String::new(),
                    format!("{torn_bytes} bytes of an unfinished line"),
                ]);
            }
            Fact::End { outcome, reason } if *outcome != Outcome::Done => {
                rows.push(vec![time, "ended early".into(), String::new(), reason.clone()]);
            }
            _ => {}
        }
    }
    if rows.is_empty() {
        section.text("None.");
    }
    section.table(&["Time (UTC)", "What", "Who", "What was said"], rows);
}
