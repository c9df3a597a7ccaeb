//! Revocation lists by our CA, judged by OpenSSL and GnuTLS.

use proptest::prelude::*;

use super::fixtures::*;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::issuance::{Profile, prepare};
use crate::pki::crl::{
    Crl, CrlContent, CrlError, CrlScope, CrlSubjects, PreparedCrl, RevocationReason,
    RevokedCertificate,
};
use crate::pki::tests::fixtures::*;
use crate::pki::{Certificate, CertificateRequest, SerialNumber, SignatureError};
use crate::random::SystemRandom;

fn revoked(serial: &str, reason: RevocationReason) -> RevokedCertificate {
    RevokedCertificate {
        serial: serial.parse().unwrap(),
        revoked: NOW.before(DAY),
        reason,
        invalid_since: None,
    }
}

fn content<'a>(ca: &'a Ca, revoked: &'a [RevokedCertificate]) -> CrlContent<'a> {
    CrlContent {
        issuer: ca.issuer.certificate(),
        algorithm: ca.signer.algorithm,
        number: 300,
        this_update: NOW,
        next_update: NOW.after(DAY * 7),
        scope: None,
        revoked,
    }
}

fn finish(ca: &Ca, content: &CrlContent<'_>) -> Crl {
    let prepared = PreparedCrl::new(content).unwrap();
    prepared.assemble(&sign(&ca.signer.key, ca.signer.algorithm, prepared.tbs())).unwrap()
}

fn text(crl: &Crl) -> String {
    let (done, text) = run("openssl", &["crl", "-inform", "DER", "-noout", "-text"], crl.der());
    assert!(done, "{text}");
    text
}

#[test]
fn openssl_reads_every_field() {
    let ca = ca();
    let mut entries: Vec<RevokedCertificate> = RevocationReason::ALL
        .into_iter()
        .enumerate()
        .map(|(i, reason)| revoked(&format!("{:x}", 0xa0 + i), reason))
        .rev()
        .collect();
    entries[0].invalid_since = Some(NOW.before(DAY * 400));
    let scope = CrlScope {
        urls: vec!["http://pki.example/issuing.crl".into()],
        only: Some(CrlSubjects::Users),
    };
    let crl = finish(ca, &CrlContent { scope: Some(&scope), ..content(ca, &entries) });
    let text = text(&crl);
    let identifier = hex::encode_upper(ca.issuer.key_identifier());
    let identifier: Vec<&str> =
        identifier.as_bytes().chunks(2).map(|c| std::str::from_utf8(c).unwrap()).collect();
    for expected in [
        "Version 2 (0x1)",
        "Last Update: Jul  1 00:00:00 2026 GMT",
        "Next Update: Jul  8 00:00:00 2026 GMT",
        &identifier.join(":"),
        "X509v3 CRL Number: \n                300\n",
        "X509v3 Issuing Distribution Point: critical\n",
        "URI:http://pki.example/issuing.crl",
        "Only User Certificates",
        "Revocation Date: Jun 30 00:00:00 2026 GMT",
        "Invalidity Date: \n                May 27 00:00:00 2025 GMT",
        "Key Compromise",
        "CA Compromise",
        "Affiliation Changed",
        "Superseded",
        "Cessation Of Operation",
        "Certificate Hold",
        "Privilege Withdrawn",
        "AA Compromise",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("Unspecified"), "{text}");
    let mut sorted = entries;
    sorted.reverse();
    assert_eq!(crl.revoked().collect::<Vec<_>>(), sorted);
    assert_eq!((crl.number(), crl.this_update()), (Some(300), NOW));
    assert_eq!(crl.next_update(), Some(NOW.after(DAY * 7)));
}

#[test]
fn an_empty_list_has_no_entries_at_all() {
    let ca = ca();
    let empty = CrlScope::default();
    let crl = finish(ca, &CrlContent { scope: Some(&empty), ..content(ca, &[]) });
    let text = text(&crl);
    assert!(text.contains("No Revoked Certificates.") && !text.contains("Distribution"), "{text}");
    assert_eq!(crl.revoked().count(), 0);
}

/// A device's certificate with an address of the list.
fn device(ca: &Ca, now: Timestamp) -> Certificate {
    let mut profile = Profile::device("d");
    profile.crl_urls = vec!["http://pki.example/issuing.crl".into()];
    let csr = CertificateRequest::from_der(&request(&p256_key(), &common_name("a"), None));
    let serial = SerialNumber::random(&SystemRandom).unwrap();
    ca.finish(&prepare(&ca.issuer, &profile, &csr.unwrap(), serial, now).unwrap())
}

