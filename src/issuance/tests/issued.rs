//! Certificates for devices.

use der::Tag;
use der::asn1::ObjectIdentifier;
use openssl::nid::Nid;
use openssl::pkey::PKey;

use super::fixtures::*;
use crate::issuance::{IssuanceError, OtherNames, PreparedCertificate, Profile, prepare};
use crate::pki::extension::KeyUsage;
use crate::pki::tests::fixtures::*;
use crate::pki::{
    Certificate, CertificateRequest, Digest, GeneralNameKind, KeyKind, SerialNumber,
    SignatureAlgorithm,
};
use crate::random::SystemRandom;

fn profile() -> Profile {
    let mut profile = Profile::device("device");
    profile.alternative_names.allowed =
        vec![GeneralNameKind::Dns, GeneralNameKind::Ip, GeneralNameKind::Uri];
    profile.crl_urls = vec!["http://pki.example/issuing.crl".into()];
    profile.ca_issuer_urls = vec!["http://pki.example/issuing.cer".into()];
    assert_eq!(profile.check(), Ok(()));
    profile
}

fn prepared(profile: &Profile, der: &[u8]) -> Result<PreparedCertificate, IssuanceError> {
    let csr = CertificateRequest::from_der(der).unwrap();
    assert_eq!(csr.verify_possession(), Ok(()));
    let serial = SerialNumber::random(&SystemRandom).unwrap();
    prepare(&ca().issuer, profile, &csr, serial, NOW)
}

fn issued(profile: &Profile, der: &[u8]) -> Certificate {
    let prepared = prepared(profile, der).unwrap();
    let certificate = ca().finish(&prepared);
    let (done, text) = ca().openssl_verify(&certificate);
    assert!(done, "{text}\n{}", openssl_text(&certificate));
    assert_eq!(certificate.serial(), prepared.serial());
    certificate
}

fn oids(certificate: &Certificate) -> Vec<String> {
    certificate.extensions().iter().map(|e| e.oid.to_string()).collect()
}

#[test]
fn every_client_key_under_every_ca_key() {
    let root = Software::new(p256_key());
    let mut profile = profile();
    profile.keys.curves.push(KeyKind::Ed25519);
    for signer in signers() {
        let ca = ca_with(&root, signer);
        let curves = [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1].map(ec_key);
        let keys = curves.into_iter().chain([rsa_key(), PKey::generate_ed25519().unwrap()]);
        for key in keys {
            let der = request(&key, &common_name("device"), None);
            let csr = CertificateRequest::from_der(&der).unwrap();
            let serial = SerialNumber::random(&SystemRandom).unwrap();
            let prepared = prepare(&ca.issuer, &profile, &csr, serial, NOW).unwrap();
            let certificate = ca.finish(&prepared);
            let (done, text) = ca.openssl_verify(&certificate);
            assert!(done, "{text}");
            assert_eq!(certificate.public_key(), csr.public_key());
            let usage = if csr.public_key().kind().is_rsa() { 0b101 } else { 0b1 };
            assert_eq!(certificate.key_usage(), Some(usage));
        }
    }
}

