//! `chancery import`: what a ceremony left goes to the appliance, and the ceremony's fingerprint into the
//! ledger.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;

use super::ceremony::fingerprint as typed;
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{ledger_key, output, role};
use crate::ceremony::plan::{Action, CertificateKind};
use crate::ceremony::transcript::{Fact, KeyRecord, Mode};
use crate::ceremony::verify::{self, Folder, Verdict};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::ledger::{
    Actor, Ceremony, Draft, Event, Fingerprint, Ledger, Origin, Outcome, Sequence,
};
use crate::pki::{Certificate, PublicKey};
use crate::random::SystemRandom;
use crate::store::{FileStore, StoreOptions};

/// Take over what a ceremony left.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The ceremony's folder or bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The fingerprint on paper, in words or in hexadecimal
    #[arg(long, value_name = "WORDS")]
    fingerprint: String,
    /// The folder for the certificates
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The name of the ledger as a log, the first line of its checkpoints; by default the host's name
    /// and "/ledger"
    #[arg(long, value_name = "NAME")]
    log_name: Option<String>,
    /// Accept a rehearsal, for laboratories
    #[arg(long)]
    rehearsal: bool,
}

/// Verifies the bundle, copies the certificates, prints the configuration, records the ceremony.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    let refused = |exit, cause: &dyn std::fmt::Display| {
        let what = format!("nothing was taken from {}", arguments.bundle.display());
        Failure::new(exit, what, cause, "run chancery ceremony verify on it")
    };
    let paper = typed(&arguments.fingerprint)?;
    let result =
        verify::verify(&arguments.bundle, Some(&paper)).map_err(|e| refused(Exit::Failed, &e))?;
    match result.verdict {
        Verdict::Good => {}
        Verdict::Mismatch => {
            return Err(refused(
                Exit::Integrity,
                &"it does not verify, or the fingerprint is another",
            ));
        }
        Verdict::Incomplete => {
            return Err(refused(Exit::Incomplete, &"the ceremony did not end as planned"));
        }
    }
    let (folder, _) = Folder::read(&arguments.bundle).map_err(|e| refused(Exit::Failed, &e))?;
    let rehearsed =
        folder.facts().any(|f| matches!(f, Fact::Begin { mode, .. } if *mode != Mode::Production));
    if rehearsed && !arguments.rehearsal {
        return Err(refused(
            Exit::Conflict,
            &"it is a rehearsal; --rehearsal takes it for a laboratory",
        ));
    }
    let made = certificates(&folder).map_err(|e| refused(Exit::Failed, &e))?;
    for certificate in &made {
        write(&arguments.to, certificate)?;
    }
    let log = log_section(&folder, arguments.log_name.as_deref())?;
    output::write(&(configuration(&folder, &made, &arguments.to) + &log))?;
    match common.config.exists() {
        true => record(&folder, &paper, &common.load()?),
        false => {
            output::note(
                "There is no configuration yet: import once more when there is one, to record the ceremony in the ledger.",
            );
            Ok(())
        }
    }
}

/// A certificate of the ceremony.
struct Made {
    file: String,
    kind: Option<CertificateKind>,
    bytes: Vec<u8>,
}

