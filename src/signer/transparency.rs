//! The ledger for auditors: entries as they are stored, proofs, tiles. Whoever is not an auditor sees
//! only what a checkpoint covers that was signed and anchored in this run, and entries, which hold
//! personal data, only where the configuration publishes them.

use std::sync::Arc;

use super::checkpoints::{Log, Signed};
use super::instance::Instance;
use crate::clock::Timestamp;
use crate::config::Publish;
use crate::ledger::{Ledger, LedgerError, Sequence, Tile, TransactionState};
use crate::pki::SerialNumber;
use crate::telemetry::event;
use crate::wire::admin::{Consistency, ENTRIES_PART, LedgerPart, Request, Response};
use crate::wire::frontend;

/// The most entries in one answer.
const MOST_ENTRIES: usize = 4096;

/// Answers an auditor, off the threads that serve devices.
pub(super) async fn answer(instance: &Arc<Instance>, request: Request) -> Result<Response, String> {
    let instance = instance.clone();
    let answer = move || match request {
        Request::LedgerRead { from, limit } => read(&instance, from, limit),
        Request::LedgerProof { serial } => proof(&instance, &serial),
        Request::LedgerConsistency { old, new } => {
            let found = consistency(instance.ledger(), old, new)?;
            Ok(found.map_or(Response::NotFound, Response::Consistency))
        }
        Request::LedgerTile { path } => {
            let Some(latest) = latest(&instance) else { return Err(unsigned()) };
            let found = tile(&instance, &path, latest.size).map_err(|e| e.to_string())?;
            Ok(found.map_or(Response::NotFound, Response::Tile))
        }
        _ => Ok(Response::NotFound),
    };
    tokio::task::spawn_blocking(answer).await.unwrap_or_else(|e| Err(e.to_string()))
}

/// Answers the frontend, for anybody.
pub(super) async fn published(
    instance: &Arc<Instance>,
    request: frontend::Request,
) -> frontend::Response {
    use frontend::{Request, Response};
    let Some(latest) =
        anchored(instance).filter(|_| instance.reloads.config().ledger.publish != Publish::Off)
    else {
        return Response::NotPublished;
    };
    let Request::LogTile { path } = request else {
        return Response::LogCheckpoint(cosigned(instance, &latest));
    };
    if path.starts_with("entries/") && instance.reloads.config().ledger.publish != Publish::Entries
    {
        return Response::NotPublished;
    }
    let instance = instance.clone();
    let found = tokio::task::spawn_blocking(move || tile(&instance, &path, latest.size)).await;
    match found {
        Ok(Ok(Some(bytes))) => Response::LogTile(bytes),
        Ok(Ok(None)) => Response::NotPublished,
        Ok(Err(e)) => {
            log::error!(event = event::LEDGER; "a tile of the ledger is not served: {e}");
            Response::Unavailable(format!("a tile of the ledger: {e}"))
        }
        Err(e) => Response::Unavailable(format!("a tile of the ledger: {e}")),
    }
}

fn latest(instance: &Instance) -> Option<Signed> {
    instance.log.as_ref().and_then(Log::latest)
}

/// The newest checkpoint that may leave the host. One of an earlier run may have been kept before the
/// anchors had it.
pub(super) fn anchored(instance: &Instance) -> Option<Signed> {
    latest(instance).filter(|l| l.time > Timestamp::from_unix_millis(0))
}

/// A checkpoint with the cosignatures that there are on it.
pub(super) fn cosigned(instance: &Instance, signed: &Signed) -> String {
    format!("{}{}", signed.note, instance.witnesses.lines(signed.size))
}

fn unsigned() -> String {
    "no checkpoint of the ledger has been signed; `chancery status` says why".into()
}

fn tile(instance: &Instance, path: &str, size: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    Tile::from_path(path).map_or(Ok(None), |tile| instance.ledger().tile(&tile, size))
}

fn read(instance: &Instance, from: u64, limit: u32) -> Result<Response, String> {
    let ledger = instance.ledger();
    if let Some(why @ LedgerError::Store(_)) = ledger.refusal() {
        return Err(why.to_string());
    }
    let size = ledger.head().size();
    let limit = (limit as usize).min(MOST_ENTRIES);
    let mut octets = 0;
    let entries = ledger.stored(Sequence(from), limit).map_err(|e| e.to_string())?;
    let fits = |entry: &Vec<u8>| {
        let first = octets == 0;
        octets += entry.len();
        first || octets <= ENTRIES_PART
    };
    let entries = entries.into_iter().take_while(fits).map(Into::into).collect();
    Ok(Response::LedgerPart(LedgerPart { size, entries }))
}

fn proof(instance: &Instance, serial: &str) -> Result<Response, String> {
    let Some(latest) = latest(instance) else { return Err(unsigned()) };
    let proof = certificate_proof(instance.ledger(), &cosigned(instance, &latest), serial)?;
    Ok(proof.map_or(Response::NotFound, Response::Proof))
}

/// The proof file of the certificate with this serial number (in hexadecimal) under the signed note
/// `checkpoint`; nothing where the ledger knows no such number. The error says why there is none.
pub fn certificate_proof(
    ledger: &Ledger,
    checkpoint: &str,
    serial: &str,
) -> Result<Option<String>, String> {
    let Ok(serial) = serial.parse::<SerialNumber>() else {
        return Err(format!("{serial:?} is no serial number in hexadecimal"));
    };
    let found = ledger.by_serial(&serial).map_err(|e| e.to_string())?;
    let Some(record) = found else { return Ok(None) };
    let TransactionState::Issued { sequence, .. } = record.state else {
        return Err(format!(
            "the serial number {serial} was reserved by entry {}, and no certificate came of it",
            record.sequence
        ));
    };
    let proof = ledger.proof_file(sequence, checkpoint).map_err(|e| e.to_string())?;
    proof.map(Some).ok_or_else(|| {
        format!(
            "entry {sequence} is newer than the newest checkpoint: the next one comes within \
             `checkpoint_interval` of [ledger]"
        )
    })
}

/// The proof that the first `old` entries are the start of the first `new`; nothing where there are
/// fewer.
pub fn consistency(ledger: &Ledger, old: u64, new: u64) -> Result<Option<Consistency>, String> {
    let parts = || -> Result<_, LedgerError> {
        let Some(path) = ledger.consistency(old, new)? else { return Ok(None) };
        let roots = ledger.root_at(old)?.zip(ledger.root_at(new)?);
        Ok(roots.map(|(old_root, new_root)| Consistency { old_root, new_root, path }))
    };
    parts().map_err(|e| e.to_string())
}
