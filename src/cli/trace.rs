//! `chancery trace`: the story of one transaction, in order, for who is asked why a device has no
//! certificate.

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, output};
use crate::clock::Timestamp;
use crate::telemetry::escaped;
use crate::wire::admin::{Entry, Request, Response};

/// The arguments of `chancery trace`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The transaction ID, as the log shows it
    transaction: String,
    /// The endpoint; all of them without
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
}

/// Asks the signer and prints a line an entry.
pub fn run(arguments: Arguments, common: &Common) -> Result<(), Failure> {
    let Arguments { transaction, endpoint } = arguments;
    let request = Request::Trace { endpoint, transaction: transaction.clone() };
    let entries = match admin::ask(common, request)? {
        Response::Entries(entries) => entries,
        Response::NotFound => return Err(unknown(&transaction)),
        _ => return Err(admin::unexpected()),
    };
    for entry in &entries {
        match common.json {
            true => output::json(&super::ledger::as_json(entry))?,
            false => output::write(&line(entry))?,
        }
    }
    Ok(())
}

/// A transaction that left no entry was refused, or never came here; the journal knows which.
fn unknown(transaction: &str) -> Failure {
    let id = escaped(&transaction, 256);
    Failure::new(
        Exit::Failed,
        format!("there is no story of the transaction {id}"),
        "the ledger has no entry of it: it was refused, or its message never arrived",
        format!(
            "look for the reason in the log, which names what to change on the device: journalctl \
             --namespace='*' CHANCERY_TRANSACTION={id}; refusals are counted in `chancery ledger list`"
        ),
    )
}

fn line(entry: &Entry) -> String {
    let field = |name: &str| {
        let found = entry.fields.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| escaped(value, 200)).unwrap_or_default()
    };
    let what = match entry.event.as_str() {
        "pending" => format!("asked at {}, waits for an officer", field("endpoint")),
        "decision" => match field("reason") {
            reason if reason.is_empty() => field("verdict"),
            reason => format!("{}: {reason}", field("verdict")),
        },
        "reservation" => format!(
            "accepted at {} by {}; {} reserved under the profile {}{}",
            field("endpoint"),
            field("evidence"),
            field("serial"),
            field("profile"),
            match field("replaces") {
                replaced if replaced.is_empty() => String::new(),
                replaced => format!(", in place of entry {replaced}"),
            }
        ),
        "certificate" => "signed, recorded, and answered".to_owned(),
        "abandoned" => format!("given up: {}", field("reason")),
        "revocation" => format!("{} {}", field("reason"), field("comment")),
        other => escaped(&other, 64),
    };
    format!(
        "{}  {:>8}  {:<12} {}  ({}, {})\n",
        Timestamp::from_unix_millis(entry.time),
        entry.sequence,
        escaped(&entry.event, 32),
        what.trim_end(),
        field("actor"),
        field("origin"),
    )
}
