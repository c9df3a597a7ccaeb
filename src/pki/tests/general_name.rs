//! Alternative names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::{Encode, Tag};
use proptest::prelude::*;

use super::fixtures::*;
use crate::pki::asn1::oid;
use crate::pki::{GeneralName, GeneralNameError, GeneralNameKind};

const UPN: &str = "1.3.6.1.4.1.311.20.2.3";

fn other(kind: &str, value: &[u8]) -> Vec<u8> {
    let kind = oid(kind).to_der().unwrap();
    tlv(context(0, true), &[kind, tlv(context(0, true), value)].concat())
}

fn read(names: &[Vec<u8>]) -> Result<Vec<GeneralName>, GeneralNameError> {
    GeneralName::parse_all(&seq(&[&names.concat()]))
}

#[test]
fn every_kind_is_read_and_written_back() {
    let directory = common_name("x");
    let names = [
        other("1.2.3", &[5, 0]),
        other(UPN, &tlv(Tag::Utf8String, "jörg@example".as_bytes())),
        general_name(1, b"a@example.com"),
        general_name(2, b"host.example.com"),
        tlv(context(3, true), &[]),
        tlv(context(4, true), &directory),
        tlv(context(5, true), &[0xa1, 3, 0x0c, 1, b'x']),
        general_name(6, b"urn:x"),
        general_name(7, &[10, 0, 0, 1]),
        general_name(7, &[0; 16]),
        general_name(8, oid("1.2.3").as_bytes()),
    ];
    let read = read(&names).unwrap();
    assert_eq!(
        read,
        [
            GeneralName::Other(oid("1.2.3"), vec![5, 0]),
            GeneralName::UserPrincipal("jörg@example".into()),
            GeneralName::Email("a@example.com".into()),
            GeneralName::Dns("host.example.com".into()),
            GeneralName::X400(vec![]),
            GeneralName::Directory(directory),
            GeneralName::EdiParty(vec![0xa1, 3, 0x0c, 1, b'x']),
            GeneralName::Uri("urn:x".into()),
            GeneralName::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            GeneralName::Ip(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            GeneralName::RegisteredId(oid("1.2.3")),
        ]
    );
    assert_eq!(GeneralName::encode_all(&read).unwrap(), seq(&[&names.concat()]));
    let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown.join(" "),
        "other:1.2.3=0500 upn:jörg@example email:a@example.com dns:host.example.com x400: \
         directory:CN=x edi:a1030c0178 uri:urn:x ip:10.0.0.1 ip::: registered-id:1.2.3"
    );
}

#[test]
fn a_upn_of_another_string_type_is_no_upn() {
    let name = read(&[other(UPN, &tlv(Tag::Ia5String, b"a@b"))]).unwrap();
    assert_eq!(name[0].kind(), GeneralNameKind::Other);
}

#[test]
fn what_cannot_be_read_is_refused() {
    for length in [0, 3, 5, 8, 15, 17, 32] {
        let address = read(&[general_name(7, &vec![1; length])]);
        assert_eq!(address, Err(GeneralNameError::AddressLength(length)));
    }
    for text in [b"a\0.example".as_slice(), b"\xe4.example", b"a\n.example", b"\x7f"] {
        for number in [1, 2, 6] {
            let name = read(&[general_name(number, text)]);
            assert!(matches!(name, Err(GeneralNameError::Form { .. })));
        }
    }
    assert_eq!(read(&[]), Err(GeneralNameError::Empty));
    assert!(read(&vec![general_name(2, b"a"); 100]).is_ok());
    let many = read(&vec![general_name(2, b"a"); 101]);
    assert_eq!(many, Err(GeneralNameError::TooMany(101)));
    let malformed = [
        general_name(9, b"x"),
        tlv(context(2, true), b""),         // constructed dNSName
        general_name(4, &common_name("x")), // primitive directoryName
        tlv(context(4, true), b"\x04\x00"), // no Name inside
        tlv(Tag::Utf8String, b"x"),         // no tag at all
        tlv(context(0, true), &oid(UPN).to_der().unwrap()), // otherName without value
        other(UPN, b""),
        general_name(8, b"\x80"),
    ];
    for name in malformed {
        assert!(matches!(read(&[name]), Err(GeneralNameError::Malformed(_))));
    }
    assert!(GeneralName::parse_all(&[]).is_err());
    assert!(GeneralName::parse_all(b"\x30\x00\x00").is_err());
}

