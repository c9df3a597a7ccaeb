//! The numbers of the lists (RFC 5280 section 5.2.3): each greater than every one before it, also
//! than those that were begun and never published.

use crate::ledger::{BackupAction, Event, Ledger, LedgerError, Sequence, SignedKind};

/// What a restore that lost an unknown number of entries adds: more lists than anybody makes.
const UNKNOWN_LOSS: u64 = 1 << 32;

/// The greatest number that a list of `issuer` was begun with; none before the first.
pub fn last_number(ledger: &Ledger, issuer: &str) -> Result<Option<u64>, LedgerError> {
    Ok(last_intent(ledger, issuer)?.map(|(_, number)| number))
}

fn last_intent(ledger: &Ledger, issuer: &str) -> Result<Option<(Sequence, u64)>, LedgerError> {
    for sequence in ledger.of_event("signing-intent")?.into_iter().rev() {
        let Some(entry) = ledger.entry(sequence)? else { continue };
        if let Event::SigningIntent(intent) = entry.event
            && intent.kind == SignedKind::Crl
            && intent.issuer == issuer
            && let Some(number) = intent.number
        {
            return Ok(Some((sequence, number)));
        }
    }
    Ok(None)
}

/// The number of the next list, which is also greater than that of the list that is `published`,
/// should the ledger be older (a restored backup), and than those of the lists that a restore lost:
/// each of them was more than one entry.
pub fn next_number(
    ledger: &Ledger,
    issuer: &str,
    published: Option<u64>,
) -> Result<u64, LedgerError> {
    let last = last_number(ledger, issuer)?.max(published).unwrap_or(0);
    Ok(last.saturating_add(1).saturating_add(lost(ledger, issuer)?))
}

/// How many lists were lost at most in the restores since `issuer` began one.
fn lost(ledger: &Ledger, issuer: &str) -> Result<u64, LedgerError> {
    let restores = ledger.backups(BackupAction::Restored)?;
    if restores.is_empty() {
        return Ok(0);
    }
    let last = last_intent(ledger, issuer)?.map(|(sequence, _)| sequence);
    let since = restores.iter().filter(|r| Some(r.sequence) > last);
    Ok(since.map(|r| r.backup.lost().unwrap_or(UNKNOWN_LOSS)).fold(0, u64::saturating_add))
}
