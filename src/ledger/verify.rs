//! Verification: every entry read again and held against the rules that it was written by, the
//! signed checkpoints, and the issuers' keys. It trusts nothing but these keys; in particular no
//! index. The first thing that is wrong ends it.

mod hashes;
mod tail;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use self::hashes::KeptHashes;
use super::checkpoint::Checkpoint;
use super::index::{digest_key, one_time_challenges, transaction_key};
use super::merkle::{Frontier, Hash, leaf_hash};
use super::proof::HashSource;
use super::tbs::{Signed, Tbs};
use super::{Entry, EntryError, Event, Fingerprint, Key, Ledger, Sequence, Store, StoreError};
use crate::clock::Timestamp;
use crate::control::Safeguard;
use crate::pki::PublicKey;

pub use tail::check_tail;

/// How far an entry's time may be before that of an earlier one: what the writer tolerates.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// The shortest retry window that an endpoint can have: only after it may a transaction ID stand for
/// another enrolment (I5). The ledger does not know which one an endpoint had when.
const SHORTEST_RETRY_WINDOW: Duration = Duration::from_secs(1);

/// Entries that are read at once.
const PART: usize = 512;

/// Where entries are read from, in order.
pub trait EntrySource {
    /// The entries from `first` on, at most `limit` and possibly fewer; none only at the end.
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The tree's hashes that are kept beside the entries, and of how many of them; none where nobody
    /// relies on them.
    fn kept_hashes(&self) -> Option<(&dyn HashSource, u64)> {
        None
    }
}

impl<S: Store + ?Sized> EntrySource for S {
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(first, limit)
    }
}

impl EntrySource for Ledger {
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.reread(first, limit)
    }

    fn kept_hashes(&self) -> Option<(&dyn HashSource, u64)> {
        Some((&*self.store, u64::MAX))
    }
}

impl Ledger {
    /// Compares the indexes with the entries, as [`Store::verify_indexes`].
    pub fn verify_indexes(&self, progress: &mut dyn FnMut(u64) -> bool) -> Result<u64, Finding> {
        self.store.verify_indexes(progress).map_err(|e| Finding::of_indexes(&e))
    }
}

/// The keys that certificates in the ledger may be signed by, each under its issuer's name.
pub type IssuerKeys = Vec<(String, PublicKey)>;

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The entry where it shows; none where the ledger itself cannot be read further.
    pub sequence: Option<Sequence>,
    /// What it is.
    pub what: String,
    /// What it means for the ledger.
    pub kind: FindingKind,
}

/// What a [`Finding`] means for the ledger, and so what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// An entry, or the ledger as a whole, is not what was written.
    Damaged,
    /// It could not be read, so that nobody knows what is there.
    Unread,
    /// The entries are good so far; what is kept beside them, and made anew from them, is not theirs.
    Derived,
}

impl Finding {
    /// Something that is wrong at the entry `sequence`, or with the ledger as a whole.
    pub fn at(sequence: Option<Sequence>, what: impl Into<String>) -> Self {
        Self { sequence, what: what.into(), kind: FindingKind::Damaged }
    }

    /// The store does not give what it should have, for the reason `e`.
    fn of_store(e: &StoreError) -> Self {
        let kind = match e {
            StoreError::Damaged(_) => FindingKind::Damaged,
            _ => FindingKind::Unread,
        };
        Self { kind, ..Self::at(None, e.to_string()) }
    }

    /// The comparison of the indexes with the entries ended with `e`.
    pub fn of_indexes(e: &StoreError) -> Self {
        match e {
            StoreError::Database(why) => {
                let what = format!("its folder db/: {why}; the entries are good");
                Self { kind: FindingKind::Derived, ..Self::at(None, what) }
            }
            _ => Self::of_store(e),
        }
    }

