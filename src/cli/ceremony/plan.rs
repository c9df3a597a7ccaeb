//! `chancery ceremony plan`, `chancery ceremony words`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::command::{PlanFile, plan_failure};
use crate::ceremony::{document, hold, plan, script, words};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Check a plan, print its digest or its script.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check everything: keys and values, references, the order of the steps, and the lints of all that
    /// would be signed, with throw-away keys
    Check(Check),
    /// Print the SHA-256 of the plan in hexadecimal, in words and as a QR code
    Digest(PlanFile),
    /// Print the script as an HTML page, to be printed
    Script(Script),
}

/// Check a plan.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    plan: PlanFile,
    /// See that this folder can be made for the evidence, too
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Print the script.
#[derive(Debug, Args)]
pub struct Script {
    #[command(flatten)]
    plan: PlanFile,
    /// Mark it as the script of a rehearsal
    #[arg(long)]
    rehearsal: bool,
}

/// Print digests as words.
#[derive(Debug, Args)]
pub struct Words {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print QR codes, too
    #[arg(long)]
    qr: bool,
}

pub fn run(command: &Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Check(Check { plan: file, out }) => {
            if let Some(out) = out {
                free(out)?;
            }
            let plan = hold::check(&file.text()?, &file.base()).map_err(|p| plan_failure(&p))?;
            let (steps, words) = (plan.steps.len(), plan.digest().words());
            if common.json {
                let (title, digest) = (&plan.title, plan.digest().hex());
                return output::json(&serde_json::json!({
                    "good": true, "title": title, "steps": steps, "digest": digest, "words": words,
                }));
            }
            output::write(&format!("{}: {steps} steps, no errors\n{words}\n", plan.title))
        }
        Command::Digest(file) => {
            let digest = plan::PlanDigest::of(&file.text()?);
            let (digest, code) = (digest.0, format!("chancery-plan:{}", digest.hex()));
            print((&file.path, &digest), &code, true, common)
        }
        Command::Script(arguments) => {
            let plan = plan::load(&arguments.plan.text()?).map_err(|p| plan_failure(&p))?;
            output::write(&script::html(&plan, arguments.rehearsal))
        }
    }
}

/// Whether the evidence could be written there.
fn free(out: &Path) -> Result<(), Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        let what = format!("{} cannot take the evidence", out.display());
        Failure::new(Exit::Conflict, what, cause, "name a new folder in one that is there")
    };
    if out.symlink_metadata().is_ok() {
        return Err(failed(&"it is there already, and nothing is overwritten"));
    }
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    rustix::fs::access(parent, rustix::fs::Access::WRITE_OK)
        .map_err(|e| failed(&format!("{}: {e}", parent.display())))
}

pub fn words(arguments: &Words, common: &Common) -> Result<(), Failure> {
    for path in &arguments.files {
        let bytes = std::fs::read(path).map_err(|e| {
            Failure::new(
                Exit::Failed,
                format!("{} cannot be read", path.display()),
                e,
                "see that it is there",
            )
        })?;
        let digest = openssl::sha::sha256(&bytes);
        if !common.json {
            output::write(&format!("{}\n", path.display()))?;
        }
        let code = format!("sha256:{}", hex::encode(digest));
        print((path, &digest), &code, arguments.qr, common)?;
    }
    Ok(())
}

fn print(
    (file, digest): (&Path, &[u8; 32]),
    code: &str,
    qr: bool,
    common: &Common,
) -> Result<(), Failure> {
    let all = words::words(digest);
    if common.json {
        let (file, digest) = (file.display().to_string(), hex::encode(digest));
        return output::json(&serde_json::json!({ "file": file, "sha256": digest, "words": all }));
    }
    let all: Vec<&str> = all.split(' ').collect();
    let lines: Vec<String> = all.chunks(8).map(|l| format!("  {}", l.join(" "))).collect();
    output::write(&format!("  {}\n{}\n", words::grouped_hex(digest), lines.join("\n")))?;
    match document::qr_text(code).filter(|_| qr) {
        Some(picture) => output::write(&format!("{picture}\n")),
        None => Ok(()),
    }
}
