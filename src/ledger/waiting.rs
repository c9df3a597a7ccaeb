//! Look-ups of requests that wait for an officer.

use super::draft_rules::read_entry;
use super::index::{ONLY_KEY, decision_key};
use super::{
    Actor, Decision, Entry, Event, Index, Ledger, LedgerError, Origin, Pending, Sequence, Verdict,
};
use crate::clock::Timestamp;

/// A request that waits or waited for an officer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRecord {
    /// Its entry.
    pub sequence: Sequence,
    /// When it came.
    pub time: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What was asked.
    pub pending: Pending,
    /// SHA-256 of the request in DER.
    pub csr_sha256: [u8; 32],
    /// The word that ended the waiting, with its entry, its time and who spoke it.
    pub decision: Option<(Sequence, Timestamp, Actor, Decision)>,
}

impl Ledger {
    /// The latest request of the transaction at the endpoint that waits or waited for an officer.
    pub fn pending(&self, endpoint: &str, id: &[u8]) -> Result<Option<PendingRecord>, LedgerError> {
        for sequence in self.of_transaction(endpoint, id)?.into_iter().rev() {
            let entry = read_entry(&*self.store, sequence)?;
            let Event::Pending(p) = &entry.event else { continue };
            if p.endpoint == endpoint && *p.transaction == *id {
                return self.pending_record(entry);
            }
        }
        Ok(None)
    }

    /// The request at the entry `sequence`; none where that is another event.
    pub fn pending_at(&self, sequence: Sequence) -> Result<Option<PendingRecord>, LedgerError> {
        self.pending_record(read_entry(&*self.store, sequence.0)?)
    }

    /// The requests that nobody has decided, oldest first.
    pub fn undecided(&self) -> Result<Vec<Sequence>, LedgerError> {
        Ok(self.store.lookup(Index::Pending, &ONLY_KEY)?.into_iter().map(Sequence).collect())
    }

    fn pending_record(&self, entry: Entry) -> Result<Option<PendingRecord>, LedgerError> {
        let Entry { sequence, time, actor, origin, event, .. } = entry;
        let Event::Pending(pending) = event else { return Ok(None) };
        let mut decision = None;
        for word in self.store.lookup(Index::Pending, &decision_key(sequence.0))? {
            let entry = read_entry(&*self.store, word)?;
            if let Event::Decision(d) = entry.event
                && d.verdict != Verdict::Endorsed
            {
                decision = Some((entry.sequence, entry.time, entry.actor, d));
                break;
            }
        }
        let csr_sha256 = pending.request.digest.0;
        let record = PendingRecord { sequence, time, actor, origin, pending, csr_sha256, decision };
        Ok(Some(record))
    }
}
