//! What is on the list: a function of the ledger alone.

use std::collections::BTreeMap;

use super::Reason;
use crate::clock::Timestamp;
use crate::ledger::{Event, Ledger, LedgerError, Sequence};
use crate::pki::SerialNumber;
use crate::pki::crl::{RevocationReason, RevokedCertificate};

/// Everything of `issuer` that is revoked, by serial number: what somebody revoked and did not
/// release again, the last word counting, and the serials of abandoned reservations, because the key
/// may have signed under them before the signer stopped. An entry stays after the certificate's end
/// (RFC 5280 section 3.3 allows to remove it, and asks for nothing).
pub fn revoked(ledger: &Ledger, issuer: &str) -> Result<Vec<RevokedCertificate>, LedgerError> {
    let mut found = BTreeMap::new();
    for (sequence, abandoned) in ledger.abandoned()? {
        // Of a CRL or another object without a serial.
        if abandoned.serial.is_empty() {
            continue;
        }
        let reserved = ledger.entry(Sequence(abandoned.reservation))?.map(|e| e.event);
        let Some(Event::Reservation(reserved)) = reserved else { continue };
        if reserved.issuer != issuer {
            continue;
        }
        let date = ledger.entry(sequence)?.map_or(Timestamp::from_unix_millis(0), |e| e.time);
        let serial = SerialNumber::from_content(&abandoned.serial);
        let entry = RevokedCertificate {
            serial: serial.clone(),
            revoked: date,
            reason: RevocationReason::Unspecified,
            invalid_since: None,
        };
        found.insert(serial, entry);
    }
    for (_, revocation) in ledger.revocations()? {
        if revocation.issuer != issuer {
            continue;
        }
        let serial = SerialNumber::from_content(&revocation.serial);
        if revocation.reason == Reason::RemoveFromCrl.code() {
            found.remove(&serial);
            continue;
        }
        let entry = RevokedCertificate {
            serial: serial.clone(),
            revoked: Timestamp::from_unix_millis(revocation.date),
            // Revoked for a reason that this version does not know is still revoked.
            reason: RevocationReason::from_code(revocation.reason)
                .unwrap_or(RevocationReason::Unspecified),
            invalid_since: revocation.invalidity.map(Timestamp::from_unix_millis),
        };
        found.insert(serial, entry);
    }
    Ok(found.into_values().collect())
}