/// The certificates that the ceremony made, and those that it was given: an issuing CA's may have come back
/// from an offline root before the ceremony of its RA.
fn certificates(folder: &Folder) -> Result<Vec<Made>, std::io::Error> {
    let plan = folder.plan.as_ref();
    let kind = |step: &str| {
        let plan = plan?;
        let action = &plan.steps.iter().find(|s| s.id == step)?.action;
        let profile = match action {
            Action::CertSelfSigned(s) => &s.profile,
            Action::CertIssue(s) => &s.profile,
            Action::CertRenew(s) => &s.profile,
            _ => return None,
        };
        plan.profiles.get(profile).map(|p| p.kind)
    };
    let mut all: Vec<Made> = Vec::new();
    for fact in folder.facts() {
        match fact {
            Fact::Artefact { step, artefact } if artefact.form == "certificate" => {
                let bytes = std::fs::read(folder.path.join("artefacts").join(&artefact.file))?;
                all.push(Made { file: artefact.file.clone(), kind: kind(step), bytes });
            }
            Fact::Input { file, form, content, .. } if form == "certificate" => {
                let given = plan.and_then(|p| {
                    let found = p.certificates.values().find(|c| c.file == Path::new(file))?;
                    p.profiles.get(&found.profile).map(|profile| profile.kind)
                });
                let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
                let bytes = BASE64.decode(content).map_err(std::io::Error::other)?;
                all.push(Made { file: name.into_owned(), kind: given, bytes });
            }
            _ => {}
        }
    }
    Ok(all)
}

fn write(to: &Path, certificate: &Made) -> Result<(), Failure> {
    let to = to.join(&certificate.file);
    let failed = |e: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("{} cannot be written", to.display()),
            e,
            "see that the folder is there",
        )
    };
    match std::fs::read(&to) {
        Ok(found) if found == certificate.bytes => return Ok(()),
        Ok(_) => {
            let what = format!("{} is there with other content", to.display());
            return Err(Failure::new(
                Exit::Conflict,
                what,
                "nothing is overwritten",
                "name another folder",
            ));
        }
        Err(_) => {}
    }
    std::fs::write(&to, &certificate.bytes).map_err(failed)
}

/// The sections of the configuration that the ceremony's keys and certificates fill.
fn configuration(folder: &Folder, made: &[Made], to: &Path) -> String {
    let keys = records(folder);
    let path = |file: &str| to.join(file).display().to_string();
    let key = |made: &Made| {
        let read =
            Certificate::from_pem(&made.bytes).or_else(|_| Certificate::from_der(&made.bytes));
        let certificate = read.ok()?;
        let wanted = hex::encode(certificate.public_key().fingerprint());
        keys.iter().find(|k| k.spki_sha256 == wanted).copied()
    };
    let line = |k: &KeyRecord| {
        format!("key = {{ token = \"{}\", label = {:?}, id = \"{}\" }}\n", k.token, k.label, k.id)
    };
    let of = |kind| made.iter().filter(move |m| m.kind == Some(kind));
    let mut out =
        String::from("# For the configuration; names of CAs and tokens can be changed.\n");
    let roots: Vec<String> =
        of(CertificateKind::RootCa).map(|m| format!("{:?}", path(&m.file))).collect();
    for issuing in of(CertificateKind::IssuingCa) {
        let Some(record) = key(issuing) else { continue };
        out.push_str(&format!(
            "[ca.issuing]\ncertificate = {:?}\nchain = [{}]\n{}",
            path(&issuing.file),
            roots.join(", "),
            line(record)
        ));
    }
    for (kind, section) in [
        (CertificateKind::RaDecryption, "ra_decryption"),
        (CertificateKind::RaSigning, "ra_signing"),
    ] {
        for certificate in of(kind) {
            let Some(record) = key(certificate) else { continue };
            out.push_str(&format!(
                "[ca.issuing.{section}]\ncertificate = {:?}\n{}",
                path(&certificate.file),
                line(record)
            ));
        }
    }
    out
}

