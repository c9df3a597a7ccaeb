//! Every rule of one-time challenges by itself.

use proptest::prelude::*;

use super::*;
use crate::pki::tests::fixtures::{alternative_names, general_name, p256_key, request};

fn csr(subject: &str, dns: &[&str]) -> CertificateRequest {
    let names: Vec<Vec<u8>> = dns.iter().map(|n| general_name(2, n.as_bytes())).collect();
    let attributes = [alternative_names(&names)];
    let attributes = (!dns.is_empty()).then_some(attributes.as_slice());
    let subject = parse_name(subject).unwrap();
    CertificateRequest::from_der(&request(&p256_key(), &subject, attributes)).unwrap()
}

fn kept(subject: Option<&str>, san: &[&str]) -> KeptChallenge {
    let restriction = Restriction {
        profile: "device".into(),
        uses: 1,
        subject: subject.map(str::to_owned),
        san: san.iter().map(|n| (*n).to_owned()).collect(),
    };
    restriction.check().unwrap();
    let restriction = Restriction::from_text(&restriction.to_text()).unwrap();
    let expires = Timestamp::from_unix_seconds(1000);
    KeptChallenge { restriction, expires, standing: Standing::Open }
}

const NOW: Timestamp = Timestamp::from_unix_seconds(999);

#[test]
fn t05_names_must_be_equal() {
    let bound = kept(Some("O=Example,CN=a"), &["dns:a.example", "dns:b.example"]);
    let check = |subject, dns: &[&str]| bound.check(&csr(subject, dns), "device", NOW);
    assert_eq!(check("O=Example,CN=a", &["b.example", "A.EXAMPLE"]), Ok(()));
    for other in ["CN=a", "O=Example,CN=a,OU=x", "O=Example,CN=b", "CN=a,O=Example", ""] {
        let found = check(other, &["a.example", "b.example"]);
        assert_eq!(found, Err(OneTimeError::Subject), "{other}");
    }
    let others: [&[&str]; 4] = [
        &[],
        &["a.example"],
        &["a.example", "b.example", "c.example"],
        &["a.example", "c.example"],
    ];
    for other in others {
        let found = check("O=Example,CN=a", other);
        assert_eq!(found, Err(OneTimeError::AlternativeNames), "{other:?}");
    }
    let without = kept(Some("CN=a"), &[]);
    let found = without.check(&csr("CN=a", &["a.example"]), "device", NOW);
    assert_eq!(found, Err(OneTimeError::AlternativeNames));
    let free = kept(None, &[]);
    assert_eq!(free.check(&csr("CN=any", &["any.example"]), "device", NOW), Ok(()));
}

#[test]
fn each_end_has_its_own_words() {
    let good = kept(None, &[]);
    let csr = csr("CN=a", &[]);
    let expires = Timestamp::from_unix_seconds(1000);
    assert_eq!(good.check(&csr, "device", expires), Err(OneTimeError::Expired(expires)));
    assert_eq!(good.check(&csr, "other", NOW), Err(OneTimeError::Profile("device".into())));
    for (standing, error) in [
        (Standing::Used, OneTimeError::Used),
        (Standing::Revoked, OneTimeError::Revoked),
        (Standing::Voided, OneTimeError::Voided),
    ] {
        let ended = KeptChallenge { standing, ..good.clone() };
        assert_eq!(ended.check(&csr, "device", NOW), Err(error));
    }
}

#[test]
fn what_could_not_be_checked_is_not_made() {
    let good = kept(Some("CN=a"), &["dns:a.example"]).restriction;
    let san = |names: &[&str]| Restriction {
        san: names.iter().map(|n| (*n).to_owned()).collect(),
        ..good.clone()
    };
    assert_eq!(san(&["ip:192.0.2.1", "ip:2001:db8::1", "email:a@b.example"]).check(), Ok(()));
    for bad in ["a.example", "dns:", "dns:a b", "ip:1.2.3", "colour:red", "dir:CN=a"] {
        assert!(san(&[bad]).check().is_err(), "{bad}");
    }
    for uses in [0, MAX_USES + 1] {
        assert!(Restriction { uses, ..good.clone() }.check().is_err());
    }
    assert!(Restriction { subject: Some("a".into()), ..good.clone() }.check().is_err());
    assert!(Restriction { subject: None, ..good }.check().is_err());
    assert!(Restriction::from_text("").is_err());
}

