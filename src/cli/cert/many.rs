//! `chancery cert revoke-many`: the same change for many certificates. Without `--yes COUNT` it only
//! shows what it would do.

use std::path::{Path, PathBuf};

use super::command::{Change, as_json, longest_comment};
use super::find::{self, Filters};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::cli::{admin, output};
use crate::revocation::Reason;
use crate::telemetry::escaped;
use crate::wire::admin::{Certificate, Request, Response};

/// The arguments of `chancery cert revoke-many`.
#[derive(Debug, clap::Args)]
pub struct Many {
    /// A file with one serial number a line, instead of filters; "#" begins a comment
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Why, as for `cert revoke`
    #[arg(long, value_name = "REASON")]
    reason: Reason,
    /// A few words for the auditor
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Do it, to exactly so many certificates; without it nothing is changed
    #[arg(long, value_name = "COUNT")]
    yes: Option<usize>,
    #[command(flatten)]
    filters: Filters,
}

/// Shows or does it.
pub fn run(many: &Many, common: &Common) -> Result<(), Failure> {
    longest_comment(&many.comment)?;
    let found = wanted(many, common)?;
    let Some(count) = many.yes else {
        for certificate in &found {
            match common.json {
                true => output::json(&as_json(certificate)?)?,
                false => output::write(&format!(
                    "{} {:<8} {}\n",
                    certificate.serial,
                    escaped(&certificate.state, 16),
                    escaped(&certificate.subject, 500)
                ))?,
            }
        }
        output::note(&format!(
            "Nothing was changed. To change the status of these {} certificates to {}, add --yes {}.",
            found.len(),
            many.reason,
            found.len()
        ));
        return Ok(());
    };
    if count != found.len() {
        return Err(Failure::new(
            Exit::Conflict,
            "nothing was revoked",
            format!("--yes says {count}, and {} certificates are found now", found.len()),
            "run it without --yes to see which they are, then give their number",
        ));
    }
    change_all(many, &found, common)
}

fn wanted(many: &Many, common: &Common) -> Result<Vec<Certificate>, Failure> {
    let mut found = Vec::new();
    match (&many.file, many.filters.is_empty()) {
        (Some(_), false) => Err(usage("a file and filters are given at once", "give one of them")),
        (None, true) => {
            Err(usage("nothing says which", "give --file or a filter such as --profile"))
        }
        (Some(file), true) => {
            for serial in serials(file)? {
                match admin::ask(common, Request::CertShow { serial: serial.clone() })? {
                    Response::Certificate(certificate) => found.push(certificate),
                    Response::NotFound => {
                        let cause = format!("{} is in no entry", escaped(&serial, 64));
                        return Err(usage(&cause, "take it out of the file"));
                    }
                    _ => return Err(admin::unexpected()),
                }
            }
            Ok(found)
        }
        (None, false) => {
            find::each(&many.filters, u64::MAX, common, |certificate| {
                // What is revoked for good already needs nothing.
                if ["valid", "on hold", "expired"].contains(&certificate.state.as_str()) {
                    found.push(certificate.clone());
                }
                Ok(())
            })?;
            Ok(found)
        }
    }
}

fn serials(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| usage(&format!("{}: {e}", file.display()), "name another file"))?;
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

/// One change after the other, then the lists. What is done stays done; what failed is told.
fn change_all(many: &Many, found: &[Certificate], common: &Common) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut progress = Progress::new("certificates", found.len() as u64);
    for (certificate, done) in found.iter().zip(1..) {
        let change = Change {
            serial: certificate.serial.clone(),
            reason: many.reason.code(),
            comment: many.comment.clone(),
            dry_run: false,
            list_later: true,
        };
        match admin::ask(common, Request::CertRevoke(change)) {
            Ok(Response::StatusChanged { .. }) if common.json => {
                let (serial, reason) = (&certificate.serial, many.reason.to_string());
                output::json(&serde_json::json!({ "serial": serial, "reason": reason }))?;
            }
            Ok(Response::StatusChanged { .. }) => {
                output::write(&format!("{} {}\n", certificate.serial, many.reason))?;
            }
            Ok(Response::NotFound) => problems.push(format!("{}: not found", certificate.serial)),
            Ok(_) => return Err(admin::unexpected()),
            Err(e) => problems.push(format!("{}: {e}", certificate.serial)),
        }
        progress.at(done);
    }
    drop(progress);
    if let Err(e) = admin::ask(common, Request::CrlNow { ca: None }) {
        problems.push(format!("no new CRL: {e}"));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Incomplete,
            "not all of them were revoked",
            problems.join("\n  "),
            "mend the causes and run it again: those that are revoked are left out",
        )),
    }
}

fn usage(cause: &str, next: &str) -> Failure {
    Failure::new(Exit::Usage, "nothing was revoked", cause, next)
}