/// The section of the ledger's own key: the one key for logs that the ceremony did not make for its own
/// seal or its messages. Nothing where there is none.
fn log_section(folder: &Folder, name: Option<&str>) -> Result<String, Failure> {
    let plan = folder.plan.as_ref();
    let sealed = plan.and_then(|p| p.seal.as_ref()).map(|seal| seal.key.as_str());
    let exports: Vec<&str> = plan
        .map(|p| p.steps.iter())
        .into_iter()
        .flatten()
        .filter_map(|s| match &s.action {
            Action::Export(export) => Some(export.key.as_str()),
            _ => None,
        })
        .collect();
    let other = |k: &&KeyRecord| {
        k.purpose == "log-sign"
            && Some(k.key.as_str()) != sealed
            && !exports.contains(&k.key.as_str())
    };
    let Some(record) = records(folder).into_iter().find(other) else {
        output::note(
            "The ceremony made no key for the ledger: a signer that is no laboratory needs one (`chancery config \
             explain ledger`).",
        );
        return Ok(String::new());
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = name.map_or_else(|| format!("{host}/ledger"), str::to_owned);
    let unusable = |e: &dyn std::fmt::Display| {
        let what = "the ceremony's key for the ledger cannot be used";
        Failure::new(Exit::Failed, what, e, "run chancery ceremony verify on the bundle")
    };
    let spki = BASE64.decode(&record.spki).map_err(|e| unusable(&e))?;
    let public = PublicKey::from_spki(&spki).map_err(|e| unusable(&e))?;
    let key = ledger_key::named(&name, &public)?;
    let lines = ledger_key::lines(&record.token, &record.label, &record.id, &key);
    Ok(format!("# Add an anchor to it: `chancery config explain ledger`.\n[ledger]\n{lines}"))
}

fn records(folder: &Folder) -> Vec<&KeyRecord> {
    let keys = folder.facts().filter_map(|f| match f {
        Fact::Key { key, .. } | Fact::KeyFound { key } => Some(key),
        _ => None,
    });
    keys.collect()
}

/// Records the ceremony, once. The signer must not run: the ledger has one writer.
fn record(folder: &Folder, fingerprint: &[u8; 32], config: &Config) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Failed,
            "the ceremony was not recorded in the ledger",
            e,
            "stop the signer, run this as its user, and start it again",
        )
    };
    let ledger_dir = config.signer.ledger_dir();
    let owner = ledger_dir.ancestors().find_map(|p| std::fs::metadata(p).ok()).map(|m| m.uid());
    if owner.is_some_and(|uid| uid != rustix::process::geteuid().as_raw()) {
        return Err(failed(&format!("{} is another user's", ledger_dir.display())));
    }
    let store = FileStore::open(StoreOptions::new(ledger_dir), Arc::new(SystemRandom))
        .map_err(|e| failed(&e))?;
    let ledger = Ledger::open(store, Arc::new(SystemClock)).map_err(|e| failed(&e))?;
    let bundle = Fingerprint(*fingerprint);
    let size = ledger.head().size();
    let mut next = 0;
    while next < size {
        let entries = ledger.entries(Sequence(next), 1000).map_err(|e| failed(&e))?;
        let known =
            entries.iter().any(|e| matches!(&e.event, Event::Ceremony(c) if c.bundle == bundle));
        if known {
            output::note("The ledger has this ceremony already.");
            return ledger.close().map_err(|e| failed(&e));
        }
        next += (entries.len() as u64).max(1);
    }
    let deviations = folder
        .facts()
        .filter(|f| matches!(f, Fact::Deviation { .. } | Fact::Waiver { .. }))
        .count();
    let title = folder.facts().find_map(|f| match f {
        Fact::Begin { title, .. } => Some(title.clone()),
        _ => None,
    });
    let event = Ceremony {
        name: title.unwrap_or_default(),
        bundle,
        deviations: if deviations == 0 {
            String::new()
        } else {
            format!("{deviations} deviations or waivers")
        },
    };
    let draft = Draft {
        actor: Actor::Uid(rustix::process::getuid().as_raw()),
        origin: Origin::Process(std::process::id()),
        object: hex::encode(fingerprint),
        outcome: Outcome::Success,
        event: Event::Ceremony(event),
    };
    let appended =
        role::block_on(async { ledger.append(vec![draft]).await.map_err(|e| failed(&e)) })?;
    ledger.close().map_err(|e| failed(&e))?;
    let number = appended.first().map(ToString::to_string).unwrap_or_default();
    output::note(&format!("The ledger's entry {number} records the ceremony."));
    Ok(())
}
