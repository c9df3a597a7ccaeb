//! Look-ups: from an index to what the entries say together.

use std::collections::BTreeSet;

use super::draft_rules::read_entry;
use super::index::{
    STATUS_ABANDONED, STATUS_REVOKED, decision_key, digest_key, event_key, short, time_key,
    transaction_key,
};
use super::{
    Abandoned, Actor, Bytes, Certificate, Entry, Event, Fingerprint, Index, Key, Ledger,
    LedgerError, Origin, Reservation, Revocation, Sequence,
};
use crate::clock::Timestamp;
use crate::pki::{SerialNumber, name};

/// What the ledger knows of one reservation and the certificate that may have come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The reservation's entry.
    pub sequence: Sequence,
    /// When it was reserved.
    pub time: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What was reserved.
    pub reservation: Reservation,
    /// SHA-256 of the PKCS#10 request.
    pub csr_sha256: [u8; 32],
    /// What came of it.
    pub state: TransactionState,
}

/// What came of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// Nothing yet: it is being signed.
    Reserved,
    /// A certificate.
    Issued {
        /// Its entry.
        sequence: Sequence,
        /// When it was recorded.
        time: Timestamp,
        /// The certificate in DER.
        certificate: Bytes,
    },
    /// Nothing that anybody received.
    Abandoned {
        /// The entry that says so.
        sequence: Sequence,
        /// When it was given up.
        time: Timestamp,
    },
}

/// A certificate with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The certificate's entry.
    pub sequence: Sequence,
    /// When it was recorded.
    pub time: Timestamp,
    /// The reservation's entry.
    pub reservation: Sequence,
    /// The certificate in DER.
    pub certificate: Bytes,
    /// The last change of its status, with its entry; none while nobody touched it.
    pub status: Option<(Sequence, Revocation)>,
}

impl Ledger {
    /// What the ledger knows of the serial number: its reservation and what came of it.
    pub fn by_serial(
        &self,
        serial: &SerialNumber,
    ) -> Result<Option<TransactionRecord>, LedgerError> {
        let about = self.store.lookup(Index::Serial, &digest_key(serial.content()))?;
        match about.first() {
            Some(first) => self.transaction_record(read_entry(&*self.store, *first)?),
            None => Ok(None),
        }
    }

    /// The latest reservation of the transaction at the endpoint.
    pub fn transaction(
        &self,
        endpoint: &str,
        id: &[u8],
    ) -> Result<Option<TransactionRecord>, LedgerError> {
        for sequence in self.of_transaction(endpoint, id)?.into_iter().rev() {
            let entry = read_entry(&*self.store, sequence)?;
            let Event::Reservation(r) = &entry.event else { continue };
            if r.endpoint == endpoint && *r.transaction == *id {
                return self.transaction_record(entry);
            }
        }
        Ok(None)
    }

