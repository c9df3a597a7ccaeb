//! Looking for certificates in the ledger: by an index where one helps, else entry by entry, in pages
//! of bounded work so that no search holds the signer up.

use std::time::Duration;

use super::admin::origin;
use super::instance::Instance;
use super::revoke::described;
use crate::clock::Timestamp;
use crate::ledger::{Event, LedgerError, Sequence, TransactionRecord};
use crate::pki::extension::SUBJECT_ALT_NAME;

use crate::pki::{Certificate, GeneralName, SerialNumber};
use crate::wire::admin::{self, CertificateFilter, CertificatePage, Cursor, Response};

/// The most entries that one page looks at.
const MOST_ENTRIES: usize = 5_000;

/// The most certificates on a page.
const MOST_FOUND: usize = 500;

/// Answers `chancery cert list`, `search` and `export`.
pub(super) fn search(
    instance: &Instance,
    filter: &CertificateFilter,
    from: Option<Cursor>,
) -> Result<Response, LedgerError> {
    let page = match (&filter.fingerprint, filter.expiring, from) {
        (Some(fingerprint), ..) => by_fingerprint(instance, filter, fingerprint)?,
        (None, Some(within), from) => expiring(instance, filter, within, from)?,
        (None, None, Some(Cursor::Entry(from))) => scan(instance, filter, from)?,
        (None, None, _) => scan(instance, filter, 0)?,
    };
    Ok(Response::CertificatePage(page))
}

fn by_fingerprint(
    instance: &Instance,
    filter: &CertificateFilter,
    wanted: &str,
) -> Result<CertificatePage, LedgerError> {
    let mut certificates = Vec::new();
    let mut bytes = [0; 32];
    if hex::decode_to_slice(wanted.replace(':', ""), &mut bytes).is_ok()
        && let Some(record) = instance.ledger().by_fingerprint(&bytes)?
    {
        certificates.extend(checked(instance, filter, &record.certificate, record.time)?);
    }
    Ok(CertificatePage { certificates, next: None })
}

/// In the order of their ends.
fn expiring(
    instance: &Instance,
    filter: &CertificateFilter,
    within: u64,
    from: Option<Cursor>,
) -> Result<CertificatePage, LedgerError> {
    let now = instance.pipeline.clock.now();
    let from = match from {
        Some(Cursor::End(second)) => Timestamp::from_unix_seconds(second),
        _ => now,
    };
    // The index is by seconds, and the end itself is meant too.
    let end = now.after(Duration::from_millis(within)).after(Duration::from_secs(1));
    let found = instance.ledger().expiring(from, end, MOST_FOUND)?;
    let ends: Vec<u64> = found
        .iter()
        .filter_map(|r| Certificate::from_der(&r.certificate).ok())
        .map(|c| c.not_after().unix_seconds())
        .collect();
    // The last second on a full page may go on: it belongs to the next page, unless it is all of it.
    let next = match (ends.first(), ends.last()) {
        (Some(first), Some(last)) if found.len() == MOST_FOUND => {
            Some(if first == last { last.saturating_add(1) } else { *last })
        }
        _ => None,
    };
    let mut certificates = Vec::new();
    for (record, end) in found.iter().zip(&ends) {
        if next != Some(*end) {
            certificates.extend(checked(instance, filter, &record.certificate, record.time)?);
        }
    }
    Ok(CertificatePage { certificates, next: next.map(Cursor::End) })
}

/// Entry by entry.
fn scan(
    instance: &Instance,
    filter: &CertificateFilter,
    from: u64,
) -> Result<CertificatePage, LedgerError> {
    let mut at = from;
    let mut certificates = Vec::new();
    while certificates.len() < MOST_FOUND && (at - from) < MOST_ENTRIES as u64 {
        let entries = instance.ledger().entries(Sequence(at), 256)?;
        let Some(last) = entries.last() else {
            return Ok(CertificatePage { certificates, next: None });
        };
        at = last.sequence.0.saturating_add(1);
        for entry in &entries {
            if let Event::Certificate(c) = &entry.event {
                certificates.extend(checked(instance, filter, &c.certificate, entry.time)?);
            }
        }
    }
    Ok(CertificatePage { certificates, next: Some(Cursor::Entry(at)) })
}

/// The certificate as it is shown, where it is wanted.
fn checked(
    instance: &Instance,
    filter: &CertificateFilter,
    der: &[u8],
    recorded: Timestamp,
) -> Result<Option<admin::Certificate>, LedgerError> {
    let recorded = recorded.unix_millis();
    if filter.issued_from.is_some_and(|from| recorded < from)
        || filter.issued_to.is_some_and(|to| recorded >= to)
    {
        return Ok(None);
    }
    let Ok(certificate) = Certificate::from_der(der) else { return Ok(None) };
    let serial: &SerialNumber = certificate.serial();
    let Some(record) = instance.ledger().by_serial(serial)? else { return Ok(None) };
    if !has_names(filter, &certificate) || !is_of(filter, &record) {
        return Ok(None);
    }
    let shown = described(instance, serial, &record)?;
    let wanted = same(filter.state.as_deref(), &shown.state)
        && contains(filter.subject.as_deref(), &shown.subject);
    Ok(wanted.then_some(shown))
}

fn has_names(filter: &CertificateFilter, certificate: &Certificate) -> bool {
    if let Some(wanted) = &filter.ski {
        let wanted = wanted.replace(':', "").to_ascii_lowercase();
        if certificate.subject_key_identifier().map(hex::encode) != Some(wanted) {
            return false;
        }
    }
    let Some(wanted) = filter.san.as_deref() else { return true };
    let names = certificate.extension(SUBJECT_ALT_NAME);
    let names = names.and_then(|e| GeneralName::parse_all(&e.value).ok()).unwrap_or_default();
    names.iter().any(|name| contains(Some(wanted), &name.to_string()))
}

fn is_of(filter: &CertificateFilter, record: &TransactionRecord) -> bool {
    let reservation = &record.reservation;
    let transaction = filter.transaction.as_deref();
    same(filter.ca.as_deref(), &reservation.issuer)
        && same(filter.endpoint.as_deref(), &reservation.endpoint)
        && same(filter.profile.as_deref(), &reservation.profile)
        && transaction.is_none_or(|wanted| *reservation.transaction == *wanted.as_bytes())
        && same(filter.source.as_deref(), &origin(record.origin))
}

fn same(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn contains(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| found.to_lowercase().contains(&wanted.to_lowercase()))
}
