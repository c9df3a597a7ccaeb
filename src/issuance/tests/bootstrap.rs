//! The CA's own certificates.

use super::fixtures::*;
use crate::clock::{Clock, SystemClock};
use crate::issuance::bootstrap::{
    Authority, BootstrapError, BootstrapSigner, CaTerms, RaRole, Subject, self_signed_ca,
};
use crate::issuance::{Issuer, IssuerError};
use crate::pki::tests::fixtures::{p256_key, public, rsa_key, run};
use crate::pki::{PublicKey, SignatureAlgorithm};
use crate::random::SystemRandom;

#[test]
fn every_ca_key_makes_a_chain_that_openssl_takes() {
    let root = Software::new(p256_key());
    for signer in signers() {
        let ca = ca_with(&root, signer);
        let (done, text) = ca.openssl_verify(ca.issuer.certificate());
        assert!(done, "{text}");
        for (role, key) in [(RaRole::Decryption, rsa_key()), (RaRole::Signing, p256_key())] {
            let authority = Authority::new(&ca.issuer, &ca.signer).unwrap();
            let subject = Subject::common_name("RA");
            let terms =
                CaTerms { crl_urls: vec!["http://pki.example/issuing.crl".into()], ..terms(365) };
            let ra = authority
                .issue_ra(role, &subject, &public(&key), &terms, &SystemRandom, NOW)
                .unwrap();
            let (done, text) = ca.openssl_verify(&ra);
            assert!(done, "{text}");
            let (usage, text) = match role {
                RaRole::Decryption => {
                    (0b100, "Key Usage: critical\n                Key Encipherment\n")
                }
                RaRole::Signing => {
                    (0b1, "Key Usage: critical\n                Digital Signature\n")
                }
            };
            assert_eq!(ra.key_usage(), Some(usage));
            assert!(openssl_text(&ra).contains(text));
            assert!(openssl_text(&ra).contains("CA:FALSE"));
        }
    }
}

#[test]
fn gnutls_takes_the_chain() {
    // certtool has no time to verify at but the present.
    let now = SystemClock.now();
    for signer in signers() {
        let ca = ca_at(now, &Software::new(p256_key()), signer);
        let authority = Authority::new(&ca.issuer, &ca.signer).unwrap();
        let (subject, key) = (Subject::common_name("RA"), public(&rsa_key()));
        let ra = authority
            .issue_ra(RaRole::Signing, &subject, &key, &terms(9), &SystemRandom, now)
            .unwrap();
        let chain = [ra.to_pem(), ca.issuer.certificate().to_pem(), ca.root.to_pem()].concat();
        let (done, text) = run("certtool", &["--verify-chain"], chain.as_bytes());
        assert!(done && text.contains("Chain verification output: Verified"), "{text}");
    }
}

#[test]
fn root_says_what_it_should() {
    let text = openssl_text(&ca().root);
    for expected in [
        "Subject: CN=Root,O=Ex\\C3\\A4mple,C=DE",
        "Not Before: Jun  1 00:00:00 2026 GMT",
        "Not After : May 26 23:59:59 2046 GMT",
        "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "X509v3 Subject Key Identifier: \n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("Authority") && !text.contains("CRL Distribution"), "{text}");
    assert_eq!(
        ca().root.subject_key_identifier().unwrap(),
        ca().root.public_key().key_identifier()
    );
    assert!((15..=17).contains(&ca().root.serial().content().len()));
}

