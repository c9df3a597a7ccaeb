//! Requests as a fuzzer makes them: whatever they ask for, a certificate has the profile's
//! extensions and no others, or there is none.

use der::Tag;
use openssl::x509::X509;
use proptest::prelude::*;

use super::fixtures::*;
use crate::issuance::{OtherNames, Profile, prepare};
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::tests::fixtures::*;
use crate::pki::{CertificateRequest, GeneralName, GeneralNameKind, SerialNumber};
use crate::random::SystemRandom;

fn profile() -> Profile {
    let mut profile = Profile::device("wild");
    profile.alternative_names.allowed = vec![GeneralNameKind::Dns, GeneralNameKind::Ip];
    profile.alternative_names.others = OtherNames::Drop;
    profile.subject.names.legacy_strings = true;
    profile
}

/// Object identifiers that mean something in a certificate, and some that do not.
fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "2.5.29.9",
        "2.5.29.14",
        "2.5.29.15",
        "2.5.29.16",
        "2.5.29.17",
        "2.5.29.18",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.31",
        "2.5.29.32",
        "2.5.29.33",
        "2.5.29.35",
        "2.5.29.36",
        "2.5.29.37",
        "2.5.29.46",
        "2.5.29.54",
        "1.3.6.1.5.5.7.1.1",
        "1.3.6.1.5.5.7.1.3",
        "1.3.6.1.5.5.7.1.11",
        "1.3.6.1.5.5.7.1.24",
        "1.3.6.1.5.5.7.48.1.5",
        "1.3.6.1.4.1.311.20.2",
        "1.3.6.1.4.1.311.21.1",
        "1.3.6.1.4.1.311.21.7",
        "1.3.6.1.4.1.311.21.10",
        "1.3.6.1.4.1.311.25.2",
        "1.3.6.1.4.1.11129.2.4.3",
        "2.16.840.1.113730.1.1",
        "1.2.3.4",
    ])
}

fn extension_wishes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let value = prop_oneof![
        Just(vec![0x30, 3, 1, 1, 0xff]),                      // cA
        Just(vec![3, 2, 1, 0x86]),                            // keyCertSign
        Just(vec![0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0]),       // any usage
        Just(vec![0x30, 6, 0x82, 4, b'a', b'.', b'b', b'c']), // dNSName a.bc
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let one = (kind(), any::<bool>(), value).prop_map(|(k, c, v)| extension(k, c, &v));
    prop::collection::vec(one, 0..6)
}

fn string() -> impl Strategy<Value = (Tag, Vec<u8>)> {
    let tags = [
        Tag::Utf8String,
        Tag::PrintableString,
        Tag::Ia5String,
        Tag::TeletexString,
        Tag::BmpString,
        Tag::OctetString,
    ];
    let bytes = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        "[A-Za-z0-9äß東_*@. -]{0,70}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    (prop::sample::select(tags.to_vec()), bytes)
}

fn subject() -> impl Strategy<Value = Vec<u8>> {
    let kinds = ["CN", "O", "C", "serialNumber", "DC", "emailAddress", "1.2.3.4"];
    let part = (prop::sample::select(kinds.to_vec()), string());
    prop::collection::vec(part, 0..4).prop_map(|parts| {
        let parts: Vec<(&str, Tag, &[u8])> =
            parts.iter().map(|(kind, (tag, value))| (*kind, *tag, value.as_slice())).collect();
        name(&parts)
    })
}

/// Prepares and checks; whether there was a certificate.
fn issue(der: &[u8]) -> Result<bool, TestCaseError> {
    let Ok(csr) = CertificateRequest::from_der(der) else { return Ok(false) };
    let serial = SerialNumber::random(&SystemRandom).unwrap();
    let Ok(prepared) = prepare(&ca().issuer, &profile(), &csr, serial, NOW) else {
        return Ok(false);
    };
    let certificate = ca().finish(&prepared);
    prop_assert_eq!(certificate.subject(), csr.subject());
    let kinds: Vec<String> = certificate.extensions().iter().map(|e| e.oid.to_string()).collect();
    let own = ["2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.35"];
    prop_assert_eq!(&kinds[..4], own);
    match certificate.extensions().get(4) {
        None => (),
        Some(names) => {
            prop_assert!(names.oid == SUBJECT_ALT_NAME && kinds.len() == 5);
            for name in GeneralName::parse_all(&names.value).unwrap() {
                prop_assert!(matches!(name.kind(), GeneralNameKind::Dns | GeneralNameKind::Ip));
            }
        }
    }
    prop_assert_eq!(certificate.key_usage(), Some(0b1));
    let parsed = X509::from_der(certificate.der()).unwrap();
    prop_assert_eq!(parsed.to_der().unwrap(), certificate.der());
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_wish_comes_true_by_itself(wishes in extension_wishes(), cn in "[a-z]{1,9}") {
        let der = request(&p256_key(), &common_name(&cn), Some(&[extension_request(&wishes)]));
        issue(&der)?;
    }

    #[test]
    fn any_subject_is_kept_or_refused(subject in subject()) {
        issue(&request(&p256_key(), &subject, None))?;
    }

    #[test]
    fn any_alternative_name_is_allowed_or_left_out(
        names in prop::collection::vec((0..10u32, prop::collection::vec(any::<u8>(), 0..20)), 1..5),
        host in "[a-z*_-]{1,5}\\.[a-z]{1,5}",
    ) {
        let mut names: Vec<Vec<u8>> = names.iter().map(|(tag, v)| general_name(*tag, v)).collect();
        names.push(general_name(2, host.as_bytes()));
        let subject = common_name("a");
        issue(&request(&p256_key(), &subject, Some(&[alternative_names(&names)])))?;
        issue(&request(&p256_key(), &subject, Some(&[alternative_names(&names[names.len() - 1..])])))?;
    }

    #[test]
    fn damaged_requests_never_panic(bit in 0usize..4000, second in 0usize..4000) {
        let wishes = [challenge(Tag::Utf8String, b"x"), alternative_names(&[general_name(2, b"a.b")])];
        let mut der = request(&p256_key(), &common_name("a"), Some(&wishes));
        for bit in [bit, second] {
            let at = bit % (der.len() * 8);
            der[at / 8] ^= 1 << (at % 8);
        }
        issue(&der)?;
    }
}

#[test]
fn the_generators_reach_certificates() {
    // The properties above say nothing if every request is refused.
    let wishes = [extension("2.5.29.19", true, &[0x30, 3, 1, 1, 0xff])];
    let der = request(&p256_key(), &common_name("a"), Some(&[extension_request(&wishes)]));
    assert!(issue(&der).unwrap());
    let names = [alternative_names(&[general_name(2, b"a.bc"), general_name(1, b"x@y")])];
    assert!(issue(&request(&p256_key(), &common_name("a"), Some(&names))).unwrap());
}
