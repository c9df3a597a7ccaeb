//! The lint against certificates with one fault each, written by hand.

use der::{Encode, Tag};
use openssl::pkey::{PKey, Private};

use super::fixtures::*;
use crate::issuance::lint::{self, Expected, LintError};
use crate::issuance::{Profile, prepare};

use crate::pki::tests::fixtures::*;
use crate::pki::{CertificateRequest, SerialNumber, x509_time};
use crate::random::SystemRandom;

/// The parts of a TBSCertificate, each in DER.
#[derive(Clone)]
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    times: [Vec<u8>; 2],
    subject: Vec<u8>,
    spki: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    rest: Vec<u8>,
}

impl Parts {
    /// A sound certificate for `key`.
    fn good(key: &PKey<Private>) -> Self {
        let ca = ca().issuer.certificate();
        let authority = seq(&[&tlv(context(0, false), &ca.subject_key_identifier().unwrap())]);
        let identifier = tlv(Tag::OctetString, &public(key).key_identifier());
        let time = |t| x509_time(t).unwrap().to_der().unwrap();
        Self {
            version: vec![0xa0, 3, 2, 1, 2],
            serial: tlv(Tag::Integer, SERIAL),
            algorithm: RSA_SHA256.identifier_der(),
            issuer: ca.subject().to_vec(),
            times: [time(NOW), time(NOW.after(DAY))],
            subject: common_name("a"),
            spki: key.public_key_to_der().unwrap(),
            extensions: vec![
                extension("2.5.29.15", true, &[3, 2, 7, 0x80]),
                extension("2.5.29.14", false, &identifier),
                extension("2.5.29.35", false, &authority),
            ],
            rest: vec![],
        }
    }

    fn der(&self) -> Vec<u8> {
        let list = tlv(context(3, true), &seq(&[&self.extensions.concat()]));
        seq(&[
            &self.version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &seq(&[&self.times[0], &self.times[1]]),
            &self.subject,
            &self.spki,
            &self.rest,
            if self.extensions.is_empty() { &[] } else { &list },
        ])
    }
}

const SERIAL: &[u8] = &[0x5a; 16];

/// Lints the certificate that `spoil` makes of a sound one; what is expected stays sound, but for
/// the names that `spoil` changes in it.
fn lint(key: &PKey<Private>, spoil: impl Fn(&mut Parts)) -> Result<(), LintError> {
    let mut parts = Parts::good(key);
    spoil(&mut parts);
    lint_against(key, &parts.der(), SERIAL, &common_name("a"))
}

fn lint_against(
    key: &PKey<Private>,
    tbs: &[u8],
    serial: &[u8],
    subject: &[u8],
) -> Result<(), LintError> {
    let expected = Expected {
        issuer: ca().issuer.certificate(),
        algorithm: RSA_SHA256,
        serial: &SerialNumber::from_content(serial),
        subject,
        spki: &key.public_key_to_der().unwrap(),
        not_before: NOW,
        not_after: NOW.after(DAY),
    };
    lint::tbs(tbs, &expected)
}

#[test]
fn sound_certificates_pass() {
    for key in [rsa_key(), p256_key(), PKey::generate_ed25519().unwrap()] {
        assert_eq!(lint(&key, |_| ()), Ok(()));
    }
    let more = [
        extension("2.5.29.19", true, &seq(&[])),
        extension("2.5.29.37", false, &seq(&[&[6, 1, 0x2a]])),
        extension("2.5.29.17", false, &seq(&[&general_name(2, b"a.example")])),
    ];
    assert_eq!(lint(&rsa_key(), |p| p.extensions.extend(more.clone())), Ok(()));
}

