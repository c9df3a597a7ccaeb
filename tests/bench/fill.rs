//! Fills a ledger through its own store with certificates of no key: for measurements at size.

use std::sync::Arc;
use std::time::Instant;

use chancery::clock::SystemClock;
use chancery::ledger::*;
use chancery::pki::SerialNumber;
use chancery::random::SystemRandom;
use chancery::store::{FileStore, StoreOptions};

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        n @ 0..=0x7f => vec![n as u8],
        n @ 0x80..=0xff => vec![0x81, n as u8],
        n => vec![0x82, (n >> 8) as u8, n as u8],
    };
    [&[tag], &length[..], content].concat()
}

fn tbs(serial: &[u8], n: u64) -> Vec<u8> {
    let algorithm = tlv(0x30, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
    let name = |cn: &str| {
        let attribute =
            tlv(0x30, &[&[0x06, 3, 0x55, 4, 3], &tlv(0x0c, cn.as_bytes())[..]].concat());
        tlv(0x30, &tlv(0x31, &attribute))
    };
    let time = |t: String| tlv(0x17, t.as_bytes());
    let key = [&[4; 34][..], serial, &[7; 210]].concat();
    let end = format!(
        "26{:02}{:02}{:02}{:02}00Z",
        n / 40320 % 12 + 1,
        n / 1440 % 28 + 1,
        n / 60 % 24,
        n % 60
    );
    let parts = [
        tlv(0xa0, &[2, 1, 2]),
        tlv(0x02, serial),
        algorithm,
        name("Issuing CA"),
        tlv(0x30, &[time("250101000000Z".into()), time(end)].concat()),
        name(&format!("device-{n}.example.org")),
        tlv(0x30, &tlv(0x03, &key)),
        tlv(0xa3, &tlv(0x30, &[5; 300])),
    ];
    tlv(0x30, &parts.concat())
}

/// Opens the ledger in `folder`.
pub fn open(folder: &std::path::Path) -> Arc<Ledger> {
    let store = FileStore::open(StoreOptions::new(folder), Arc::new(SystemRandom)).unwrap();
    Ledger::open(store, Arc::new(SystemClock)).unwrap()
}

/// Adds `count` certificates and returns the serial number of every thousandth.
pub fn fill(ledger: &Ledger, count: u64) -> Vec<SerialNumber> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let before = ledger.head().size() / 2;
    let mut sample = Vec::new();
    let start = Instant::now();
    runtime.block_on(async {
        let mut n = before;
        while n < before + count {
            let batch: Vec<_> = (n..(n + 64).min(before + count))
                .map(|n| {
                    let serial = SerialNumber::random(&SystemRandom).unwrap();
                    if n % 1000 == 0 {
                        sample.push(serial.clone());
                    }
                    Reservation {
                        endpoint: "device".into(),
                        transaction: format!("{:032x}", n * 7919).into_bytes().into(),
                        request: SealedRequest {
                            digest: Fingerprint::of(&[0x30; 650]),
                            sealed: vec![0x30; 650].into(),
                        },
                        tbs: tbs(serial.content(), n).into(),
                        serial: serial.content().into(),
                        profile: "device".into(),
                        issuer: "issuing".into(),
                        evidence: vec![],
                        replaces: None,
                    }
                })
                .collect();
            n += batch.len() as u64;
            let draft = |event| Draft {
                actor: Actor::Device(Fingerprint([7; 32])),
                origin: Origin::Address([192, 0, 2, 1].into()),
                object: String::new(),
                outcome: Outcome::Success,
                event,
            };
            let drafts = batch.iter().cloned().map(|r| draft(Event::Reservation(r))).collect();
            let done = ledger.append(drafts).await.unwrap();
            let drafts = done.iter().zip(&batch).map(|(s, r)| {
                let algorithm = tlv(0x30, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
                let certificate =
                    tlv(0x30, &[&r.tbs[..], &algorithm, &tlv(0x03, &[0; 71])].concat());
                draft(Event::Certificate(Certificate {
                    reservation: s.0,
                    certificate: certificate.into(),
                }))
            });
            ledger.append(drafts.collect()).await.unwrap();
            if n % 65536 < 64 {
                println!("   {n} certificates after {:?}", start.elapsed());
            }
        }
    });
    sample
}