#[test]
fn says_what_the_profile_says() {
    let names = [general_name(2, b"device-1.example"), general_name(7, &[10, 0, 0, 1])];
    let attributes = [challenge(Tag::Utf8String, b"secret"), alternative_names(&names)];
    let der = request(&rsa_key(), &common_name("device-1"), Some(&attributes));
    let certificate = issued(&profile(), &der);
    let text = openssl_text(&certificate);
    for expected in [
        "Version: 3",
        "Subject: CN=device-1",
        "Issuer: CN=Issuing,O=Ex\\C3\\A4mple,C=DE",
        "Not Before: Jun 30 23:00:00 2026 GMT",
        "Not After : Jun 30 23:59:59 2027 GMT",
        "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "X509v3 Subject Alternative Name: \n                DNS:device-1.example, IP Address:10.0.0.1\n",
        "URI:http://pki.example/issuing.crl",
        "CA Issuers - URI:http://pki.example/issuing.cer",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let expected = [
        "2.5.29.15",
        "2.5.29.37",
        "2.5.29.14",
        "2.5.29.35",
        "2.5.29.17",
        "2.5.29.31",
        "1.3.6.1.5.5.7.1.1",
    ];
    assert_eq!(oids(&certificate), expected);
    assert!(!certificate.der().windows(6).any(|w| w == b"secret"));
    let (done, text) = run("certtool", &["--certificate-info", "--inder"], certificate.der());
    assert!(done, "{text}");
}

#[test]
fn basic_constraints_only_ever_say_no() {
    let mut profile = profile();
    profile.basic_constraints = true;
    let certificate = issued(&profile, &request(&rsa_key(), &common_name("a"), None));
    let text = openssl_text(&certificate);
    assert!(
        text.contains("X509v3 Basic Constraints: critical\n                CA:FALSE\n"),
        "{text}"
    );
}

#[test]
fn nothing_dangerous_is_copied() {
    // basicConstraints CA:TRUE, keyCertSign, anyExtendedKeyUsage and enrolment agent, SID,
    // application policies, template, name constraints, AIA, CRLDP, AKI, certificate policies, ocsp-nocheck.
    let any = &[0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0];
    let extensions = [
        extension("2.5.29.19", true, &[0x30, 3, 1, 1, 0xff]),
        extension("2.5.29.15", true, &[3, 2, 1, 6]),
        extension("2.5.29.37", false, any),
        extension("1.3.6.1.4.1.311.25.2", false, &seq(&[b"\xa0\x03\x04\x01S"])),
        extension("1.3.6.1.4.1.311.21.10", false, any),
        extension("1.3.6.1.4.1.311.20.2", false, b"\x1e\x02\x00C"),
        extension("1.3.6.1.4.1.311.21.7", false, &[0x30, 0]),
        extension("2.5.29.30", true, &[0x30, 0]),
        extension("1.3.6.1.5.5.7.1.1", false, &[0x30, 0]),
        extension("2.5.29.31", false, &[0x30, 0]),
        extension("2.5.29.35", false, &[0x30, 0]),
        extension("2.5.29.14", false, &[4, 1, 9]),
        extension("2.5.29.32", false, &[0x30, 0]),
        extension("1.3.6.1.5.5.7.48.1.5", false, &[5, 0]),
    ];
    for attributes in [extension_request(&extensions)]
        .into_iter()
        .chain(extensions.iter().map(|one| extension_request(std::slice::from_ref(one))))
    {
        let der = request(&rsa_key(), &common_name("a"), Some(&[attributes]));
        let plain = issued(&profile(), &request(&rsa_key(), &common_name("a"), None));
        let certificate = issued(&profile(), &der);
        assert_eq!(certificate.extensions(), plain.extensions());
        assert!(!prepared(&profile(), &der).unwrap().ignored().is_empty());
    }
}

#[test]
fn security_identifier_uris_are_never_copied() {
    let sid = b"TAG:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500";
    let names = [general_name(6, b"IntuneDeviceId://1-2"), general_name(6, sid)];
    let der = request(&rsa_key(), &common_name("a"), Some(&[alternative_names(&names)]));
    let certificate = issued(&profile(), &der);
    let text = openssl_text(&certificate);
    assert!(text.contains("URI:IntuneDeviceId://1-2\n") && !text.contains("sid:"), "{text}");
    let ignored = prepared(&profile(), &der).unwrap().ignored().join(";");
    assert!(ignored.contains("sid:S-1-5-21"), "{ignored}");
}

#[test]
fn t07_other_names_are_refused_or_dropped() {
    let names = [general_name(2, b"a.example"), general_name(1, b"a@b.example")];
    let der = request(&rsa_key(), &common_name("a"), Some(&[alternative_names(&names)]));
    let mut profile = profile();
    assert!(matches!(prepared(&profile, &der), Err(IssuanceError::Names(_))));
    profile.alternative_names.others = OtherNames::Drop;
    assert_eq!(prepared(&profile, &der).unwrap().ignored(), ["alternative name email:a@b.example"]);
    let text = openssl_text(&issued(&profile, &der));
    assert!(text.contains("DNS:a.example\n") && !text.contains("a@b"), "{text}");
}

#[test]
fn odd_subjects_come_out_byte_for_byte() {
    let printable = Tag::PrintableString;
    let repeated = name(&[
        ("DC", Tag::Ia5String, b"com"),
        ("DC", Tag::Ia5String, b"example"),
        ("OU", printable, b"one"),
        ("OU", Tag::Utf8String, "zwei".as_bytes()),
        ("CN", Tag::Utf8String, "Gerät 東京".as_bytes()),
    ]);
    let multi = {
        let parts = [
            attribute_value(&("serialNumber", printable, b"A1")),
            attribute_value(&("unstructuredName", printable, b"router.example")),
        ];
        let mut parts = parts.to_vec();
        parts.sort();
        seq(&[&tlv(Tag::Set, &parts.concat())])
    };
    let legacy = name(&[("CN", Tag::TeletexString, b"Ger\xe4t"), ("O", Tag::BmpString, b"\0X")]);
    let mut profile = profile();
    profile.subject.names.legacy_strings = true;
    for subject in [repeated, multi, legacy] {
        let certificate = issued(&profile, &request(&rsa_key(), &subject, None));
        assert_eq!(certificate.subject(), subject);
    }
}

#[test]
fn unsorted_values_cannot_be_kept_and_are_refused() {
    let mut parts = [
        attribute_value(&("serialNumber", Tag::PrintableString, b"A1")),
        attribute_value(&("CN", Tag::Utf8String, b"router")),
    ];
    parts.sort();
    parts.reverse();
    let subject = seq(&[&tlv(Tag::Set, &parts.concat())]);
    let made = prepared(&profile(), &request(&rsa_key(), &subject, None));
    assert!(matches!(made, Err(IssuanceError::Names(_))), "{made:?}");
}

#[test]
fn empty_subject_makes_alternative_names_critical() {
    let mut profile = profile();
    let names = [alternative_names(&[general_name(2, b"a.example")])];
    let der = request(&rsa_key(), &seq(&[]), Some(&names));
    assert!(matches!(prepared(&profile, &der), Err(IssuanceError::Names(_))));
    profile.subject.may_be_empty = true;
    let text = openssl_text(&issued(&profile, &der));
    assert!(text.contains("Subject Alternative Name: critical"), "{text}");
    let nothing = request(&rsa_key(), &seq(&[]), None);
    assert!(matches!(prepared(&profile, &nothing), Err(IssuanceError::Names(_))));
}

#[test]
fn usages_fit_the_key_or_nothing_is_issued() {
    let mut profile = profile();
    profile.key_usage = KeyUsage::KEY_ENCIPHERMENT;
    let der = request(&p256_key(), &common_name("a"), None);
    assert!(matches!(prepared(&profile, &der), Err(IssuanceError::NoUsage(..))));
    profile.key_usage = KeyUsage::KEY_ENCIPHERMENT | KeyUsage::KEY_AGREEMENT;
    assert_eq!(issued(&profile, &der).key_usage(), Some(0b10000));
    let der = request(&rsa_key(), &common_name("a"), None);
    assert_eq!(issued(&profile, &der).key_usage(), Some(0b100));
}

#[test]
fn weak_requests_are_refused() {
    let sha1 = SignatureAlgorithm::RsaPkcs1(Digest::Sha1);
    let der = request_signed(&rsa_key(), sha1, &common_name("a"), None);
    let mut profile = profile();
    assert!(matches!(prepared(&profile, &der), Err(IssuanceError::RequestSignature(..))));
    profile.sha1_requests = true;
    assert!(prepared(&profile, &der).is_ok());
    profile.keys.rsa_sizes = vec![3072];
    assert!(matches!(prepared(&profile, &der), Err(IssuanceError::KeyKind { .. })));
}

#[test]
fn t43_dates_stay_within_the_ca() {
    let der = request(&rsa_key(), &common_name("a"), None);
    let csr = CertificateRequest::from_der(&der).unwrap();
    let at = |profile: &Profile, now| {
        let serial = SerialNumber::random(&SystemRandom).unwrap();
        prepare(&ca().issuer, profile, &csr, serial, now)
    };
    let profile = profile();
    // Backdating stops at the CA's own beginning.
    assert_eq!(at(&profile, BORN).unwrap().not_before(), BORN);
    let late = at(&profile, NOW.after(DAY * 3600)).unwrap();
    assert_eq!(late.not_after(), ca().issuer.not_after());
    for now in [BORN.before(DAY), NOW.after(DAY * 3650)] {
        assert!(matches!(at(&profile, now), Err(IssuanceError::IssuerNotValid { .. })));
    }
}

#[test]
fn t43_at_any_instant_the_dates_are_exact_or_nothing_is_issued() {
    use std::time::Duration;

    use crate::clock::Timestamp;
    use crate::issuance::Issuer;
    use crate::issuance::bootstrap::{Subject, self_signed_ca};

    let second = Duration::from_secs(1);
    let der = request(&rsa_key(), &common_name("a"), None);
    let csr = CertificateRequest::from_der(&der).unwrap();
    let born = Timestamp::parse("2026-01-01").unwrap();
    let end = born.after(DAY * 365 * 40).before(second);
    let root = Software::new(p256_key());
    let name = Subject::common_name("R");
    let top = self_signed_ca(&name, &terms(365 * 40), &root, &SystemRandom, born).unwrap();
    assert_eq!((top.not_before(), top.not_after()), (born, end));
    let issuer = Issuer::new("r", top, vec![], root.algorithm).unwrap();
    let profile = profile();
    let day = |text: &str| Timestamp::parse(text).unwrap();
    // The ends of months and years, leap days and seconds, the ends of 32-bit and UTCTime clocks,
    // clocks that were set far back or forward.
    let turns = [
        "1970-01-01",
        "2000-02-29",
        "2025-12-31",
        "2026-01-01",
        "2026-02-28",
        "2026-12-31",
        "2027-01-01",
        "2028-02-29",
        "2032-02-29",
        "2036-02-07",
        "2038-01-19",
        "2049-12-31",
        "2050-01-01",
        "2065-12-01",
        "2065-12-22",
        "2100-02-28",
        "2106-02-07",
    ];
    let instants = turns.iter().flat_map(|t| [day(t), day(t).after(DAY).before(second)]);
    let instants = instants.chain([born.before(second), born, end, end.after(second)]);
    let (mut issued, mut refused) = (0, 0);
    for now in instants {
        let serial = SerialNumber::random(&SystemRandom).unwrap();
        match prepare(&issuer, &profile, &csr, serial, now) {
            Ok(prepared) => {
                issued += 1;
                assert!(born <= now && now < end, "{now}");
                let begin = now.before(profile.backdate).max(born);
                assert_eq!(prepared.not_before(), begin, "{now}");
                let last = now.after(profile.validity).before(second).min(end);
                assert_eq!(prepared.not_after(), last, "{now}");
            }
            Err(IssuanceError::IssuerNotValid { .. }) => {
                refused += 1;
                assert!(now < born || now >= end, "{now}");
            }
            Err(e) => panic!("{now}: {e}"),
        }
    }
    // The control: both happen.
    assert!(issued >= 15 && refused >= 8, "{issued} issued, {refused} refused");
}

#[test]
fn t43_years_from_2050_are_generalized_times() {
    let der = request(&rsa_key(), &common_name("a"), None);
    let csr = CertificateRequest::from_der(&der).unwrap();
    let root = Software::new(p256_key());
    let top = crate::issuance::bootstrap::self_signed_ca(
        &crate::issuance::bootstrap::Subject::common_name("R"),
        &terms(365 * 40),
        &root,
        &SystemRandom,
        NOW,
    );
    let issuer = crate::issuance::Issuer::new("r", top.unwrap(), vec![], root.algorithm).unwrap();
    let mut profile = profile();
    // The last second of 2049, and the one after it.
    let turn = crate::clock::Timestamp::from_unix_seconds(2_524_608_000);
    for (end, form) in [(turn, "491231235959Z"), (turn.after(DAY / 86_400), "20500101000000Z")] {
        profile.validity = end.since(NOW);
        let serial = SerialNumber::random(&SystemRandom).unwrap();
        let prepared = prepare(&issuer, &profile, &csr, serial, NOW).unwrap();
        let wanted = form.as_bytes();
        assert!(prepared.tbs().windows(wanted.len()).any(|w| w == wanted), "{form}");
    }
}

#[test]
fn assemble_takes_the_ca_s_signature_alone() {
    let made = prepared(&profile(), &request(&rsa_key(), &common_name("a"), None)).unwrap();
    let stranger = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    for signature in [sign(&stranger, RSA_SHA256, made.tbs()), vec![1; 256]] {
        assert!(matches!(made.assemble(&signature), Err(IssuanceError::Signature(_))));
    }
    assert!(matches!(made.assemble(&[]), Err(IssuanceError::Lint(_))));
}

#[test]
fn bad_profiles_say_what_to_do() {
    let good = profile();
    type Spoil = fn(&mut Profile);
    let spoilt: [(&str, Spoil); 9] = [
        ("validity", |p| p.validity = std::time::Duration::ZERO),
        ("backdate", |p| p.backdate = DAY * 8),
        ("key_usage", |p| p.key_usage = KeyUsage::KEY_CERT_SIGN),
        ("key_usage", |p| p.key_usage = KeyUsage::NONE),
        ("extended_key_usage", |p| {
            p.extended_key_usage = vec![ObjectIdentifier::new_unwrap("2.5.29.37.0")];
        }),
        ("key_types", |p| p.keys.rsa_sizes = vec![1024]),
        ("crl_urls", |p| p.crl_urls = vec!["https://pki.example/x.crl".into()]),
        ("ca_issuer_urls", |p| p.ca_issuer_urls = vec!["http://pki example/".into()]),
        ("alternative_names", |p| {
            p.alternative_names.dns_suffixes = vec!["*.example".into()];
        }),
    ];
    for (setting, spoil) in spoilt {
        let mut profile = good.clone();
        spoil(&mut profile);
        let errors = profile.check().unwrap_err();
        assert!(errors.iter().any(|e| e.setting == setting), "{setting}: {errors:?}");
    }
}
