use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name, X509Req};

use super::*;

const ISSUED: u64 = 1_700_000_000;
const ENDS: u64 = ISSUED + 365 * 86_400;

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn subject(cn: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", cn).unwrap();
    name.build()
}

fn request(key: &PKey<Private>, cn: &str, dns: &[&str]) -> ProvenRequest {
    let mut builder = X509Req::builder().unwrap();
    builder.set_subject_name(&subject(cn)).unwrap();
    builder.set_pubkey(key).unwrap();
    if !dns.is_empty() {
        let mut san = SubjectAlternativeName::new();
        for name in dns {
            san.dns(name);
        }
        let san = san.build(&builder.x509v3_context(None)).unwrap();
        let mut extensions = Stack::new().unwrap();
        extensions.push(san).unwrap();
        builder.add_extensions(&extensions).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    ProvenRequest::new(&builder.build().to_der().unwrap()).unwrap()
}

fn held(key: &PKey<Private>, cn: &str, dns: &[&str]) -> Held {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject(cn)).unwrap();
    builder.set_issuer_name(&subject("CA")).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(ISSUED as i64).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(ENDS as i64).unwrap()).unwrap();
    if !dns.is_empty() {
        let mut san = SubjectAlternativeName::new();
        for name in dns {
            san.dns(name);
        }
        let san = san.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(san).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    Held {
        certificate: Certificate::from_der(&builder.build().to_der().unwrap()).unwrap(),
        endpoint: "device".into(),
        profile: "device".into(),
        revoked: false,
    }
}

const POLICY: RenewalPolicy = RenewalPolicy {
    window: Duration::from_secs(30 * 86_400),
    names: NameRule::Same,
    same_key: false,
    check_challenge: true,
};

fn decide(
    policy: &RenewalPolicy,
    request: ProvenRequest,
    held: &Held,
    now: u64,
) -> Result<Evidence, Refusal> {
    let now = Timestamp::from_unix_seconds(now);
    let place = ("device", "device");
    authorize_renewal(policy, place, request, held, &KeyPolicy::default(), now)
        .map(|r| r.evidence()[0])
}

#[test]
fn t09_each_rule_refuses_and_the_control_issues() {
    let (old, new) = (key(), key());
    let good = held(&old, "d", &["a.example"]);
    let in_window = ENDS - 86_400;
    let ask = |cn: &str, dns: &[&str]| request(&new, cn, dns);
    assert_eq!(
        decide(&POLICY, ask("d", &["a.example"]), &good, in_window),
        Ok(Evidence::Renewal(good.certificate.fingerprint()))
    );
    let refused = |request, held: &Held, now| match decide(&POLICY, request, held, now) {
        Err(Refusal::Renewal(e)) => e,
        other => panic!("{other:?}"),
    };
    let same = || ask("d", &["a.example"]);
    let ends = Timestamp::from_unix_seconds(ENDS);
    assert_eq!(refused(same(), &good, ENDS + 1), RenewalError::Expired(ends));
    let begins = Timestamp::from_unix_seconds(ISSUED);
    assert_eq!(refused(same(), &good, ISSUED - 1), RenewalError::NotYet(begins));
    let opens = Timestamp::from_unix_seconds(ENDS - 30 * 86_400);
    assert_eq!(refused(same(), &good, ISSUED + 1), RenewalError::TooEarly(opens));
    let revoked = Held { revoked: true, ..good.clone() };
    assert_eq!(refused(same(), &revoked, in_window), RenewalError::Revoked);
    for elsewhere in [
        Held { endpoint: "other".into(), ..good.clone() },
        Held { profile: "other".into(), ..good.clone() },
    ] {
        assert!(matches!(refused(same(), &elsewhere, in_window), RenewalError::Elsewhere { .. }));
    }
    assert_eq!(refused(ask("e", &["a.example"]), &good, in_window), RenewalError::Subject);
    for names in [&["b.example"][..], &["a.example", "b.example"], &[]] {
        assert_eq!(refused(ask("d", names), &good, in_window), RenewalError::AlternativeNames);
    }
    let with_old_key = request(&old, "d", &["a.example"]);
    assert_eq!(refused(with_old_key, &good, in_window), RenewalError::SameKey);
}

#[test]
fn looser_rules_are_no_looser_than_they_say() {
    let (old, new) = (key(), key());
    let good = held(&old, "d", &["a.example", "b.example"]);
    let loose = RenewalPolicy { names: NameRule::Subset, same_key: true, ..POLICY };
    let now = ENDS - 86_400;
    assert!(decide(&loose, request(&old, "d", &["a.example"]), &good, now).is_ok());
    assert!(decide(&loose, request(&new, "d", &[]), &good, now).is_ok());
    assert!(decide(&loose, request(&new, "d", &["c.example"]), &good, now).is_err());
}
