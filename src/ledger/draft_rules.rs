//! The rules that an entry must keep to be appended: one serial once, one open reservation a
//! transaction, one use of a one-time challenge, one certificate a reservation and exactly the
//! reserved one (I2, I5).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::error::Refusal;
use super::index::{ONLY_KEY, digest_key, one_time_challenges, transaction_key};
use super::tbs::Tbs;
use super::{Decision, Draft, Entry, Event, Index, Key, LedgerError, Reservation, Store, Verdict};

/// What the rules need to know of what is not yet in the store or not quickly found there.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Write-ahead entries of which nothing has come yet.
    open: BTreeSet<u64>,
    /// The transactions of the open reservations.
    transactions: HashMap<Key, u64>,
    transaction_of: HashMap<u64, Key>,
    /// Serials and one-time challenges of the commit that is being put together; the store does
    /// not know them yet.
    new_serials: HashSet<Key>,
    new_challenges: HashMap<Key, u64>,
    /// Pending requests that this commit decides.
    new_decisions: HashSet<u64>,
}

/// What an accepted draft changes.
enum Change {
    Open { sequence: u64 },
    Reserve { sequence: u64, serial: Key, transaction: Key, challenges: Vec<Key> },
    End { intent: u64 },
    Decide { pending: u64 },
}

impl Rules {
    /// Takes note of an open write-ahead entry that the store holds.
    pub(super) fn restore(&mut self, entry: &Entry) {
        self.open.insert(entry.sequence.0);
        if let Event::Reservation(r) = &entry.event {
            self.open_transaction(entry.sequence.0, transaction_key(&r.endpoint, &r.transaction));
        }
    }