#[test]
fn t42_every_fault_in_a_field_is_found() {
    type Spoil = fn(&mut Parts);
    let faults: [(&str, Spoil); 16] = [
        ("version 2", |p| p.version = vec![0xa0, 3, 2, 1, 1]),
        ("version 1 written out", |p| p.version = vec![0xa0, 3, 2, 1, 0]),
        ("no version", |p| p.version.clear()),
        ("another serial", |p| p.serial = tlv(Tag::Integer, &[0x5b; 16])),
        ("SHA-1", |p| p.algorithm = hex::decode("300d06092a864886f70d0101050500").unwrap()),
        ("algorithm without NULL", |p| {
            p.algorithm = hex::decode("300b06092a864886f70d01010b").unwrap();
        }),
        ("another issuer", |p| p.issuer = common_name("Issuing")),
        ("another subject", |p| p.subject = common_name("b")),
        ("another key", |p| p.spki = p256_key().public_key_to_der().unwrap()),
        ("GeneralizedTime before 2050", |p| {
            p.times[0] = tlv(Tag::GeneralizedTime, b"20260701000000Z");
        }),
        ("time without seconds", |p| p.times[0] = tlv(Tag::UtcTime, b"2607010000Z")),
        ("time with an offset", |p| p.times[0] = tlv(Tag::UtcTime, b"260701000000+0000")),
        ("another beginning", |p| p.times[0] = tlv(Tag::UtcTime, b"260701000001Z")),
        ("another end", |p| p.times[1] = tlv(Tag::UtcTime, b"270701000001Z")),
        ("unique identifier", |p| p.rest = vec![0x82, 2, 0, 1]),
        ("no extensions", |p| p.extensions.clear()),
    ];
    for (what, spoil) in faults {
        assert!(lint(&rsa_key(), spoil).is_err(), "{what}");
    }
}

#[test]
fn t42_every_fault_in_an_extension_is_found() {
    let wrong = |kind: &str, critical, value: &[u8]| {
        let one = extension(kind, critical, value);
        // In place of the same extension, or behind the others.
        let place = ["2.5.29.15", "2.5.29.14", "2.5.29.35"].iter().position(|k| *k == kind);
        let replaced = lint(&rsa_key(), |p| match place {
            Some(i) => p.extensions[i].clone_from(&one),
            None => p.extensions.push(one.clone()),
        });
        assert!(matches!(replaced, Err(LintError::Extension { .. })), "{kind} {replaced:?}");
    };
    for missing in 0..3 {
        let without = lint(&rsa_key(), |p| drop(p.extensions.remove(missing)));
        assert!(matches!(without, Err(LintError::Extension { problem: "is missing", .. })));
    }
    for twice in 0..3 {
        let repeated = lint(&rsa_key(), |p| p.extensions.push(p.extensions[twice].clone()));
        assert!(repeated.is_err());
    }
    wrong("2.5.29.15", false, &[3, 2, 7, 0x80]); // not critical
    wrong("2.5.29.15", true, &[3, 2, 0, 0x80]); // trailing zero bits
    wrong("2.5.29.15", true, &[3, 1, 0]); // empty
    wrong("2.5.29.15", true, &[3, 2, 2, 0x84]); // keyCertSign
    wrong("2.5.29.15", true, &[3, 2, 1, 0x82]); // cRLSign
    wrong("2.5.29.15", true, &[3, 2, 3, 0x88]); // keyAgreement with RSA
    wrong("2.5.29.14", true, &tlv(Tag::OctetString, &public(&rsa_key()).key_identifier()));
    wrong("2.5.29.14", false, &tlv(Tag::OctetString, &[]));
    wrong("2.5.29.35", false, &seq(&[&tlv(context(0, false), &[1; 20])]));
    wrong("2.5.29.35", false, &seq(&[]));
    wrong("2.5.29.19", true, &[0x30, 3, 1, 1, 0xff]); // CA:TRUE
    wrong("2.5.29.19", true, &[0x30, 3, 1, 1, 0]); // FALSE written out
    wrong("2.5.29.19", true, &[0x30, 3, 2, 1, 0]); // path length
    wrong("2.5.29.19", false, &seq(&[])); // not critical
    wrong("2.5.29.37", false, &seq(&[])); // empty
    wrong("2.5.29.37", false, &seq(&[&[6, 4, 0x55, 0x1d, 0x25, 0]])); // any
    wrong("2.5.29.37", true, &seq(&[&[6, 1, 0x2a]])); // critical
    wrong("2.5.29.17", false, &seq(&[])); // empty
    wrong("2.5.29.17", true, &seq(&[&general_name(2, b"a.b")])); // critical with a subject
    wrong("2.5.29.17", false, &seq(&[&general_name(2, b"a_b")]));
    wrong("2.5.29.17", false, &seq(&[&general_name(6, b"tag:microsoft.com,2022-09-14:sid:S-1")]));
    wrong("2.5.29.17", false, &seq(&[&tlv(context(4, true), &common_name("x"))]));
    wrong("2.5.29.31", false, &seq(&[]));
    wrong("1.3.6.1.5.5.7.1.1", false, &seq(&[]));
    for foreign in ["1.3.6.1.4.1.311.25.2", "2.5.29.30", "1.3.6.1.4.1.311.21.10", "2.5.29.32"] {
        wrong(foreign, false, &[5, 0]);
    }
}

