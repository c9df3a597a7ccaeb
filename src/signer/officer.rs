//! `chancery request list`, `approve` and `deny` on the signer's side.

use std::sync::Arc;

use super::challenges::origin;
use super::instance::Instance;
use super::waiting::{Stand, expiry, is_current, stand};
use crate::ledger::{
    Actor, Decision, Draft, Event, LedgerError, Outcome, PendingRecord, Sequence, TransactionState,
    Verdict,
};
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::{CertificateRequest, GeneralName, name};
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{Response, WaitingRequest};

/// The most decided requests in one list; of the waiting ones all are shown that fit a message.
const MOST_DECIDED: usize = 1000;
/// The most waiting requests in one list.
const MOST_WAITING: usize = 5000;

/// An officer's word on one request.
pub(super) struct Word {
    pub(super) endpoint: Option<String>,
    pub(super) transaction: String,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

/// Records an officer's word.
pub(super) async fn decide(instance: &Arc<Instance>, peer: Peer, word: Word) -> Response {
    match record(instance, peer, word).await {
        Ok(Some(request)) => Response::Requests(vec![request]),
        Ok(None) => Response::NotFound,
        Err(why) => Response::Refused(why),
    }
}

async fn record(
    instance: &Arc<Instance>,
    peer: Peer,
    word: Word,
) -> Result<Option<WaitingRequest>, String> {
    let text = |e: LedgerError| e.to_string();
    let found = find(instance, word.endpoint.as_deref(), &word.transaction).map_err(text)?;
    let pending = match found.as_slice() {
        [] => return Ok(None),
        [one] => one,
        several => {
            let names: Vec<&str> = several.iter().map(|p| p.pending.endpoint.as_str()).collect();
            return Err(format!("it waits at {}; name one by --endpoint", names.join(", ")));
        }
    };
    let Some(endpoint) = instance.endpoints().get(pending.pending.endpoint.as_str()).cloned()
    else {
        return Err("its endpoint is not in the configuration any more".into());
    };
    match stand(&endpoint, pending, instance.pipeline.clock.now()) {
        Stand::Waiting => {}
        Stand::Overdue => {
            instance.ledger().append(vec![expiry(pending)]).await.map_err(text)?;
            return Err("it has expired; the device has to ask again".into());
        }
        Stand::Approved(entry) => return Err(format!("it was approved by entry {entry}")),
        Stand::Over(_, failure) => {
            return Err(format!("it is decided already: {}", failure.log_text()));
        }
    }
    let decision =
        Decision { pending: pending.sequence.0, verdict: word.verdict, reason: word.reason };
    let draft = Draft {
        actor: Actor::Uid(peer.uid),
        origin: origin(peer),
        object: word.transaction,
        outcome: Outcome::Success,
        event: Event::Decision(decision),
    };
    instance.ledger().append(vec![draft]).await.map_err(text)?;
    let decided = instance.ledger().pending_at(pending.sequence).map_err(text)?;
    let shown = decided.map(|p| show(instance, &p)).transpose().map_err(text)?;
    if let Some(shown) = &shown {
        log::info!(
            event = event::ENROLMENT, endpoint = shown.endpoint.as_str(),
            transaction = shown.transaction.as_str(), outcome = shown.state.as_str(),
            uid = peer.uid;
            "{} by uid {}", shown.state, peer.uid
        );
    }
    Ok(shown)
}

/// The current pending requests of a transaction, one an endpoint; the undecided ones alone where
/// there are any.
fn find(
    instance: &Instance,
    endpoint: Option<&str>,
    transaction: &str,
) -> Result<Vec<PendingRecord>, LedgerError> {
    let mut all = Vec::new();
    for name in instance.endpoints().keys().filter(|n| endpoint.is_none_or(|e| e == &***n)) {
        all.extend(instance.ledger().pending(name, transaction.as_bytes())?);
    }
    if all.iter().any(|p| p.decision.is_none()) {
        all.retain(|p| p.decision.is_none());
    }
    Ok(all)
}

/// The requests that wait, and unless `waiting_only` those that were decided, oldest first.
pub(super) fn list(instance: &Instance, waiting_only: bool) -> Result<Response, LedgerError> {
    let mut sequences = instance.ledger().undecided()?;
    sequences.truncate(MOST_WAITING);
    if !waiting_only {
        let decisions = instance.ledger().of_event("decision")?;
        for decision in decisions.into_iter().rev().take(MOST_DECIDED) {
            if let Some(Event::Decision(d)) = instance.ledger().entry(decision)?.map(|e| e.event) {
                sequences.push(Sequence(d.pending));
            }
        }
        sequences.sort();
        sequences.dedup();
    }
    let mut shown = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        if let Some(record) = instance.ledger().pending_at(sequence)? {
            shown.push(show(instance, &record)?);
        }
    }
    if waiting_only {
        shown.retain(|r| r.state == "pending");
    }
    Ok(Response::Requests(shown))
}

/// A request for people.
pub(super) fn show(
    instance: &Instance,
    record: &PendingRecord,
) -> Result<WaitingRequest, LedgerError> {
    let pending = &record.pending;
    let csr = instance.pipeline.seal.open(&pending.request.sealed).ok();
    let csr = csr.and_then(|der| CertificateRequest::from_der(&der).ok());
    let names = csr.as_ref().and_then(|c| c.extension(SUBJECT_ALT_NAME));
    let names = names.and_then(|e| GeneralName::parse_all(&e.value).ok()).unwrap_or_default();
    let key = csr.as_ref().map(|c| hex::encode(c.public_key().fingerprint()));
    let decided = record.decision.as_ref().map(|(_, _, actor, decision)| {
        let who = super::admin::actor(*actor);
        match decision.reason.as_str() {
            "" => who,
            reason => format!("{who}: {reason}"),
        }
    });
    Ok(WaitingRequest {
        sequence: record.sequence.0,
        time: record.time.unix_millis(),
        endpoint: pending.endpoint.clone(),
        transaction: String::from_utf8_lossy(&pending.transaction).into_owned(),
        subject: csr.as_ref().map(|c| name::display(c.subject())).unwrap_or_default(),
        san: names.iter().map(ToString::to_string).collect(),
        key: key.unwrap_or_default(),
        source: super::admin::origin(record.origin),
        state: state(instance, record)?.into(),
        decided: decided.unwrap_or_default(),
    })
}

/// How a request stands, in a word.
pub(super) fn state(
    instance: &Instance,
    record: &PendingRecord,
) -> Result<&'static str, LedgerError> {
    let pending = &record.pending;
    let reserved = instance.ledger().transaction(&pending.endpoint, &pending.transaction)?;
    let issued = reserved.as_ref().is_some_and(|r| {
        matches!(r.state, TransactionState::Issued { .. })
            && r.reservation.request.digest == pending.request.digest
    });
    if issued && !is_current(record, reserved.as_ref()) {
        return Ok("issued");
    }
    let verdict = record.decision.as_ref().map(|(.., decision)| decision.verdict);
    let now = instance.pipeline.clock.now();
    let endpoints = instance.endpoints();
    let endpoint = endpoints.get(pending.endpoint.as_str());
    Ok(match (endpoint.map(|e| stand(e, record, now)), verdict) {
        (_, Some(Verdict::Denied)) => "denied",
        (Some(Stand::Waiting) | None, None) => "pending",
        (Some(Stand::Approved(_)) | None, Some(Verdict::Approved)) => "approved",
        _ => "expired",
    })
}
