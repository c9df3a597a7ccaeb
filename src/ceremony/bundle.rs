//! Evidence in one folder, and its disclosure: the whole ceremony for auditors, or with everything above a
//! level redacted. A disclosure verifies to the same fingerprint.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::transcript::{Fact, Level, LineError, redact};
use super::verify::{Folder, FolderError};
use super::{report, verify};

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The ceremony's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A line cannot be written.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A file.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The folder does not verify.
    #[error("the ceremony's folder does not verify: {0}; a bundle of it would be no evidence")]
    Unsound(String),
}

/// Whether files of this form may be shown to everybody. What a backup or an exchange holds may not.
pub fn is_public(form: &str) -> bool {
    matches!(form, "certificate" | "crl" | "csr")
}

/// Makes a bundle of the ceremony at `from` in the new folder `to`, with everything above `level`
/// redacted.
pub fn create(from: &Path, to: &Path, level: Level) -> Result<(), BundleError> {
    let verification = verify::verify(from, None)?;
    if verification.verdict == verify::Verdict::Mismatch {
        let bad = verification.checks.iter().filter(|c| c.result == verify::Finding::Bad);
        let bad: Vec<String> = bad.map(|c| format!("{} {}", c.id, c.detail)).collect();
        return Err(BundleError::Unsound(bad.join("; ")));
    }
    let (folder, _) = Folder::read(from)?;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| BundleError::File { path, cause }
    };
    fs::create_dir(to).map_err(failed(to))?;
    let artefacts = to.join("artefacts");
    fs::create_dir(&artefacts).map_err(failed(&artefacts))?;
    let mut sums = Vec::new();
    let mut put = |name: String, bytes: &[u8]| {
        let path = to.join(&name);
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed(&path))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(&path))?;
        sums.push((name, hex::encode(openssl::sha::sha256(bytes))));
        Ok::<_, BundleError>(())
    };
    put("transcript.jsonl".into(), redact(&folder.transcript, level)?.as_bytes())?;
    put("plan.toml".into(), folder.plan_text.clone().unwrap_or_default().as_bytes())?;
    for fact in folder.facts() {
        if let Fact::Artefact { artefact, .. } = fact
            && (level == Level::Auditor || is_public(&artefact.form))
        {
            let path = from.join("artefacts").join(&artefact.file);
            let bytes = fs::read(&path).map_err(failed(&path))?;
            put(format!("artefacts/{}", artefact.file), &bytes)?;
        }
    }
    // The report is made from the bundle itself, so that it says no more than the bundle.
    let (disclosed, _) = Folder::read(to)?;
    let verification = verify::verify(to, None)?;
    put("report.html".into(), report::html(&disclosed, &verification).as_bytes())?;
    put("report.md".into(), report::markdown(&disclosed, &verification).as_bytes())?;
    sums.sort();
    let mut text = String::new();
    for (name, sum) in sums {
        let _ = writeln!(text, "{sum}  {name}");
    }
    let path = to.join("SHA256SUMS");
    fs::write(&path, text).map_err(failed(&path))
}
