//! `chancery ceremony verify`, `report`, `bundle`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::ceremony::transcript::Level;
use crate::ceremony::verify::{Finding, Folder, Verdict, Verification};
use crate::ceremony::{bundle as bundles, report as reports, verify as verification, words};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Verify a ceremony's folder or bundle.
#[derive(Debug, Args)]
pub struct Verify {
    /// The folder or bundle
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The fingerprint on paper, in words or in hexadecimal
    #[arg(long, value_name = "WORDS")]
    fingerprint: Option<String>,
}

/// Write the report.
#[derive(Debug, Args)]
pub struct Report {
    /// The folder or bundle
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The form
    #[arg(long, value_enum, default_value = "html")]
    format: Format,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// One page that prints well.
    Html,
    /// Markdown.
    Md,
}

/// Make a bundle.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Everything, for auditors
    Create(Folders),
    /// With everything above a level redacted; verifies to the same fingerprint
    Disclose(Disclose),
}

/// From where to where.
#[derive(Debug, Args)]
pub struct Folders {
    /// The ceremony's folder
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The new bundle
    #[arg(value_name = "BUNDLE")]
    to: PathBuf,
}

/// Make a redacted bundle.
#[derive(Debug, Args)]
pub struct Disclose {
    #[command(flatten)]
    folders: Folders,
    /// Who may read it
    #[arg(long, value_enum)]
    level: Audience,
}

/// Who may read a bundle.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Audience {
    /// Everybody.
    Public,
    /// Auditors.
    Auditor,
}

/// A fingerprint as typed: 32 words, or 64 digits.
pub fn fingerprint(text: &str) -> Result<[u8; 32], Failure> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = hex::decode(plain).or_else(|_| words::bytes(text));
    let bytes =
        bytes.and_then(|b| <[u8; 32]>::try_from(b).map_err(|_| "it has not 32 words".to_owned()));
    bytes.map_err(|e| {
        Failure::new(Exit::Usage, "the fingerprint cannot be read", e, "give 32 words or 64 digits")
    })
}

fn read(folder: &Path, fingerprint: Option<&[u8; 32]>) -> Result<Verification, Failure> {
    verification::verify(folder, fingerprint).map_err(|e| {
        let what = format!("{} cannot be verified", folder.display());
        Failure::new(Exit::Failed, what, e, "name the folder that holds transcript.jsonl")
    })
}

pub fn verify(arguments: &Verify, common: &Common) -> Result<(), Failure> {
    let paper = arguments.fingerprint.as_deref().map(fingerprint).transpose()?;
    let result = read(&arguments.folder, paper.as_ref())?;
    let verdict = match result.verdict {
        Verdict::Good => "good",
        Verdict::Mismatch => "mismatch",
        Verdict::Incomplete => "incomplete",
    };
    let hex = result.fingerprint.map(hex::encode);
    if common.json {
        let checks: Vec<_> = result.checks.iter().map(|c| {
            json!({ "id": c.id, "title": c.title, "result": word(c.result), "detail": c.detail })
        }).collect();
        output::json(&json!({ "verdict": verdict, "fingerprint": hex, "checks": checks }))?;
    } else {
        let mut text = String::new();
        for check in &result.checks {
            text.push_str(&format!(
                "{} {:8} {}: {}\n",
                check.id,
                word(check.result),
                check.title,
                check.detail
            ));
        }
        if let Some(fingerprint) = &result.fingerprint {
            text.push_str(&format!("\nFingerprint  {}\n", words::grouped_hex(fingerprint)));
            let all = words::words(fingerprint);
            for line in all.split(' ').collect::<Vec<_>>().chunks(8) {
                text.push_str(&format!("             {}\n", line.join(" ")));
            }
        }
        text.push_str(&format!("Verdict      {verdict}\n"));
        output::write(&text)?;
    }
    let what = format!("{} does not verify", arguments.folder.display());
    match result.verdict {
        Verdict::Good => Ok(()),
        Verdict::Mismatch => {
            let bad = result.checks.iter().filter(|c| c.result == Finding::Bad);
            let bad: Vec<String> = bad.map(|c| format!("{} {}", c.id, c.detail)).collect();
            Err(Failure::new(
                Exit::Integrity,
                what,
                bad.join("; "),
                "do not use what this ceremony made until it is explained",
            ))
        }
        Verdict::Incomplete => {
            let end = result.checks.iter().find(|c| c.id == "CER-090");
            let cause = end.map(|c| c.detail.clone()).unwrap_or_default();
            Err(Failure::new(
                Exit::Incomplete,
                what,
                cause,
                "resume it, or keep it as the record of an aborted ceremony",
            ))
        }
    }
}

const fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Good => "ok",
        Finding::Bad => "MISMATCH",
        Finding::Open => "open",
    }
}

pub fn report(arguments: &Report) -> Result<(), Failure> {
    let result = read(&arguments.folder, None)?;
    let (folder, _) = Folder::read(&arguments.folder).map_err(|e| {
        Failure::new(
            Exit::Integrity,
            "there is no report of a broken transcript",
            e,
            "run chancery ceremony verify",
        )
    })?;
    output::write(&match arguments.format {
        Format::Html => reports::html(&folder, &result),
        Format::Md => reports::markdown(&folder, &result),
    })
}

pub fn bundle(command: &Bundle) -> Result<(), Failure> {
    let (folders, level) = match command {
        Bundle::Create(folders) => (folders, Level::Auditor),
        Bundle::Disclose(Disclose { folders, level: Audience::Public }) => (folders, Level::Public),
        Bundle::Disclose(Disclose { folders, level: Audience::Auditor }) => {
            (folders, Level::Auditor)
        }
    };
    bundles::create(&folders.from, &folders.to, level).map_err(|e| {
        let exit = match &e {
            bundles::BundleError::Unsound(_) => Exit::Integrity,
            _ => Exit::Failed,
        };
        Failure::new(exit, "no bundle was made", e, "name a ceremony's folder and a new one")
    })?;
    output::write(&format!("{}\n", folders.to.display()))
}
