//! `chancery ledger`: `list`, `show` and `checkpoint` here, the others beside.

use clap::Subcommand;

use super::admin::{self, Session};
use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::ledger_source::{Place, Source};
use super::{ledger_export, ledger_key, ledger_proof, ledger_verify, output};
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
        #[command(flatten)]
        place: Place,
    },
    /// Show one entry whole
    Show {
        /// Its sequence number
        sequence: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Print the newest signed checkpoint: what auditors keep
    Checkpoint {
        #[command(flatten)]
        place: Place,
    },
    /// Print the public half of the key that signs the ledger, for `[ledger]` and for auditors
    Key(ledger_key::Arguments),
    /// Verify every entry, signature and index without the HSM, and change nothing
    Verify(ledger_verify::Arguments),
    /// Write a certificate's proof file: that a signed checkpoint covers it, for any other machine
    Proof(ledger_proof::Proof),
    /// Verify a proof file with the log's public key alone, and say what it proves
    VerifyProof(ledger_proof::VerifyProof),
    /// Prove that the ledger of one size is the start of that of another
    Consistency(ledger_proof::Consistency),
    /// Write checkpoint, hashes and entries as files that any tlog-tiles client reads
    Export(ledger_export::Export),
    /// Print new entries as they come
    Watch {
        /// Begin with this sequence number instead of the next one
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
    },
    /// See that this release reads every entry's version, and what there is to migrate
    Migrate(ledger_export::Migrate),
}

/// Runs `command`.
pub fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::List { from, limit, place } => list(from, limit, &place, common),
        Command::Checkpoint { place } => {
            let checkpoint = Source::open(&place, common)?.checkpoint()?;
            match common.json {
                true => output::json(&serde_json::json!({ "checkpoint": checkpoint })),
                false => output::write(&checkpoint),
            }
        }
        Command::Key(arguments) => ledger_key::run(&arguments, common),
        Command::Verify(arguments) => ledger_verify::run(arguments, common),
        Command::Proof(arguments) => ledger_proof::proof(&arguments, common),
        Command::VerifyProof(arguments) => ledger_proof::verify_proof(&arguments, common),
        Command::Consistency(arguments) => ledger_proof::consistency(&arguments, common),
        Command::Export(arguments) => ledger_export::export(&arguments, common),
        Command::Watch { from } => ledger_export::watch(from, common),
        Command::Migrate(arguments) => ledger_export::migrate(&arguments, common),
        Command::Show { sequence, place } => {
            let entries = Source::open(&place, common)?.entries(sequence, 1)?;
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
fn list(mut from: u64, mut limit: u32, place: &Place, common: &Common) -> Result<(), Failure> {
    let source = Source::open(place, common)?;
    while limit > 0 {
        let entries = source.entries(from, limit)?;
        let Some(last) = entries.last() else { break };
        from = last.sequence.saturating_add(1);
        limit = limit.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        for entry in &entries {
            print(entry, common)?;
        }
    }
    Ok(())
}

/// One entry on a line.
pub(super) fn print(entry: &Entry, common: &Common) -> Result<(), Failure> {
    output::write(&match common.json {
        true => format!("{}\n", as_json(entry)),
        false => as_line(entry),
    })
}

/// The end of the ledger as it grows.
pub(super) struct Tail {
    /// The next entry's sequence number.
    pub(super) next: u64,
}

impl Tail {
    /// The entries that have come, some of them at most.
    pub(super) fn more(&mut self, session: &Session) -> Result<Vec<Entry>, Failure> {
        match session.ask(Request::LedgerList { from: self.next, limit: 100 })? {
            Response::Entries(entries) => {
                self.next = entries.last().map_or(self.next, |e| e.sequence.saturating_add(1));
                Ok(entries)
            }
            _ => Err(admin::unexpected()),
        }
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
