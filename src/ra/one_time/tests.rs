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

proptest! {
    #[test]
    fn no_reference_has_two_uses(mac: [u8; 32], a in 0..1000u32, b in 0..1000u32) {
        prop_assert_eq!(slot(&mac, a) == slot(&mac, b), a == b);
    }
}