    /// Checks the drafts of one call, which would take the sequences from `first` on. Either all
    /// are accepted and noted, or none.
    pub(super) fn accept(
        &mut self,
        store: &dyn Store,
        first: u64,
        drafts: &[Draft],
    ) -> Result<(), LedgerError> {
        let mut changes = Vec::new();
        for (sequence, draft) in (first..).zip(drafts) {
            let change = match &draft.event {
                Event::Reservation(r) => Some(self.reserve(store, sequence, r, &changes)?),
                Event::SigningIntent(_) => Some(Change::Open { sequence }),
                Event::Certificate(c) => {
                    let reserved = self.open_entry(store, c.reservation, &changes)?;
                    let tbs = super::tbs::tbs_of(&c.certificate);
                    match &reserved.event {
                        Event::Reservation(r) if tbs.ok() == Some(&*r.tbs) => {}
                        _ => return Err(Refusal::NotAsReserved(c.reservation).into()),
                    }
                    Some(Change::End { intent: c.reservation })
                }
                Event::SignedObject(s) => {
                    match &self.open_entry(store, s.intent, &changes)?.event {
                        Event::SigningIntent(_) => Some(Change::End { intent: s.intent }),
                        _ => return Err(Refusal::NotAsReserved(s.intent).into()),
                    }
                }
                Event::Abandoned(a) => {
                    self.open_entry(store, a.reservation, &changes)?;
                    Some(Change::End { intent: a.reservation })
                }
                Event::Decision(d) => self.decide(store, d, &changes)?,
                _ => None,
            };
            changes.extend(change);
        }
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    /// The commit has been made: the store knows now what was new.
    pub(super) fn committed(&mut self) {
        self.new_serials.clear();
        self.new_challenges.clear();
        self.new_decisions.clear();
    }

    /// One word ends the waiting of a request; the second one is refused.
    fn decide(
        &self,
        store: &dyn Store,
        decision: &Decision,
        before: &[Change],
    ) -> Result<Option<Change>, LedgerError> {
        let pending = decision.pending;
        let decided =
            before.iter().any(|c| matches!(c, Change::Decide { pending: p } if *p == pending));
        if decided
            || self.new_decisions.contains(&pending)
            || !store.lookup(Index::Pending, &ONLY_KEY)?.contains(&pending)
        {
            return Err(Refusal::NotPending(pending).into());
        }
        Ok((decision.verdict != Verdict::Endorsed).then_some(Change::Decide { pending }))
    }

    fn reserve(
        &self,
        store: &dyn Store,
        sequence: u64,
        r: &Reservation,
        before: &[Change],
    ) -> Result<Change, LedgerError> {
        let tbs = Tbs::read(&r.tbs).map_err(|e| Refusal::BadTbs(e.to_string()))?;
        if tbs.serial != &*r.serial {
            return Err(Refusal::BadTbs("it has another serial".into()).into());
        }
        let serial = digest_key(&r.serial);
        let in_call = |wanted: &dyn Fn(&Change) -> bool| before.iter().any(wanted);
        if self.new_serials.contains(&serial)
            || in_call(&|c| matches!(c, Change::Reserve { serial: s, .. } if *s == serial))
            || !store.lookup(Index::Serial, &serial)?.is_empty()
        {
            return Err(Refusal::DuplicateSerial(r.serial().to_string()).into());
        }
        let transaction = transaction_key(&r.endpoint, &r.transaction);
        if let Some(open) = self.transactions.get(&transaction) {
            return Err(Refusal::TransactionOpen(*open).into());
        }
        if in_call(&|c| matches!(c, Change::Reserve { transaction: t, .. } if *t == transaction)) {
            return Err(Refusal::TransactionOpen(sequence).into());
        }
        if let Some(replaced) = r.replaces {
            self.check_replaced(store, r, replaced)?;
        }
        let mut challenges = Vec::new();
        for mac in one_time_challenges(&r.evidence) {
            let key = digest_key(mac);
            if let Some(user) = self.new_challenges.get(&key) {
                return Err(Refusal::ChallengeUsed(*user).into());
            }
            let used = |c: &Change| matches!(c, Change::Reserve { challenges, .. } if challenges.contains(&key));
            if challenges.contains(&key) || in_call(&used) {
                return Err(Refusal::ChallengeUsed(sequence).into());
            }
            for used in store.lookup(Index::Challenge, &key)? {
                if let Event::Reservation(user) = read_entry(store, used)?.event
                    // The same request may try again after its reservation was abandoned.
                    && (user.request.digest != r.request.digest
                        || self.check_replaced(store, r, used).is_err())
                {
                    return Err(Refusal::ChallengeUsed(used).into());
                }
            }
            challenges.push(key);
        }
        Ok(Change::Reserve { sequence, serial, transaction, challenges })
    }

    /// `replaced` must be a reservation of the same transaction that was abandoned.
    fn check_replaced(
        &self,
        store: &dyn Store,
        r: &Reservation,
        replaced: u64,
    ) -> Result<(), LedgerError> {
        let refusal = || LedgerError::from(Refusal::NotAbandoned(replaced));
        if replaced >= store.size() || self.open.contains(&replaced) {
            return Err(refusal());
        }
        let Event::Reservation(old) = read_entry(store, replaced)?.event else {
            return Err(refusal());
        };
        if (&old.endpoint, &old.transaction) != (&r.endpoint, &r.transaction) {
            return Err(refusal());
        }
        for about in store.lookup(Index::Serial, &digest_key(&old.serial))? {
            if let Event::Abandoned(a) = read_entry(store, about)?.event
                && a.reservation == replaced
            {
                return Ok(());
            }
        }
        Err(refusal())
    }

    /// The open write-ahead entry `sequence`, which an earlier draft of the call has not ended.
    fn open_entry(
        &self,
        store: &dyn Store,
        sequence: u64,
        before: &[Change],
    ) -> Result<Entry, LedgerError> {
        let ended =
            before.iter().any(|c| matches!(c, Change::End { intent } if *intent == sequence));
        if ended || !self.open.contains(&sequence) || sequence >= store.size() {
            return Err(Refusal::NotOpen(sequence).into());
        }
        read_entry(store, sequence)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Open { sequence } => {
                self.open.insert(sequence);
            }
            Change::Reserve { sequence, serial, transaction, challenges } => {
                self.open.insert(sequence);
                self.open_transaction(sequence, transaction);
                self.new_serials.insert(serial);
                self.new_challenges.extend(challenges.into_iter().map(|c| (c, sequence)));
            }
            Change::Decide { pending } => {
                self.new_decisions.insert(pending);
            }
            Change::End { intent } => {
                self.open.remove(&intent);
                if let Some(transaction) = self.transaction_of.remove(&intent) {
                    self.transactions.remove(&transaction);
                }
            }
        }
    }

    fn open_transaction(&mut self, sequence: u64, transaction: Key) {
        self.transactions.insert(transaction, sequence);
        self.transaction_of.insert(sequence, transaction);
    }
}

/// The entry `sequence`, which the store holds.
pub(super) fn read_entry(store: &dyn Store, sequence: u64) -> Result<Entry, LedgerError> {
    let bytes = store.read(sequence, 1)?.into_iter().next();
    let bytes = bytes.ok_or_else(|| {
        super::StoreError::Damaged(format!("entry {sequence} is named but not there"))
    })?;
    Ok(Entry::decode(&bytes)?)
}
