//! Fills a ledger through its own store with certificates of a software key: for measurements at size.

use std::sync::Arc;
use std::time::Instant;

use chancery::clock::SystemClock;
use chancery::ledger::*;
use chancery::pki::{Digest, PublicKey, SerialNumber, SignatureAlgorithm};
use chancery::random::SystemRandom;
use chancery::store::{FileStore, StoreOptions};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

/// Certificates that are reserved, and then recorded, by one commit.
const BATCH: u64 = 512;

/// The issuer's name in the entries: none that a configuration has, since the key is not in its HSM. A
/// signer's own verification counts these certificates and leaves their signatures out.
pub const ISSUER: &str = "loader";

/// The key that signs the certificates.
pub struct Issuer {
    key: PKey<Private>,
    signs: SignatureAlgorithm,
    /// AlgorithmIdentifier of its signatures.
    algorithm: Vec<u8>,
}

impl Issuer {
    /// A new P-256 key: ecdsa-with-SHA256.
    pub fn p256() -> Self {
        let algorithm = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        Self::ec(Nid::X9_62_PRIME256V1, Digest::Sha256, &algorithm)
    }

    /// A new P-384 key: ecdsa-with-SHA384.
    pub fn p384() -> Self {
        let algorithm = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
        Self::ec(Nid::SECP384R1, Digest::Sha384, &algorithm)
    }

    fn ec(curve: Nid, digest: Digest, algorithm: &[u8]) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        Self { key, signs: SignatureAlgorithm::Ecdsa(digest), algorithm: tlv(0x30, algorithm) }
    }

    /// A new RSA key of so many bits: sha256WithRSAEncryption.
    pub fn rsa(bits: u32) -> Self {
        let key = PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
        let algorithm = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
        let signs = SignatureAlgorithm::RsaPkcs1(Digest::Sha256);
        Self { key, signs, algorithm: tlv(0x30, &algorithm) }
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let algorithm = tlv(0x30, &[6, 3, 0x2b, 0x65, 0x70]);
        Self { key, signs: SignatureAlgorithm::Ed25519, algorithm }
    }

    /// How many signatures over a certificate a second one core verifies, and nothing else.
    pub fn raw_verifications(&self, seconds: f64) -> f64 {
        let serial = SerialNumber::random(&SystemRandom).unwrap();
        let content = tbs(&self.algorithm, serial.content(), 1);
        let (signature, key) = (self.sign(&content), self.public());
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < seconds {
            key.verify(self.signs, &content, &signature).unwrap();
            done += 1;
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_spki(&self.key.public_key_to_der().unwrap()).unwrap()
    }

    fn sign(&self, content: &[u8]) -> Vec<u8> {
        let mut signer = match self.signs {
            SignatureAlgorithm::Ed25519 => Signer::new_without_digest(&self.key),
            SignatureAlgorithm::Ecdsa(Digest::Sha384) => {
                Signer::new(MessageDigest::sha384(), &self.key)
            }
            _ => Signer::new(MessageDigest::sha256(), &self.key),
        };
        signer.as_mut().unwrap().sign_oneshot_to_vec(content).unwrap()
    }

    fn certificate(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = tlv(0x03, &[&[0], &self.sign(tbs)[..]].concat());
        tlv(0x30, &[tbs, &self.algorithm, &signature].concat())
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        n @ 0..=0x7f => vec![n as u8],
        n @ 0x80..=0xff => vec![0x81, n as u8],
        n => vec![0x82, (n >> 8) as u8, n as u8],
    };
    [&[tag], &length[..], content].concat()
}

fn tbs(algorithm: &[u8], serial: &[u8], n: u64) -> Vec<u8> {
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
        algorithm.to_vec(),
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

/// Adds `count` certificates of `issuer` and returns the serial number of every thousandth.
pub fn fill(ledger: &Ledger, issuer: &Issuer, count: u64) -> Vec<SerialNumber> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let before = ledger.head().size() / 2;
    let mut sample = Vec::new();
    let start = Instant::now();
    runtime.block_on(async {
        let mut n = before;
        while n < before + count {
            let batch: Vec<_> = (n..(n + BATCH).min(before + count))
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
                        tbs: tbs(&issuer.algorithm, serial.content(), n).into(),
                        serial: serial.content().into(),
                        profile: "device".into(),
                        issuer: ISSUER.into(),
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
                let certificate = issuer.certificate(&r.tbs);
                draft(Event::Certificate(Certificate {
                    reservation: s.0,
                    certificate: certificate.into(),
                }))
            });
            ledger.append(drafts.collect()).await.unwrap();
            if n % (BATCH * 256) < BATCH {
                println!("   {n} certificates after {:?}", start.elapsed());
            }
        }
    });
    sample
}
