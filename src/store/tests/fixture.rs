//! Ledgers in scratch folders and entries to put into them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::ledger::{
    Abandoned, Actor, Authorizer, Bytes, Certificate, Draft, Event, Evidence, Fingerprint, Ledger,
    Lifecycle, Origin, Outcome, Reservation, SealedRequest, Sequence, StoreError,
};
use crate::random::SystemRandom;
use crate::store::{FileStore, StoreOptions};

/// Options for a small store that rolls and rebuilds often.
pub(crate) fn options(folder: &Path) -> StoreOptions {
    StoreOptions {
        cache_bytes: 16 << 20,
        reserve_bytes: 1 << 20,
        segment_bytes: 64 << 10,
        ..StoreOptions::new(folder)
    }
}

/// Opens the store in `folder`.
pub(crate) fn store(folder: &Path) -> Result<Arc<FileStore>, StoreError> {
    FileStore::open(options(folder), Arc::new(SystemRandom))
}

/// Opens the ledger in `folder`.
pub(crate) fn ledger(folder: &Path) -> Arc<Ledger> {
    Ledger::open(store(folder).unwrap(), Arc::new(SystemClock)).unwrap()
}

/// Waits for a future without a runtime's help.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends and waits.
pub(crate) fn append(ledger: &Ledger, drafts: Vec<Draft>) -> Vec<Sequence> {
    wait(ledger.append(drafts)).unwrap()
}

/// A DER element of any length.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        n @ 0..=0x7f => vec![n as u8],
        n @ 0x80..=0xff => vec![0x81, n as u8],
        n => vec![0x82, (n >> 8) as u8, n as u8],
    };
    [&[tag], &length[..], content].concat()
}

/// A TBSCertificate that has what the indexes look at.
pub(crate) fn tbs(serial: &[u8], subject: &str) -> Vec<u8> {
    let algorithm = tlv(0x30, &hex::decode("06092a864886f70d01010b0500").unwrap());
    let name = |cn: &str| {
        let value = tlv(0x0c, cn.as_bytes());
        let attribute = tlv(0x30, &[&[0x06, 3, 0x55, 4, 3], &value[..]].concat());
        tlv(0x30, &tlv(0x31, &attribute))
    };
    let time = |t: &str| tlv(0x17, t.as_bytes());
    let spki = tlv(0x30, &tlv(0x03, &[&[0][..], subject.as_bytes(), serial].concat()));
    let parts = [
        tlv(0xa0, &[2, 1, 2]),
        tlv(0x02, serial),
        algorithm,
        name("Issuing CA"),
        tlv(0x30, &[time("250101000000Z"), time("260101000000Z")].concat()),
        name(subject),
        spki,
    ];
    tlv(0x30, &parts.concat())
}

/// A certificate with that TBSCertificate and no real signature.
pub(crate) fn certificate(tbs: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, &hex::decode("06092a864886f70d01010b0500").unwrap());
    tlv(0x30, &[tbs, &algorithm, &tlv(0x03, &[0; 257])].concat())
}

/// A serial that no other call has given, in this process or another one.
pub(crate) fn new_serial() -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    [&[0x11; 4][..], &std::process::id().to_be_bytes(), &unique.to_be_bytes()].concat()
}

/// A reservation for `transaction` at the endpoint `device`.
pub(crate) fn reservation(transaction: &str, serial: &[u8]) -> Reservation {
    Reservation {
        endpoint: "device".into(),
        transaction: transaction.as_bytes().into(),
        request: SealedRequest {
            digest: Fingerprint::of(&[0x30; 600]),
            sealed: vec![0x30; 600].into(),
        },
        serial: serial.into(),
        tbs: tbs(serial, transaction).into(),
        profile: "device".into(),
        issuer: "issuing".into(),
        evidence: vec![Evidence {
            authorizer: Authorizer::Challenge,
            reference: None,
            detail: None,
        }],
        replaces: None,
    }
}

/// A draft by a device from the network.
pub(crate) fn draft(event: Event) -> Draft {
    Draft {
        actor: Actor::Device(Fingerprint([7; 32])),
        origin: Origin::Address([192, 0, 2, 1].into()),
        object: String::new(),
        outcome: Outcome::Success,
        event,
    }
}

/// Reserves for `transaction`.
pub(crate) fn reserve(ledger: &Ledger, transaction: &str) -> (Sequence, Reservation) {
    let reservation = reservation(transaction, &new_serial());
    let done = append(ledger, vec![draft(Event::Reservation(reservation.clone()))]);
    (done[0], reservation)
}

/// The certificate event for a reservation.
pub(crate) fn issued(sequence: Sequence, reservation: &Reservation) -> Event {
    let certificate = certificate(&reservation.tbs).into();
    Event::Certificate(Certificate { reservation: sequence.0, certificate })
}

/// Reserves and records a certificate for `transaction`.
pub(crate) fn enrol(ledger: &Ledger, transaction: &str) -> Bytes {
    let (sequence, reservation) = reserve(ledger, transaction);
    append(ledger, vec![draft(issued(sequence, &reservation))]);
    certificate(&reservation.tbs).into()
}

/// Enrols `t0`, `t1`, .. in a few commits.
pub(crate) fn enrol_many(ledger: &Ledger, count: usize) {
    let all: Vec<Reservation> =
        (0..count).map(|i| reservation(&format!("t{i}"), &new_serial())).collect();
    for part in all.chunks(25) {
        let drafts = part.iter().cloned().map(|r| draft(Event::Reservation(r)));
        let done = append(ledger, drafts.collect());
        let drafts = done.iter().zip(part).map(|(sequence, r)| draft(issued(*sequence, r)));
        append(ledger, drafts.collect());
    }
}

/// An event that needs nothing else.
pub(crate) fn start(reason: &str) -> Draft {
    let software = "test".into();
    Draft::of_system("", Event::Start(Lifecycle { software, reason: reason.into() }))
}

/// The abandonment of a reservation.
pub(crate) fn abandon(sequence: Sequence, reservation: &Reservation) -> Draft {
    draft(Event::Abandoned(Abandoned {
        reservation: sequence.0,
        serial: reservation.serial.clone(),
        reason: "test".into(),
    }))
}

/// A clock that stands where it was put.
pub(crate) struct StoppedClock(pub(crate) AtomicU64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.load(Ordering::Relaxed))
    }
}