    /// The latest reservation of a transaction ID at any of `endpoints`, for an operator who does
    /// not know which one.
    pub fn transaction_anywhere<'a>(
        &self,
        endpoints: impl IntoIterator<Item = &'a str>,
        id: &[u8],
    ) -> Result<Option<TransactionRecord>, LedgerError> {
        let mut latest: Option<TransactionRecord> = None;
        for endpoint in endpoints {
            let found = self.transaction(endpoint, id)?;
            if found.as_ref().map(|r| r.sequence) > latest.as_ref().map(|r| r.sequence) {
                latest = found;
            }
        }
        Ok(latest)
    }

    /// Every entry that the transaction's index names, oldest first.
    pub fn of_transaction(&self, endpoint: &str, id: &[u8]) -> Result<Vec<u64>, LedgerError> {
        Ok(self.store.lookup(Index::Transaction, &transaction_key(endpoint, id))?)
    }

    /// Every entry of the transaction at the endpoint, oldest first: requests that waited and what was
    /// decided on them, reservations, and what came of their serial numbers up to a revocation.
    pub fn story(&self, endpoint: &str, id: &[u8]) -> Result<Vec<Entry>, LedgerError> {
        let mut sequences = BTreeSet::new();
        for sequence in self.of_transaction(endpoint, id)? {
            let about = match read_entry(&*self.store, sequence)?.event {
                Event::Reservation(r) if *r.transaction == *id => {
                    self.store.lookup(Index::Serial, &digest_key(&r.serial))?
                }
                Event::Pending(p) if *p.transaction == *id => {
                    self.store.lookup(Index::Pending, &decision_key(sequence))?
                }
                _ => continue,
            };
            sequences.insert(sequence);
            sequences.extend(about);
        }
        sequences.into_iter().map(|sequence| read_entry(&*self.store, sequence)).collect()
    }

    /// The certificate with this SHA-256 fingerprint.
    pub fn by_fingerprint(
        &self,
        fingerprint: &[u8; 32],
    ) -> Result<Option<CertificateRecord>, LedgerError> {
        let found = self.certificates(Index::Fingerprint, &short(fingerprint), |c| {
            Fingerprint::of(&c.certificate).0 == *fingerprint
        })?;
        Ok(found.into_iter().next())
    }

    /// The certificates whose SubjectPublicKeyInfo has this SHA-256 fingerprint, oldest first.
    pub fn by_public_key(
        &self,
        fingerprint: &[u8; 32],
    ) -> Result<Vec<CertificateRecord>, LedgerError> {
        self.certificates(Index::PublicKey, &short(fingerprint), |_| true)
    }

    /// The certificates with this subject (the DER of its Name), oldest first. Names are the same as
    /// RFC 5280 section 7.1 compares them.
    pub fn by_subject(&self, subject: &[u8]) -> Result<Vec<CertificateRecord>, LedgerError> {
        self.certificates(Index::Subject, &digest_key(&name::normalised(subject)), |_| true)
    }

    /// The certificates whose validity ends in `from..to`, soonest first, at most `limit`.
    pub fn expiring(
        &self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<CertificateRecord>, LedgerError> {
        let key = |t: Timestamp| time_key(t.unix_seconds());
        let found = self.store.range(Index::Expiry, &key(from), &key(to), limit)?;
        let records = found.into_iter().map(|(_, sequence)| self.certificate_record(sequence));
        records.filter_map(Result::transpose).collect()
    }

    /// The `Abandoned` entries, oldest first: their serials go on the CRL.
    pub fn abandoned(&self) -> Result<Vec<(Sequence, Abandoned)>, LedgerError> {
        let found = self.store.lookup(Index::Status, &STATUS_ABANDONED)?;
        let mut out = Vec::with_capacity(found.len());
        for sequence in found {
            if let Event::Abandoned(a) = read_entry(&*self.store, sequence)?.event {
                out.push((Sequence(sequence), a));
            }
        }
        Ok(out)
    }

    /// The `Revocation` entries, oldest first; the last one of a serial counts.
    pub fn revocations(&self) -> Result<Vec<(Sequence, Revocation)>, LedgerError> {
        let found = self.store.lookup(Index::Status, &STATUS_REVOKED)?;
        let mut out = Vec::with_capacity(found.len());
        for sequence in found {
            if let Event::Revocation(r) = read_entry(&*self.store, sequence)?.event {
                out.push((Sequence(sequence), r));
            }
        }
        Ok(out)
    }

    /// Whether a certificate with this serial number (content octets) was ever revoked for `reason`,
    /// whatever was said of it since.
    pub fn was_revoked_for(&self, serial: &[u8], reason: u8) -> Result<bool, LedgerError> {
        for about in self.store.lookup(Index::Serial, &digest_key(serial))? {
            match read_entry(&*self.store, about)?.event {
                Event::Revocation(r) if r.reason == reason && *r.serial == *serial => {
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// The last entry that put a serial on the CRL or took one from it; none where there is none.
    pub fn last_status_change(&self) -> Result<Option<Sequence>, LedgerError> {
        let revoked = self.store.lookup(Index::Status, &STATUS_REVOKED)?;
        let abandoned = self.store.lookup(Index::Status, &STATUS_ABANDONED)?;
        Ok(revoked.last().max(abandoned.last()).copied().map(Sequence))
    }

    /// The entries of an event that belongs to no enrolment, oldest first ([`Event::name`]).
    pub fn of_event(&self, name: &str) -> Result<Vec<Sequence>, LedgerError> {
        let found = self.store.lookup(Index::Event, &event_key(name))?;
        Ok(found.into_iter().map(Sequence).collect())
    }

    /// The certificate at the entry `sequence`; none where that is another event.
    pub fn certificate_at(
        &self,
        sequence: Sequence,
    ) -> Result<Option<CertificateRecord>, LedgerError> {
        self.certificate_record(sequence.0)
    }

    fn certificates(
        &self,
        index: Index,
        key: &Key,
        wanted: impl Fn(&CertificateRecord) -> bool,
    ) -> Result<Vec<CertificateRecord>, LedgerError> {
        let found = self.store.lookup(index, key)?.into_iter();
        let records: Vec<_> = found
            .filter_map(|sequence| self.certificate_record(sequence).transpose())
            .collect::<Result<_, _>>()?;
        Ok(records.into_iter().filter(wanted).collect())
    }

    fn certificate_record(&self, sequence: u64) -> Result<Option<CertificateRecord>, LedgerError> {
        let entry = read_entry(&*self.store, sequence)?;
        let Event::Certificate(Certificate { reservation, certificate }) = entry.event else {
            return Ok(None);
        };
        let reserved = read_entry(&*self.store, reservation)?;
        let Event::Reservation(reserved) = reserved.event else { return Ok(None) };
        let mut status = None;
        for about in
            self.store.lookup(Index::Serial, &digest_key(&reserved.serial))?.into_iter().rev()
        {
            if let Event::Revocation(r) = read_entry(&*self.store, about)?.event {
                status = Some((Sequence(about), r));
                break;
            }
        }
        Ok(Some(CertificateRecord {
            sequence: Sequence(sequence),
            time: entry.time,
            reservation: Sequence(reservation),
            certificate,
            status,
        }))
    }

    /// What `entry`, a reservation, and those about its serial say together.
    pub(super) fn transaction_record(
        &self,
        entry: Entry,
    ) -> Result<Option<TransactionRecord>, LedgerError> {
        let Entry { sequence, time, actor, origin, event, .. } = entry;
        let Event::Reservation(reservation) = event else { return Ok(None) };
        let mut state = TransactionState::Reserved;
        for about in self.store.lookup(Index::Serial, &digest_key(&reservation.serial))? {
            let about = read_entry(&*self.store, about)?;
            let (at, when) = (about.sequence, about.time);
            match about.event {
                Event::Certificate(c) if c.reservation == sequence.0 => {
                    let certificate = c.certificate;
                    state = TransactionState::Issued { sequence: at, time: when, certificate };
                }
                Event::Abandoned(a) if a.reservation == sequence.0 => {
                    state = TransactionState::Abandoned { sequence: at, time: when };
                }
                _ => {}
            }
        }
        let csr_sha256 = reservation.request.digest.0;
        let record =
            TransactionRecord { sequence, time, actor, origin, reservation, csr_sha256, state };
        Ok(Some(record))
    }
}
