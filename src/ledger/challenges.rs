//! Look-ups of one-time challenges: how they were made, what ended them, what used them.

use super::draft_rules::read_entry;
use super::index::digest_key;
use super::lookup::TransactionState;
use super::{
    Actor, Challenge, ChallengeAction, Event, Index, Ledger, LedgerError, Sequence,
    TransactionRecord,
};
use crate::clock::Timestamp;

/// A one-time challenge as it was made, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeRecord {
    /// The entry that made it.
    pub sequence: Sequence,
    /// When it was made.
    pub time: Timestamp,
    /// Who made it.
    pub actor: Actor,
    /// What was made.
    pub challenge: Challenge,
    /// What ended it before its time, if anything did.
    pub ended: Option<ChallengeAction>,
}

impl Ledger {
    /// The one-time challenge with this MAC.
    pub fn challenge(&self, mac: &[u8]) -> Result<Option<ChallengeRecord>, LedgerError> {
        let mut found: Option<ChallengeRecord> = None;
        for sequence in self.store.lookup(Index::Challenge, &digest_key(mac))? {
            let entry = read_entry(&*self.store, sequence)?;
            let Event::Challenge(challenge) = entry.event else { continue };
            if *challenge.mac != *mac {
                continue;
            }
            match (&mut found, challenge.action) {
                (None, ChallengeAction::Made) => {
                    let (sequence, time, actor) = (entry.sequence, entry.time, entry.actor);
                    found = Some(ChallengeRecord { sequence, time, actor, challenge, ended: None });
                }
                (Some(made), ended) if ended != ChallengeAction::Made => made.ended = Some(ended),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The last reservation whose evidence refers to `reference`, a use of a one-time challenge.
    pub fn challenge_use(
        &self,
        reference: &[u8],
    ) -> Result<Option<TransactionRecord>, LedgerError> {
        for sequence in self.store.lookup(Index::Challenge, &digest_key(reference))?.iter().rev() {
            let entry = read_entry(&*self.store, *sequence)?;
            if let Event::Reservation(_) = entry.event {
                return self.transaction_record(entry);
            }
        }
        Ok(None)
    }

    /// Every one-time challenge that was made, oldest first; the last `limit` of them.
    pub fn challenges(&self, limit: usize) -> Result<Vec<ChallengeRecord>, LedgerError> {
        let all = self.store.range(Index::Challenge, &[0; 16], &[0xff; 16], usize::MAX)?;
        let mut sequences: Vec<u64> = all.into_iter().map(|(_, sequence)| sequence).collect();
        sequences.sort_unstable();
        let mut out = Vec::new();
        for sequence in sequences.into_iter().rev() {
            if out.len() >= limit {
                break;
            }
            if let Event::Challenge(c) = read_entry(&*self.store, sequence)?.event
                && c.action == ChallengeAction::Made
            {
                out.extend(self.challenge(&c.mac)?);
            }
        }
        out.reverse();
        Ok(out)
    }
}

impl TransactionRecord {
    /// Whether nothing came of it that anybody received.
    pub const fn is_abandoned(&self) -> bool {
        matches!(self.state, TransactionState::Abandoned { .. })
    }
}
