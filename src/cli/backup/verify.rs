//! `chancery backup verify`: the manifest's signature, every file's digest, every entry of the ledger.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::form::{MANIFEST, Opened};
use crate::cli::admin::{Session, unexpected};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::ledger_verify::Head;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::NoteKey;
use crate::ledger::verify::{IssuerKeys, Verified, Verifier};
use crate::ledger::{Fingerprint, Manifest};
use crate::signer::load_certificate;
use crate::store::{FileFault, JournalView, check_files};
use crate::wire::ClientLimits;
use crate::wire::admin::{Request, Response};

/// The arguments of `chancery backup verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The backup: its folder or its .tar file
    path: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Have the running signer record that the backup was verified
    #[arg(long)]
    record: bool,
}

/// What is trusted, and where there is room.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// The log's public key as name+id+key, or a file that holds it; without it the configuration's
    #[arg(long, value_name = "KEY")]
    log_key: Option<String>,
    /// Where a .tar file is unpacked; without it the system's folder for temporary files
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

/// A backup that verified.
pub(super) struct Good {
    pub(super) opened: Opened,
    pub(super) manifest: Manifest,
    /// The manifest's file.
    pub(super) text: String,
    /// The name of the key that signed it; none where nobody did, or whose key is not known.
    pub(super) signed_by: Option<String>,
    verified: Verified,
}

/// Runs the verification to the exit status.
pub fn run(arguments: &Arguments, common: &Common) -> Result<(), Failure> {
    // First, so that nothing is verified for a record that cannot be made.
    let patience = ClientLimits::default().call;
    let session = arguments.record.then(|| Session::open(common, patience)).transpose()?;
    let place = arguments.path.display().to_string();
    let good = verify(&arguments.path, &arguments.trust, common).inspect_err(|failure| {
        if let Some(session) = &session {
            session.tell_failure(false, &place, failure);
        }
    })?;
    if let Some(session) = session {
        let request = Request::BackupVerified { manifest: good.text.clone(), place };
        match session.ask(request)? {
            Response::Done => {}
            _ => return Err(unexpected()),
        }
    }
    let Good { manifest, signed_by, verified, text, .. } = &good;
    let head = Head { size: manifest.size, root: manifest.root };
    if common.json {
        return output::json(&serde_json::json!({
            "ok": true,
            "time": manifest.time.to_string(),
            "software": manifest.software,
            "entries": manifest.size,
            "head": head.to_string(),
            "epoch": manifest.epoch,
            "files": manifest.files.len() + 1,
            "certificates": verified.certificates,
            "signed_by": signed_by,
            "manifest_sha256": Fingerprint::of(text.as_bytes()).to_string(),
        }));
    }
    let signed = match signed_by {
        Some(name) => format!("by {name}"),
        None => "not verified: who can write to the backup can have changed all of it".into(),
    };
    output::write(&format!(
        "the backup is good\nmade:         {} by {}\nentries:      {}\ncertificates: {} signatures checked\n\
         files:        {}\nsigned:       {signed}\nhead:         {head}\n",
        manifest.time,
        manifest.software,
        manifest.size,
        verified.certificates,
        manifest.files.len() + 1,
    ))
}

/// Verifies the backup at `path`.
pub(super) fn verify(path: &Path, trust: &Trust, common: &Common) -> Result<Good, Failure> {
    let key = log_key(trust, common)?;
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if !path.exists() => {
            unable(&format!("{}: {e}", path.display()), "name the backup's folder or .tar file")
        }
        _ => bad(path, &e),
    };
    let opened = Opened::open(path, trust.scratch.as_deref()).map_err(unreadable)?;
    let text = opened.manifest().map_err(|e| bad(path, &e))?;
    let manifest = match &key {
        Some(key) => {
            Manifest::open(&text, key).map_err(|e| bad(path, &format!("{MANIFEST}: {e}")))?
        }
        None => {
            Manifest::read_unverified(&text).map_err(|e| bad(path, &format!("{MANIFEST}: {e}")))?.0
        }
    };
    match check_files(opened.folder(), &manifest.files, MANIFEST) {
        Ok(()) => {}
        Err(FileFault::Unreadable(e)) => return Err(unable(&e, "mend the cause and try again")),
        Err(fault) => return Err(bad(path, &fault)),
    }
    let verified = entries(path, opened.folder(), &manifest, key.as_ref())?;
    let signed_by = key.map(|k| k.name().to_owned());
    Ok(Good { opened, manifest, text, signed_by, verified })
}

fn entries(
    path: &Path,
    folder: &Path,
    manifest: &Manifest,
    key: Option<&NoteKey>,
) -> Result<Verified, Failure> {
    let found = |e: &dyn std::fmt::Display| bad(path, e);
    let view = JournalView::open(folder).map_err(|e| found(&e))?;
    if view.size() != manifest.size || view.torn_bytes() > 0 {
        let (here, said) = (view.size(), manifest.size);
        return Err(found(&format!(
            "its journal has {here} whole entries, its manifest says {said}"
        )));
    }
    let head = |size, root| Checkpoint { origin: String::new(), size, root };
    let mut known = vec![("its manifest".to_owned(), head(manifest.size, manifest.root))];
    if let Some(note) = view.checkpoint() {
        let kept = match key {
            Some(key) => Checkpoint::open(note, key),
            None => Checkpoint::read_unverified(note),
        };
        known.push(("its checkpoint".into(), kept.map_err(|e| found(&e))?));
    }
    let mut verifier = Verifier::new(issuers(path, folder, manifest)?, known, None);
    let mut progress = Progress::new("entries", manifest.size);
    while !verifier.step(&view, manifest.size).map_err(|e| found(&e))? {
        progress.at(verifier.verified().entries);
    }
    drop(progress);
    verifier.finish().map_err(|e| found(&e))
}

/// The keys of the CAs, from the certificates in the backup.
fn issuers(path: &Path, folder: &Path, manifest: &Manifest) -> Result<IssuerKeys, Failure> {
    let name = |path: &str| {
        let name = path.strip_prefix("certificates/")?.strip_suffix("/ca.pem")?;
        Some(name.to_owned())
    };
    let all = manifest.files.iter().filter_map(|f| Some((name(&f.path)?, folder.join(&f.path))));
    all.map(|(name, file)| {
        let certificate = load_certificate(&file).map_err(|e| bad(path, &e))?;
        Ok((name, certificate.public_key().clone()))
    })
    .collect()
}

/// The key that must have signed the manifest; none where nobody names one.
fn log_key(trust: &Trust, common: &Common) -> Result<Option<NoteKey>, Failure> {
    let Some(given) = &trust.log_key else {
        // An auditor's machine has no configuration.
        return if common.config.exists() {
            Ok(common.load()?.ledger.note_key())
        } else {
            Ok(None)
        };
    };
    let unread = |e: &dyn std::fmt::Display| {
        unable(&format!("--log-key {given}: {e}"), "give the key as name+id+key, or its file")
    };
    let text = match given.contains('+') {
        true => given.clone(),
        false => std::fs::read_to_string(given).map_err(|e| unread(&e))?,
    };
    NoteKey::from_text(&text).map(Some).map_err(|e| unread(&e))
}

/// The failure of a backup that is not as it should be.
fn bad(path: &Path, finding: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Integrity,
        format!("the backup {} does not verify", path.display()),
        finding,
        "use another backup; keep this one for whoever looks into it",
    )
}

fn unable(cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(Exit::Failed, "the backup was not verified", cause, next)
}
