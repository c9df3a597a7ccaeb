use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};

use super::*;
use crate::ceremony::plan::{CertificateKind, CertificateProfile};
use crate::clock::Timestamp;
use crate::pki::{Certificate, PublicKey, SerialNumber, signed};

struct Ca {
    key: PKey<Private>,
    certificate: Certificate,
}

fn key(curve: Nid) -> (PKey<Private>, PublicKey) {
    let key = EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap();
    let key = PKey::from_ec_key(key).unwrap();
    let public = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
    (key, public)
}

fn profile(kind: CertificateKind, path_length: Option<u8>) -> CertificateProfile {
    let urls = |u: &str| if kind == CertificateKind::RootCa { vec![] } else { vec![u.to_owned()] };
    CertificateProfile {
        kind,
        validity: "1y".parse().unwrap(),
        path_length,
        policies: vec!["1.3.6.1.4.1.55555.1".into()],
        cps: Some("https://pki.example/cps".into()),
        crl_urls: urls("http://pki.example/r1.crl"),
        aia_urls: urls("http://pki.example/r1.cer"),
        extended_key_usage: vec![],
        dns_names: vec![],
    }
}

fn sign(key: &PKey<Private>, curve: Nid, tbs: &[u8]) -> Vec<u8> {
    let digest =
        if curve == Nid::SECP384R1 { MessageDigest::sha384() } else { MessageDigest::sha512() };
    let mut signer = openssl::sign::Signer::new(digest, key).unwrap();
    signer.sign_oneshot_to_vec(tbs).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

fn make(
    profile: &CertificateProfile,
    subject: &str,
    issuer: Option<&Ca>,
    curve: Nid,
) -> (Ca, Vec<Finding>) {
    let (private, public) = key(curve);
    let serial: SerialNumber = "5a1122334455667788990011".parse().unwrap();
    let signer = issuer.map_or(&private, |i| &i.key);
    let issuer_curve = issuer.map_or(curve, |_| Nid::SECP384R1);
    let algorithm =
        issuer.map_or(&public, |i| i.certificate.public_key()).kind().default_signature();
    let terms = CertificateTerms {
        profile,
        subject: &name(subject).unwrap(),
        key: &public,
        key_identifier: &public.key_identifier(),
        issuer: issuer.map(|i| &i.certificate),
        algorithm,
        serial: &serial,
        not_before: now(),
        not_after: Timestamp::from_unix_seconds(1_800_000_000 + 300 * 86_400),
    };
    let tbs = tbs_certificate(&terms).unwrap();
    let signature = sign(signer, issuer_curve, &tbs);
    let certificate = Certificate::from_der(&signed(&tbs, algorithm, &signature).unwrap()).unwrap();
    let context = LintContext {
        profile,
        issuer: terms.issuer,
        algorithm,
        key_identifier: terms.key_identifier,
    };
    let findings = lint_certificate(&certificate, &context).findings;
    (Ca { key: private, certificate }, findings)
}

const ROOT: &str = "C=SE, O=Example\\, Inc, CN=Example Root R1";

#[test]
fn a_chain_passes_lints_and_openssl() {
    let (root, found) =
        make(&profile(CertificateKind::RootCa, Some(1)), ROOT, None, Nid::SECP384R1);
    assert_eq!(found, []);
    let (issuing, found) = make(
        &profile(CertificateKind::IssuingCa, Some(0)),
        "C=SE, O=Example, OU=a, OU=b, CN=I1",
        Some(&root),
        Nid::SECP521R1,
    );
    assert_eq!(found, []);
    check_path(&issuing.certificate, &[], std::slice::from_ref(&root.certificate), now()).unwrap();
    let late = Timestamp::from_unix_seconds(1_900_000_000);
    assert!(check_path(&issuing.certificate, &[], &[root.certificate], late).is_err());
    let shown = crate::pki::name::display(issuing.certificate.subject());
    assert!(shown.contains("OU=a") && shown.contains("OU=b"), "{shown}");
}

#[test]
fn lints_name_what_is_wrong() {
    let (root, _) = make(&profile(CertificateKind::RootCa, Some(0)), ROOT, None, Nid::SECP384R1);
    let names = |found: Vec<Finding>| found.into_iter().map(|f| f.lint).collect::<Vec<_>>();
    let below =
        make(&profile(CertificateKind::IssuingCa, Some(0)), "CN=I1", Some(&root), Nid::SECP384R1).1;
    assert_eq!(names(below), ["subject-organisation", "path-length"]);
    let mut bare = profile(CertificateKind::Tls, None);
    bare.crl_urls.clear();
    let tls = make(&bare, "O=x", Some(&root), Nid::SECP384R1).1;
    assert_eq!(names(tls), ["subject-common-name", "crl-address", "alternative-names"]);
    let mut long = profile(CertificateKind::RaDecryption, None);
    long.aia_urls.clear();
    let ra = make(&long, "CN=RA", Some(&root), Nid::SECP384R1).1;
    assert_eq!(names(ra), ["key-decrypts", "issuer-address"]);
}

#[test]
fn a_flipped_bit_breaks_the_path() {
    let (root, _) = make(&profile(CertificateKind::RootCa, Some(1)), ROOT, None, Nid::SECP384R1);
    let mut der = root.certificate.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    if let Ok(changed) = Certificate::from_der(&der) {
        assert!(check_path(&changed, &[], std::slice::from_ref(&changed), now()).is_err());
    }
}

#[test]
fn crls_follow_each_other() {
    let (root, _) = make(&profile(CertificateKind::RootCa, Some(1)), ROOT, None, Nid::SECP384R1);
    let algorithm = root.certificate.public_key().kind().default_signature();
    let entry = CrlEntry { serial: "ff01".parse().unwrap(), date: now(), reason: 4 };
    let crl = |number, entries: &[CrlEntry], previous: &PreviousCrl| {
        let terms = CrlTerms {
            issuer: &root.certificate,
            algorithm,
            number,
            this_update: now(),
            next_update: Timestamp::from_unix_seconds(1_800_000_000 + 90 * 86_400),
            entries,
        };
        let tbs = tbs_crl(&terms).unwrap();
        let der = signed(&tbs, algorithm, &sign(&root.key, Nid::SECP384R1, &tbs)).unwrap();
        let names: Vec<_> =
            lint_crl(&der, &terms, previous).findings.into_iter().map(|f| f.lint).collect();
        (der, names)
    };
    let (empty, found) = crl(1, &[], &PreviousCrl::default());
    assert!(found.is_empty(), "{found:?}");
    let first = PreviousCrl::read(&empty, &root.certificate).unwrap();
    assert_eq!((first.number, first.entries.len()), (1, 0));
    let (second, found) = crl(2, std::slice::from_ref(&entry), &first);
    assert!(found.is_empty(), "{found:?}");
    let pem = crate::pki::pem("X509 CRL", &second);
    let second = PreviousCrl::read(pem.as_bytes(), &root.certificate).unwrap();
    assert_eq!(second.entries, [entry]);
    assert_eq!(crl(2, &[], &second).1, ["crl-number-grows", "crl-keeps-entries"]);
    let (other, _) = make(&profile(CertificateKind::RootCa, Some(1)), ROOT, None, Nid::SECP384R1);
    assert!(PreviousCrl::read(&empty, &other.certificate).is_err());
}

#[test]
fn subjects_are_written_as_given() {
    for bad in ["", "CN", "CN=a+O=b", "C=se, CN=x", "XY=1", "CN=", "C=Sweden"] {
        assert!(name(bad).is_err(), "{bad}");
    }
    assert_eq!(marked("C=SE, CN=Root"), "C=SE, CN=REHEARSAL Root");
    assert_eq!(marked("C=SE, O=A\\, B"), "C=SE, O=A\\, B, CN=REHEARSAL");
}

#[test]
fn requests_are_accepted_by_our_own_reader() {
    let (private, public) = key(Nid::SECP384R1);
    let info = request_info(&name("CN=x").unwrap(), &public).unwrap();
    let algorithm = public.kind().default_signature();
    let der = signed(&info, algorithm, &sign(&private, Nid::SECP384R1, &info)).unwrap();
    crate::pki::CertificateRequest::from_der(&der).unwrap().verify_possession().unwrap();
}