#[test]
fn dns_names() {
    let check = |name: &str, wildcards| GeneralName::Dns(name.into()).check_form(wildcards).is_ok();
    let long = format!("{}.example", "a".repeat(64));
    let longest = ["a"; 127].join(".");
    for name in ["a.example", "A-1.b.example", "host", "xn--e1a.example", "1a.2b.c3", &longest] {
        assert!(check(name, false), "{name}");
    }
    for name in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a b.c",
        "1.2.3.4",
        "a.1",
        "*",
        "*.a",
        "*.*.b.c",
        "a*.b.c",
        "a.*.b.c",
        &long,
        &format!("a.{longest}"),
    ] {
        assert!(!check(name, true), "{name}");
    }
    assert!(check("*.b.example", true) && !check("*.b.example", false));
}

#[test]
fn addresses_uris_and_principals() {
    let email = |name: &str| GeneralName::Email(name.into()).check_form(false).is_ok();
    assert!(email("a.b+c@example.com") && email("x@y"));
    for name in ["", "a", "@b", "a@", "a@b@c", "a b@c", "<a@b>", "a@*.b.c", "\"a\"@b"] {
        assert!(!email(name), "{name}");
    }
    let uri = |name: &str| GeneralName::Uri(name.into()).check_form(false).is_ok();
    for name in ["https://a.example/x?y#z", "urn:uuid:1", "DeviceId:1-2", "AAD_Device_ID:x"] {
        assert!(uri(name), "{name}");
    }
    for name in ["", "a", ":b", "a:", "1a:b", "a b:c", "a:b c", "a:<b>"] {
        assert!(!uri(name), "{name}");
    }
    let upn = |name: &str| GeneralName::UserPrincipal(name.into()).check_form(false).is_ok();
    assert!(upn("jörg@example.com") && upn("host$@example"));
    for name in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a\0@b", "a\u{202e}@b"] {
        assert!(!upn(name), "{name}");
    }
}

#[test]
fn kinds_that_no_certificate_carries_never_have_a_good_form() {
    let all = read(&[
        other("1.2.3", &[5, 0]),
        other("1.3.6.1.4.1.311.25.2.1", &tlv(Tag::OctetString, b"S-1-5-21")),
        tlv(context(3, true), &[]),
        tlv(context(4, true), &common_name("x")),
        tlv(context(5, true), &[]),
    ]);
    for name in all.unwrap() {
        assert!(name.check_form(true).is_err());
        assert_eq!(GeneralNameKind::from_name(name.kind().name()), None);
    }
    for kind in GeneralNameKind::ISSUABLE {
        assert_eq!(GeneralNameKind::from_name(kind.name()), Some(kind));
    }
}

#[test]
fn security_identifiers_are_known_in_any_case() {
    let claims = |uri: &str| GeneralName::Uri(uri.into()).claims_sid();
    assert!(claims("tag:microsoft.com,2022-09-14:sid:S-1-5-21"));
    assert!(claims("TAG:Microsoft.COM,2022-09-14:SID:S-1-5-21"));
    assert!(!claims("tag:microsoft.com,2022-09-14:other") && !claims("tag:"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for der in [bytes.clone(), seq(&[&bytes]), seq(&[&tlv(context(0, true), &bytes)])] {
            if let Ok(names) = GeneralName::parse_all(&der) {
                prop_assert_eq!(GeneralName::encode_all(&names).unwrap(), der);
                for name in names {
                    let _ = (name.to_string(), name.check_form(true));
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))] // each starts a program

    #[test]
    fn names_of_good_form_come_back_from_openssl(
        label in "[a-z0-9]{1,10}", octets in any::<[u8; 4]>(), path in "[a-z0-9/]{1,10}",
    ) {
        let names = [
            GeneralName::Dns(format!("{label}.example")),
            GeneralName::Ip(octets.into()),
            GeneralName::Uri(format!("http://{path}")),
        ];
        for name in &names {
            prop_assert_eq!(name.check_form(false), Ok(()));
        }
        let value = GeneralName::encode_all(&names).unwrap();
        let wish = [extension_request(&[extension("2.5.29.17", false, &value)])];
        let der = request(&rsa_key(), &common_name("x"), Some(&wish));
        let (done, text) = run("openssl", &["req", "-inform", "DER", "-noout", "-text"], &der);
        let line = format!("DNS:{label}.example, IP Address:{}, URI:http://{path}\n",
            octets.map(|o| o.to_string()).join("."));
        prop_assert!(done && text.contains(&line), "{}", text);
    }
}
