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
    for end in &status.certificates {
        let (ca, what) = (escaped(&end.ca, 64), escaped(&end.what, 32));
        text.push_str(&format!("ends:    {what} of {ca}: {}\n", time(end.not_after)));
    }
    for crl in &status.crls {
        text.push_str(&format!(
            "CRL:     {} {}: {} entries, of {}, good until {}\n",
            escaped(&crl.ca, 64),
            crl.number,
            crl.entries,
            time(crl.this_update),
            time(crl.next_update)
        ));
    }
    for warning in &status.warnings {
        text.push_str(&format!("warning: {}\n", escaped(warning, 300)));
    }
    text
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
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
        "certificates": status.certificates.iter().map(|end| serde_json::json!({
            "ca": end.ca,
            "what": end.what,
            "not_after": time(end.not_after).to_string(),
        })).collect::<Vec<_>>(),
        "crls": status.crls.iter().map(|crl| serde_json::json!({
            "ca": crl.ca,
            "number": crl.number,
            "entries": crl.entries,
            "this_update": time(crl.this_update).to_string(),
            "next_update": time(crl.next_update).to_string(),
        })).collect::<Vec<_>>(),
        "warnings": status.warnings,
    })
}
