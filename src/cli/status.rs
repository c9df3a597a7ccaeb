//! `chancery status`: how the signer is, on one screen.

use super::command::Common;
use super::failure::Failure;
use super::{admin, output};
use crate::clock::Timestamp;
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response, Status};

/// Asks the signer and shows its answer.
pub fn run(common: &Common) -> Result<(), Failure> {
    let Response::Status(status) = admin::ask(common, Request::Status)? else {
        return Err(admin::unexpected());
    };
    if common.json { output::json(&as_json(&status)) } else { output::write(&as_text(&status)) }
}

fn as_text(status: &Status) -> String {
    let started = Timestamp::from_unix_millis(status.started);
    let entries = status.ledger_sequence.map_or(0, |last| last.saturating_add(1));
    let state = match &status.maintenance {
        Some(why) => format!("signs nothing: {}", escaped(why, 500)),
        None => "in service".to_owned(),
    };
    let mut text = format!(
        "signer:  chancery {}, since {started}\nstate:   {state}\nqueue:   {} waiting\nledger:  {entries} entries\n",
        escaped(&status.version, 40),
        status.queued,
    );
    for token in &status.tokens {
        text.push_str(&format!(
            "token:   {} \"{}\" (serial number {}): {} operations, {} failed\n",
            escaped(&token.name, 64),
            escaped(&token.label, 64),
            escaped(&token.serial, 64),
            token.operations,
            token.errors
        ));
    }
    text
}

fn as_json(status: &Status) -> serde_json::Value {
    let tokens = status.tokens.iter().map(|token| {
        serde_json::json!({
            "name": token.name,
            "label": token.label,
            "serial": token.serial,
            "operations": token.operations,
            "errors": token.errors,
        })
    });
    serde_json::json!({
        "version": status.version,
        "started": Timestamp::from_unix_millis(status.started).to_string(),
        "maintenance": status.maintenance,
        "queued": status.queued,
        "ledger_sequence": status.ledger_sequence,
        "tokens": tokens.collect::<Vec<_>>(),
    })
}
