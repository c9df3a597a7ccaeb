//! The indexes: what an entry can be found by. They are a function of the entries alone, so that
//! they can be rebuilt and compared at any time.

use super::tbs::Tbs;
use super::{Authorizer, Bytes, ChallengeAction, Entry, EntryError, Event, Fingerprint, Verdict};
use crate::pki::name;

/// What is looked up in an index: all keys have one length, so that indexes are dense arrays.
/// Mostly the first half of a digest: enough to find, and what is found is compared whole.
pub type Key = [u8; 16];

/// The key where an index has but one.
pub(super) const ONLY_KEY: Key = [0; 16];

/// The indexes and, in their numbers, their place in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Index {
    /// Digest of a serial number's content octets: every entry about it.
    Serial = 1,
    /// Digest of endpoint and transaction ID: reservations, pending requests.
    Transaction = 2,
    /// Digest of a certificate: its entry.
    Fingerprint = 3,
    /// Digest of a SubjectPublicKeyInfo: entries of certificates.
    PublicKey = 4,
    /// Digest of a subject's Name in its form for comparison: entries of certificates.
    Subject = 5,
    /// Last second of validity, 8 octets and zeros: entries of certificates.
    Expiry = 6,
    /// A letter for abandoned or revoked, and zeros: entries of what is not simply valid.
    Status = 7,
    /// Zeros: write-ahead entries of which nothing has come yet.
    Open = 8,
    /// Digest of a one-time challenge's MAC: its entries and its use.
    Challenge = 9,
    /// Digest of an event's name, but for those of enrolments: its entries.
    Event = 10,
    /// Zeros: pending requests that nobody has decided. The number of a pending request and a
    /// one: what was decided on it.
    Pending = 11,
}

impl Index {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Serial,
        Self::Transaction,
        Self::Fingerprint,
        Self::PublicKey,
        Self::Subject,
        Self::Expiry,
        Self::Status,
        Self::Open,
        Self::Challenge,
        Self::Event,
        Self::Pending,
    ];
}

/// Key of [`Index::Status`]: an `Abandoned` entry.
pub(super) const STATUS_ABANDONED: Key = *b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Key of [`Index::Status`]: a `Revocation` entry.
pub(super) const STATUS_REVOKED: Key = *b"r\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// One line of an index: `sequence` is, or is no more, posted under `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Posting {
    /// The index.
    pub index: Index,
    /// The key.
    pub key: Key,
    /// The entry that is found by it.
    pub sequence: u64,
    /// Whether the line is added or taken away.
    pub present: bool,
}

/// The key of something by its digest.
pub(super) fn short(digest: &[u8; 32]) -> Key {
    let mut key = ONLY_KEY;
    key.copy_from_slice(&digest[..16]);
    key
}

/// The key of something by its bytes.
pub(super) fn digest_key(bytes: &[u8]) -> Key {
    short(&Fingerprint::of(bytes).0)
}

/// The key of a moment, in seconds since 1970.
pub(super) fn time_key(seconds: u64) -> Key {
    let mut key = ONLY_KEY;
    key[..8].copy_from_slice(&seconds.to_be_bytes());
    key
}

/// The key of [`Index::Pending`] under which the words on the pending request `sequence` are.
pub(super) fn decision_key(sequence: u64) -> Key {
    let mut key = time_key(sequence);
    key[15] = 1;
    key
}

/// The key of a transaction: the digest of endpoint and ID, with the boundary between them.
pub(super) fn transaction_key(endpoint: &str, id: &[u8]) -> Key {
    let length = (endpoint.len() as u64).to_be_bytes();
    digest_key(&[&length, endpoint.as_bytes(), id].concat())
}

/// The key of an event by its name.
pub(super) fn event_key(name: &str) -> Key {
    digest_key(name.as_bytes())
}

/// What the indexes say of `entry`.
pub fn postings(entry: &Entry) -> Result<Vec<Posting>, EntryError> {
    let own = entry.sequence.0;
    let mut out = Vec::new();
    let mut add = |index, key| {
        out.push(Posting { index, key, sequence: own, present: true });
    };
    let done = |index, sequence| Posting { index, key: ONLY_KEY, sequence, present: false };
    let mut ended = None;
    match &entry.event {
        Event::Reservation(r) => {
            add(Index::Serial, digest_key(&r.serial));
            add(Index::Transaction, transaction_key(&r.endpoint, &r.transaction));
            for mac in one_time_challenges(&r.evidence) {
                add(Index::Challenge, digest_key(mac));
            }
            add(Index::Open, ONLY_KEY);
        }
        Event::Certificate(c) => {
            let tbs = Tbs::of_certificate(&c.certificate)?;
            add(Index::Serial, digest_key(tbs.serial));
            add(Index::Fingerprint, digest_key(&c.certificate));
            add(Index::PublicKey, digest_key(tbs.public_key));
            add(Index::Subject, digest_key(&name::normalised(tbs.subject)));
            add(Index::Expiry, time_key(tbs.not_after));
            ended = Some(done(Index::Open, c.reservation));
        }
        Event::Abandoned(a) => {
            if !a.serial.is_empty() {
                add(Index::Serial, digest_key(&a.serial));
            }
            add(Index::Status, STATUS_ABANDONED);
            ended = Some(done(Index::Open, a.reservation));
        }
        Event::Revocation(r) => {
            add(Index::Serial, digest_key(&r.serial));
            add(Index::Status, STATUS_REVOKED);
        }
        Event::SigningIntent(_) => {
            add(Index::Event, event_key(entry.event.name()));
            add(Index::Open, ONLY_KEY);
        }
        Event::SignedObject(s) => {
            add(Index::Event, event_key(entry.event.name()));
            ended = Some(done(Index::Open, s.intent));
        }
        Event::Pending(p) => {
            add(Index::Transaction, transaction_key(&p.endpoint, &p.transaction));
            add(Index::Pending, ONLY_KEY);
        }
        Event::Decision(d) => {
            add(Index::Event, event_key(entry.event.name()));
            add(Index::Pending, decision_key(d.pending));
            if d.verdict != Verdict::Endorsed {
                ended = Some(done(Index::Pending, d.pending));
            }
        }
        Event::Challenge(c) => {
            add(Index::Challenge, digest_key(&c.mac));
            if c.action != ChallengeAction::Made {
                add(Index::Event, event_key(entry.event.name()));
            }
        }
        other => add(Index::Event, event_key(other.name())),
    }
    out.extend(ended);
    Ok(out)
}

/// The MACs of the one-time challenges among `evidence`.
pub(super) fn one_time_challenges(
    evidence: &[super::Evidence],
) -> impl Iterator<Item = &Bytes> + '_ {
    let one_time = evidence.iter().filter(|e| e.authorizer == Authorizer::OneTimeChallenge);
    one_time.filter_map(|e| e.reference.as_ref())
}
