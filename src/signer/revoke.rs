//! What operators ask about certificates and lists: show, revoke, make a list now.

use std::sync::Arc;

use super::crl::{Publisher, ends};
use super::instance::Instance;
use crate::ledger::{
    Actor, Draft, Event, LedgerError, Origin, Outcome, Revocation, TransactionRecord,
    TransactionState,
};
use crate::pki::crl::Crl;
use crate::pki::{Certificate, SerialNumber, name};
use crate::revocation::{Reason, may_follow};
use crate::telemetry::event;
use crate::wire::Peer;
use crate::wire::admin::{self, Change, Response};

/// Answers `chancery cert show`.
pub(super) fn show(instance: &Instance, serial: &str) -> Result<Response, LedgerError> {
    let Ok(serial) = serial.parse::<SerialNumber>() else { return Ok(not_a_serial()) };
    let Some(record) = instance.ledger().by_serial(&serial)? else { return Ok(Response::NotFound) };
    Ok(Response::Certificate(described(instance, &serial, &record)?))
}

/// Answers `chancery cert revoke`: records the new status, then makes a list. A list that cannot be
/// made undoes nothing; it is tried again by itself.
pub(super) async fn revoke(
    instance: &Instance,
    peer: Peer,
    change: Change,
) -> Result<Response, LedgerError> {
    let Ok(serial) = change.serial.parse::<SerialNumber>() else { return Ok(not_a_serial()) };
    let Some(reason) = Reason::from_code(change.reason) else {
        return Ok(Response::Refused(format!("{} is no reason to revoke", change.reason)));
    };
    // Between the look at the status and its change nobody else changes it.
    let turn = instance.status_changes.lock().await;
    let Some(record) = instance.ledger().by_serial(&serial)? else { return Ok(Response::NotFound) };
    if matches!(record.state, TransactionState::Abandoned { .. }) {
        let text = "nothing came of this reservation that anybody received; its serial number is on \
                    the CRL already";
        return Ok(Response::Refused(text.into()));
    }
    if let Err(e) = may_follow(status(instance, &record)?.map(|s| s.reason), reason) {
        return Ok(Response::Refused(format!("the certificate {serial}: {e}")));
    }
    if !change.dry_run {
        let entry = entry(instance, peer, &record, reason, change.comment);
        instance.ledger().append(vec![entry]).await?;
        let issuer = record.reservation.issuer.as_str();
        instance.pipeline.metrics.revoked(&record.reservation.issuer, &reason.to_string());
        log::info!(
            event = event::REVOCATION, ca = issuer, serial = serial.to_string().as_str(),
            reason = reason.to_string().as_str(), uid = peer.uid;
            "{serial}: {reason}"
        );
    }
    drop(turn);
    let certificate = described(instance, &serial, &record)?;
    let publisher = instance.crls.get(record.reservation.issuer.as_str());
    let no_list = change.dry_run || change.list_later;
    let (crl, problem) = match (no_list, publisher) {
        (true, _) | (false, None) => (None, None),
        (false, Some(publisher)) => match publisher.publish(&instance.crl_tools()).await {
            Ok(crl) => (Some(listed(publisher, &crl)), None),
            Err(e) => (None, Some(e.to_string())),
        },
    };
    Ok(Response::StatusChanged { certificate, crl, problem })
}

/// Answers `chancery crl now` and `chancery crl show`.
pub(super) async fn lists(instance: &Instance, ca: Option<&str>, now: bool) -> Response {
    let wanted: Vec<&Arc<Publisher>> = instance
        .crls
        .iter()
        .filter(|(id, _)| ca.is_none_or(|wanted| wanted == &***id))
        .map(|(_, publisher)| publisher)
        .collect();
    let mut found = Vec::new();
    for publisher in wanted {
        let crl = match now {
            true => publisher.publish(&instance.crl_tools()).await.map(Some),
            false => Ok(publisher.published()),
        };
        match crl {
            Ok(Some(crl)) => found.push(listed(publisher, &crl)),
            Ok(None) => {}
            Err(e) => return Response::Refused(format!("{}: {e}", publisher.issuer().id())),
        }
    }
    if found.is_empty() { Response::NotFound } else { Response::Crls(found) }
}

fn not_a_serial() -> Response {
    Response::Refused(
        "a serial number is given in hexadecimal, as the log and openssl show it".into(),
    )
}

/// The last change of a certificate's status.
fn status(
    instance: &Instance,
    record: &TransactionRecord,
) -> Result<Option<Revocation>, LedgerError> {
    let TransactionState::Issued { sequence, .. } = &record.state else { return Ok(None) };
    let certificate = instance.ledger().certificate_at(*sequence)?;
    Ok(certificate.and_then(|c| c.status).map(|(_, status)| status))
}

fn entry(
    instance: &Instance,
    peer: Peer,
    record: &TransactionRecord,
    reason: Reason,
    comment: String,
) -> Draft {
    let serial = record.reservation.serial();
    Draft {
        actor: Actor::Uid(peer.uid),
        origin: peer
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .map_or(Origin::Internal, Origin::Process),
        object: serial.to_string(),
        outcome: Outcome::Success,
        event: Event::Revocation(Revocation {
            serial: serial.content().into(),
            issuer: record.reservation.issuer.clone(),
            reason: reason.code(),
            date: instance.pipeline.clock.now().unix_millis(),
            invalidity: None,
            comment,
        }),
    }
}

pub(super) fn described(
    instance: &Instance,
    serial: &SerialNumber,
    record: &TransactionRecord,
) -> Result<admin::Certificate, LedgerError> {
    let status = status(instance, record)?;
    let der = match &record.state {
        TransactionState::Issued { certificate, .. } => Some(certificate.0.clone()),
        _ => None,
    };
    let read = der.as_deref().and_then(|der| Certificate::from_der(der).ok());
    let hold = Reason::CertificateHold.code();
    let release = Reason::RemoveFromCrl.code();
    let now = instance.pipeline.clock.now();
    let state = match (&record.state, status.as_ref().map(|s| s.reason)) {
        (TransactionState::Reserved, _) => "reserved",
        (TransactionState::Abandoned { .. }, _) => "abandoned",
        (_, Some(reason)) if reason == hold => "on hold",
        (_, Some(reason)) if reason != release => "revoked",
        _ if read.as_ref().is_some_and(|c| now > c.not_after()) => "expired",
        _ => "valid",
    };
    Ok(admin::Certificate {
        serial: serial.to_string(),
        ca: record.reservation.issuer.clone(),
        endpoint: record.reservation.endpoint.clone(),
        profile: record.reservation.profile.clone(),
        subject: read.as_ref().map(|c| name::display(c.subject())).unwrap_or_default(),
        not_after: read.as_ref().map(|c| c.not_after().unix_millis()),
        state: state.into(),
        reason: status.as_ref().and_then(|s| Reason::from_code(s.reason)).map(|r| r.to_string()),
        changed: status.as_ref().map(|s| s.date),
        comment: status.map(|s| s.comment).unwrap_or_default(),
        der,
    })
}

fn listed(publisher: &Publisher, crl: &Crl) -> admin::Crl {
    admin::Crl {
        ca: publisher.issuer().id().into(),
        number: crl.number().unwrap_or_default(),
        this_update: crl.this_update().unix_millis(),
        next_update: ends(crl).unix_millis(),
        entries: crl.revoked().count() as u64,
        der: crl.der().to_vec(),
    }
}
