//! The numbers of the lists (RFC 5280 section 5.2.3): each greater than every one before it, also
//! than those that were begun and never published.

use crate::ledger::{Event, Ledger, LedgerError, SignedKind};

/// The greatest number that a list of `issuer` was begun with; none before the first.
pub fn last_number(ledger: &Ledger, issuer: &str) -> Result<Option<u64>, LedgerError> {
    for sequence in ledger.of_event("signing-intent")?.into_iter().rev() {
        let Some(entry) = ledger.entry(sequence)? else { continue };
        if let Event::SigningIntent(intent) = entry.event
            && intent.kind == SignedKind::Crl
            && intent.issuer == issuer
            && let Some(number) = intent.number
        {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The number of the next list, which is also greater than that of the list that is `published`,
/// should the ledger be older (a restored backup).
pub fn next_number(
    ledger: &Ledger,
    issuer: &str,
    published: Option<u64>,
) -> Result<u64, LedgerError> {
    let last = last_number(ledger, issuer)?.max(published);
    Ok(last.map_or(1, |n| n.saturating_add(1)))
}
