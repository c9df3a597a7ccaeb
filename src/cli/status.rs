//! `chancery status`: how the signer is, on one screen.

use super::command::Common;
use super::failure::Failure;
use super::{admin, output};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::telemetry::escaped;
use crate::wire::admin::{Request, Response, Status};

/// Asks the signer and shows its answer.
pub fn run(common: &Common) -> Result<(), Failure> {
    let Response::Status(status) = admin::ask(common, Request::Status)? else {
        return Err(admin::unexpected());
    };
    let now = SystemClock.now();
    match common.json {
        true => output::json(&as_json(&status, now)),
        false => output::write(&as_text(&status, now)),
    }
}

fn as_text(status: &Status, now: Timestamp) -> String {
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
    match status.last_backup {
        Some(last) => {
            let since = entries.saturating_sub(last.size);
            let made = time(last.time);
            text.push_str(&format!("backup:  {made}, {} entries; {since} since\n", last.size));
        }
        None => text.push_str("backup:  none\n"),
    }
    if status.epoch > 0 {
        text.push_str(&format!("epoch:   {}: restored from a backup so often\n", status.epoch));
    }
    if let Some(log) = &status.log {
        let size = log.size.map_or_else(|| "none yet".to_owned(), |n| format!("{n} entries"));
        let time = log.signed.map_or_else(String::new, |t| format!(", signed {}", time(t)));
        text.push_str(&format!("log:     checkpoint of {size}{time}\n"));
        for witness in &log.witnesses {
            let cosigned = match witness.size.zip(witness.time) {
                Some((size, seen)) => {
                    format!("cosigned {size} entries, {}", Timestamp::from_unix_millis(seen))
                }
                None => "has cosigned nothing yet".to_owned(),
            };
            text.push_str(&format!("witness: {} {cosigned}\n", escaped(&witness.name, 64)));
        }
    }
    let verification = &status.verification;
    let (done, end) = (verification.done, verification.end);
    text.push_str(&match (&verification.finding, verification.succeeded) {
        (Some(finding), _) => format!("verify:  {}\n", escaped(finding, 300)),
        (None, Some(t)) if done == end => format!("verify:  {end} entries good at {}\n", time(t)),
        (None, _) => format!("verify:  {done} of {end} entries so far\n"),
    });
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
        let left = match days(time(end.not_after), now) {
            0 if now >= time(end.not_after) => "it has ended".to_owned(),
            days => format!("{days} days left"),
        };
        text.push_str(&format!("ends:    {what} of {ca}: {}, {left}\n", time(end.not_after)));
    }
    for crl in &status.crls {
        text.push_str(&format!(
            "CRL:     {} {}: {} entries, of {} ({} h old), good until {}\n",
            escaped(&crl.ca, 64),
            crl.number,
            crl.entries,
            time(crl.this_update),
            now.since(time(crl.this_update)).as_secs() / 3600,
            time(crl.next_update)
        ));
    }
    for warning in &status.warnings {
        text.push_str(&format!("warning: {}\n", escaped(warning, 300)));
    }
    text
}

/// Whole days from `now` to `end`; 0 where that is past.
fn days(end: Timestamp, now: Timestamp) -> u64 {
    end.since(now).as_secs() / 86_400
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn as_json(status: &Status, now: Timestamp) -> serde_json::Value {
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
            "days_left": days(time(end.not_after), now),
        })).collect::<Vec<_>>(),
        "crls": status.crls.iter().map(|crl| serde_json::json!({
            "ca": crl.ca,
            "number": crl.number,
            "entries": crl.entries,
            "this_update": time(crl.this_update).to_string(),
            "next_update": time(crl.next_update).to_string(),
            "age_seconds": now.since(time(crl.this_update)).as_secs(),
        })).collect::<Vec<_>>(),
        "last_backup": status.last_backup.map(|last| serde_json::json!({
            "time": time(last.time).to_string(),
            "entries": last.size,
        })),
        "epoch": status.epoch,
        "verification": {
            "done": status.verification.done,
            "end": status.verification.end,
            "succeeded": status.verification.succeeded.map(|t| time(t).to_string()),
            "finding": status.verification.finding,
        },
        "warnings": status.warnings,
        "log": status.log.as_ref().map(|log| serde_json::json!({
            "verifier": log.verifier,
            "size": log.size,
            "signed": log.signed.map(|t| time(t).to_string()),
            "problem": log.problem,
            "witnesses": log.witnesses.iter().map(|w| serde_json::json!({
                "name": w.name,
                "url": w.url,
                "size": w.size,
                "time": w.time.map(|t| time(t).to_string()),
                "problem": w.problem,
            })).collect::<Vec<_>>(),
        })),
    })
}
