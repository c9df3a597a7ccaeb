//! Verification: every entry read again and held against the rules that it was written by, the
//! signed checkpoints, and the issuers' keys. It trusts nothing but these keys; in particular no
//! index. The first thing that is wrong ends it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::index::{digest_key, one_time_challenges, transaction_key};
use super::merkle::{Frontier, Hash, leaf_hash};
use super::tbs::{Signed, Tbs};
use super::{Entry, Event, Fingerprint, Key, Sequence, Store, StoreError};
use crate::clock::Timestamp;
use crate::pki::PublicKey;

/// How far an entry's time may be before that of an earlier one: what the writer tolerates.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Entries that are read at once.
const PART: usize = 512;

/// Where entries are read from, in order.
pub trait EntrySource {
    /// The entries from `first` on, at most `limit` and possibly fewer; none only at the end.
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError>;
}

impl<S: Store + ?Sized> EntrySource for S {
    fn read_entries(&self, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(first, limit)
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
    /// Number of write-ahead entries of which nothing has come so far.
    pub open: u64,
}

/// A reservation or intent of which nothing has come yet.
struct Open {
    /// The reserved TBSCertificate by its digest, its issuer, and the transaction; none where it is
    /// no reservation.
    reservation: Option<(Fingerprint, String, Key)>,
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
    last_time: Timestamp,
    open: BTreeMap<u64, Open>,
    transactions: HashSet<Key>,
    /// Abandoned reservations by sequence, with their transaction.
    abandoned: HashMap<u64, Key>,
    serials: HashSet<Key>,
    challenges: HashSet<Key>,
    certificates: u64,
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
            last_time: Timestamp::from_unix_millis(0),
            open: BTreeMap::new(),
            transactions: HashSet::new(),
            abandoned: HashMap::new(),
            serials: HashSet::new(),
            challenges: HashSet::new(),
            certificates: 0,
            agreed: 0,
        }
    }

    /// What has been verified so far.
    pub fn verified(&self) -> Verified {
        Verified {
            entries: self.frontier.size(),
            root: self.frontier.root(),
            certificates: self.certificates,
            checkpoints: self.agreed,
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
        let limit = PART.min((end - first) as usize);
        let entries = source
            .read_entries(first, limit)
            .map_err(|e| Finding { sequence: None, what: e.to_string() })?;
        for bytes in &entries {
            let sequence = self.frontier.size();
            self.entry(sequence, bytes)
                .map_err(|what| Finding { sequence: Some(Sequence(sequence)), what })?;
            self.frontier.push(leaf_hash(bytes));
            if sequence + 1 != first + entries.len() as u64 {
                self.agree(sequence + 1)?;
            }
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
                Err(Finding { sequence: None, what })
            }
        }
    }

    /// Holds the tree of the first `size` entries against the checkpoints of that size.
    fn agree(&mut self, size: u64) -> Result<(), Finding> {
        let Some(all) = self.checkpoints.remove(&size) else { return Ok(()) };
        for (name, root) in &all {
            if cfg!(not(feature = "control-no-tree-check")) && self.frontier.root() != *root {
                let what = format!("the first {size} entries are not those that {name} covers");
                return Err(Finding { sequence: size.checked_sub(1).map(Sequence), what });
            }
        }
        self.agreed += all.len() as u64;
        Ok(())
    }

    fn entry(&mut self, sequence: u64, bytes: &[u8]) -> Result<(), String> {
        let entry = Entry::decode(bytes).map_err(|e| e.to_string())?;
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
            Event::Reservation(r) => self.reservation(sequence, r),
            Event::Certificate(c) => {
                let open = self.end(c.reservation)?;
                let (tbs, issuer, _) =
                    open.reservation.ok_or("it ends an entry that reserved no certificate")?;
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

    fn reservation(&mut self, sequence: u64, r: &super::Reservation) -> Result<(), String> {
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
        if let Some(replaced) = r.replaces
            && self.abandoned.get(&replaced) != Some(&transaction)
        {
            return Err(format!("it replaces entry {replaced}, which was not abandoned"));
        }
        for mac in one_time_challenges(&r.evidence) {
            if !self.challenges.insert(digest_key(mac)) {
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