#[test]
fn keys_of_elliptic_curves_never_encipher() {
    let usage = |bits| extension("2.5.29.15", true, &[3, 2, 3, bits]);
    assert_eq!(lint(&p256_key(), |p| p.extensions[0] = usage(0x88)), Ok(()));
    let enciphers = extension("2.5.29.15", true, &[3, 2, 5, 0xa0]);
    assert!(lint(&p256_key(), |p| p.extensions[0].clone_from(&enciphers)).is_err());
    let ed25519 = PKey::generate_ed25519().unwrap();
    assert!(lint(&ed25519, |p| p.extensions[0] = usage(0x88)).is_err());
}

#[test]
fn serials_are_positive_and_long_enough() {
    let key = rsa_key();
    let check = |serial: &[u8]| {
        let parts = Parts { serial: tlv(Tag::Integer, serial), ..Parts::good(&key) };
        lint_against(&key, &parts.der(), serial, &common_name("a"))
    };
    assert_eq!(check(&[0x7f; 20]), Ok(()));
    assert_eq!(check(&[1; 8]), Ok(()));
    for serial in [&[0][..], &[1; 7], &[0x80; 16], &[1; 21], &[0, 1, 1, 1, 1, 1, 1, 1, 1]] {
        assert!(check(serial).is_err(), "{serial:?}");
    }
}

#[test]
fn an_empty_subject_needs_critical_names() {
    let key = rsa_key();
    let check = |critical: Option<bool>| {
        let mut parts = Parts { subject: seq(&[]), ..Parts::good(&key) };
        let value = seq(&[&general_name(2, b"a.example")]);
        parts.extensions.extend(critical.map(|c| extension("2.5.29.17", c, &value)));
        lint_against(&key, &parts.der(), SERIAL, &seq(&[]))
    };
    assert_eq!(check(Some(true)), Ok(()));
    assert!(check(Some(false)).is_err() && check(None).is_err());
}

#[test]
fn t42_damage_to_a_real_certificate_is_found() {
    let csr = request(&p256_key(), &common_name("a"), None);
    let csr = CertificateRequest::from_der(&csr).unwrap();
    let serial = SerialNumber::random(&SystemRandom).unwrap();
    let profile = Profile { extended_key_usage: vec![], ..Profile::device("d") };
    let prepared = prepare(&ca().issuer, &profile, &csr, serial, NOW).unwrap();
    let certificate = ca().finish(&prepared);
    let spki = csr.public_key().spki();
    let expected = Expected {
        issuer: ca().issuer.certificate(),
        algorithm: RSA_SHA256,
        serial: prepared.serial(),
        subject: prepared.subject(),
        spki,
        not_before: prepared.not_before(),
        not_after: prepared.not_after(),
    };
    let whole = certificate.der();
    assert_eq!(lint::certificate(whole, &expected), Ok(()));
    for cut in 0..whole.len() {
        assert!(lint::certificate(&whole[..cut], &expected).is_err());
    }
    // Every bit of the TBSCertificate is accounted for; the signature's are verified elsewhere.
    let tbs = prepared.tbs();
    for bit in 0..tbs.len() * 8 {
        let mut changed = tbs.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(lint::tbs(&changed, &expected).is_err(), "bit {bit}");
    }
    let inner = certificate.tbs();
    let other = crate::pki::SignatureAlgorithm::RsaPkcs1(crate::pki::Digest::Sha384);
    let mixed = crate::pki::signed(inner, other, &[1; 256]).unwrap();
    assert!(lint::certificate(&mixed, &expected).is_err(), "two algorithms");
    let none = crate::pki::signed(inner, RSA_SHA256, &[]).unwrap();
    assert!(lint::certificate(&none, &expected).is_err(), "no signature");
}
