//! `chancery ledger proof|verify-proof|consistency`: what an auditor keeps, and checks elsewhere.

use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::ledger_source::{Place, Source};
use super::ledger_verify::Head;
use super::output;
use crate::ledger::merkle::Hash;
use crate::ledger::note::NoteKey;
use crate::ledger::proof::proves_consistency;
use crate::ledger::proof_file::{self, ProofError};
use crate::ledger::{Entry, Event};
use crate::pki::{Certificate, name};
use crate::signer::load_certificate;
use crate::telemetry::escaped;

/// The arguments of `chancery ledger proof`.
#[derive(Debug, Args)]
pub struct Proof {
    /// The certificate's serial number in hexadecimal
    serial: String,
    /// The file to write, which must not be there yet; without it standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Writes the proof file.
pub fn proof(arguments: &Proof, common: &Common) -> Result<(), Failure> {
    let found = Source::open(&arguments.place, common)?.proof(&arguments.serial)?;
    let Some(file) = found else {
        return Err(Failure::new(
            Exit::Failed,
            format!("{:?} has no proof", arguments.serial),
            "the ledger has no certificate with this serial number",
            "`chancery cert list` shows which there are",
        ));
    };
    match &arguments.out {
        Some(path) => {
            output::write_new(path, &file)?;
            if common.json {
                return output::json(&serde_json::json!({ "file": path.display().to_string() }));
            }
            Ok(())
        }
        None if common.json => output::json(&serde_json::json!({ "proof": file })),
        None => output::write(&file),
    }
}

/// Which log's key verifies.
#[derive(Debug, Args)]
pub struct LogKey {
    /// The log's key as `chancery ledger key` and `chancery status --json` print it; without it the
    /// configuration's `verifier`
    #[arg(long, value_name = "NAME+ID+KEY")]
    key: Option<String>,
}

impl LogKey {
    /// The key that was named; none where none was.
    pub(super) fn named(&self) -> Result<Option<NoteKey>, Failure> {
        let read = |text: &String| {
            NoteKey::from_text(text).map_err(|e| {
                let next = "copy what the CA's operators published, whole";
                Failure::new(Exit::Usage, "--key is no log's key", e, next)
            })
        };
        self.key.as_ref().map(read).transpose()
    }

    fn required(&self, common: &Common) -> Result<NoteKey, Failure> {
        if let Some(key) = self.named()? {
            return Ok(key);
        }
        let from_configuration = common.load().ok().and_then(|c| c.ledger.note_key());
        from_configuration.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "nothing was verified",
                format!("no log's key is known: {} names none", common.config.display()),
                "give the log's key by --key, from a source that you trust",
            )
        })
    }
}