    /// What its reader has to do, as a clause.
    pub const fn remedy(&self) -> &'static str {
        match self.kind {
            FindingKind::Damaged => "keep its folder as it is, and restore the latest good backup",
            FindingKind::Unread => "mend the cause",
            FindingKind::Derived => {
                "stop the signer, delete tree/ and db/, which the next start makes anew, and the file `finding` \
                 where there is one"
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sequence {
            Some(sequence) => write!(f, "entry {sequence}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What has been verified so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub entries: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// Number of certificates whose signature was checked.
    pub certificates: u64,
    /// Number of checkpoints that the tree agreed with.
    pub checkpoints: u64,
    /// Number of certificates whose signature was not checked because nobody knows their issuer's key;
    /// only where that is no finding.
    pub unknown: u64,
    /// Number of write-ahead entries of which nothing has come so far.
    pub open: u64,
}

/// A reservation or intent of which nothing has come yet.
struct Open {
    /// The reserved TBSCertificate by its digest, its issuer, and the transaction; none where it is
    /// no reservation.
    reservation: Option<(Fingerprint, String, Key)>,
}

/// A reservation that used a one-time challenge.
struct Use {
    reservation: u64,
    transaction: Key,
    request: Fingerprint,
}

/// A verification under way: [`Verifier::step`] by step, so that it can run beside the service.
pub struct Verifier {
    issuers: IssuerKeys,
    /// Checkpoints that the tree must agree with, and who has them, by size.
    checkpoints: BTreeMap<u64, Vec<(String, Hash)>>,
    /// Entries before this were verified once; their hashes lead to a checkpoint of this size, so
    /// their signatures are not checked again.
    trusted: u64,
    frontier: Frontier,
    kept: KeptHashes,
    last_time: Timestamp,
    open: BTreeMap<u64, Open>,
    transactions: HashSet<Key>,
    /// Abandoned reservations by sequence, with their transaction.
    abandoned: HashMap<u64, Key>,
    /// When a transaction got a certificate, while a second one would break I5 under any configuration.
    issued: HashMap<Key, Timestamp>,
    serials: HashSet<Key>,
    /// The last use of each one-time challenge.
    challenges: HashMap<Key, Use>,
    certificates: u64,
    unknown: u64,
    passes_unknown: bool,
    agreed: u64,
}

impl Verifier {
    /// A verification from the start. `checkpoints` are those that the log's key signed, each with
    /// who has it; `trusted` is one at which an earlier verification ended well.
    pub fn new(
        issuers: IssuerKeys,
        checkpoints: Vec<(String, Checkpoint)>,
        trusted: Option<&Checkpoint>,
    ) -> Self {
        let mut by_size: BTreeMap<u64, Vec<(String, Hash)>> = BTreeMap::new();
        for (name, checkpoint) in checkpoints {
            by_size.entry(checkpoint.size).or_default().push((name, checkpoint.root));
        }
        if let Some(trusted) = trusted {
            let name = "the checkpoint that was verified before".to_owned();
            by_size.entry(trusted.size).or_default().push((name, trusted.root));
        }
        Self {
            issuers,
            checkpoints: by_size,
            trusted: trusted.map_or(0, |c| c.size),
            frontier: Frontier::new(),
            kept: KeptHashes::default(),
            last_time: Timestamp::from_unix_millis(0),
            open: BTreeMap::new(),
            transactions: HashSet::new(),
            abandoned: HashMap::new(),
            issued: HashMap::new(),
            serials: HashSet::new(),
            challenges: HashMap::new(),
            certificates: 0,
            unknown: 0,
            passes_unknown: false,
            agreed: 0,
        }
    }

    /// Counts certificates of issuers that nobody knows instead of ending at one: for a service whose
    /// configuration may have outlived a CA.
    #[must_use]
    pub const fn passing_unknown_issuers(mut self) -> Self {
        self.passes_unknown = true;
        self
    }

    /// What has been verified so far.
    pub fn verified(&self) -> Verified {
        Verified {
            entries: self.frontier.size(),
            root: self.frontier.root(),
            certificates: self.certificates,
            checkpoints: self.agreed,
            unknown: self.unknown,
            open: self.open.len() as u64,
        }
    }

    /// Verifies some hundred entries more, none from `end` on. True where there are no more.
    pub fn step(&mut self, source: &dyn EntrySource, end: u64) -> Result<bool, Finding> {
        let first = self.frontier.size();
        self.agree(first)?;
        if first >= end {
            return Ok(true);
        }
        let now = self.last_time;
        self.issued.retain(|_, time| now.since(*time) < SHORTEST_RETRY_WINDOW);
        let limit = PART.min((end - first) as usize);
        let entries = source.read_entries(first, limit).map_err(|e| Finding::of_store(&e))?;
        let mut leaves = Vec::with_capacity(entries.len());
        for bytes in &entries {
            let sequence = self.frontier.size();
            let found = |what: String| Finding::at(Some(Sequence(sequence)), what);
            // What a later release wrote is unread, not damaged.
            let entry = Entry::decode(bytes).map_err(|e| match e {
                EntryError::UnknownVersion(_) => {
                    Finding { kind: FindingKind::Unread, ..found(e.to_string()) }
                }
                _ => found(e.to_string()),
            })?;
            self.entry(sequence, bytes, &entry).map_err(found)?;
            let leaf = leaf_hash(bytes);
            leaves.push(leaf);
            self.frontier.push(leaf);
            if sequence + 1 != first + entries.len() as u64 {
                self.agree(sequence + 1)?;
            }
        }
        if let Some((kept, of)) = source.kept_hashes() {
            self.kept.compare(kept, of, leaves)?;
        }
        Ok(entries.is_empty())
    }

    /// The end is reached: no checkpoint may know of more entries.
    pub fn finish(&self) -> Result<Verified, Finding> {
        let here = self.frontier.size();
        match self.checkpoints.range(here + 1..).next() {
            None => Ok(self.verified()),
            Some((size, all)) => {
                let by = all.first().map_or("", |(name, _)| name);
                let what = format!("the ledger ends at {here} entries, but {by} covers {size}");
                Err(Finding::at(None, what))
            }
        }
    }

    /// Holds the tree of the first `size` entries against the checkpoints of that size.
    fn agree(&mut self, size: u64) -> Result<(), Finding> {
        let Some(all) = self.checkpoints.remove(&size) else { return Ok(()) };
        for (name, root) in &all {
            if Safeguard::TreeCheck.holds() && self.frontier.root() != *root {
                let what = format!("the first {size} entries are not those that {name} covers");
                return Err(Finding::at(size.checked_sub(1).map(Sequence), what));
            }
        }
        self.agreed += all.len() as u64;
        Ok(())
    }

    fn entry(&mut self, sequence: u64, bytes: &[u8], entry: &Entry) -> Result<(), String> {
        if entry.encode().as_deref() != Ok(bytes) {
            return Err("its encoding is not canonical".into());
        }
        if entry.sequence.0 != sequence {
            return Err(format!("it says that it is entry {}", entry.sequence));
        }
        if self.last_time.since(entry.time) > CLOCK_TOLERANCE {
            return Err(format!("its time, {}, is before {}", entry.time, self.last_time));
        }
        self.last_time = self.last_time.max(entry.time);
        match &entry.event {
            Event::Reservation(r) => self.reservation(sequence, entry.time, r),
            Event::Certificate(c) => {
                let open = self.end(c.reservation)?;
                let (tbs, issuer, transaction) =
                    open.reservation.ok_or("it ends an entry that reserved no certificate")?;
                self.issued.insert(transaction, entry.time);
                self.certificate(&c.certificate, tbs, &issuer)
            }
            Event::Abandoned(a) => {
                let open = self.end(a.reservation)?;
                if let Some((_, _, transaction)) = open.reservation {
                    self.abandoned.insert(a.reservation, transaction);
                }
                Ok(())
            }
            Event::SigningIntent(_) => {
                self.open.insert(sequence, Open { reservation: None });
                Ok(())
            }
            Event::SignedObject(s) => match self.end(s.intent)?.reservation {
                None => Ok(()),
                Some(_) => Err("it ends a reservation without a certificate".into()),
            },
            _ => Ok(()),
        }
    }

    fn reservation(
        &mut self,
        sequence: u64,
        time: Timestamp,
        r: &super::Reservation,
    ) -> Result<(), String> {
        let tbs = Tbs::read(&r.tbs).map_err(|e| format!("its TBSCertificate: {e}"))?;
        if tbs.serial != &*r.serial {
            return Err("its TBSCertificate has another serial".into());
        }
        if !self.serials.insert(digest_key(&r.serial)) {
            return Err(format!("serial {} was reserved before", r.serial()));
        }
        let transaction = transaction_key(&r.endpoint, &r.transaction);
        if !self.transactions.insert(transaction) {
            return Err("its transaction has another open reservation".into());
        }
        if self.issued.get(&transaction).is_some_and(|i| time.since(*i) < SHORTEST_RETRY_WINDOW) {
            return Err("its transaction has a certificate already".into());
        }
        if let Some(replaced) = r.replaces
            && self.abandoned.get(&replaced) != Some(&transaction)
        {
            return Err(format!("it replaces entry {replaced}, which was not abandoned"));
        }
        for mac in one_time_challenges(&r.evidence) {
            let now = Use { reservation: sequence, transaction, request: r.request.digest };
            let Some(before) = self.challenges.insert(digest_key(mac), now) else { continue };
            // The same request may try again after its reservation was abandoned.
            if before.request != r.request.digest
                || before.transaction != transaction
                || self.abandoned.get(&before.reservation) != Some(&transaction)
            {
                return Err("its one-time challenge was used before".into());
            }
        }
        let reservation = Some((Fingerprint::of(&r.tbs), r.issuer.clone(), transaction));
        self.open.insert(sequence, Open { reservation });
        Ok(())
    }

    /// Ends the open write-ahead entry `intent`.
    fn end(&mut self, intent: u64) -> Result<Open, String> {
        let open = self.open.remove(&intent);
        let open = open.ok_or_else(|| format!("entry {intent} is no open write-ahead entry"))?;
        if let Some((_, _, transaction)) = &open.reservation {
            self.transactions.remove(transaction);
        }
        Ok(open)
    }

    fn certificate(
        &mut self,
        der: &[u8],
        reserved: Fingerprint,
        issuer: &str,
    ) -> Result<(), String> {
        let parts = Signed::read(der).map_err(|e| format!("its certificate: {e}"))?;
        if Fingerprint::of(parts.content) != reserved {
            return Err("its certificate is not the reserved one".into());
        }
        if self.frontier.size() < self.trusted {
            return Ok(());
        }
        let mut keys = self.issuers.iter().filter(|(name, _)| name == issuer).peekable();
        if keys.peek().is_none() {
            if self.passes_unknown {
                self.unknown += 1;
                return Ok(());
            }
            return Err(format!("no certificate of the issuer «{issuer}» is known"));
        }
        let algorithm = parts.algorithm().map_err(|e| format!("its certificate: {e}"))?;
        let mut signed = keys.map(|(_, key)| key.verify(algorithm, parts.content, parts.signature));
        if !signed.any(|result| result.is_ok()) {
            return Err(format!("its certificate is not signed by the issuer «{issuer}»"));
        }
        self.certificates += 1;
        Ok(())
    }
}