/// One attribute of a subject or one alternative name: its kind, and its text.
type Part = (&'static str, String);

/// Parts of a small pool, so that two lists are often equal, nearly equal or a part of each other.
fn parts(kinds: Vec<&'static str>) -> impl Strategy<Value = Vec<Part>> {
    let one = (
        prop::sample::select(kinds),
        prop::sample::select(vec!["a.example", "A.example", "b.example"]),
    );
    prop::collection::vec(one.prop_map(|(kind, text)| (kind, text.to_owned())), 0..4)
}

fn subject_text(parts: &[Part]) -> String {
    let texts: Vec<String> = parts.iter().map(|(kind, text)| format!("{kind}={text}")).collect();
    texts.join(",")
}

/// The rule once more, from the texts alone: the subject in its order, the names as a set; case counts
/// in neither a subject nor a DNS name, and counts in every other name.
fn fits(bound: &(Vec<Part>, Vec<Part>), asked: &(Vec<Part>, Vec<Part>)) -> bool {
    let subject = |parts: &[Part]| subject_text(parts).to_ascii_lowercase();
    let names = |parts: &[Part]| -> std::collections::BTreeSet<String> {
        let name = |(kind, text): &Part| match *kind {
            "dns" => format!("dns {}", text.to_ascii_lowercase()),
            other => format!("{other} {text}"),
        };
        parts.iter().map(name).collect()
    };
    subject(&bound.0) == subject(&asked.0) && names(&bound.1) == names(&asked.1)
}

fn request_of((subject, names): &(Vec<Part>, Vec<Part>)) -> CertificateRequest {
    let name = |(kind, text): &Part| match *kind {
        "dns" => general_name(2, text.as_bytes()),
        "email" => general_name(1, format!("u@{text}").as_bytes()),
        _ => general_name(6, format!("urn:{text}").as_bytes()),
    };
    let names: Vec<Vec<u8>> = names.iter().map(name).collect();
    let attributes = [alternative_names(&names)];
    let attributes = (!names.is_empty()).then_some(attributes.as_slice());
    let subject = parse_name(&subject_text(subject)).unwrap();
    CertificateRequest::from_der(&request(&p256_key(), &subject, attributes)).unwrap()
}

proptest! {
    #[test]
    fn t05_a_request_fits_when_its_texts_do(
        bound in (parts(vec!["CN", "O"]), parts(vec!["dns", "email", "uri"])),
        asked in (parts(vec!["CN", "O"]), parts(vec!["dns", "email", "uri"])),
        same in any::<[bool; 2]>(),
    ) {
        prop_assume!(!bound.0.is_empty());
        let asked = (
            if same[0] { bound.0.clone() } else { asked.0 },
            if same[1] { bound.1.clone() } else { asked.1 },
        );
        let san: Vec<String> = bound.1.iter().map(|(kind, text)| match *kind {
            "email" => format!("email:u@{text}"),
            "uri" => format!("uri:urn:{text}"),
            _ => format!("dns:{text}"),
        }).collect();
        let san: Vec<&str> = san.iter().map(String::as_str).collect();
        let challenge = kept(Some(&subject_text(&bound.0)), &san);
        let decided = challenge.check(&request_of(&asked), "device", NOW);
        prop_assert_eq!(decided.is_ok(), fits(&bound, &asked), "{:?}", decided);
    }

    #[test]
    fn no_reference_has_two_uses(mac: [u8; 32], a in 0..1000u32, b in 0..1000u32) {
        prop_assert_eq!(slot(&mac, a) == slot(&mac, b), a == b);
    }
}
