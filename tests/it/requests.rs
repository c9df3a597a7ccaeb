//! What may be asked for and what is then issued: challenges, requests, profiles, retries (rows 54
//! to 62, 95, 96).

use openssl::x509::X509;
use softhsm_test::client::certificate::{CN, O, OU, extension};
use softhsm_test::client::{Csr, Device, der};
use softhsm_test::instance::{Instance, Options};

use crate::common::{
    BAD_MESSAGE_CHECK, BAD_REQUEST, each_recorded_once, good, granted, ledger, refused, shared,
    with_csr,
};

#[test]
fn row_060_quirk_55_challenges_in_every_string_type() {
    let instance = shared();
    let server = instance.server().unwrap();
    let challenge = instance.challenge.as_str();
    let csr = Csr::new("challenge");
    let mut all: Vec<Csr> = [der::tag::PRINTABLE, der::tag::UTF8, der::tag::IA5, der::tag::T61]
        .iter()
        .map(|tag| csr.clone().challenge_as(*tag, challenge.as_bytes()))
        .collect();
    all.push(csr.clone().challenge_bmp(challenge));
    // Repeated, but the same each time.
    all.push(csr.challenge(challenge).challenge_bmp(challenge));
    for csr in all {
        let (device, draft) = with_csr(&server, "challenge", csr);
        granted(&instance, &server, &device, &draft);
    }
}

#[test]
fn row_054_061_wrong_and_missing_challenges_are_refused() {
    let instance = shared();
    let server = instance.server().unwrap();
    let right = instance.challenge.as_str();
    let csr = Csr::new("wrong");
    let cases = [
        csr.clone(),
        Csr { attributes_field: false, ..csr.clone() },
        csr.clone().challenge(""),
        csr.clone().challenge(" "),
        csr.clone().challenge("guess"),
        csr.clone().challenge(&format!("{right} ")),
        csr.clone().challenge(&right[..right.len() - 1]),
        csr.clone().challenge(&format!("{right}\0")),
        csr.clone().challenge(right).challenge("another"),
        csr.challenge_as(der::tag::OCTET_STRING, right.as_bytes()),
    ];
    for csr in cases {
        let shown = format!("{csr:?}");
        let (device, draft) = with_csr(&server, "wrong", csr);
        let text = refused(&server, &device, &draft, BAD_REQUEST);
        assert!(!text.unwrap_or_default().contains(right), "the challenge leaks: {shown}");
    }
}

#[test]
fn subjects_are_kept_byte_for_byte() {
    let instance = shared();
    let server = instance.server().unwrap();
    let subject = der::name(&[(O, "Örg"), (OU, "one"), (OU, "two"), (CN, "Gerät 7")]);
    let csr = Csr::with_subject(subject.clone()).challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "subject", csr);
    assert_eq!(granted(&instance, &server, &device, &draft).subject, subject);
}

#[test]
fn quirk_32_microsoft_attributes_are_read_over() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("windows").challenge_bmp(&instance.challenge).microsoft_attributes();
    let (device, draft) = with_csr(&server, "windows", csr);
    granted(&instance, &server, &device, &draft);
}

#[test]
fn quirk_32_a_shorter_validity_is_given_where_the_profile_says_so() {
    for allowed in [false, true] {
        let mut instance = Instance::create(&Options::default()).unwrap();
        let rule = format!("validity = \"365d\"\nshorter_validity = {allowed}\nbackdate = \"0s\"");
        instance.configure(|text| text.replace("validity = \"365d\"", &rule)).unwrap();
        instance.start().unwrap();
        let server = instance.server().unwrap();
        let days = |period: &str, units: &str| {
            let csr = Csr::new("windows").challenge(&instance.challenge);
            let csr = csr.microsoft_pair("ValidityPeriod", period);
            let csr = csr.microsoft_pair("ValidityPeriodUnits", units);
            let (device, draft) = with_csr(&server, "windows", csr);
            let certificate = granted(&instance, &server, &device, &draft);
            let x509 = X509::from_der(&certificate.der).unwrap();
            let length = x509.not_before().diff(x509.not_after()).unwrap();
            // The last second belongs to the period.
            (i64::from(length.days) * 86_400 + i64::from(length.secs) + 1) / 86_400
        };
        let shorter = if allowed { [10, 60, 14] } else { [365; 3] };
        assert_eq!([days("Days", "10"), days("Months", "2"), days("Weeks", "2")], shorter);
        // Never longer, and nothing that is not clear.
        for (period, units) in [
            ("Years", "5"),
            ("Years", "1"),
            ("Days", "0"),
            ("Days", "-3"),
            ("Moons", "3"),
            ("", ""),
        ] {
            assert_eq!(days(period, units), 365, "{units} {period}");
        }
    }
}