#[test]
fn openssl_and_gnutls_believe_it_under_every_ca_key() {
    let now = SystemClock.now(); // certtool checks by no other time
    let root = Software::new(p256_key());
    for signer in signers() {
        let ca = ca_at(now, &root, signer);
        let (good, bad) = (device(&ca, now), device(&ca, now));
        let mut entry = revoked("1", RevocationReason::KeyCompromise);
        entry.serial = bad.serial().clone();
        let entries = [entry];
        let scope = CrlScope { urls: vec!["http://pki.example/issuing.crl".into()], only: None };
        let crl = finish(
            &ca,
            &CrlContent {
                this_update: now,
                next_update: now.after(DAY),
                scope: Some(&scope),
                ..content(&ca, &entries)
            },
        );
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let chain = file("ca.pem", [ca.issuer.certificate().to_pem(), ca.root.to_pem()].concat());
        let list = file("crl.pem", crl.to_pem());
        for (certificate, valid) in [(good, true), (bad, false)] {
            let leaf = file("leaf.pem", certificate.to_pem());
            let args =
                ["verify", "-x509_strict", "-crl_check", "-CAfile", &chain, "-CRLfile", &list];
            let (done, text) = run("openssl", &[&args[..], &[&leaf]].concat(), b"");
            assert_eq!(done, valid, "{text}");
            assert_eq!(text.contains("certificate revoked"), !valid, "{text}");
        }
        let args = ["--verify-crl", "--load-ca-certificate", &chain, "--infile", &list];
        let (done, text) = run("certtool", &args, b"");
        assert!(done && text.contains("Verified"), "{text}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let ca = ca();
    let twice = [
        revoked("ab", RevocationReason::Superseded),
        revoked("0ab", RevocationReason::Unspecified),
    ];
    let refused = PreparedCrl::new(&content(ca, &twice)).map(|_| ());
    assert_eq!(refused, Err(CrlError::Repeated("ab".parse().unwrap())));
    let ends = CrlContent { next_update: NOW, ..content(ca, &[]) };
    assert!(matches!(PreparedCrl::new(&ends), Err(CrlError::Times { .. })));
    let device = device(ca, NOW);
    let by_device = CrlContent { issuer: &device, ..content(ca, &[]) };
    assert!(matches!(PreparedCrl::new(&by_device), Err(CrlError::Issuer(_))));
    let prepared = PreparedCrl::new(&content(ca, &[])).unwrap();
    let stranger = sign(&rsa_key(), RSA_SHA256, prepared.tbs());
    let mismatch = Err(CrlError::Signature(SignatureError::Mismatch));
    assert_eq!(prepared.assemble(&stranger).map(|_| ()), mismatch);
}

#[test]
fn years_from_2050_are_generalized_times() {
    let ca = ca();
    let mut entry = revoked("1", RevocationReason::Superseded);
    entry.revoked = Timestamp::from_unix_seconds(2_524_608_000);
    let entries = [entry];
    let prepared = PreparedCrl::new(&content(ca, &entries)).unwrap();
    let has = |wanted: &[u8]| prepared.tbs().windows(wanted.len()).any(|w| w == wanted);
    assert!(has(b"\x17\x0d260701000000Z") && has(b"\x18\x0f20500101000000Z"));
}

#[test]
fn damage_is_found() {
    let ca = ca();
    let entries = [revoked("abcd", RevocationReason::Superseded)];
    let crl = finish(ca, &content(ca, &entries));
    let der = crl.der();
    let key = ca.issuer.certificate().public_key();
    assert_eq!(crl.verify_signature(key), Ok(()));
    for cut in 0..der.len() {
        assert!(Crl::from_der(&der[..cut]).is_err());
    }
    assert!(Crl::from_der(&[der, &[0]].concat()).is_err());
    for bit in 0..der.len() * 8 {
        let mut changed = der.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(crl) = Crl::from_der(&changed) {
            let _ = (crl.number(), crl.revoked().count());
            assert!(crl.verify_signature(key).is_err(), "bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn entries_come_back(list in prop::collection::btree_map(
        any::<[u8; 16]>().prop_map(|b| format!("01{}", hex::encode(b))),
        (1u64..4_000_000_000, 0usize..9, prop::option::of(1u64..4_000_000_000)),
        0..30,
    )) {
        let ca = ca();
        let entries: Vec<RevokedCertificate> = list
            .iter()
            .map(|(serial, (at, reason, since))| RevokedCertificate {
                serial: serial.parse().unwrap(),
                revoked: Timestamp::from_unix_seconds(*at),
                reason: RevocationReason::ALL[*reason],
                invalid_since: since.map(Timestamp::from_unix_seconds),
            })
            .collect();
        let crl = finish(ca, &content(ca, &entries));
        prop_assert_eq!(crl.revoked().collect::<Vec<_>>(), entries);
        let theirs = openssl::x509::X509Crl::from_der(crl.der()).unwrap();
        prop_assert_eq!(theirs.get_revoked().map_or(0, |r| r.len()), list.len());
        prop_assert_eq!(theirs.to_der().unwrap(), crl.der());
    }

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Crl::from_der(&bytes).is_err());
        prop_assert!(Crl::from_der(&seq(&[&bytes])).is_err());
    }
}