/// The arguments of `chancery ledger verify-proof`.
#[derive(Debug, Args)]
pub struct VerifyProof {
    /// The proof file
    file: PathBuf,
    #[command(flatten)]
    key: LogKey,
    /// The certificate (PEM or DER) that must be the proven one, octet by octet
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// Says what the file proves.
pub fn verify_proof(arguments: &VerifyProof, common: &Common) -> Result<(), Failure> {
    let shown = arguments.file.display();
    let key = arguments.key.required(common)?;
    let text = std::fs::read_to_string(&arguments.file).map_err(|e| {
        Failure::new(Exit::Failed, format!("{shown} cannot be read"), e, "name the proof file")
    })?;
    let refused = |cause: &dyn std::fmt::Display, next: &str| {
        Failure::new(Exit::Integrity, format!("{shown} proves nothing"), cause, next)
    };
    let (entry, checkpoint) = proof_file::verify(&text, &key).map_err(|e| {
        let next = match e {
            ProofError::Checkpoint(_) => {
                "see that the key is this log's, then ask for the proof again"
            }
            _ => "ask for the proof again; if it is the same, tell the CA's auditors",
        };
        refused(&e, next)
    })?;
    let certificate = certificate(&entry);
    if let Some(path) = &arguments.certificate {
        let given = load_certificate(path).map_err(|e| {
            let what = format!("{} cannot be used", path.display());
            Failure::new(Exit::Failed, what, e, "name a certificate in PEM or DER")
        })?;
        if certificate.as_ref().map(Certificate::der) != Some(given.der()) {
            let cause = format!("entry {} is not about {}", entry.sequence, path.display());
            return Err(refused(&cause, "ask for the proof of this certificate's serial number"));
        }
    }
    let size = checkpoint.size;
    let serial = certificate.as_ref().map(|c| c.serial().to_string());
    if common.json {
        return output::json(&serde_json::json!({
            "ok": true,
            "log": checkpoint.origin,
            "sequence": entry.sequence.0,
            "time": entry.time.to_string(),
            "event": entry.event.name(),
            "serial": serial,
            "checkpoint_size": size,
            "checkpoint_root": STANDARD.encode(checkpoint.root),
        }));
    }
    let about = match (&serial, &certificate) {
        (Some(serial), Some(c)) => {
            let subject = name::display(c.subject());
            format!("serial: {serial}\nsubject: {}\n", escaped(&subject, 1000))
        }
        _ => String::new(),
    };
    output::write(&format!(
        "proven: entry {} of the log {} was there when its key signed the checkpoint of {size} entries\n\
         event: {}\ntime: {}, by the signer's clock\n{about}head: {}\n",
        entry.sequence,
        escaped(&checkpoint.origin, 200),
        entry.event.name(),
        entry.time,
        Head { size, root: checkpoint.root },
    ))
}

fn certificate(entry: &Entry) -> Option<Certificate> {
    match &entry.event {
        Event::Certificate(c) => Certificate::from_der(&c.certificate).ok(),
        _ => None,
    }
}

/// The arguments of `chancery ledger consistency`.
#[derive(Debug, Args)]
pub struct Consistency {
    /// The earlier size, or head as it was noted then
    #[arg(value_name = "SIZE[:ROOT]")]
    old: Known,
    /// The later size, or head
    #[arg(value_name = "SIZE[:ROOT]")]
    new: Known,
    #[command(flatten)]
    place: Place,
}

/// A size, and the root where it was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    size: u64,
    root: Option<Hash>,
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(size) => Ok(Self { size, root: None }),
            Err(_) => {
                let head: Head = text.parse()?;
                Ok(Self { size: head.size, root: Some(head.root) })
            }
        }
    }
}

/// Proves that the ledger went on from an earlier size of its.
pub fn consistency(arguments: &Consistency, common: &Common) -> Result<(), Failure> {
    let (old, new) = (arguments.old, arguments.new);
    let failed = |exit, cause: String, next: &str| {
        let what = format!("{} entries are not shown to be the start of {}", old.size, new.size);
        Failure::new(exit, what, cause, next)
    };
    let found = Source::open(&arguments.place, common)?.consistency(old.size, new.size)?;
    let Some(proof) = found else {
        let cause = "the ledger has fewer entries, or the first size is the greater one".to_owned();
        return Err(failed(Exit::Failed, cause, "`chancery ledger checkpoint` shows the size"));
    };
    let next = "keep both heads and the ledger as they are, and tell the CA's auditors";
    for (known, root) in [(old, proof.old_root), (new, proof.new_root)] {
        if known.root.is_some_and(|noted| noted != root) {
            let here = Head { size: known.size, root };
            let cause = format!("the ledger's head of that size is {here}, not the noted one");
            return Err(failed(Exit::Integrity, cause, next));
        }
    }
    if !proves_consistency(old.size, &proof.old_root, new.size, &proof.new_root, &proof.path) {
        return Err(failed(Exit::Integrity, "the proof does not hold".into(), next));
    }
    let path: Vec<String> = proof.path.iter().map(|hash| STANDARD.encode(hash)).collect();
    let heads = [(old, proof.old_root), (new, proof.new_root)]
        .map(|(known, root)| Head { size: known.size, root }.to_string());
    if common.json {
        return output::json(&serde_json::json!({
            "ok": true, "old": heads[0], "new": heads[1], "proof": path,
        }));
    }
    let mut text = format!("consistent: {}\n  with its start: {}\n", heads[1], heads[0]);
    for hash in path {
        text.push_str(&format!("  {hash}\n"));
    }
    output::write(&text)
}
