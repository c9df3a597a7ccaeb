//! `chancery cert`: certificates and their status.

use std::io::IsTerminal as _;

use clap::Subcommand;

use super::find::{self, Filters, Format};
use super::many::{self, Many};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request::to_pem;
use crate::cli::{admin, crl, output};
use crate::clock::Timestamp;
use crate::revocation::Reason;
use crate::telemetry::escaped;
pub(super) use crate::wire::admin::Change;
use crate::wire::admin::{Certificate, Request, Response};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a certificate and its status
    Show {
        /// The serial number in hexadecimal
        serial: String,
        /// Print the certificate as PEM, and nothing else
        #[arg(long)]
        pem: bool,
    },
    /// List certificates, a line each, in the order of their issuance
    List {
        #[command(flatten)]
        filters: Filters,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: u64,
    },
    /// Look for certificates
    Search {
        #[command(flatten)]
        filters: Filters,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: u64,
    },
    /// Print certificates for another program; all that are found
    Export {
        #[command(flatten)]
        filters: Filters,
        /// The form
        #[arg(long, value_enum, default_value_t = Format::Pem)]
        format: Format,
    },
    /// Change the status of many certificates; shows them first, and acts with --yes COUNT
    RevokeMany(Many),
    /// Revoke a certificate, for good but for certificateHold, and publish a new CRL
    Revoke {
        /// The serial number in hexadecimal
        serial: String,
        /// Why: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation,
        /// certificateHold, privilegeWithdrawn; removeFromCRL releases a certificateHold
        #[arg(long, value_name = "REASON")]
        reason: Reason,
        /// A few words for the auditor
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Show what would be revoked, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// The longest comment in bytes.
const LONGEST_COMMENT: usize = 1000;

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Show { serial, pem } => show(serial, pem, common),
        Command::List { filters, limit } => find::list(&filters, limit, common),
        Command::Search { filters, limit } => find::search(&filters, limit, common),
        Command::Export { filters, format } => find::export(&filters, format, common),
        Command::RevokeMany(many) => many::run(&many, common),
        Command::Revoke { serial, reason, comment, yes, dry_run } => {
            longest_comment(&comment)?;
            let reason_code = reason.code();
            let change =
                Change { serial, reason: reason_code, comment, dry_run: true, list_later: false };
            revoke(change, reason, yes, dry_run, common)
        }
    }
}

/// Refuses a comment that the ledger's entry should not hold.
pub(super) fn longest_comment(comment: &str) -> Result<(), Failure> {
    if comment.len() <= LONGEST_COMMENT {
        return Ok(());
    }
    let cause = format!("the comment has {} bytes", comment.len());
    let next = format!("take at most {LONGEST_COMMENT}");
    Err(Failure::new(Exit::Usage, "nothing was revoked", cause, next))
}

fn show(serial: String, pem: bool, common: &Common) -> Result<(), Failure> {
    let what = format!("the certificate {} cannot be shown", escaped(&serial, 64));
    let certificate = match admin::ask(common, Request::CertShow { serial })? {
        Response::Certificate(certificate) => certificate,
        Response::NotFound => return Err(not_found(what)),
        _ => return Err(admin::unexpected()),
    };
    match &certificate.der {
        Some(der) if pem => output::write(&to_pem("CERTIFICATE", der)?),
        None if pem => Err(Failure::new(
            Exit::Failed,
            what,
            format!(
                "the reservation is {}; there is no certificate",
                escaped(&certificate.state, 64)
            ),
            "leave --pem out to see what there is",
        )),
        _ if common.json => output::json(&as_json(&certificate)?),
        _ => output::write(&as_text(&certificate)),
    }
}

