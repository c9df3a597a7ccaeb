//! `chancery ledger`: `list` and `show` here, `verify` beside.

use clap::Subcommand;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{admin, ledger_verify, output};
use crate::clock::Timestamp;
use crate::telemetry::escaped;
use crate::wire::admin::{Entry, Request, Response};

/// What to show.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List entries, a line each
    List {
        /// The first sequence number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        limit: u32,
    },
    /// Show one entry whole
    Show {
        /// Its sequence number
        sequence: u64,
    },
    /// Verify the ledger's files without the HSM, and change nothing
    Verify(ledger_verify::Arguments),
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::List { from, limit } => list(from, limit, common),
        Command::Verify(arguments) => ledger_verify::run(arguments, common),
        Command::Show { sequence } => {
            let entries = entries(common, Request::LedgerShow { sequence })?;
            let Some(entry) = entries.first() else {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("ledger entry {sequence} cannot be shown"),
                    "the ledger has no entry of that number",
                    "`chancery ledger list` shows which there are",
                ));
            };
            if common.json { output::json(&as_json(entry)) } else { output::write(&as_text(entry)) }
        }
    }
}

/// The signer may send fewer entries than asked for: ask on until there are no more.
fn list(mut from: u64, mut limit: u32, common: &Common) -> Result<(), Failure> {
    while limit > 0 {
        let entries = entries(common, Request::LedgerList { from, limit })?;
        let Some(last) = entries.last() else { break };
        from = last.sequence.saturating_add(1);
        limit = limit.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        for entry in &entries {
            output::write(&match common.json {
                true => format!("{}\n", as_json(entry)),
                false => as_line(entry),
            })?;
        }
    }
    Ok(())
}

fn entries(common: &Common, request: Request) -> Result<Vec<Entry>, Failure> {
    match admin::ask(common, request)? {
        Response::Entries(entries) => Ok(entries),
        Response::NotFound => Ok(Vec::new()),
        _ => Err(admin::unexpected()),
    }
}

fn as_line(entry: &Entry) -> String {
    let mut line = format!(
        "{:>8}  {}  {:<12}",
        entry.sequence,
        Timestamp::from_unix_millis(entry.time),
        escaped(&entry.event, 64)
    );
    for (name, value) in &entry.fields {
        // A line shows what identifies; long values (requests, certificates) are for `show`.
        if value.len() <= 100 {
            line.push_str(&format!(" {}={}", escaped(name, 64), escaped(value, 100)));
        }
    }
    line.push('\n');
    line
}

fn as_text(entry: &Entry) -> String {
    let mut text = format!(
        "sequence: {}\ntime: {}\nevent: {}\n",
        entry.sequence,
        Timestamp::from_unix_millis(entry.time),
        escaped(&entry.event, 64)
    );
    for (name, value) in &entry.fields {
        text.push_str(&format!("{}: {}\n", escaped(name, 64), escaped(value, 64 * 1024)));
    }
    text
}

pub(super) fn as_json(entry: &Entry) -> serde_json::Value {
    let fields: serde_json::Map<String, serde_json::Value> =
        entry.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    serde_json::json!({
        "sequence": entry.sequence,
        "time": Timestamp::from_unix_millis(entry.time).to_string(),
        "event": entry.event,
        "fields": fields,
        "der": hex::encode(&entry.der),
    })
}