#[test]
fn quirk_10_a_certificate_template_chooses_nothing() {
    let instance = shared();
    let server = instance.server().unwrap();
    // By name, as strongSwan's --profile sends it, and by number, as Windows does.
    let bmp: Vec<u8> = "SubCA".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let by_name = extension("1.3.6.1.4.1.311.20.2", false, &der::tlv(der::tag::BMP, &bmp));
    let numbers = der::seq(&[&der::oid("1.3.6.1.4.1.311.21.8.1.2"), &der::int(100)]);
    let by_number = extension("1.3.6.1.4.1.311.21.7", false, &numbers);
    let plain = |wanted: &[Vec<u8>]| {
        let csr = Csr::new("templated").challenge(&instance.challenge);
        let csr = if wanted.is_empty() { csr } else { csr.extensions(wanted) };
        let (device, draft) = with_csr(&server, "templated", csr);
        let certificate = granted(&instance, &server, &device, &draft).der;
        let x509 = X509::from_der(&certificate).unwrap();
        let text = String::from_utf8(x509.to_text().unwrap()).unwrap();
        let names = |l: &&str| l.contains("X509v3") || l.contains("1.3.6.1.4.1");
        text.lines().filter(names).map(str::to_owned).collect::<Vec<_>>()
    };
    let without = plain(&[]);
    assert!(!without.is_empty());
    assert_eq!(plain(&[by_name, by_number]), without, "the same extensions as without");
}

#[test]
fn t08_quirk_17_33_extensions_come_from_the_profile() {
    let instance = shared();
    let server = instance.server().unwrap();
    let ca = extension("2.5.29.19", true, &der::seq(&[&[1, 1, 0xff]]));
    let sign = extension("2.5.29.15", true, &[3, 2, 1, 0x06]);
    let any = extension("2.5.29.37", false, &der::seq(&[&der::oid("2.5.29.37.0")]));
    let sid = extension("1.3.6.1.4.1.311.25.2", false, &der::octets(b"S-1-5-21-1"));
    let wanted = [ca, sign, any, sid];
    let base = Csr::new("greedy").challenge(&instance.challenge);
    for csr in [base.clone().extensions(&wanted), base.microsoft_extensions(&wanted)] {
        let (device, draft) = with_csr(&server, "greedy", csr);
        let certificate = granted(&instance, &server, &device, &draft);
        assert!(!certificate.is_ca() && !certificate.key_usage(5));
        assert!(certificate.extension("1.3.6.1.4.1.311.25.2").is_none());
        let usages = certificate.extension("2.5.29.37").unwrap();
        assert_eq!(usages, der::seq(&[&der::oid("1.3.6.1.5.5.7.3.2")]));
    }
}

#[test]
fn dns_names_are_taken_where_the_profile_allows_them() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("san").challenge(&instance.challenge).dns_names(&["a.example", "b.example"]);
    let (device, draft) = with_csr(&server, "san", csr);
    let certificate = granted(&instance, &server, &device, &draft);
    let names = X509::from_der(&certificate.der).unwrap().subject_alt_names().unwrap();
    let names: Vec<_> = names.iter().filter_map(|n| n.dnsname()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
}