/// Asks what would be done, asks the person, does it.
fn revoke(
    mut change: Change,
    reason: Reason,
    yes: bool,
    dry_run: bool,
    common: &Common,
) -> Result<(), Failure> {
    if !yes || dry_run {
        let (certificate, ..) = ask(&change, common)?;
        if dry_run && common.json {
            return output::json(&as_json(&certificate)?);
        }
        let text = as_text(&certificate);
        if dry_run {
            return output::write(&text);
        }
        output::note(text.trim_end());
        confirm(reason)?;
    }
    change.dry_run = false;
    let (certificate, list, problem) = ask(&change, common)?;
    if common.json {
        output::json(&serde_json::json!({
            "certificate": as_json(&certificate)?,
            "crl": list.as_ref().map(crl::as_json).transpose()?,
            "problem": problem,
        }))?;
    } else {
        output::write(&as_text(&certificate))?;
        if let Some(list) = &list {
            output::note(&format!("It is on CRL {} of {}.", list.number, escaped(&list.ca, 64)));
        }
    }
    problem.map_or(Ok(()), |problem| {
        Err(Failure::new(
            Exit::Failed,
            "the certificate is revoked, but the new CRL could not be made",
            escaped(&problem, 500),
            "the signer tries again by itself; `chancery crl now` tries at once",
        ))
    })
}

type Done = (Certificate, Option<crate::wire::admin::Crl>, Option<String>);

fn ask(change: &Change, common: &Common) -> Result<Done, Failure> {
    match admin::ask(common, Request::CertRevoke(change.clone()))? {
        Response::StatusChanged { certificate, crl, problem } => Ok((certificate, crl, problem)),
        Response::NotFound => Err(not_found("nothing was revoked".into())),
        _ => Err(admin::unexpected()),
    }
}

fn confirm(reason: Reason) -> Result<(), Failure> {
    let refused = |cause: &str, next: &str| {
        Err(Failure::new(Exit::Failed, "nothing was revoked", cause, next))
    };
    if !std::io::stdin().is_terminal() {
        return refused("there is no terminal to ask at", "say --yes to revoke without a question");
    }
    let question = match reason {
        Reason::CertificateHold => "Suspend this certificate? Type yes:",
        Reason::RemoveFromCrl => "Release this certificate? Type yes:",
        _ => "Revoke this certificate for good? Type yes:",
    };
    output::note(question);
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => refused("the answer was not yes", "run the command again to be asked again"),
    }
}

fn not_found(what: String) -> Failure {
    Failure::new(
        Exit::Failed,
        what,
        "the ledger has no certificate of that serial number",
        "take the serial number from the log, or from openssl x509 -serial",
    )
}

pub(super) fn time(millis: u64) -> String {
    Timestamp::from_unix_millis(millis).to_string()
}

fn as_text(c: &Certificate) -> String {
    let mut lines = vec![
        ("serial", c.serial.clone()),
        ("state", c.state.clone()),
        ("subject", c.subject.clone()),
        ("CA", c.ca.clone()),
        ("endpoint", c.endpoint.clone()),
        ("profile", c.profile.clone()),
    ];
    lines.extend(c.not_after.map(|t| ("not after", time(t))));
    lines.extend(c.reason.clone().map(|r| ("reason", r)));
    lines.extend(c.changed.map(|t| ("changed", time(t))));
    if !c.comment.is_empty() {
        lines.push(("comment", c.comment.clone()));
    }
    let line = |(name, value): (&str, String)| format!("{name}: {}\n", escaped(&value, 2000));
    lines.into_iter().map(line).collect()
}

pub(super) fn as_json(c: &Certificate) -> Result<serde_json::Value, Failure> {
    Ok(serde_json::json!({
        "serial": c.serial,
        "state": c.state,
        "subject": c.subject,
        "ca": c.ca,
        "endpoint": c.endpoint,
        "profile": c.profile,
        "not_after": c.not_after.map(time),
        "reason": c.reason,
        "changed": c.changed.map(time),
        "comment": c.comment,
        "certificate": c.der.as_ref().map(|der| to_pem("CERTIFICATE", der)).transpose()?,
    }))
}
