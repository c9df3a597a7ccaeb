//! The entries behind the newest signed head, held against every rule before a start goes on from them:
//! the next checkpoint would sign whatever stands there. What the rules must know of the entries before
//! comes from the indexes, so that it takes no longer as the ledger grows.

use super::{Finding, FindingKind, IssuerKeys, Open, PART, Use, Verified, Verifier};
use crate::ledger::draft_rules::read_entry;
use crate::ledger::index::{digest_key, one_time_challenges, transaction_key};
use crate::ledger::merkle::Frontier;
use crate::ledger::{
    Entry, Event, Fingerprint, Index, Key, LedgerError, Reservation, Store, StoreError,
};

/// Verifies the entries behind the first `signed`, which a known head covers and which are taken as
/// they are. Certificates of issuers that nobody knows are counted.
///
/// Errors: [`StoreError::Damaged`] names the first entry that breaks a rule.
pub fn check_tail<S: Store>(
    store: &S,
    signed: &Frontier,
    issuers: IssuerKeys,
) -> Result<Verified, LedgerError> {
    let mut verifier = Verifier::new(issuers, Vec::new(), None).passing_unknown_issuers();
    verifier.frontier = signed.clone();
    Past { store, size: signed.size() }.teach(&mut verifier)?;
    let failed = |finding: Finding| match finding.kind {
        FindingKind::Damaged => LedgerError::Store(StoreError::Damaged(finding.to_string())),
        _ => LedgerError::Distrusted(format!("{finding}; {}", finding.remedy())),
    };
    while !verifier.step(store, store.size()).map_err(failed)? {}
    let verified = verifier.finish().map_err(failed)?;
    if verified.root != store.frontier().root() {
        let why = "the hashes of its newest entries are not those of the entries".to_owned();
        return Err(StoreError::Damaged(why).into());
    }
    Ok(verified)
}

/// The entries of which nothing is verified again.
struct Past<'a> {
    store: &'a dyn Store,
    size: u64,
}

impl Past<'_> {
    /// Tells `verifier` all that the entries behind these refer to.
    fn teach(&self, verifier: &mut Verifier) -> Result<(), LedgerError> {
        // Where no head is known the verifier sees every entry itself.
        let Some(last) = self.size.checked_sub(1) else { return Ok(()) };
        verifier.last_time = read_entry(self.store, last)?.time;
        let mut next = self.size;
        loop {
            let entries = self.store.read(next, PART)?;
            if entries.is_empty() {
                return Ok(());
            }
            next += entries.len() as u64;
            // One that cannot be read is found when it is its turn.
            for entry in entries.iter().filter_map(|bytes| Entry::decode(bytes).ok()) {
                match &entry.event {
                    Event::Reservation(r) => self.like(r, verifier)?,
                    Event::Certificate(c) => self.write_ahead(c.reservation, verifier)?,
                    Event::Abandoned(a) => self.write_ahead(a.reservation, verifier)?,
                    Event::SignedObject(s) => self.write_ahead(s.intent, verifier)?,
                    _ => {}
                }
            }
        }
    }

    /// The reservations with something that a later one, `r`, may not have again.
    fn like(&self, r: &Reservation, verifier: &mut Verifier) -> Result<(), LedgerError> {
        let serial = digest_key(&r.serial);
        for (_, old) in self.reservations(Index::Serial, &serial)? {
            if old.serial == r.serial {
                verifier.serials.insert(serial);
            }
        }
        let transaction = transaction_key(&r.endpoint, &r.transaction);
        for (sequence, old) in self.reservations(Index::Transaction, &transaction)? {
            if (&old.endpoint, &old.transaction) == (&r.endpoint, &r.transaction) {
                self.write_ahead(sequence, verifier)?;
            }
        }
        for mac in one_time_challenges(&r.evidence) {
            let key = digest_key(mac);
            for (reservation, old) in self.reservations(Index::Challenge, &key)? {
                let transaction = transaction_key(&old.endpoint, &old.transaction);
                let request = old.request.digest;
                verifier.challenges.insert(key, Use { reservation, transaction, request });
                self.write_ahead(reservation, verifier)?;
            }
        }
        r.replaces.map_or(Ok(()), |replaced| self.write_ahead(replaced, verifier))
    }

    /// The write-ahead entry `sequence`, and what has come of it.
    fn write_ahead(&self, sequence: u64, verifier: &mut Verifier) -> Result<(), LedgerError> {
        if sequence >= self.size {
            return Ok(());
        }
        let open = match read_entry(self.store, sequence)?.event {
            Event::Reservation(r) => {
                let transaction = transaction_key(&r.endpoint, &r.transaction);
                for about in self.before(Index::Serial, &digest_key(&r.serial))? {
                    let about = read_entry(self.store, about)?;
                    match about.event {
                        Event::Certificate(c) if c.reservation == sequence => {
                            let latest = verifier.issued.entry(transaction).or_insert(about.time);
                            *latest = about.time.max(*latest);
                            return Ok(());
                        }
                        Event::Abandoned(a) if a.reservation == sequence => {
                            verifier.abandoned.insert(sequence, transaction);
                            return Ok(());
                        }
                        _ => {}
                    }
                }
                verifier.transactions.insert(transaction);
                Some((Fingerprint::of(&r.tbs), r.issuer.clone(), transaction))
            }
            // It is ended soon after, if it is, so that little is read.
            Event::SigningIntent(_) if !self.ends_later(sequence)? => None,
            _ => return Ok(()),
        };
        verifier.open.insert(sequence, Open { reservation: open });
        Ok(())
    }

    /// Whether an entry ends the signing intent at `sequence`.
    fn ends_later(&self, sequence: u64) -> Result<bool, LedgerError> {
        let mut next = sequence + 1;
        while next < self.size {
            let limit = PART.min((self.size - next) as usize);
            let entries = self.store.read(next, limit)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")).into());
            }
            next += entries.len() as u64;
            for bytes in entries {
                match Entry::decode(&bytes)?.event {
                    Event::SignedObject(s) if s.intent == sequence => return Ok(true),
                    Event::Abandoned(a) if a.reservation == sequence => return Ok(true),
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    /// The reservations under `key`, oldest first.
    fn reservations(
        &self,
        index: Index,
        key: &Key,
    ) -> Result<Vec<(u64, Reservation)>, LedgerError> {
        let mut found = Vec::new();
        for sequence in self.before(index, key)? {
            if let Event::Reservation(r) = read_entry(self.store, sequence)?.event {
                found.push((sequence, r));
            }
        }
        Ok(found)
    }

    fn before(&self, index: Index, key: &Key) -> Result<Vec<u64>, LedgerError> {
        let mut found = self.store.lookup(index, key)?;
        found.retain(|sequence| *sequence < self.size);
        Ok(found)
    }
}