#[test]
fn serials_are_long_positive_and_distinct() {
    let instance = shared();
    let server = instance.server().unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let csr = Csr::new("serial").challenge(&instance.challenge);
        let (device, draft) = with_csr(&server, "serial", csr);
        let serial = granted(&instance, &server, &device, &draft).serial;
        assert!((15..=17).contains(&(serial.len() - 2)) && serial[2] < 0x80, "{serial:02x?}");
        seen.push(serial);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn row_056_the_signers_key_must_be_the_requests() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("stolen").challenge(&instance.challenge);
    let (_, draft) = with_csr(&server, "stolen", csr);
    let thief = Device::new("stolen").unwrap();
    refused(&server, &thief, &draft, BAD_MESSAGE_CHECK);
}

#[test]
fn row_055_t09_possession_is_proven() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("possession").challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "p", Csr { bad_signature: true, ..csr.clone() });
    refused(&server, &device, &draft, BAD_REQUEST);
    let victim = Device::new("victim").unwrap().key.public_key_to_der().unwrap();
    let (device, draft) = with_csr(&server, "p", Csr { public_key: Some(victim), ..csr });
    refused(&server, &device, &draft, BAD_REQUEST);
}

#[test]
fn row_062_095_a_repeated_request_gets_the_same_certificate() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("again").challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "again", csr);
    let first = granted(&instance, &server, &device, &draft);
    for nonce in 0..3 {
        // A client makes a new message around the same CSR: new nonce, new content key.
        let mut again = draft.clone();
        again.message.sender_nonce = vec![nonce; 16];
        assert_eq!(granted(&instance, &server, &device, &again), first);
    }
}

#[test]
fn row_062_095_quirk_21_repeated_at_once() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("at once").challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "at once", csr);
    let sent = draft.build(&device).unwrap();
    let certificates: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            let post = softhsm_test::client::Delivery::Post(None);
            let response = server.deliver(&sent.body, &post).unwrap();
            let reply = server.read(&response, &sent, &device).unwrap();
            reply.certificate().unwrap().clone()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(certificates.iter().all(|c| *c == certificates[0]));
    let id = device.transaction_id();
    let entries = ledger(&instance);
    let of_it =
        |e: &&crate::common::Entry| e.event == "reservation" && e.field("transaction") == id;
    assert_eq!(entries.iter().filter(of_it).count(), 1, "one reservation");
    each_recorded_once(&instance, &certificates[..1]);
}

#[test]
fn row_095_097_a_retry_after_a_restart_gets_the_same_certificate() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "restarted");
    let first = granted(&instance, &server, &device, &draft);
    instance.stop().unwrap();
    instance.start().unwrap();
    // Port 0 gives another address at each start.
    let server = instance.server().unwrap();
    assert_eq!(granted(&instance, &server, &device, &draft), first);
    each_recorded_once(&instance, &[first]);
    assert_eq!(ledger(&instance).iter().filter(|e| e.event == "certificate").count(), 1);
}

#[test]
fn row_096_another_request_under_the_same_transaction_is_refused() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("first").challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "first", csr);
    let first = granted(&instance, &server, &device, &draft);
    let other = Csr::new("second").challenge(&instance.challenge).build(&device.key).unwrap();
    let mut changed = draft.clone();
    changed.plaintext = other;
    refused(&server, &device, &changed, BAD_REQUEST);
    assert_eq!(granted(&instance, &server, &device, &draft), first, "the old one stays");
}

#[test]
fn the_request_is_kept_and_shown() {
    let instance = shared();
    let server = instance.server().unwrap();
    let csr = Csr::new("shown").challenge("not this one");
    let (device, draft) = with_csr(&server, "shown", csr);
    refused(&server, &device, &draft, BAD_REQUEST);
    let transaction = device.transaction_id();
    let refusal = instance.command(&["request", "show", &transaction, "--pem"]).unwrap();
    assert!(!refusal.status.success(), "a refused request reserves nothing");

    let csr = Csr::new("shown").challenge(&instance.challenge);
    let (device, draft) = with_csr(&server, "shown", csr);
    granted(&instance, &server, &device, &draft);
    let shown = instance.ask(&["request", "show", &device.transaction_id(), "--pem"]).unwrap();
    let shown = openssl::x509::X509Req::from_pem(shown.as_bytes()).unwrap();
    assert_eq!(shown.to_der().unwrap(), draft.plaintext);
}