#[test]
fn issuing_ca_says_what_it_should() {
    let text = openssl_text(ca().issuer.certificate());
    for expected in [
        "Issuer: CN=Root,O=Ex\\C3\\A4mple,C=DE",
        "CA:TRUE, pathlen:0",
        "URI:http://pki.example/root.crl",
        "CA Issuers - URI:http://pki.example/root.cer",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn two_certificates_for_one_key_have_two_serials() {
    let key = Software::new(p256_key());
    let make = || self_signed_ca(&Subject::common_name("R"), &terms(10), &key, &SystemRandom, NOW);
    assert_ne!(make().unwrap().serial(), make().unwrap().serial());
}

#[test]
fn validity_ends_with_the_issuer() {
    let ca = ca();
    let authority = Authority::new(&ca.issuer, &ca.signer).unwrap();
    let (subject, key) = (Subject::common_name("RA"), public(&rsa_key()));
    let make = |days, now| {
        authority.issue_ra(RaRole::Signing, &subject, &key, &terms(days), &SystemRandom, now)
    };
    assert_eq!(make(9000, NOW).unwrap().not_after(), ca.issuer.not_after());
    assert!(matches!(make(0, NOW), Err(BootstrapError::Validity)));
    assert!(matches!(make(1, BORN.before(DAY)), Err(BootstrapError::Validity)));
    assert!(matches!(make(1, NOW.after(DAY * 5000)), Err(BootstrapError::Validity)));
}

#[test]
fn bad_subjects_and_keys_are_refused() {
    let key = Software::new(p256_key());
    let long = "x".repeat(65);
    for name in ["", "  ", "a\nb", &long] {
        let made = self_signed_ca(&Subject::common_name(name), &terms(1), &key, &SystemRandom, NOW);
        assert!(matches!(made, Err(BootstrapError::Subject("common name"))), "{name}");
    }
    let subject = Subject { country: Some("de".into()), ..Subject::common_name("x") };
    let made = self_signed_ca(&subject, &terms(1), &key, &SystemRandom, NOW);
    assert!(matches!(made, Err(BootstrapError::Subject("country"))));
    let ca = ca();
    let authority = Authority::new(&ca.issuer, &ca.signer).unwrap();
    let subject = Subject::common_name("RA");
    let made = authority.issue_ra(
        RaRole::Decryption,
        &subject,
        &key.public,
        &terms(1),
        &SystemRandom,
        NOW,
    );
    assert!(matches!(made, Err(BootstrapError::Key(..))));
    assert!(matches!(Authority::new(&ca.issuer, &key), Err(BootstrapError::OtherKey)));
}

struct Broken(Software, bool);

impl BootstrapSigner for Broken {
    fn public_key(&self) -> &PublicKey {
        &self.0.public
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        if self.1 {
            return Err("the token went away".into());
        }
        self.0.sign(&[message, b"!"].concat())
    }
}

#[test]
fn a_key_that_fails_or_lies_makes_no_certificate() {
    let make = |away| {
        let key = Broken(Software::new(p256_key()), away);
        self_signed_ca(&Subject::common_name("R"), &terms(1), &key, &SystemRandom, NOW)
    };
    let away = make(true).unwrap_err();
    assert!(matches!(&away, BootstrapError::Signer(t) if t == "the token went away"), "{away}");
    assert!(matches!(make(false), Err(BootstrapError::Result(_))));
}

#[test]
fn issuer_wants_a_ca_and_its_chain() {
    let ca = ca();
    let (certificate, root) = (ca.issuer.certificate().clone(), ca.root.clone());
    let algorithm = ca.signer.algorithm;
    let new = |certificate, chain| Issuer::new("x", certificate, chain, algorithm).map(|_| ());
    assert_eq!(new(certificate.clone(), vec![root.clone()]), Ok(()));
    assert!(matches!(new(certificate.clone(), vec![]), Err(IssuerError::NoRoot(_))));
    let other = ca_with(&Software::new(p256_key()), Software::new(p256_key()));
    assert!(matches!(new(certificate.clone(), vec![other.root]), Err(IssuerError::Chain { .. })));
    let twice = vec![certificate.clone(), root.clone()];
    assert!(matches!(new(certificate, twice), Err(IssuerError::NotACa(..))));
    let authority = Authority::new(&ca.issuer, &ca.signer).unwrap();
    let (subject, key) = (Subject::common_name("RA"), public(&rsa_key()));
    let ra =
        authority.issue_ra(RaRole::Signing, &subject, &key, &terms(1), &SystemRandom, NOW).unwrap();
    let chain = vec![ca.issuer.certificate().clone(), root];
    assert!(matches!(new(ra, chain), Err(IssuerError::NotACa(..))));
    let ecdsa = crate::pki::KeyKind::P256.default_signature();
    let made = Issuer::new("x", ca.root.clone(), vec![], ecdsa);
    assert!(matches!(made, Err(IssuerError::Algorithm { .. })));
}
